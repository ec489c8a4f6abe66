"""The pages in a real browser: where chromium and its driver are installed."""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By

from guided_dml.figures.page import Choice, Group, Neighbours, PointImages, map_page
from guided_dml.figures.plane import to_plane
from guided_dml.figures.style import visible
from names import NAMES

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)

MARKUP = "<img src=x onerror=alert(1)>"


class Browser:
    """One page at a time in a window of 1000 x 700 pixels."""

    def __init__(self, folder: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in FLAGS.split():
            options.add_argument(flag)
        options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.folder = folder
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))

    def show(self, page: str, width: int = 1000, height: int = 700) -> None:
        self.command("setDeviceMetricsOverride", width=width, height=height)
        path = self.folder / "page.html"
        path.write_text(page, "utf-8")
        self.driver.get(path.as_uri())

    def command(self, name: str, **options: Any) -> None:
        given = {"deviceScaleFactor": 1, "mobile": False} | options
        self.driver.execute_cdp_cmd(f"Emulation.{name}", given)

    def ask(self, expression: str) -> Any:
        return self.driver.execute_script(f"return {expression}")

    def wait(self, expression: str) -> None:
        for _ in range(100):
            if self.ask(expression):
                return
            time.sleep(0.02)
        raise TimeoutError(expression)

    def click(self, selector: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def write(self, selector: str, *keys: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(*keys)

    def choose(self, select: str, place: int) -> None:
        self.click(f"{select} option:nth-of-type({place + 1})")

    def place(self, number: int) -> tuple[int, int]:
        """Return where a point is in the window."""
        x, y = self.ask(
            f"(() => {{ const b = map.getBoundingClientRect();"
            f"return [b.left + toX(xOf(set, {number})), b.top + toY(yOf(set, {number}))] }})()"
        )
        return round(x), round(y)

    def pointer(self, kind: str = "mouse", name: str = "mouse") -> tuple[ActionBuilder, Any]:
        source: Any = PointerInput(kind, name)  # type: ignore[no-untyped-call]
        builder = ActionBuilder(self.driver, mouse=source, duration=0)
        return builder, builder.pointer_action

    def point_at(self, number: int) -> str:
        """Move the pointer to a point; return what the card then says, if it is there."""
        builder, pointer = self.pointer()
        pointer.move_to_location(*self.place(number))
        builder.perform()
        return str(self.ask("$('#card').hidden ? '' : $('#card').innerText")).strip()

    def click_on(self, number: int, kind: str = "mouse") -> None:
        builder, pointer = self.pointer(kind, kind)
        pointer.move_to_location(*self.place(number)).pointer_down().pointer_up()
        builder.perform()

    def scroll(self, amount: int) -> None:
        origin = ScrollOrigin.from_element(self.driver.find_element(By.ID, "map"))
        ActionChains(self.driver).scroll_from_origin(origin, 0, amount).perform()

    def saved(self) -> list[list[str]]:
        """Press the button that saves; return the rows of the file."""
        path = self.folder / "selection.csv"
        path.unlink(missing_ok=True)
        self.click("#save")
        for _ in range(100):
            if path.exists():
                break
            time.sleep(0.02)
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))

    def complaints(self) -> list[dict[str, Any]]:
        """Return what the page complained of, but not that these tests read its pixels."""
        driver: Any = self.driver
        return [one for one in driver.get_log("browser") if one["source"] != "rendering"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.driver.quit()


@pytest.fixture
def browser(opened: Browser) -> Iterator[Browser]:
    """The one browser of all tests; whatever a page complains of fails its test."""
    yield opened
    assert opened.complaints() == []


def choice(name: str, scale: float = 1, picture: str | None = None, **of: Any) -> Choice:
    # A row of points, each well apart from the next.
    xy = scale * np.stack([np.arange(6), np.arange(6) % 2], axis=1)
    arrays: dict[str, Any] = {
        "embeddings": xy.astype(np.float32),
        "labels": np.array([0, 0, 1, 1, 2, 2]),
    }
    (points,) = to_plane({name: arrays})
    return Choice(points, picture, name, **of)


def grey(count: int = 6, side: int = 8) -> PointImages:
    """Return images of which the i-th is all 40 i."""
    shades = (40 * np.arange(count)).astype(np.uint8)
    return PointImages(np.broadcast_to(shades[:, None, None, None], (count, 1, side, side)).copy())


def one_page(*sets: Choice, classes: list[str] | None = None, **pictures: PointImages) -> str:
    group = Group("", classes or ["a", "b", "c"], sets, one_window=True)
    return map_page([group], pictures, "a heading", 25)


def shade(browser: Browser, canvas: str) -> float:
    """Return how bright a thumbnail is, once its sheet is decoded."""
    browser.wait(f"document.querySelector('{canvas}').dataset.painted")
    pixel = f"document.querySelector('{canvas}').getContext('2d').getImageData(3, 3, 1, 1).data"
    return float(browser.ask(f"{pixel}[0]"))


def test_another_data_set_and_method_can_be_chosen(browser: Browser) -> None:
    pictures = {"x": grey(), "y": grey()}
    groups = [
        Group("first", ["a", "b", "c"], [choice("guided", 1, "x"), choice("margin", 1e3, "x")]),
        Group("second", ["d", "e", "f"], [choice("triplet", 1), choice("margin", 1, "y")]),
    ]
    browser.show(map_page(groups, pictures, "an atlas", 25))
    assert browser.ask("[...$('#group').options].map(o => o.text)") == ["first", "second"]
    assert browser.point_at(3) == "b\nimage 3"
    scale = browser.ask("scale()")
    browser.choose("#set", 1)
    assert browser.ask("set.title") == "margin (6)"
    assert browser.ask("scale()") == pytest.approx(scale / 1e3)
    assert browser.point_at(4) == "c\nimage 4"
    assert shade(browser, "#card canvas") == pytest.approx(160, abs=5)
    browser.choose("#group", 1)
    assert browser.ask("set.title") == "margin (6)"  # (the same method, though in another place)
    legend = browser.ask("[...$('#classes').querySelectorAll('bdi')].map(l => l.textContent)")
    assert legend == ["d", "e", "f"]
    assert browser.point_at(0) == "d\nimage 0"
    browser.choose("#set", 0)
    assert browser.point_at(5) == "f\nimage 5"
    assert browser.ask("$('#card canvas').hidden") is True  # (it has no images)


def test_sets_of_one_embedding_share_their_window(browser: Browser) -> None:
    browser.show(one_page(choice("training", 3, "p"), choice("test", 1, "p"), p=grey()))
    browser.scroll(-200)
    view = browser.ask("({...view})")
    assert view["zoom"] > 1
    browser.choose("#set", 1)
    assert browser.ask("({...view})") == view
    assert browser.ask("$('#group').hidden") is True


def test_a_page_without_embeddings_says_so(browser: Browser) -> None:
    browser.show(map_page([], {}, "an atlas", 25))
    browser.write("body", Keys.ESCAPE)
    ActionChains(browser.driver).move_by_offset(200, 300).perform()
    assert browser.ask("$('#axes').innerText") == "no embedding is stored"
    assert not browser.complaints()


def test_what_goes_wrong_is_said_on_the_page(opened: Browser) -> None:
    opened.show(map_page([], {}, "a", 25).replace('{"heading"', "{heading"))
    assert "This page cannot be shown" in opened.ask("document.body.innerText")
    assert opened.complaints()


def test_any_names_are_shown_as_they_are(browser: Browser) -> None:
    names = [*NAMES, MARKUP]
    count = len(names)
    arrays: dict[str, Any] = {
        "embeddings": np.stack([np.arange(count) % 5, np.arange(count) // 5], 1).astype(np.float32),
        "labels": np.arange(count),
        "names": [f"{name}.png" for name in names],
    }
    flags = {MARKUP: np.arange(count) % 2 == 0}
    (points,) = to_plane({names[0]: arrays})
    group = Group("", names, [Choice(points, "p", flags=flags)])
    browser.show(map_page([group], {"p": grey(count)}, MARKUP, 25))
    shown = [*map(visible, names)]
    assert browser.ask("[...$('#classes').children].map(l => l.title)") == shown
    widths = browser.ask("[...$('#classes').querySelectorAll('bdi')].map(l => l.offsetWidth)")
    assert min(widths) > 0
    assert max(widths) < 320
    for i, name in enumerate(names):
        said = browser.ask(
            f"(open({i}), [...$('#opened').querySelectorAll('bdi')].map(b => b.textContent))"
        )
        assert said == [visible(name), visible(f"{name}.png")]
    assert browser.ask("document.title") == browser.ask("$('h1').textContent") == MARKUP
    # (the only images are those of the points)
    assert browser.ask("document.querySelectorAll('img, #classes b, #opened b').length") == 0
    browser.click("#all")
    assert browser.ask("group.shown.some(Boolean)") is False
    assert browser.ask("set.near.length") == 0


def neighbours_page() -> str:
    rows = np.array([[5, 4]] * 6)
    stored = Neighbours(rows, np.array([[0.25, 1.5]] * 6), gallery="abc")
    new = choice(
        "new images", 1, "new", reference="training images", neighbours=stored, notes=["sure"] * 6
    )
    training = choice("training images", 2, "training", gallery="abc")
    return one_page(new, training, new=grey(), training=grey())


def test_hover_shows_the_image_and_click_the_neighbours(browser: Browser) -> None:
    browser.show(neighbours_page())
    assert browser.point_at(2) == "b\nimage 2 \u00b7 sure"
    assert shade(browser, "#card canvas") == pytest.approx(80, abs=5)
    inked = "ink.getImageData(0, 0, marks.width, marks.height).data.filter(Boolean).length"
    before = browser.ask(inked)
    browser.click_on(2)
    assert browser.ask("$('#opened').innerText").split() == ["b", "image", "2", "sure"]
    assert browser.ask("$('#near').innerText") == "Nearest among the training images"
    said = browser.ask("[...$('#neighbours').children].map(b => b.innerText.split('\\n'))")
    assert said == [["c", "image 5", "0.250"], ["c", "image 4", "1.50"]]
    assert shade(browser, "#neighbours button:nth-child(2) canvas") == pytest.approx(160, abs=5)
    assert browser.ask("opened.found.other.name") == "training images"
    assert browser.ask(inked) > 2 * before  # (lines)
    # A click on a neighbour opens it, in its set; where none are stored, the page looks for them.
    browser.click("#neighbours button")
    assert browser.ask("[set.name, opened.point]") == ["training images", 5]
    assert browser.ask("$('#near').innerText") == "Nearest images, in the plane"
    said = browser.ask("[...$('#neighbours').children].map(b => b.innerText.split('\\n').slice(1))")
    assert said[:2] == [["image 4", "2.83"], ["image 3", "4.00"]]
    assert len(said) == 5
    browser.write("body", Keys.ESCAPE)
    assert browser.ask("$('#details').hidden") is True


def test_filters_leave_what_is_asked_for(browser: Browser) -> None:
    flags = {"unknown": np.arange(6) > 3, "first": np.arange(6) == 0}
    browser.show(one_page(choice("images", flags=flags)))
    assert browser.ask("[set.near.length, set.ringed.length]") == [6, 3]
    browser.click("#classes label:nth-child(2)")
    assert browser.ask("$('#count').innerText") == "4 of 6 images"
    assert browser.point_at(2) == ""
    assert browser.point_at(4) == "c\nimage 4"
    browser.choose("#flags select[name='0']", 2)
    assert browser.ask("$('#count').innerText") == "2 of 6 images"
    browser.choose("#flags select[name='1']", 1)
    assert browser.ask("[...set.shown]") == [1, 0, 0, 0, 0, 0]
    browser.choose("#flags select[name='0']", 0)
    browser.choose("#flags select[name='1']", 0)
    browser.click("#classes label:nth-child(2)")
    browser.write("#find", "GE 5", Keys.ENTER)
    assert browser.ask("$('#count').innerText") == "1 of 6 images"
    assert browser.ask("opened.point") == 5


def test_zoom_and_pan_by_wheel_drag_and_keys(browser: Browser) -> None:
    browser.show(one_page(choice("images")))
    browser.scroll(-500)
    assert browser.ask("view.zoom") == pytest.approx(np.exp(1), rel=0.01)
    x, y = browser.place(2)
    builder, pointer = browser.pointer()
    pointer.move_to_location(500, 500).pointer_down().move_to_location(440, 530).pointer_up()
    builder.perform()
    assert browser.place(2) == (x - 60, y + 30)
    assert browser.ask("opened") is None  # (a drag is no click)
    browser.write("#map", "+", Keys.ARROW_LEFT)
    assert browser.ask("view.zoom") == pytest.approx(1.3 * np.exp(1), rel=0.01)
    before = browser.ask("view.zoom")
    browser.click("#in")
    assert browser.ask("view.zoom") == pytest.approx(1.5 * before)
    browser.ask("zoom(1e9)")
    assert browser.ask("set.stepX * scale()") == pytest.approx(4)
    ActionChains(browser.driver).double_click(browser.driver.find_element(By.ID, "map")).perform()
    assert browser.ask("view.zoom") == 1


def test_a_selection_is_saved_as_csv(browser: Browser) -> None:
    classes = [MARKUP, 'a "b", c', "\u05e9\u05dc\u05d5\u05dd"]
    flags = {"known, or not": np.arange(6) % 2 == 0}
    browser.show(one_page(choice("new images", flags=flags), classes=classes))
    everything = browser.saved()
    assert everything[0] == ["name", "set", "class", "x", "y", "known, or not"]
    assert len(everything) == 7
    xs, ys = zip(*(browser.place(i) for i in (1, 2, 3)), strict=True)
    (left, right), (top, bottom) = (min(xs) - 20, max(xs) + 20), (min(ys) - 20, max(ys) + 20)
    builder, pointer = browser.pointer()
    pointer.move_to_location(left, top).pointer_down()
    for corner in ((right, top), (right, bottom), (left, bottom)):
        pointer.move_to_location(*corner)
    pointer.pointer_up()
    browser.click("#lasso")
    builder.perform()
    assert browser.ask("$('#count').innerText") == "3 selected"
    rows = browser.saved()[1:]
    assert [row[0] for row in rows] == ["image 1", "image 2", "image 3"]
    assert [row[2] for row in rows] == [classes[0], classes[1], classes[1]]
    assert [row[1] for row in rows] == ["new images"] * 3
    assert [row[5] for row in rows] == ["false", "true", "false"]
    xy = np.array([row[3:5] for row in rows], float)
    np.testing.assert_allclose(xy, [[1, 1], [2, 0], [3, 1]], atol=1e-4)
    browser.click("#classes label:nth-child(1)")
    assert [row[0] for row in browser.saved()[1:]] == ["image 2", "image 3"]
    browser.click("#clear")
    assert browser.ask("$('#count').innerText") == "4 of 6 images"


def test_a_narrow_page_fits_and_can_be_touched(browser: Browser) -> None:
    page = neighbours_page().replace("a heading", "a-heading-without-a-break" * 8)
    browser.show(page, width=400, height=800)
    browser.click_on(1, kind="touch")
    assert browser.ask("opened.point") == 1
    parts = ["html", "aside", "header", "#details"]
    assert max(browser.ask(f"$('{part}').scrollWidth") for part in parts) <= 400
    assert browser.ask("$('#map').clientHeight") > 300
    # Two fingers that part zoom.
    builder, first = browser.pointer("touch", "first")
    second, other = browser.pointer("touch", "second")
    first.move_to_location(180, 300).pointer_down().move_to_location(120, 300).pointer_up()
    other.move_to_location(220, 300).pointer_down().move_to_location(280, 300).pointer_up()
    builder.devices += [device for device in second.devices if device.type == "pointer"]
    builder.perform()
    assert browser.ask("view.zoom") == pytest.approx(4, rel=0.1)


def test_every_point_of_a_large_set_is_drawn(browser: Browser) -> None:
    count = 60_000
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(count, 2)).astype(np.float32)
    xy[0], xy[1] = (9, 0), (-9, 0)
    arrays = {"embeddings": xy, "labels": np.arange(count) % 10}
    (points,) = to_plane({"images": arrays})
    browser.show(one_page(Choice(points), classes=[*"0123456789"]))
    assert browser.ask("[set.count, set.near.length]") == [count, count]
    assert browser.ask("performance.getEntriesByName('drawn').length") == 1
    for point in (0, 1):
        x, y = browser.ask(f"[toX(xOf(set, {point})), toY(yOf(set, {point}))].map(Math.floor)")
        pixel = browser.ask(f"[...raster.pen.getImageData({x}, {y}, 1, 1).data]")
        colour = browser.ask(f"group.colours[set.labels[{point}]]")
        assert np.abs(np.array(pixel[:3]) - [*bytes.fromhex(colour[1:])]).max() < 70
        assert browser.point_at(point) == f"{point}\nimage {point}"
    # What is nearest is what a plain search finds.
    assert browser.ask("neighboursOf(group, set, 5).rows") == nearest(xy, 5)


def nearest(xy: np.ndarray, row: int) -> list[int]:
    found: list[int] = np.linalg.norm(xy - xy[row], axis=1).argsort()[1:9].tolist()
    return found


def test_the_page_says_that_it_has_only_some_of_the_images(browser: Browser) -> None:
    (points,) = to_plane(
        {
            "images": {
                "embeddings": np.stack([np.arange(60.0), np.zeros(60)], 1),
                "labels": np.zeros(60, np.int64),
            }
        }
    )
    rows = np.arange(0, 60, 3)
    shown = PointImages(np.full((20, 1, 8, 8), 200, np.uint8), rows)
    group = Group("", ["a"], [Choice(points, "p")])
    browser.show(map_page([group], {"p": shown}, "a", 25))
    assert browser.ask("$('#note').innerText").startswith("20 of 60 images are on this page")
    assert browser.point_at(3) == "a\nimage 3"
    assert shade(browser, "#card canvas") == pytest.approx(200, abs=5)
    assert browser.point_at(4) == "a\nimage 4"
    assert browser.ask("$('#card canvas').hidden") is True
