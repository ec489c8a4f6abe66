"""How fast a page draws, zooms and filters very many points in headless Chromium."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from sklearn.datasets import load_digits

from guided_dml.figures.page import Choice, Group, PointImages, map_page
from guided_dml.figures.plane import to_plane
from run import Table, markdown

#: Milliseconds that a frame of 60,000 points may take.
LIMIT = 50

#: What is measured, each at 20 zooms.
WORK = {
    "drawing": "drawPoints()",
    "while moving": "rest = 1; drawPoints(); rest = 0",
    "hover": "pick(500, 400)",
    "filter": "filter()",
    "neighbours": "open(7)",
}
TURNS = 20


def page_of(count: int, images: bool) -> str:
    """Return a page of ten clusters; its images are scanned digits, enlarged to 28 pixels."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 10
    xy = (5 * rng.normal(size=(10, 2)))[labels] + rng.normal(size=(count, 2))
    (points,) = to_plane({"images": {"embeddings": xy.astype(np.float32), "labels": labels}})
    pictures = {"digits": PointImages(digits(count))} if images else {}
    group = Group("", [*"0123456789"], [Choice(points, "digits" if images else None)])
    return map_page([group], pictures, "a page", 25)


def digits(count: int) -> np.ndarray:
    small = (load_digits().images * 255 / 16).astype(np.uint8)
    large = [np.asarray(Image.fromarray(image).resize((28, 28))) for image in small]
    return np.stack(large)[np.arange(count) % len(large)][:, None]


def milliseconds(driver: Any, work: str) -> float:
    """Return what one turn takes of the page's thread."""
    turns = f"for (let i = 0; i < {TURNS}; i++) {{ view.zoom = 1 + i / 5; {work} }}"
    driver.execute_script(turns)  # (compiled, then measured)
    begin = thread_time(driver)
    driver.execute_script(turns)
    return (thread_time(driver) - begin) * 1e3 / TURNS


def thread_time(driver: Any) -> float:
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "ThreadTime"))


def row(driver: Any, folder: Path, count: int, images: bool) -> list[str]:
    path = folder / "page.html"
    path.write_text(page_of(count, images), "utf-8")
    starts = []
    for _ in range(5):
        driver.get(path.as_uri())
        starts += driver.execute_script("return performance.getEntriesByName('drawn')")
    first = median(entry["startTime"] for entry in starts)
    taken = [milliseconds(driver, work) for work in WORK.values()]
    return [
        f"{count:,}",
        "28 x 28" if images else "none",
        f"{path.stat().st_size / 1e6:.1f}",
        f"{first:,.0f}",
        *(f"{value:.1f}" for value in taken),
    ]


def measure() -> str:
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(found):
        return "## The page\n\nNot measured: chromium and chromedriver are not installed."
    options = webdriver.ChromeOptions()
    options.binary_location = str(found[0])
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,900"):
        options.add_argument(flag)
    with tempfile.TemporaryDirectory() as folder:
        driver = webdriver.Chrome(options=options, service=Service(found[1]))
        try:
            driver.execute_cdp_cmd("Performance.enable", {})
            version = re.sub(r"\..*", "", driver.capabilities["browserVersion"])
            asked = [(60_000, False), (60_000, True), (1_000_000, False)]
            rows = [row(driver, Path(folder), *each) for each in asked]
        finally:
            driver.quit()
    table: Table = [["points", "images", "file, MB", "first drawing, ms", *WORK], *rows]
    return (
        f"## The page\n\nHeadless Chromium {version} without a GPU, 1400 x 900 pixels. First "
        "drawing: since the navigation began, median of 5. The others:\nmilliseconds of the page's "
        f"thread, mean of {TURNS} zooms; a drawing of 60,000 points may take {LIMIT}. While a map "
        "of more than\n200,000 points moves, its dots are single pixels.\n\n" + markdown(table)
    )
