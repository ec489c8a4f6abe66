from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from guided_dml.errors import InputError
from guided_dml.lineage import FILE, check_fit, is_made_with, record


def store(
    folder: Path, name: str, version: str, content: str, *sources: Path, **made_with: Any
) -> Path:
    path = folder / name / version / name
    record(path, {source.name: source for source in sources}, made_with)
    path.write_text(content)
    return path


def check(*inputs: Path, **parameters: Any) -> None:
    makers = {path.name: [] if path.name == "raw" else ["steps"] for path in inputs}
    check_fit({path.name: path for path in inputs}, makers, parameters)


def test_what_fits_passes_and_what_does_not_is_named(tmp_path: Path) -> None:
    images = store(tmp_path, "images", "v1", "some")
    split = store(tmp_path, "split", "v1", "of some", images)
    teacher = store(tmp_path, "teacher", "v1", "z", split)
    check(images, split, teacher)

    check(store(tmp_path, "images", "v2", "some"), teacher)  # (the same content)

    others = store(tmp_path, "images", "v3", "others")
    with pytest.raises(
        InputError,
        match=r"teacher \(v1\) .*another images than the one to be read now \(v3\); bring",
    ):
        check(others, teacher)


def test_origins_are_followed_all_the_way(tmp_path: Path) -> None:
    images = store(tmp_path, "images", "v1", "some")
    triplets = store(tmp_path, "triplets", "v1", "t", images)
    gemini = store(tmp_path, "gemini", "v1", "g", triplets)
    others = store(tmp_path, "images", "v2", "others")
    with pytest.raises(InputError, match=r"gemini \(v1\) .*another images .*steps"):
        check(others, gemini)


def test_one_damaged_file_is_one_complaint(tmp_path: Path) -> None:
    network = store(tmp_path, "network", "v1", "whole")
    made = [store(tmp_path, name, "v1", name, network) for name in ("gallery", "model", "names")]
    damaged = store(tmp_path, "network", "v2", "half")
    with pytest.raises(InputError) as refused:
        check(damaged, *made)
    (line,) = str(refused.value).splitlines()
    assert line.endswith("make gallery anew (pipeline steps); the same holds for model, names")


def test_two_inputs_of_other_origins_do_not_fit_each_other(tmp_path: Path) -> None:
    weights = [store(tmp_path, "weights", f"v{i}", f"w{i}") for i in range(2)]
    query, reference = (
        store(tmp_path, name, "v1", name, some)
        for name, some in zip(("query", "reference"), weights, strict=True)
    )
    with pytest.raises(InputError, match=r"reference .* another weights than that of query"):
        check(query, reference)


def test_what_it_was_made_with_is_inherited_and_all_that_differs_is_told(tmp_path: Path) -> None:
    weights = store(tmp_path, "weights", "v1", "w", backbone="small_cnn", raw=True)
    embeddings = store(tmp_path, "embeddings", "v1", "e", weights, split="validation")
    fitting = {"backbone": "small_cnn", "raw": True, "split": "validation", "later": 1}
    check(weights, embeddings, **fitting)
    with pytest.raises(InputError) as error:
        check(weights, embeddings, **fitting | {"raw": False, "split": "test"})
    for words in (
        "weights (v1) was made with raw=true, now it is false; run with --params raw=true, or make",
        "or make weights anew (pipeline steps); the same holds for embeddings",
        "embeddings (v1) was made with split=validation, now it is test",
    ):
        assert words in str(error.value)


def test_a_list_is_told_as_its_file_takes_it(tmp_path: Path) -> None:
    images = store(tmp_path, "images", "v1", "i", classes=["a", "b"])
    words = (
        r'classes=\["a", "b"\], now it is null; run with classes: \["a", "b"\] in parameters.yml'
    )
    with pytest.raises(InputError, match=words):
        check(images, classes=None)


def test_another_number_of_images_counts_as_stored_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    few: dict[str, Any] = {"data.images_per_class": 30}
    check(store(tmp_path, "images", "v1", "i", **few), **few)
    assert not caplog.messages
    check(store(tmp_path, "images", "v2", "j", **few), **{"data.images_per_class": None})
    assert caplog.messages == [
        "what is stored has data.images_per_class=30; this counts, not the parameters"
    ]


@pytest.mark.parametrize("broken", [None, "", "{", "[]", '{"images": "0123"}'])
def test_a_file_without_its_record_is_refused_with_the_remedy(
    tmp_path: Path, broken: str | None
) -> None:
    path = store(tmp_path, "weights", "v1", "w")
    path.with_name(FILE).unlink()
    if broken is not None:
        path.with_name(FILE).write_text(broken)
    with pytest.raises(InputError, match=r"weights \(v1\) has no record .*; remove .*v1, or make"):
        check(path)


def test_raw_data_need_no_record(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "v1" / "raw"
    path.parent.mkdir(parents=True)
    path.write_text("x")
    check(path)
    made = store(tmp_path, "images", "v1", "some", path)
    check(path, made)


@pytest.mark.parametrize("name", ["images.safetensors", "classes.json"])
def test_a_damaged_file_is_told_as_such_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = store(tmp_path, name, "v1", "")
    if name.endswith("json"):
        path.write_text('["a", "b"]')
    else:
        save_file({"images": torch.zeros(3)}, path)
    made = store(tmp_path, "weights", "v1", "w", path)
    check(path, made)
    cut = store(tmp_path, name, "v2", "")
    cut.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError) as error:
        check(cut, made)
    words = f"{name} (v2) is damaged; remove {cut.parent}, or make {name} anew (pipeline steps)"
    assert str(error.value) == words


def test_flip_averaging_of_a_network_stands_and_that_of_embeddings_has_to_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, now = ({"evaluation.flip_average": value} for value in (False, True))
    weights = store(tmp_path, "guided.weights", "v1", "w", **made)
    check(weights, **now)
    (told,) = caplog.messages
    assert told.startswith("what is stored has evaluation.flip_average=false; this counts")
    check_fit({"guided.weights": weights}, {"guided.weights": []}, now, evaluates=True)
    assert len(caplog.messages) == 1
    assert is_made_with("guided.weights", weights, now)
    embedded = store(tmp_path, "guided.query_embeddings", "v1", "e", **made)
    assert not is_made_with("guided.query_embeddings", embedded, now)
    with pytest.raises(InputError, match=r"flip_average=false, now it is true"):
        check(embedded, **now)
