"""The pages in a real browser: where chromium and its driver are installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guided_dml.figures.page import Choice, Group, atlas_page, embedding_page
from guided_dml.figures.plane import to_plane
from guided_dml.figures.style import visible
from names import NAMES

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="needs chromium and chromedriver",
)

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --window-size=1000,700"
)


class Browser:
    """Talks to chromedriver in the protocol of the W3C."""

    def __init__(self, port: int, profile: Path) -> None:
        self._address = f"http://127.0.0.1:{port}"
        options = {"args": [*FLAGS.split(), f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._post("/session", capabilities={"alwaysMatch": wanted})
        self._session = f"/session/{made['sessionId']}"

    def _post(self, path: str, **content: Any) -> Any:
        body = json.dumps(content).encode()
        request = urllib.request.Request(self._address + path, body)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path) -> None:
        self._post(f"{self._session}/url", url=path.as_uri())

    def ask(self, expression: str) -> Any:
        return self._post(f"{self._session}/execute/sync", script=f"return {expression}", args=[])

    def choose(self, select: str, place: int) -> None:
        self.ask(
            f"(() => {{ const e = $('{select}'); e.selectedIndex = {place};"
            "e.dispatchEvent(new Event('change')); })()"
        )

    def point_at(self, number: int) -> str:
        """Move the pointer to a point; return what the card then says."""
        top = "canvas.getBoundingClientRect().top"
        x, y = self.ask(f"[toX(set.x[{number}]), {top} + toY(set.y[{number}])]")
        move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        pointer = {"type": "pointer", "id": "mouse", "actions": [move]}
        self._post(f"{self._session}/actions", actions=[pointer])
        assert self.ask("card.hidden") is False
        return str(self.ask("card.innerText")).strip()

    def complaints(self) -> Any:
        return self._post(f"{self._session}/se/log", type="browser")

    def close(self) -> None:
        request = urllib.request.Request(self._address + self._session, method="DELETE")
        with urllib.request.urlopen(request, timeout=60):
            pass


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    log = tmp_path / "driver.log"
    with subprocess.Popen(["chromedriver", "--port=0", f"--log-path={log}"]) as driver:
        try:
            session = Browser(_port(log), tmp_path / "profile")
            yield session
            session.close()
        finally:
            driver.terminate()


def _port(log: Path) -> int:
    for _ in range(100):
        text = log.read_text() if log.exists() else ""
        if "successfully on port " in text:
            return int(text.split("successfully on port ")[1].split(".")[0])
        time.sleep(0.1)
    raise TimeoutError("chromedriver did not start")


def choice(name: str, scale: float, picture: str | None) -> Choice:
    # A row of points, each well apart from the next.
    xy = scale * np.stack([np.arange(6), np.arange(6) % 2], axis=1)
    arrays: dict[str, Any] = {
        "embeddings": xy.astype(np.float32),
        "labels": np.array([0, 0, 1, 1, 2, 2]),
    }
    return Choice(to_plane({name: arrays}, most=100)[0], picture, name)


def test_another_data_set_and_method_can_be_chosen(browser: Browser, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    small, coloured = (rng.integers(0, 256, (6, c, 8, 8), np.uint8) for c in (1, 3))
    groups = [
        Group("first", ["a", "b", "c"], [choice("guided", 1, "x"), choice("margin", 1e3, "x")]),
        Group("second", ["d", "e", "f"], [choice("triplet", 1, None), choice("margin", 1, "y")]),
    ]
    page = tmp_path / "atlas.html"
    page.write_text(atlas_page(groups, {"x": small, "y": coloured}, "an atlas"), "utf-8")
    browser.open(page)
    assert browser.ask("[...$('#group').options].map(o => o.text)") == ["first", "second"]
    assert browser.point_at(3) == "b\nimage 3"
    window = browser.ask("view")
    browser.choose("#set", 1)
    assert browser.ask("set.title") == "margin (6)"
    assert browser.ask("view.scale") == pytest.approx(window["scale"] / 1e3)
    assert browser.point_at(4) == "c\nimage 4"
    first = browser.ask("card.firstChild.style.backgroundImage")
    assert first.startswith('url("data:image/webp')
    browser.choose("#group", 1)
    assert browser.ask("set.title") == "margin (6)"  # (the same method, though in another place)
    legend = browser.ask("[...$('#classes').children].map(l => l.innerText)")
    assert legend == ["d", "e", "f"]
    assert browser.point_at(0) == "d\nimage 0"
    assert browser.ask("card.firstChild.style.backgroundImage") != first
    browser.choose("#set", 0)
    assert browser.point_at(5) == "f\nimage 5"
    assert browser.ask("card.firstChild.hidden") is True  # (it has no images)
    assert browser.complaints() == []


def test_sets_of_one_embedding_share_their_window(browser: Browser, tmp_path: Path) -> None:
    images = np.zeros((6, 1, 8, 8), np.uint8)
    sets = [(choice("training", 3, None).points, images), (choice("test", 1, None).points, images)]
    page = tmp_path / "page.html"
    page.write_text(embedding_page(sets, ["a", "b", "c"], "a heading"), "utf-8")
    browser.open(page)
    window = browser.ask("view")
    browser.choose("#set", 1)
    assert browser.ask("view") == window
    assert browser.ask("$('#group').hidden") is True
    assert browser.point_at(2) == "b\nimage 2"
    assert browser.complaints() == []


def test_a_page_without_embeddings_says_so(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(atlas_page([], {}, "an atlas"), "utf-8")
    browser.open(page)
    assert browser.ask("$('#axes').innerText") == "no embedding is stored"


def test_any_names_are_shown_as_they_are(browser: Browser, tmp_path: Path) -> None:
    count = len(NAMES)
    arrays: dict[str, Any] = {
        "embeddings": np.stack([np.arange(count) % 5, np.arange(count) // 5], 1).astype(np.float32),
        "labels": np.arange(count),
        "names": [f"{name}.png" for name in NAMES],
    }
    points = to_plane({NAMES[0]: arrays}, most=100)[0]
    page = tmp_path / "page.html"
    images = np.zeros((count, 1, 8, 8), np.uint8)
    page.write_text(embedding_page([(points, images)], NAMES, NAMES[-2]), "utf-8")
    browser.open(page)
    assert browser.ask("[...$('#classes').children].map(l => l.title)") == [*map(visible, NAMES)]
    widths = browser.ask("[...$('#classes').children].map(l => l.lastChild.offsetWidth)")
    assert min(widths) > 0
    assert max(widths) < 240
    for i in range(count):
        said = browser.ask(f"(hovered = {i}, show(10, 10), card.lastChild.textContent)")
        assert said == visible(f"{NAMES[i]}.png")
    assert browser.ask("document.title") == NAMES[-2]
    browser.ask("$('#all').click()")
    assert browser.ask("shown.some(Boolean)") is False
    assert browser.complaints() == []


def test_what_goes_wrong_is_said_on_the_page(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    whole = embedding_page([], ["a"], "a heading")
    page.write_text(whole.replace('{"heading"', "{heading"), "utf-8")
    browser.open(page)
    assert "This page cannot be shown" in browser.ask("document.body.innerText")
