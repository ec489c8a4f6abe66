"""A real server: streams, signals, and its page in a real browser."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from uvicorn import Config, Server

from conftest import refusal
from guided_dml.figures.style import visible
from guided_dml.serving import guard
from guided_dml.serving.app import create_app
from guided_dml.serving.guard import BYTES
from guided_dml.serving.model import ServedModel
from guided_dml.serving.server import open_model
from names import NAMES


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


@pytest.fixture
def browser() -> Iterator[Any]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs chromium and chromedriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "window-size=1200,800"):
        options.add_argument(f"--{flag}")
    options.add_argument("--disable-background-networking")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(str(shutil.which("chromedriver")))
    driver = webdriver.Chrome(options, service)
    yield driver
    driver.quit()


def wait_until(browser: Any, condition: str) -> None:
    for _ in range(200):
        if browser.execute_script(f"return {condition}"):
            return
        time.sleep(0.05)
    raise TimeoutError(f"{condition}: {browser.find_element('css selector', 'body').text}")


def test_the_page_shows_neighbours_and_what_went_wrong(
    port: int, model: ServedModel, browser: Any, tmp_path: Path
) -> None:
    number = int(model.predictor.gallery["learned"].argmin())  # (not at distance 0 of itself)
    image, text = tmp_path / "<b>five.png", tmp_path / "words.png"
    image.write_bytes(model.thumbnail(number))
    text.write_text("Dear server")
    browser.get(f"http://127.0.0.1:{port}/")
    wait_until(browser, "points !== null && $('h1').textContent === 'guided on digits'")
    browser.find_element("id", "choose").send_keys(str(image))
    wait_until(browser, "document.querySelectorAll('#neighbours li').length === 5")
    nearest = browser.find_element("css selector", "#neighbours li").text.split("\n")
    name, label = model.predictor.gallery_names[number], model.predictor.gallery["labels"][number]
    assert nearest == [model.predictor.card.classes[label], f"image {name}", "0"]
    answer = browser.find_element("id", "answer").text
    assert "<b>five.png" in answer
    assert "Known: " in answer
    wait_until(browser, "[...document.images].every((i) => !i.src || i.naturalWidth === 8)")
    assert browser.execute_script("return inSight(shown.answer.place)")

    browser.execute_script(
        "$('#alpha').value = 0.9999; $('#alpha').onchange({target: $('#alpha')})"
    )
    wait_until(browser, "$('#answer').textContent.includes('I do not know this')")
    browser.find_element("id", "choose").send_keys(str(text))
    wait_until(browser, "$('#answer').textContent.includes('this is no image (PNG, JPEG, WebP)')")
    complaints = [said["message"] for said in browser.get_log("browser")]
    assert all("status of 400" in message for message in complaints), complaints

    browser.get(f"http://127.0.0.1:{port}/docs")
    wait_until(browser, "document.body.innerText.includes('POST /predict')")
    assert "neighbour_labels" in browser.find_element("css selector", "body").text


def test_any_names_are_shown_as_they_are(port: int, browser: Any) -> None:
    browser.get(f"http://127.0.0.1:{port}/")
    wait_until(browser, "points !== null")
    names = [name for name in NAMES if name.encode(errors="ignore").decode() == name]
    shown = browser.execute_script(
        "const place = document.createElement('div');"
        "place.append(...arguments[0].map(classOf)); document.body.append(place);"
        "return [...place.children].map((c) => c.innerText)",
        names,
    )
    for name, text in zip(names, shown, strict=True):
        assert text.split() == visible(name).split() or ("\\u" in text and not name.isprintable())
    assert browser.get_log("browser") == []


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
