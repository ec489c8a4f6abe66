"""What reaches MLflow, at once or later; whole sessions are in test_sessions.py."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

import pytest
from click.testing import CliRunner

from guided_dml import mlflow_store
from guided_dml.cli import cli
from guided_dml.databases import sqlite_url
from guided_dml.mlflow_store import open_experiment
from guided_dml.tracking import PENDING, Recorder

OPENING: dict[str, Any] = {"experiment": "digits", "tags": {}, "parameters": {"seed": 3}}


@pytest.fixture
def place(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, whose name means something else in an address."""
    monkeypatch.setattr("guided_dml.cli.end_on_interrupt", lambda: None)
    project = tmp_path / "50%20 of ü? #1 'a\""
    (project / "mlruns").mkdir(parents=True)
    shutil.copy(database, project / "mlruns")
    return project


def begin(project: Path, session: str) -> Recorder:
    recorder = Recorder(project, session)
    recorder.soon("open", key={"session": session}, name=session, **OPENING)
    recorder.soon("log_metrics", rows=[{"recall": 0.5}, {"recall": 0.7}], first=1)
    stored = project / "data" / "report.json"
    stored.parent.mkdir(exist_ok=True)
    stored.write_text(session)
    recorder.soon("log_file", path="data/report.json", folder="guided")
    return recorder


def whole(project: Path, session: str) -> None:
    recorder = begin(project, session)
    recorder.soon("finish", status="FINISHED")
    recorder.close()


def stored_runs(project: Path) -> dict[str, Any]:
    experiment = open_experiment(project, "digits")
    found = experiment.client.search_runs([experiment.id])
    names = [run.info.run_name for run in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, found, strict=True))


def artifact(project: Path, run: Any) -> str:
    experiment = open_experiment(project, "digits")
    path = experiment.client.download_artifacts(run.info.run_id, "guided/report.json")
    return Path(path).read_text()


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that lets everybody in and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def broken() -> Iterator[str]:
    """A server that answers with its own error."""

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def refusing() -> str:
    """The address of a server that is not there."""
    return "http://127.0.0.1:9"


@pytest.mark.parametrize("server", ["refusing", "silent", "broken"])
def test_a_dead_server_costs_one_warning_and_the_next_run_uploads(
    server: str,
    place: Path,
    warned: list[str],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue(server))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    start = monotonic()
    whole(place, "first")
    begin(place, "killed").close()
    assert monotonic() - start < 20  # (MLflow's import among it)
    assert len(warned) == 2
    assert "did not record this (the run goes on)" in warned[0]
    assert "the next run that reaches it uploads" in warned[0]

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    whole(place, "second")
    runs = stored_runs(place)
    assert {name: run.info.status for name, run in runs.items()} == {
        "first": "FINISHED",
        "second": "FINISHED",
        "killed": "KILLED",
    }
    assert runs["first"].data.params == {"seed": "3"}
    assert runs["first"].info.start_time < runs["killed"].info.start_time
    assert runs["first"].info.end_time <= runs["second"].info.start_time
    assert artifact(place, runs["first"]) == "second"  # (the file as it is now)
    assert not list((place / PENDING).iterdir())


def test_a_locked_database_costs_one_warning(
    place: Path, warned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole(place, "before")
    monkeypatch.setattr(mlflow_store, "PATIENCE", 0.1)
    with closing(sqlite3.connect(place / "mlruns" / "mlflow.db")) as another:
        another.execute("begin exclusive")
        whole(place, "meanwhile")
    assert len(warned) == 1
    assert "database is locked" in warned[0]
    whole(place, "after")
    assert set(stored_runs(place)) == {"before", "meanwhile", "after"}


def test_without_a_place_for_files_there_are_the_scores(place: Path, warned: list[str]) -> None:
    whole(place, "before")
    shutil.rmtree(place / "mlruns" / "artifacts")
    (place / "mlruns" / "artifacts").touch()
    whole(place, "meanwhile")
    assert len(warned) == 1
    run = stored_runs(place)["meanwhile"]
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"recall": 0.7})
    (place / "mlruns" / "artifacts").unlink()
    whole(place, "after")
    assert artifact(place, stored_runs(place)["meanwhile"]) == "after"


def test_a_run_under_way_is_left_to_itself(place: Path) -> None:
    under_way = begin(place, "under way")
    whole(place, "another")
    assert [path.stem for path in (place / PENDING).iterdir()] == ["under way"]
    under_way.soon("finish", status="FINISHED")
    under_way.close()
    assert {run.info.status for run in stored_runs(place).values()} == {"FINISHED"}


def test_a_run_that_has_just_made_its_file_keeps_it(place: Path) -> None:
    (place / PENDING).mkdir(parents=True)
    (place / PENDING / "about to begin.jsonl").touch()
    whole(place, "another")
    assert [path.stem for path in (place / PENDING).iterdir()] == ["about to begin"]


def test_what_cannot_be_written_down_is_recorded_all_the_same(place: Path) -> None:
    (place / PENDING).touch()
    whole(place, "alone")
    assert stored_runs(place)["alone"].data.metrics == {"recall": 0.7}


def test_an_empty_file_becomes_a_database(place: Path) -> None:
    (place / "mlruns" / "mlflow.db").write_bytes(b"")
    whole(place, "first")
    assert set(stored_runs(place)) == {"first"}


