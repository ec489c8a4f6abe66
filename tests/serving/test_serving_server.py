"""A real server: streams and signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn import Config, Server

from conftest import refusal
from exported import export_files
from guided_dml.serving import guard
from guided_dml.serving.app import create_app
from guided_dml.serving.guard import BYTES
from guided_dml.serving.model import ServedModel
from guided_dml.serving.server import open_model


@pytest.fixture(scope="module")
def model(exported_project: Path) -> ServedModel:
    return open_model(exported_project, "digits", "guided")[0]


@pytest.fixture(scope="module")
def port(exported_project: Path, model: ServedModel) -> Iterator[int]:
    """Of the server, in a thread of this process."""
    defaults = open_model(exported_project, "digits", "guided")[1]
    place = socket.create_server(("127.0.0.1", 0))
    server = Server(Config(create_app(model, defaults, threads=2), ws="none", log_level="warning"))
    thread = threading.Thread(target=server.run, args=([place],))
    thread.start()
    yield place.getsockname()[1]
    server.should_exit = True
    thread.join()
    place.close()


def test_a_body_without_end_is_refused_while_it_comes(port: int) -> None:
    sent, part = 0, b"100000\r\n" + bytes(2**20) + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        answer = b""
        while not answer:
            try:
                connection.sendall(part)
                sent += 1
            except ConnectionError:
                break
            assert sent < 10 * BYTES / 2**20
            connection.settimeout(0.02)
            try:
                answer = connection.recv(1000)
            except TimeoutError:
                connection.settimeout(20)
        connection.settimeout(20)
        while b"}" not in answer and (more := connection.recv(1000)):
            answer += more  # (what it says may come after its head)
    assert b"413" in answer
    assert b"more than 20,000,000 bytes" in answer


def test_one_clients_slow_body_keeps_nobody_waiting(port: int, model: ServedModel) -> None:
    content = model.thumbnail(5)
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(head.encode() + content[:50])
        assert predicted(port, content)["neighbour_numbers"][0] == 5
        slow.sendall(content[50:])
        assert slow.recv(1000).startswith(b"HTTP/1.1 200")


def predicted(port: int, content: bytes) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/predict", content, 20) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def test_a_port_in_use_is_told(port: int, project: Path) -> None:
    message = refusal(project, "serve", "--port", str(port))
    assert message.startswith(f"Error: --port: {port} given; another program uses it")


def test_the_command_serves_until_ctrl_c_without_torch_and_writes_nothing(
    exported_project: Path, model: ServedModel
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    before = {path: path.stat().st_mtime_ns for path in exported_project.rglob("*")}
    process = subprocess.Popen(
        [sys.executable, "-m", "kedro", "serve", "--port", str(port)],
        cwd=exported_project,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"http://127.0.0.1:{port}  guided-digits, export {model.version}, ")
        assert f"{len(model):,} training images" in line
        assert predicted(port, model.thumbnail(5))["neighbour_numbers"][0] == 5
        libraries = Path(f"/proc/{process.pid}/maps")
        if libraries.exists():
            assert "onnxruntime" in libraries.read_text()
            assert "torch" not in libraries.read_text()
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, said, errors) == (130, "", "")
    assert {path: path.stat().st_mtime_ns for path in exported_project.rglob("*")} == before


def test_a_body_that_does_not_come_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS", 0.05)
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n"
        connection.sendall(head + b"half")
        while b"}" not in answer and (part := connection.recv(1000)):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not come within 0.05 s" in answer


def test_where_nothing_can_be_unknown_is_told_as_a_model_is_opened(
    exported_project: Path, project: Path, warned: list[str]
) -> None:
    shutil.copytree(exported_project / "data", project / "data", dirs_exist_ok=True)
    parameters = project / "conf" / "base" / "parameters.yml"
    parameters.write_text(parameters.read_text().replace("alpha: 0.05", "alpha: 0.001"))
    open_model(project, "digits", "guided")
    files = export_files(project)
    calibration = json.loads(files["calibration"].read_text())
    files["calibration"].write_text(json.dumps(calibration | {"distances": 6 * [0.1]}))
    from guided_dml.logged_model import GuidedModel  # (MLflow takes its settings from ours)

    GuidedModel().load_context(SimpleNamespace(artifacts=files))
    told = [message.partition(", which")[0] for message in warned]
    assert told == [f"{n} validation images: no image can be taken for unknown" for n in (40, 6)]
