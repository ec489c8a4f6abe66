"""Whole Kedro sessions on a handful of real images, in a project folder of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from kedro.framework.hooks import hook_impl
from kedro.framework.session import KedroSession
from kedro.runner import AbstractRunner, ParallelRunner, SequentialRunner, ThreadRunner
from safetensors.torch import load_file

from conftest import SMALL, copy_of_project, run, tracked_runs
from guided_dml.comparison.sessions import merged
from guided_dml.errors import InputError


def file(project: Path, pattern: str) -> Path:
    (found,) = project.glob(f"data/{pattern}")
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Path:
    """A project after two whole runs with the same seed and one with another; only to be read."""
    place = copy_of_project(tmp_path_factory.mktemp("finished") / "project")
    (place / "mlruns").mkdir()
    shutil.copy(database, place / "mlruns")
    for seed in (0, 0, 1):
        run(place, params={"seed": seed})
    return place


@pytest.fixture
def going_on(finished: Path, project: Path) -> Path:
    """A copy of the finished project, to run more in."""
    for folder in ("data", "mlruns"):
        shutil.copytree(finished / folder, project / folder, dirs_exist_ok=True)
    return project


def versions(project: Path, name: str) -> list[Path]:
    return sorted(project.glob(f"data/*/digits/{name}/*/{Path(name).name}"))


def test_every_step_stores_what_the_next_one_reads(finished: Path) -> None:
    stored = {
        path.parent.parent
        for path in (finished / "data").rglob("*Z/*")
        if path.name != "made_from.json"
    }
    names = {path.as_posix().split("/digits/")[1] for path in stored}
    assert names == {
        "train_images.safetensors",
        "test_images.safetensors",
        "image_names.json",
        "unseen_train_images.safetensors",
        "unseen_test_images.safetensors",
        "unseen_classes.json",
        "classes.json",
        "data_report.json",
        "pixel_scores.json",
        "split.safetensors",
        "normalisation.json",
        "triplets.safetensors",
        "gemini_weights.safetensors",
        "gemini_history.csv",
        "teacher_embeddings.safetensors",
        "gemini_scores.json",
        "teacher_figure.png",
        "teacher_plot.json",
        "teacher_page.html",
        "guided/card.json",
        "guided/weights.safetensors",
        "guided/history.csv",
        "guided/reference_embeddings.safetensors",
        "guided/query_embeddings.safetensors",
        "guided/scores.json",
        "guided/loss_figure.png",
        "guided/embedding_figure.png",
        "guided/embedding_plot.json",
        "guided/embedding_page.html",
        "guided/retrieval_figure.png",
    }
    assert all(len(versions(finished, name)) == 3 for name in names)
    assert not list(finished.rglob("*.partial"))


def test_stored_tensors_have_their_fixed_names_and_types(finished: Path) -> None:
    images = load_file(versions(finished, "train_images.safetensors")[0])
    assert (images["images"].shape, str(images["images"].dtype)) == ((100, 1, 8, 8), "torch.uint8")
    assert str(images["labels"].dtype) == "torch.int64"
    for name, count in (("reference", 100), ("query", 100)):
        arrays = load_file(versions(finished, f"guided/{name}_embeddings.safetensors")[0])
        assert arrays["embeddings"].shape == (count, 2)
        assert str(arrays["embeddings"].dtype) == "torch.float32"
    teacher = load_file(versions(finished, "teacher_embeddings.safetensors")[0])
    assert teacher["embeddings"].shape == (90, 2)


def test_scores_are_one_flat_dictionary(finished: Path) -> None:
    scores = json.loads(versions(finished, "guided/scores.json")[0].read_text())
    recalls = {f"recall_at_{k}" for k in (1, 2, 4, 8)}
    assert set(scores) == recalls | {"f1", "nmi", "accuracy", "r_precision", "map_at_r"}
    assert all(0 <= value <= 1 for value in scores.values())


def test_same_seed_gives_the_same_bytes_and_another_seed_others(finished: Path) -> None:
    for name in ("triplets", "gemini_weights", "teacher_embeddings", "guided/weights"):
        first, again, other = (
            path.read_bytes() for path in versions(finished, f"{name}.safetensors")
        )
        assert first == again, name
        assert first != other, name
    split = {path.read_bytes() for path in versions(finished, "split.safetensors")}
    assert len(split) == 1  # (the split has a seed of its own)


def test_tracking_records_runs_side_by_side(finished: Path) -> None:
    client, runs = tracked_runs(finished)
    runs = runs[::-1]
    assert [r.info.run_name for r in runs] == ["guided seed 0", "guided seed 0", "guided seed 1"]
    record = runs[-1]
    assert record.info.status == "FINISHED"
    assert record.data.params["student.backbone"] == "small_cnn"
    assert record.data.params["gemini.epochs"] == "2"
    scores = json.loads(versions(finished, "guided/scores.json")[-1].read_text())
    for name, value in scores.items():
        assert record.data.metrics[name] == pytest.approx(value), name
    assert 0 < record.data.metrics["pixel_scores.recall_at_1"] <= 1
    assert record.data.metrics["gemini_scores.centre_ratio"] > 0
    assert record.data.metrics["peak_memory_mb"] > 100
    assert record.data.metrics["peak_gpu_memory_mb"] >= 0
    losses = client.get_metric_history(record.info.run_id, "guided.loss")
    assert [metric.step for metric in losses] == [1, 2]
    tags = record.data.tags
    assert (tags["data set"], tags["method"], tags["seed"]) == ("digits", "guided", "1")
    assert tags["library torch"]
    assert tags["device"].startswith("CPU")
    assert "git commit" in tags
    listed = {item.path for item in client.list_artifacts(record.info.run_id, "guided")}
    assert "guided/weights.safetensors" in listed
    assert "guided/embedding_page.html" in listed


def test_a_step_alone_reads_the_newest_and_records_what_it_read(going_on: Path) -> None:
    weights = versions(going_on, "gemini_weights.safetensors")
    run(going_on, "gemini", params={"seed": 1})
    new = versions(going_on, "gemini_weights.safetensors")
    assert len(new) == len(weights) + 1
    assert new[-1].read_bytes() == weights[-1].read_bytes()
    _, (record, *_) = tracked_runs(going_on)
    assert record.info.run_name == "gemini seed 1"
    assert (
        record.data.tags["reads triplets"]
        == versions(going_on, "triplets.safetensors")[-1].parent.name
    )


def test_an_old_version_can_be_brought_back(going_on: Path) -> None:
    first, *_ = versions(going_on, "guided/weights.safetensors")
    saved = run(
        going_on,
        "evaluation",
        params={"seed": 5},
        load_versions={"guided.weights": first.parent.name},
    )
    old, new = (
        file(going_on, f"07_model_output/digits/guided/query_embeddings.safetensors/{version}/q*")
        for version in (first.parent.name, saved)
    )
    assert old.read_bytes() == new.read_bytes()
    # Figures and pages name the seed of the training, not that of the run which draws them.
    page = file(going_on, f"08_reporting/digits/guided/embedding_page.html/{saved}/*.html")
    assert '"heading":"guided on digits, seed 0: where' in page.read_text("utf-8")


def test_an_unknown_version_lists_the_known(finished: Path) -> None:
    newest = versions(finished, "guided/weights.safetensors")[-1].parent.name
    with pytest.raises(InputError, match=rf"guided.weights has no version 1999.*{newest}"):
        run(finished, "evaluation", load_versions={"guided.weights": "1999"})


def test_validation_protocol_uses_the_training_set_alone(going_on: Path) -> None:
    saved = run(going_on, "evaluation", params={"evaluation": {"split": "validation"}})
    sizes = [
        len(
            load_file(file(going_on, f"07_model_output/digits/guided/{role}*/{saved}/{role}*"))[
                "labels"
            ]
        )
        for role in ("reference", "query")
    ]
    assert sizes == [90, 10]


def test_published_options_change_the_result(going_on: Path) -> None:
    raw = {"data": {"images_per_class": 10, "raw_pixel_training": True}}
    saved = run(going_on, "gemini", params=raw | {"seed": 1})
    weights = versions(going_on, "gemini_weights.safetensors")
    assert weights[-1].parent.name == saved
    assert weights[-1].read_bytes() != weights[-2].read_bytes()


def test_no_older_version_stands_in_for_one_that_lost_its_record(going_on: Path) -> None:
    versions(going_on, "guided/weights.safetensors")[-1].with_name("made_from.json").unlink()
    with pytest.raises(InputError, match=r"guided\.weights .* has no record .*; remove"):
        run(going_on, "evaluation")


def test_what_was_made_from_other_images_is_refused(going_on: Path) -> None:
    run(going_on, "ingestion", params={"split_seed": 5})
    with pytest.raises(InputError, match=r"teacher_embeddings .* made from another \w+ than"):
        run(going_on, "distillation", params={"split_seed": 5})
    with pytest.raises(InputError, match=r"guided\.\w+ .* made from another .*distillation"):
        run(going_on, "evaluation", params={"split_seed": 5})
    run(going_on, "ingestion")  # the same content as before, in a newer version
    run(going_on, "evaluation")


@pytest.mark.parametrize(
    ("pipeline", "changed", "words"),
    [
        ("evaluation", "data.raw_pixel_training=true", r"=false, now it is true.*guided\.weights"),
        ("distillation", "student.embedding_dimension=3", r"teacher_embeddings .*=2, now it is 3"),
        ("distillation", "gemini.hidden_units=8", r"teacher_embeddings .*pipeline teacher_emb"),
        (
            "distillation",
            "data.raw_pixel_training=true",
            r"teacher_embeddings .*raw_pixel_training",
        ),
        ("margin", "data.validation_share=0.2", r"pipeline ingestion\).* split"),
        ("gemini", "split_seed=1", r"--params split_seed=0.* train_images"),
    ],
)
def test_what_was_made_with_other_parameters_is_refused(
    finished: Path, pipeline: str, changed: str, words: str
) -> None:
    name, value = changed.split("=")
    block, _, field = name.rpartition(".")
    before = {path.name for path in (finished / "data").rglob("*Z")}
    new = {field: yaml.safe_load(value)}
    params = {block: SMALL.get(block, {}) | new} if block else new
    with pytest.raises(InputError, match=words) as error:
        run(finished, pipeline, params=params)
    assert name in str(error.value)
    assert {path.name for path in (finished / "data").rglob("*Z")} == before


def test_some_of_the_classes_are_not_taken_for_all(going_on: Path) -> None:
    classes = {"data": SMALL["data"] | {"classes": ["2", "4", "5"]}}
    saved = run(going_on, "ingestion", params=classes)
    words = rf'{saved}.* data.classes=\["2", "4", "5"\], now it is null; .*ingestion.* train_images'
    with pytest.raises(InputError, match=words):
        run(going_on, "triplets", load_versions={"train_images": saved})
    # (what a comparison of some classes leaves does not stand between a run and its own images)
    run(going_on, "triplets", "evaluation")


def test_images_of_another_data_set_are_looked_for_before_the_first_step(finished: Path) -> None:
    before = {path.name for path in (finished / "data").rglob("*Z")}
    others = {"robustness": {"ood": "noise+mnist", "queries": 20}}
    words = r"robustness\.ood: no images of 'mnist' .* kedro run --env=mnist --pipelines=ingestion"
    with pytest.raises(InputError, match=words):
        run(finished, "robustness", params=others)
    assert {path.name for path in (finished / "data").rglob("*Z")} == before


def test_how_well_it_was_trained_and_other_methods_do_not_matter(going_on: Path) -> None:
    student = SMALL["student"] | {"epochs": 9, "learning_rate": 0.5, "similarity": "cosine"}
    others = {"margin": {"normalise_embeddings": True}, "gemini": {"epochs": 9, "margin": 9.0}}
    run(going_on, "evaluation", params={"seed": 7, "student": student, **others})


def test_stored_embeddings_of_one_split_are_not_drawn_as_another(going_on: Path) -> None:
    saved = run(going_on, "evaluation", params={"evaluation": {"split": "validation"}})
    of_validation = {"guided.query_embeddings": saved}
    figures = ["guided.draw_embeddings", "guided.draw_neighbours"]
    with pytest.raises(InputError, match=r"query_embeddings .*evaluation\.split=validation, now"):
        run(going_on, "evaluation", node_names=figures, load_versions=of_validation)
    run(going_on, "evaluation", node_names=figures, params={"evaluation": {"split": "validation"}})


def test_robustness_of_the_stored_network_is_scored_drawn_and_told(
    going_on: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    few = {"queries": 20, "families": "contrast+shift", "ood": "permuted", "map_images": 20}
    version = run(going_on, "robustness", params={"robustness": few})
    made = {path.parent.parent.name for path in going_on.glob(f"data/**/{version}/*")}
    for name in ("corruptions.json", "ood.json", "maps.json", "subpopulation.json"):
        scores = file(going_on, f"08_reporting/digits/guided/{name}/{version}/{name}")
        stored = json.loads(scores.read_text())
        assert stored, name
    assert {f"{what}_figure.png" for what in ("maps", "ood", "ood_scores", "corruptions")} <= made
    worst = f"{100 * stored['worst_class_recall']:.2f}"
    assert re.search(rf"\nRecall@1 of the worst class +{worst} +\d+\.\d\d\n", caplog.text)
    assert f"All:      data/08_reporting/digits/guided/*/{version}/*" in caplog.text
    with pytest.raises(InputError, match=r"no triplet.* first run .* baselines, triplet$"):
        run(going_on, "robustness_triplet")


def test_steps_are_chosen_by_their_tags(going_on: Path) -> None:
    saved = run(going_on, "evaluation", tags=["figures"])
    made = {path.name for path in (going_on / "data").rglob(f"{saved}/*")}
    assert made == {
        "made_from.json",
        "loss_figure.png",
        "embedding_figure.png",
        "embedding_plot.json",
        "embedding_page.html",
        "retrieval_figure.png",
    }


def test_only_missing_outputs_are_made_from_what_fits(going_on: Path) -> None:
    run(going_on, only_missing_outputs=True)
    other = {"student": SMALL["student"] | {"embedding_dimension": 3}}
    with pytest.raises(InputError, match=r"embedding_dimension=2, now it is 3.* gemini_weights"):
        run(going_on, only_missing_outputs=True, params=other)


def test_a_kill_at_any_moment_leaves_no_file_without_its_record(project: Path) -> None:
    """Whenever a file appears, its record is there already."""
    without = []

    class Watching:
        @hook_impl(trylast=True)
        def before_dataset_saved(self, dataset_name: str) -> None:
            records = list(project.glob("data/**/made_from.json"))
            without.append((dataset_name, len(records)))

    session: Any
    with KedroSession.create(project, runtime_params=SMALL | {"tracking": False}) as session:
        session._hook_manager.register(Watching())
        session.run(pipeline_names=["ingestion"], runner=SequentialRunner())
    assert [count for _, count in without] == [*range(1, len(without) + 1)]


@pytest.mark.usefixtures("tracked")
def test_what_a_killed_step_saved_half_is_not_read_with_older_halves(project: Path) -> None:
    first = run(project, "ingestion")
    second = run(project, "ingestion", params={"data": {"images_per_class": 4}})
    shutil.rmtree(project / "data/03_primary/digits/test_images.safetensors" / second)  # (killed)
    with pytest.raises(InputError, match=rf"another train_images than .*\({first}\)"):
        run(project, "softmax")
    run(project, "softmax", load_versions={"split": first, "normalisation": first})


def test_a_network_that_cannot_be_built_is_refused_before_its_teacher_is_trained(
    project: Path,
) -> None:
    with pytest.raises(InputError, match=r"8x8 pixels are too small for .*=airbench"):
        run(project, params={"student": {"backbone": "airbench"}, "tracking": False})
    assert versions(project, "triplets.safetensors")
    assert not versions(project, "gemini_weights.safetensors")


@pytest.mark.usefixtures("tracked")
def test_a_failed_run_is_marked_failed_with_its_error(project: Path) -> None:
    diverging = SMALL["student"] | {"learning_rate": 1e30, "clip_gradient_values": None}
    with pytest.raises(InputError, match=r"student: the loss became \w+ at epoch"):
        run(project, params={"student": diverging})
    _, (record,) = tracked_runs(project)
    assert record.info.status == "FAILED"
    assert "student: the loss became" in record.data.tags["error"]
    assert not list(project.glob("data/06_models/digits/guided/**/*.safetensors"))


@pytest.mark.usefixtures("tracked")
def test_a_run_that_was_killed_is_closed_by_the_next(project: Path) -> None:
    run(project, "ingestion")
    database = project / "mlruns" / "mlflow.db"
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    with sqlite3.connect(database) as connection:
        connection.execute("update runs set status = 'RUNNING'")
        connection.execute("update tags set value = ? where key = 'process'", (str(gone),))
    connection.close()
    run(project, "ingestion")
    with sqlite3.connect(database) as connection:
        states = connection.execute("select status from runs order by start_time").fetchall()
    connection.close()
    assert states == [("KILLED",), ("FINISHED",)]


def test_tracking_can_be_turned_off(project: Path) -> None:
    run(project, "ingestion", params={"tracking": False})
    assert not (project / "mlruns").exists()


def threads_of(project: Path, pipeline: str, threads: int | None, fails: bool = False) -> set[int]:
    """Return on how many threads the steps of a run compute, whether it ends well or not."""
    seen = set()

    class Watch:
        @hook_impl
        def before_node_run(self) -> None:
            seen.add(torch.get_num_threads())
            if fails:
                raise InputError("a step that fails")

    asked = merged(SMALL, {"tracking": False, "compute": {"threads": threads}})
    session: Any
    with suppress(InputError), KedroSession.create(project, runtime_params=asked) as session:
        session._hook_manager.register(Watch())
        session.run(pipeline_names=[pipeline], runner=SequentialRunner())
    return seen


def test_all_steps_keep_to_the_threads_and_nothing_else_does(project: Path) -> None:
    usual = torch.get_num_threads()
    for fails in (False, True):
        assert threads_of(project, "ingestion", usual + 1, fails) == {usual + 1}
        assert torch.get_num_threads() == usual
    assert not threads_of(project, "distillation", usual + 1)  # (refused: it lacks the teacher)
    assert threads_of(project, "ingestion", None) == {usual}


def test_trouble_with_mlflow_does_not_stop_a_run(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (project / "mlruns").mkdir()
    (project / "mlruns" / "mlflow.db").write_text("this is no database " * 100)
    saved = run(project, "ingestion")
    assert file(project, f"05_model_input/digits/normalisation.json/{saved}/n*").exists()
    assert "MLflow did not record this (the run goes on)" in caplog.text


@pytest.mark.usefixtures("tracked")
def test_two_runs_never_read_each_others_versions(project: Path) -> None:
    """Whatever this session saves, another run's newer version lies beside it at once."""
    run(project, "ingestion")
    planted = []

    class Meanwhile:
        """Another run, which is always faster."""

        @hook_impl
        def before_dataset_saved(self, dataset_name: str) -> None:
            if dataset_name in ("triplets", "gemini_weights", "teacher_embeddings"):
                file = f"{dataset_name}.safetensors"
                (layer,) = {"triplets": ["05_model_input"], "gemini_weights": ["06_models"]}.get(
                    dataset_name, ["04_feature"]
                )
                other = project / "data" / layer / "digits" / file / "2999-01-01T00.00.00.000Z"
                other.mkdir(parents=True)
                (other / file).write_bytes(b"of another run")
                planted.append(dataset_name)
            for path in project.glob("data/05_model_input/digits/split.safetensors/*/*"):
                newer = path.parent.parent / "2999-01-01T00.00.00.000Z" / path.name
                newer.parent.mkdir(exist_ok=True)
                newer.write_bytes(b"of another run")

    session: Any
    with KedroSession.create(project, runtime_params=SMALL) as session:
        session._hook_manager.register(Meanwhile())
        session.run(
            pipeline_names=["triplets", "gemini", "teacher_embeddings", "distillation"],
            runner=SequentialRunner(),
        )
        saved = session.session_id
    assert planted == ["triplets", "gemini_weights", "teacher_embeddings"]
    assert file(project, f"06_models/digits/guided/weights.safetensors/{saved}/w*").exists()
    client, (record, *_) = tracked_runs(project)
    logged = client.download_artifacts(record.info.run_id, "gemini_weights.safetensors")
    own = file(project, f"06_models/digits/gemini_weights.safetensors/{saved}/g*")
    assert Path(logged).read_bytes() == own.read_bytes()