def test_a_piece_of_a_line_is_skipped(place: Path) -> None:
    (place / PENDING).mkdir(parents=True)
    (place / PENDING / "torn.jsonl").write_bytes(b'["open", {"experiment": "dig\xff\n\xff\0')
    whole(place, "next")
    assert not list((place / PENDING).iterdir())


def test_a_model_that_is_refused_lets_later_runs_through(place: Path, warned: list[str]) -> None:
    (place / PENDING).mkdir(parents=True)
    opening = {"key": {"session": "first"}, "name": "first", **OPENING}
    model = {"name": "guided-digits", "version": "1", "files": {"model": "data/gone.json"}}
    entries = [["open", opening], ["log_model", model], ["finish", {"status": "FINISHED"}]]
    first, second = (place / PENDING / f"{name}.jsonl" for name in ("1", "2"))
    first.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    opening |= {"key": {"session": "second"}, "name": "second"}
    second.write_text("".join(json.dumps(entry) + "\n" for entry in (entries[0], entries[2])))
    whole(place, "third")
    assert set(stored_runs(place)) == {"first", "second", "third"}
    assert [path.name for path in (place / PENDING).iterdir()] == ["1.jsonl"]
    assert len(warned) == 1


@pytest.mark.parametrize("original", ["stays", "is gone"])
def test_a_copy_writes_into_its_own_folder_and_finds_what_it_brought(
    place: Path, tmp_path: Path, original: str
) -> None:
    whole(place, "old")
    files = sorted(place.rglob("*"))
    copy = tmp_path / "copy & 100%25"
    if original == "stays":
        shutil.copytree(place, copy)
    else:
        place.rename(copy)
    whole(copy, "new")
    runs = stored_runs(copy)
    assert artifact(copy, runs["old"]) == "old"
    assert artifact(copy, runs["new"]) == "new"
    assert len(list((copy / "mlruns" / "artifacts").rglob("report.json"))) == 2
    assert sorted(place.rglob("*")) == (files if original == "stays" else [])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        {copy.name} | ({place.name} if original == "stays" else set())
    )


def test_the_command_that_shows_the_runs_uploads_first_and_knows_where_they_are(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole(place, "old")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    whole(place, "waited")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    moved = place.rename(tmp_path / "moved #1")
    monkeypatch.chdir(moved)
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: started.append(command))
    assert CliRunner().invoke(cli, ["mlflow", "--port", "5001"]).exit_code == 0
    ((*_, store, _, port, _, _),) = started
    assert (store, port) == (sqlite_url(moved / "mlruns" / "mlflow.db"), "5001")
    home = (moved / "mlruns" / "artifacts").as_uri()
    with closing(sqlite3.connect(moved / "mlruns" / "mlflow.db")) as connection:
        places = dict(connection.execute("select name, artifact_uri from runs").fetchall())
    assert set(places) == {"old", "waited"}
    assert all(uri.startswith(home) for uri in places.values())


def test_values_at_and_beyond_the_limits_of_mlflow(place: Path) -> None:
    recorder = Recorder(place, "limits")
    parameters = {f"block{i}": {"classes": ["x" * 20] * 1000} for i in range(250)}
    many = {f'class {i}: "ä"/$%\'': i / 3 for i in range(2500)}
    many |= {
        "x" * 300: 0.5,
        "class w/": 0.6,
        "class a//b": 0.7,
        "class a/./b": 0.8,
        "T-shirt/top": 1,
    }
    odd = {"nan": math.nan, "inf": math.inf, "text": "high", "none": None, "nested": {"a": 1}}
    name = {"name": "méthode \"'#?%/ 1", "key": {"session": "limits"}}
    tags = {"long": "y" * 20_000}
    recorder.soon("open", experiment="digits", tags=tags, parameters=parameters, **name)
    recorder.soon("log_metrics", rows=[many | odd])
    recorder.soon("finish", status="FAILED", error="e" * 20_000)
    recorder.close()
    assert not list((place / PENDING).iterdir())
    (run,) = stored_runs(place).values()
    assert run.info.run_name == name["name"]
    assert len(run.data.params) == 250
    assert len(run.data.metrics) == 2505 + 3
    assert run.data.metrics["T-shirt/top"] == 1
    assert math.isnan(run.data.metrics["nan"])
    assert run.data.metrics["inf"] > 1e300
    assert run.data.metrics["nested.a"] == 1
    assert len(run.data.tags["error"]) == len(run.data.tags["long"]) == 5000


def test_an_experiment_that_was_deleted_comes_back_with_the_next_run(
    place: Path, warned: list[str]
) -> None:
    whole(place, "before")
    experiment = open_experiment(place, "digits")
    experiment.client.delete_experiment(experiment.id)
    whole(place, "after")
    assert not warned
    assert set(stored_runs(place)) == {"before", "after"}


def test_experiments_are_shown_as_trained_models(place: Path) -> None:
    experiment = open_experiment(place, "digits")
    tag = "mlflow.experimentKind"
    experiment.client.delete_experiment_tag(experiment.id, tag)  # (made by an earlier version)
    open_experiment(place, "digits")
    tags = experiment.client.get_experiment(experiment.id).tags
    assert tags[tag] == "custom_model_development"
