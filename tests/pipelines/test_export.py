from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from cards import card_of
from conftest import PROJECT, kedro, refusal, run, tracked_runs
from exported import PARAMETERS, export_files
from guided_dml.errors import InputError
from guided_dml.inference.card import Card
from guided_dml.inference.predictor import Predictor
from guided_dml.metrics.names import SCORES
from guided_dml.models.backbones import build_embedder, embedder_of
from guided_dml.models.layers import FlipAverage
from guided_dml.models.onnx import WholeNetwork
from guided_dml.parameters import Parameters

SHOWN = re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "using.md").read_text(), re.S)


@pytest.fixture
def exported(exported_project: Path, project: Path) -> Path:
    """A copy of the project with an export, to work in."""
    shutil.copytree(exported_project / "data", project / "data", dirs_exist_ok=True)
    return project


@pytest.fixture
def photographs(tmp_path: Path, predictor: Predictor) -> Path:
    """A folder with three images of the gallery, a large colour image and what is no image."""
    folder = tmp_path / "photographs"
    (folder / "below").mkdir(parents=True)
    # (digits have 17 grey levels of 0 to 16; what is stored is 0 to 255)
    from sklearn.datasets import load_digits

    pixels = (load_digits().images * 255 / 16).round().astype(np.uint8)
    for name in predictor.gallery_names[:3]:
        Image.fromarray(pixels[int(name)]).save(folder / f"{name}.png")
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    Image.fromarray(noise).save(folder / "below" / "noise.jpg")
    (folder / "below" / "broken.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("passed over")
    return folder


def test_a_card_says_what_its_network_is(exported_project: Path) -> None:
    stored = json.loads(export_files(exported_project)["card"].read_text())
    card = Card.of(stored, "")
    assert (card.name, card.image_shape, card.classes) == (
        "guided-digits",
        (1, 8, 8),
        list("0123456789"),
    )
    network = {"backbone": "small_cnn", "stem": "small", "embedding_dimension": 2}
    assert card.student == network | {"flip": "none", "shift": 0, "average": 0.0}
    assert card.made_by["libraries"]["torch"] == torch.__version__.split("+")[0]
    with pytest.raises(InputError, match="it lacks seed; train anew"):
        Card.of({name: value for name, value in stored.items() if name != "seed"}, "card.json")
    with pytest.raises(InputError, match="unknown colour"):
        Card.of(stored | {"colour": 1}, "card.json")
    no_numbers = {"mean": [None], "std": [1.0]}
    damages: list[dict[str, Any]] = [{"student": {}}, {"image_shape": None}]
    for damage in (*damages, {"normalisation": no_numbers}):
        with pytest.raises(InputError, match="its image_shape, student or normalisation is none"):
            Card.of(stored | damage, "card.json")


def test_onnxruntime_embeds_what_pytorch_embeds(
    exported_project: Path, predictor: Predictor
) -> None:
    folder = exported_project / "data" / "07_model_output" / "digits" / "guided"
    torchs = load_file(max(folder.glob("reference_embeddings.safetensors/*/*.safetensors")))
    gallery = predictor.gallery["embeddings"]
    scale = np.abs(gallery).max()
    np.testing.assert_allclose(gallery, torchs["embeddings"], atol=1e-5 * scale)
    stored = load_file(export_files(exported_project)["gallery"])
    assert (stored["features"].dtype.name, len(stored["features"])) == ("float16", len(gallery))
    assert 0 < predictor.gallery["learned"].sum() < len(gallery)


@pytest.mark.parametrize("flip_average", [False, True])
@pytest.mark.parametrize("unit_length", [False, True])
def test_the_network_file_does_what_evaluation_does(
    parameters: Parameters, flip_average: bool, unit_length: bool
) -> None:
    student = parameters.student.model_copy(update={"backbone": "small_cnn"})
    weights = build_embedder(3, (3, 8, 8), student, unit_length=unit_length).state_dict()
    statistics = {"mean": [10.0, 20.0, 30.0], "std": [50.0, 60.0, 70.0]}
    asked: dict[str, Any] = {"flip_average": flip_average, "unit_length": unit_length}
    card = card_of(weights, student, statistics, (3, 8, 8), **asked)
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    model: Any = embedder_of(card, weights)
    if flip_average:
        model = FlipAverage(model, unit_length=unit_length)
    mean, std = (torch.tensor(statistics[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        expected = model.eval()((images.float() - mean) / std)
        found, features = WholeNetwork(card, weights).eval()(images)
    torch.testing.assert_close(found, expected)
    assert features.shape == (5, 256)


def test_what_shapes_a_network_is_read_from_its_card(exported: Path, warned: list[str]) -> None:
    run(exported, "evaluation", params={"student": {"backbone": "resnet18"}, "tracking": False})
    told = [message for message in warned if "this counts" in message]
    assert told == [
        "what is stored has data.images_per_class=40, student.backbone=small_cnn; "
        "this counts, not the parameters"
    ]


def test_an_export_averages_as_its_card_says_and_tells_that(
    exported: Path, warned: list[str]
) -> None:
    run(exported, "export", params=PARAMETERS | {"evaluation": {"flip_average": True}})
    assert warned == [
        "what is stored has evaluation.flip_average=false; this counts, not the parameters"
    ]


def test_other_flip_averaging_than_the_cards_is_told_and_both_are_scored(
    exported: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run(exported, "evaluation", params=PARAMETERS | {"evaluation": {"flip_average": True}})
    assert "evaluation.flip_average is true here, and false" in caplog.text
    shown = re.search(r"(.*MAP@R)\n(.*)\n(.*without flip.*)", caplog.text)
    assert shown, caplog.text
    head, mean, alone = shown.groups()
    assert len(mean.split()) == len(head.split()) == 5
    assert alone.endswith("  without flip averaging")
    assert len(alone.split()) == 5 + 3
    stored = max(exported.glob("data/08_reporting/digits/guided/scores.json/*/scores.json"))
    without = [name for name in json.loads(stored.read_text()) if "_without_flip" in name]
    assert len(without) == len(SCORES)


def test_weights_without_a_card_cannot_be_used(exported: Path) -> None:
    shutil.rmtree(exported / "data/06_models/digits/guided/card.json")
    message = refusal(exported, "run", "--pipelines=export")
    assert message.startswith(
        "Error: no guided.card is stored for the data set digits; first run the pipeline"
    )


def test_a_network_that_differs_from_pytorchs_is_not_stored(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guided_dml.pipelines.export.nodes.TOLERANCE", -1.0)
    before = set(exported.rglob("network.onnx"))
    message = refusal(exported, "run", "--pipelines=export", "--params=tracking=false")
    assert "embeddings differ from PyTorch's by" in message
    assert set(exported.rglob("network.onnx")) == before


def test_parts_of_different_weights_are_refused(exported: Path) -> None:
    files = export_files(exported)
    calibration = json.loads(files["calibration"].read_text())
    files["calibration"].write_text(json.dumps(calibration | {"weights": "0" * 64}))
    with pytest.raises(
        InputError, match="calibration: made from other weights than the card of guided-digits"
    ):
        Predictor.from_files(files)
    files["calibration"].unlink()
    with pytest.raises(InputError, match=r"missing or damaged; export anew \(.*No such file"):
        Predictor.from_files(files)


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("calibration", b"{", r"calibration\.json is missing or damaged; export anew"),
        ("calibration", b"null", "a file of its export is damaged"),
        ("gallery", b"", r"gallery\.safetensors is missing or damaged; export anew"),
        ("gallery_names", b'["a"]', "the gallery of guided-digits has other names or labels"),
        ("network", b"x" * 999, "the network is no ONNX file that can be read"),
    ],
)
def test_a_damaged_part_is_told(
    exported_project: Path, tmp_path: Path, part: str, content: bytes, message: str
) -> None:
    files = export_files(exported_project)
    damaged = tmp_path / files[part].name
    damaged.write_bytes(content)
    with pytest.raises(InputError, match=message):
        Predictor.from_files(files | {part: damaged})


def test_a_wrong_k_or_alpha_is_told_for_each_image(predictor: Predictor) -> None:
    for told in (*predictor.answer([b""], k=0), *predictor.answer([b""], alpha=1)):
        assert "k is 1 or more, alpha in [0, 1)" in told["error"]


def test_a_client_cannot_name_a_file_of_this_machine(predictor: Predictor, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    asked: Any = [str(tmp_path / "a.png"), tmp_path / "a.png", None]
    for told in predictor.answer(asked):
        assert (told["label"], "a file's bytes are needed" in told["error"]) == (None, True)


@pytest.mark.usefixtures("tracked")
def test_a_folder_is_answered_without_torch(
    exported: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (
        "import sys; from pathlib import Path; from kedro.framework.startup import "
        "bootstrap_project; bootstrap_project(Path.cwd()); from guided_dml.cli import cli;"
        f"cli(['run', '--pipelines=inference', '--params=inference.images={photographs},"
        "compute.threads=1'], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5 new images for guided-digits: " in done.stdout + done.stderr
    assert "1 unreadable" in done.stdout + done.stderr
    folder = exported / "data" / "07_model_output" / "digits" / "guided"
    rows = pd.read_parquet(next(folder.glob("predictions.parquet/*/*.parquet"))).set_index("path")
    near = pd.read_parquet(next(folder.glob("neighbours.parquet/*/*.parquet")))
    assert rows.index.tolist()[-2:] == ["below/broken.png", "below/noise.jpg"]
    assert "this is no image" in rows.error["below/broken.png"]
    assert pd.isna(rows.known["below/broken.png"])
    assert (rows.width["below/noise.jpg"], rows.height["below/noise.jpg"]) == (120, 90)
    same = rows[rows.index.str.match(r"\d+\.png")]
    assert same.nearest.tolist() == [name.removesuffix(".png") for name in same.index]
    assert (same.known & (same.distance < 1e-4)).sum() >= 1
    assert near.groupby("path").size().eq(5).all()
    (faiss,) = (block for block in SHOWN if "faiss" in block)
    exec(faiss, {})
    assert "'10.png'" in capsys.readouterr().out
    _, (tracked,) = tracked_runs(exported)
    assert tracked.data.metrics["guided.inference_report.images"] == 5
    assert tracked.data.tags["device"] == "CPU, without PyTorch"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "no images named; run with --params inference.images=FOLDER"),
        ("nowhere", r"inference\.images: there is no folder \S*nowhere"),
        ("conf", r"no images in \S*conf; allowed are \.jpeg, \.jpg, \.png, \.webp"),
        ("broken", "none of 1 images can be read; the first: a.png: this is no image"),
    ],
)
def test_a_folder_that_cannot_be_answered_is_told(exported: Path, given: str, message: str) -> None:
    (exported / "broken").mkdir()
    (exported / "broken" / "a.png").write_bytes(b"x")
    images = f",inference.images={given}" if given else ""
    asked = ("run", "--pipelines=inference", f"--params=tracking=false{images}")
    assert re.search(message, refusal(exported, *asked))


def test_inference_before_an_export_is_told(project: Path) -> None:
    message = refusal(project, "run", "--pipelines=inference", "--params=inference.images=.")
    assert "is stored for the data set digits; first run the pipeline export" in message


def test_inverted_images_are_told(exported: Path, photographs: Path, warned: list[str]) -> None:
    for file in photographs.glob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    shutil.rmtree(photographs / "below")
    run(
        exported, "inference", params={"inference": {"images": str(photographs)}, "tracking": False}
    )
    assert any("much brighter than the training images" in message for message in warned)


def test_without_onnxruntime_the_remedy_is_told(
    exported_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="install it: pip install onnxruntime"):
        Predictor.from_files(export_files(exported_project))


@pytest.mark.usefixtures("tracked")
def test_an_export_does_not_need_the_registry(
    exported: Path, monkeypatch: pytest.MonkeyPatch, warned: list[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    version = run(exported, "export", params=PARAMETERS | {"tracking": True})
    assert (exported / f"data/06_models/digits/guided/model.json/{version}/model.json").exists()
    assert len([line for line in warned if "MLflow did not record this" in line]) == 1
    (waiting,) = (exported / "mlruns" / "pending").iterdir()
    assert '"log_model"' in waiting.read_text()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "guided-digits: champion is version 1 now" in kedro(exported, "promote", "guided").output
    assert not waiting.exists()
