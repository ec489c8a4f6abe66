"""The served page in a real browser, where chromium and its driver are installed."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uvicorn import Config, Server

from exported import export_files
from guided_dml.blocks import InferenceParameters
from guided_dml.figures.style import visible
from guided_dml.serving.app import create_app
from guided_dml.serving.export import Export
from guided_dml.serving.model import ServedModel, png
from guided_dml.serving.server import open_model
from names import NAMES


@contextmanager
def serving(model: ServedModel, defaults: InferenceParameters) -> Iterator[str]:
    """The page's address, served in a thread of this process."""
    place = socket.create_server(("127.0.0.1", 0))
    server = Server(Config(create_app(model, defaults, threads=2), ws="none", log_level="warning"))
    thread = threading.Thread(target=server.run, args=([place],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{place.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        place.close()


@pytest.fixture(scope="module")
def model(exported_project: Path) -> ServedModel:
    return open_model(exported_project, "digits", "guided")[0]


@pytest.fixture(scope="module")
def address(exported_project: Path, model: ServedModel) -> Iterator[str]:
    with serving(model, open_model(exported_project, "digits", "guided")[1]) as address:
        yield address


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


def noise(seed: int) -> bytes:
    return png(np.random.default_rng(seed).integers(0, 256, (1, 8, 8), np.uint8))


def change(browser: Any, field: str, value: float) -> None:
    browser.execute_script(
        "const field = $('#' + arguments[0]); field.value = arguments[1];"
        "field.dispatchEvent(new Event('change'))",
        field,
        value,
    )


def test_the_page_shows_neighbours_and_what_went_wrong(
    address: str, model: ServedModel, browser: Any, tmp_path: Path
) -> None:
    number = int(model.predictor.gallery["learned"].argmin())  # (not at distance 0 of itself)
    image, text = tmp_path / "<b>five.png", tmp_path / "words.png"
    image.write_bytes(model.thumbnail(number))
    text.write_text("Dear server")
    browser.get(address)
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

    change(browser, "alpha", 0.9999)
    wait_until(browser, "$('#answer').textContent.includes('I do not know this')")
    browser.find_element("id", "choose").send_keys(str(text))
    wait_until(browser, "$('#answer').textContent.includes('this is no image (PNG, JPEG, WebP)')")
    complaints = [said["message"] for said in browser.get_log("browser")]
    assert all("status of 400" in message for message in complaints), complaints

    browser.get(f"{address}docs")
    wait_until(browser, "document.body.innerText.includes('POST /predict')")
    assert "neighbour_labels" in browser.find_element("css selector", "body").text


def test_what_validation_images_are_too_few_for_is_not_claimed(
    exported_project: Path, browser: Any, tmp_path: Path
) -> None:
    files = export_files(exported_project)
    thumbnails = files["gallery"].parents[2] / "gallery_images.safetensors"
    files["gallery_images"] = next(thumbnails.glob("*/*.safetensors"))
    calibration = json.loads(files["calibration"].read_text())
    files["calibration"] = tmp_path / "calibration.json"
    few = calibration | {"distances": calibration["distances"][:6]}
    files["calibration"].write_text(json.dumps(few))
    image = tmp_path / "noise.png"
    image.write_bytes(noise(0))
    defaults = InferenceParameters(images=None, k=5, alpha=0.05)
    with serving(ServedModel(Export("a version", files), "digits", "guided"), defaults) as address:
        browser.get(address)
        wait_until(browser, "points !== null")
        browser.find_element("id", "choose").send_keys(str(image))
        wait_until(browser, "shown !== null")
        told = browser.find_element("css selector", ".verdict").text
        assert "Known" not in told
        assert "with 6 validation images" in told
        assert "no image can be taken for unknown" in told
        assert "alpha of 0.143 or more" in told
        change(browser, "alpha", 0.2)
        wait_until(browser, "$('#answer').textContent.includes('I do not know this')")


def test_a_project_may_ask_for_more_neighbours_than_others_may(
    model: ServedModel, browser: Any, tmp_path: Path
) -> None:
    image = tmp_path / "five.png"
    image.write_bytes(model.thumbnail(5))
    with serving(model, InferenceParameters(images=None, k=150, alpha=0.05)) as address:
        browser.get(address)
        wait_until(browser, "points !== null")
        assert browser.execute_script("return $('#k').checkValidity()")
        browser.find_element("id", "choose").send_keys(str(image))
        wait_until(browser, "shown !== null")
        assert len(browser.find_elements("css selector", "#neighbours li")) == 150


def test_all_images_are_asked_again_and_no_failure_stays(
    address: str, browser: Any, tmp_path: Path
) -> None:
    for number in (5, 6, 7):
        (tmp_path / f"{number}.png").write_bytes(noise(number))
    browser.get(address)
    wait_until(browser, "points !== null")
    choose = browser.find_element("id", "choose")
    choose.send_keys(f"{tmp_path / '5.png'}\n{tmp_path / '6.png'}")
    wait_until(browser, "items.length === 2 && items.every((item) => item.answer)")
    change(browser, "alpha", 0.9999)
    wait_until(browser, "items.every((item) => item.button.className === 'unknown')")

    browser.execute_script("$('#k').value = 0")
    choose.send_keys(str(tmp_path / "7.png"))
    wait_until(browser, "items.length === 3 && items[2].button.innerText === '!'")
    browser.execute_script("$('#k').value = 5; items[2].button.click()")
    wait_until(browser, "items[2].button.className === 'unknown'")
    assert len(browser.find_elements("css selector", "#shelf img")) == 3

    for alpha in (0.9999, 0.5, 0):
        change(browser, "alpha", alpha)
    change(browser, "k", 4)
    wait_until(browser, "items.every((item) => item.answer?.neighbours.length === 4)")
    assert browser.execute_script("return items.every((item) => item.answer.known)")

    (tmp_path / "6.png").write_bytes(b"another image")
    change(browser, "k", 3)
    wait_until(browser, "items[2].answer.neighbours.length === 3 && items[1].error")
    assert browser.execute_script("return items[1].error").startswith("the file cannot be read")


def test_the_image_that_was_opened_stays_in_view(
    address: str, browser: Any, tmp_path: Path
) -> None:
    image = tmp_path / "noise.png"
    image.write_bytes(noise(0))
    browser.get(address)
    wait_until(browser, "points !== null")
    choose = browser.find_element("id", "choose")
    choose.send_keys(str(image))
    wait_until(browser, "shown === items[0]")
    browser.execute_script("add([items[0].file, items[0].file]); items[0].button.click()")
    wait_until(browser, "items.length === 3 && items.every((item) => item.answer)")
    assert browser.execute_script("return shown === items[0]")
    choose.send_keys(str(image))
    wait_until(browser, "shown === items[3]")
    change(browser, "alpha", 0.9999)
    wait_until(browser, "items.every((item) => item.button.className === 'unknown')")
    assert browser.execute_script("return shown === items[3]")


def test_the_map_follows_the_left_button_and_fingers_and_leaves_the_rest_to_the_browser(
    address: str, browser: Any
) -> None:
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    def pointer(kind: str, name: str) -> tuple[Any, Any]:
        source: Any = PointerInput(kind, name)  # type: ignore[no-untyped-call]
        builder = ActionBuilder(browser, mouse=source, duration=0)
        return builder, builder.pointer_action

    def seen() -> list[float]:
        found: list[float] = browser.execute_script("return [view.x, view.y, view.scale]")
        return found

    browser.get(address)
    wait_until(browser, "points !== null")
    x, y, scale = seen()
    mouse, button = pointer("mouse", "mouse")
    button.move_to_location(200, 300).pointer_down(2).move_to_location(260, 330).pointer_up(2)
    mouse.perform()
    assert seen() == [x, y, scale]
    for key, held in {"+": "ctrlKey", "-": "metaKey", "0": "ctrlKey"}.items():
        event = f"new KeyboardEvent('keydown', {{key: '{key}', {held}: true}})"
        browser.execute_script(f"view.x += 1; map.dispatchEvent({event}); view.x -= 1")
    assert seen() == pytest.approx([x, y, scale])

    mouse, button = pointer("mouse", "mouse")
    button.move_to_location(200, 300).pointer_down().move_to_location(260, 330).pointer_up()
    mouse.perform()
    assert seen() == pytest.approx([x - 60 / scale, y + 30 / scale, scale])

    # Two fingers that part by four times their distance, the middle between them stays.
    browser.execute_script("fit()")
    middle = browser.execute_script("return (200 - map.clientWidth / 2) / view.scale + view.x")
    fingers, first = pointer("touch", "first")
    others, second = pointer("touch", "second")
    first.move_to_location(180, 300).pointer_down().move_to_location(120, 300).pointer_up()
    second.move_to_location(220, 300).pointer_down().move_to_location(280, 300).pointer_up()
    fingers.devices += [device for device in others.devices if device.type == "pointer"]
    fingers.perform()
    assert seen()[2] == pytest.approx(4 * scale)
    assert browser.execute_script("return toX(arguments[0])", middle) == pytest.approx(200)


@pytest.mark.parametrize("spread", [[1e-3, 0], [0, 1e-3], [0, 0]])
def test_a_map_without_spread_fills_the_page_and_stands_in_its_middle(
    model: ServedModel, browser: Any, monkeypatch: pytest.MonkeyPatch, spread: list[float]
) -> None:
    monkeypatch.setattr(model, "_axes", np.diag(spread))  # (as with one dimension)
    content = json.loads(model.map())
    assert [step > 0 for step in content["step"]] == [bool(size) for size in spread]
    with serving(model, InferenceParameters(images=None, k=5, alpha=0.05)) as address:
        browser.get(address)
        wait_until(browser, "points !== null")
        left, right, top, bottom = browser.execute_script(
            "const all = [[points.x, toX], [points.y, toY]].map(([p, to]) => [...p].map(to));"
            "return all.flatMap((ends) => [Math.min(...ends), Math.max(...ends)])"
        )
        width, height = browser.execute_script("return [map.clientWidth, map.clientHeight - 56]")
    assert right - left == pytest.approx(0.9 * width if spread[0] else 0, rel=1e-3)
    assert bottom - top == pytest.approx(0.9 * height if spread[1] else 0, rel=1e-3)
    assert (left + right) / 2 == pytest.approx(width / 2, rel=1e-3)
    assert (top + bottom) / 2 == pytest.approx(56 + height / 2, rel=1e-3)


def test_any_names_are_shown_as_they_are(address: str, browser: Any) -> None:
    browser.get(address)
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