@pytest.mark.usefixtures("tracked")
def test_a_new_data_set_needs_a_catalog_and_nothing_else(project: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 8, 8), np.uint8), np.repeat(["x", "y"], 30)
    np.savez(project / "data" / "cells.npz", images=images, labels=labels)
    (project / "conf" / "cells").mkdir()
    (project / "conf" / "cells" / "catalog.yml").write_text(
        """
raw_images:
  type: guided_dml.datasets.npz.NpzImagesDataset
  filepath: data/cells.npz
"""
    )
    saved = run(project, env="cells")
    scores = json.loads(
        file(project, f"08_reporting/cells/guided/scores.json/{saved}/s*").read_text()
    )
    assert 0 <= scores["recall_at_1"] <= 1
    assert not list(project.glob("data/*/digits"))


def test_a_relative_path_starts_at_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session: Any
    monkeypatch.chdir(project / "conf")
    with KedroSession.create(project, env="mnist") as session:
        raw = session.load_context().catalog["raw_images"]
    assert raw.path == project / "data" / "01_raw" / "torchvision"


def test_entries_of_before_are_refused(project: Path) -> None:
    (project / "conf" / "cells").mkdir()
    entry = "{type: guided_dml.datasets.npz.NpzImagesDataset, filepath: data/cells.npz}"
    (project / "conf" / "cells" / "catalog.yml").write_text(f"raw_train: {entry}\n")
    with pytest.raises(InputError, match="catalog: raw_train: write one entry raw_images"):
        run(project, "ingestion", env="cells")


@pytest.mark.parametrize("runner", [ThreadRunner, ParallelRunner])
def test_steps_at_the_same_time_are_refused_from_python_as_well(
    project: Path, runner: type[AbstractRunner]
) -> None:
    refused = pytest.raises(InputError, match=f"{runner.__name__} given; only SequentialRunner")
    session: Any
    with KedroSession.create(project, runtime_params=SMALL) as session, refused:
        session.run(runner=runner())
    assert not list((project / "data").rglob("*.*"))
