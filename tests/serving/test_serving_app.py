"""The page and the API, without a network between."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from exported import export_files
from guided_dml.blocks import InferenceParameters
from guided_dml.serving import app as serving_app
from guided_dml.serving.app import create_app
from guided_dml.serving.export import Export
from guided_dml.serving.guard import BYTES
from guided_dml.serving.model import ServedModel, png
from guided_dml.serving.server import open_model
from names import NAMES

DEFAULTS = InferenceParameters(images=None, k=4, alpha=0.05)


@pytest.fixture(scope="module")
def model(exported_project: Path) -> ServedModel:
    return open_model(exported_project, "digits", "guided")[0]


@pytest.fixture(scope="module")
def client(model: ServedModel) -> Iterator[TestClient]:
    app = create_app(model, DEFAULTS, threads=2)
    with TestClient(app, "http://127.0.0.1:8080", raise_server_exceptions=False) as client:
        yield client


def picture(kind: str = "PNG", size: tuple[int, int] = (9, 7), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 90).save(file, kind, **options)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 400 million pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    head += struct.pack(">I", zlib.crc32(head))
    return picture()[:8] + struct.pack(">I", 13) + head + picture()[33:]


def test_a_training_image_is_its_own_nearest(client: TestClient, model: ServedModel) -> None:
    number = 17
    content = client.get(f"/neighbours/{number}").content  # (of 8x8 the thumbnail is the image)
    answer = client.post("/predict?k=3&seen=true", content=content).json()
    assert answer["neighbour_numbers"][0] == number
    assert answer["distances"][0] == 0
    assert answer["neighbours"][0] == model.predictor.gallery_names[number]
    assert (answer["model"], answer["version"]) == ("guided-digits", model.version)
    pixels = model.predictor.read(content)
    (told,) = model.predictor.rows(model.predictor.predict(pixels[None], 3))
    assert {name: answer[name] for name in told} == told
    seen = base64.b64decode(answer["seen"].removeprefix("data:image/png;base64,"))
    assert (model.predictor.read(seen) == pixels).all()
    assert client.post("/predict", content=content).json()["seen"] is None


def test_k_and_alpha_are_the_projects_unless_asked_for(client: TestClient) -> None:
    content = picture()
    usual = client.post("/predict", content=content).json()
    assert len(usual["neighbours"]) == DEFAULTS.k
    assert usual["known"] is (usual["p_value"] > DEFAULTS.alpha)
    asked = client.post("/predict?k=7&alpha=0.999", content=content).json()
    assert len(asked["neighbours"]) == 7
    assert asked["known"] is False
    assert client.get("/health").json()["k"] == DEFAULTS.k


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_large_image_of_every_kind_is_read(client: TestClient, kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (2500, 2000), "gold").save(file, kind)
    assert client.post("/predict", content=file.getvalue()).status_code == 200


@pytest.mark.parametrize(
    ("path", "content", "status", "words"),
    [
        ("", b"Dear server", 400, "no image (PNG, JPEG, WebP)"),
        ("", b"", 400, "an empty file"),
        ("", picture()[:-30], 400, "damaged"),
        ("", bomb(), 400, "too large; at most"),
        ("", picture("GIF"), 400, "no image (PNG, JPEG, WebP)"),
        (
            "",
            picture("WEBP", save_all=True, append_images=[Image.new("L", (9, 7))]),
            400,
            "animated",
        ),
        ("", picture("PNG", (1, 1)) + bytes(BYTES), 413, "more than 20,000,000 bytes"),
        ("?k=0", picture(), 422, "k: '0' given; must be greater than or equal to 1"),
        ("?k=101", picture(), 422, "k: '101' given; must be less than or equal to 100"),
        ("?k=few", picture(), 422, "k: 'few' given; must be a valid integer"),
        ("?alpha=1", picture(), 422, "alpha: '1' given; must be less than 1"),
        ("?alpha=nan", picture(), 422, "alpha: 'nan' given"),
        ("?alhpa=0.1", picture(), 400, "unknown parameter 'alhpa'; did you mean alpha?"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(
    client: TestClient, path: str, content: bytes, status: int, words: str
) -> None:
    answer = client.post(f"/predict{path}", content=content)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]
    for strange in ("Traceback", "File ", "object at", "/"):
        assert strange not in answer.json()["error"]


def test_a_form_is_told_from_an_image(client: TestClient) -> None:
    answer = client.post("/predict", files={"file": picture()})
    assert answer.status_code == 415
    assert "not a form" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/neighbours/-1", 404),
        ("/neighbours/99999999", 404),
        ("/neighbours/x", 422),
        ("/x", 404),
        ("/predict", 405),
        ("/../pyproject.toml", 404),
    ],
)
def test_what_is_not_there_is_told(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "guided.example"}, 403),
        ({"Host": "guided.example:8080"}, 403),
        ({"Host": "127.0.0.1.example"}, 403),
        ({"Host": "[broken"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "localhost:9000"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Origin": "http://guided.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8081"}, 403),
        ({"Origin": "http://127.0.0.1:8080"}, 200),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200),
    ],
)
def test_only_this_machine_and_its_own_page_are_answered(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    assert client.post("/predict", content=picture(), headers=headers).status_code == status
    assert client.get("/map", headers=headers).status_code == status


def test_nothing_is_cached_and_the_page_runs_only_its_own_scripts(client: TestClient) -> None:
    for path in ("/", "/predict", "/page.js", "/map", "/neighbours/1", "/x"):
        headers = client.get(path).headers
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    for page in ("/", "/docs"):
        text = client.get(page).text
        assert "http" not in text
        assert "<script>" not in text
    scripts = "".join(client.get(path).text for path in ("/page.js", "/map.js", "/docs.js"))
    assert "innerHTML" not in scripts


def test_a_fault_of_ours_tells_nothing(
    model: ServedModel, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("/home/somebody/secret")

    monkeypatch.setattr(model, "answer", fail)
    answer = client.post("/predict", content=picture())
    assert answer.status_code == 500
    assert answer.json() == {"error": "an unexpected error; the server's log says more"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_more_images_than_memory_is_meant_for_are_sent_away(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_app, "WAITING", 0)
    answer = client.post("/predict", content=picture())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "too many images" in answer.json()["error"]


def test_twenty_clients_get_the_answers_to_their_own_images(
    client: TestClient, model: ServedModel
) -> None:
    rows = range(0, 100, 5)
    contents = [model.thumbnail(row) for row in rows]
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda c: client.post("/predict", content=c).json(), contents))
    assert [answer["neighbour_numbers"][0] for answer in answers] == [*rows]


def test_the_map_has_every_training_image_at_its_place(
    client: TestClient, model: ServedModel
) -> None:
    content = client.get("/map").json()
    x, y, labels = (
        np.frombuffer(base64.b64decode(content[name]), "<u2") for name in ("x", "y", "labels")
    )
    gallery = model.predictor.gallery
    assert (labels == gallery["labels"]).all()
    places = np.array(content["low"]) + np.stack([x, y], 1) * content["step"]
    assert np.abs(places - gallery["embeddings"]).max() <= max(content["step"])
    assert content["classes"] == model.predictor.card.classes
    answer = client.post("/predict", content=model.thumbnail(3)).json()
    assert answer["place"] == answer["embedding"]


def test_colour_thumbnails_are_shown_in_colour() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
    shown = np.asarray(Image.open(io.BytesIO(png(pixels))))
    assert (shown.transpose(2, 0, 1) == pixels).all()


def test_any_names_are_told_as_they_are(exported_project: Path, tmp_path: Path) -> None:
    files = export_files(exported_project)
    thumbnails = files["gallery"].parents[2] / "gallery_images.safetensors"
    files["gallery_images"] = next(thumbnails.glob("*/*.safetensors"))
    card = json.loads(files["card"].read_text())
    names = (NAMES * 100)[: len(json.loads(files["gallery_names"].read_text()))]
    for part, content in {
        "card": card | {"classes": NAMES[10 : 10 + len(card["classes"])]},
        "gallery_names": names,
    }.items():
        files[part] = tmp_path / part
        files[part].write_text(json.dumps(content))
    model = ServedModel(Export("a version", files), "digits", "guided")
    with TestClient(create_app(model, DEFAULTS, threads=1), "http://localhost") as client:
        answer = client.post("/predict?k=100", content=picture())
        assert answer.status_code == 200
        told = answer.json()
        assert told["neighbours"] == [names[number] for number in told["neighbour_numbers"]]
        assert set(told["neighbour_labels"]) <= set(NAMES[10:])
        assert client.get("/map").json()["classes"] == NAMES[10 : 10 + len(card["classes"])]


def test_the_api_is_described(client: TestClient) -> None:
    api = client.get("/openapi.json").json()
    assert list(api["paths"]) == ["/predict", "/neighbours/{n}", "/health"]
    predict = api["paths"]["/predict"]["post"]
    assert [p["name"] for p in predict["parameters"]] == ["k", "alpha", "seen"]
    assert {"200", "400", "413", "422"} <= set(predict["responses"])
    assert "/openapi.json" in client.get("/docs").text
