"""Kill a run with -9 again and again, give the same command again, and compare bytes.

`make torture` kills twenty digits runs at random moments (about half an hour on 2 cores);
test_torture.py does the short form.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from PIL import Image
from safetensors.torch import load_file

from conftest import copy_of_project
from warm import Command

#: What has to come out the same, byte for byte.
RESULTS = ("gemini_weights", "teacher_embeddings", "weights", "query_embeddings", "scores")

Moment = Callable[[Path], bool]


def killed(project: Path, moment: Moment, *options: str) -> bool:
    """Run, and kill when the moment has come; return whether it was in time."""
    with Command(project, "guided_dml", *options) as run:
        while run.is_alive():
            if moment(project):
                return True  # (leaving the block kills it)
            time.sleep(0.02)
    assert run.exitcode == 0, run.said()
    return False


def succeeded(project: Path, *options: str) -> str:
    """Run to the end, and return what was said."""
    with Command(project, "guided_dml", *options) as run:
        run.join()
    assert run.exitcode == 0, run.said()
    return run.said()


def results(project: Path) -> dict[str, bytes]:
    """Return the bytes of the newest version of each result."""
    newest = {}
    for name in RESULTS:
        (*_, last) = sorted(project.glob(f"data/0*/**/{name}.*/*/{name}.*"))
        newest[name] = last.read_bytes()
    return newest


def stored(project: Path) -> Iterator[Path]:
    """Return every stored version of every dataset."""
    for path in sorted(project.glob("data/0*/**/*")):
        if path.is_file() and path.parent.parent.name == path.name:
            yield path


def check_whole(project: Path) -> int:
    """Load every stored version of every dataset, and return how many there are."""
    count = 0
    for path in stored(project):
        count += 1
        if path.suffix == ".safetensors":
            load_file(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>"), path
        else:
            assert path.read_text().endswith("\n"), path
    return count


def check_end(project: Path, expected: dict[str, bytes]) -> None:
    """Compare with the run that was never killed; nothing may be left behind."""
    found = results(project)
    assert [name for name in RESULTS if found[name] != expected[name]] == []
    left = [
        path.name
        for path in project.glob("data/**/*.safetensors")
        if "checkpoints" in str(path.parent)
    ]
    assert left == []
    assert "RUNNING" not in states(project)


def states(project: Path) -> list[str]:
    """Return the state of every run in MLflow, in the order of their starts."""
    with closing(sqlite3.connect(project / "mlruns" / "mlflow.db")) as connection:
        rows = connection.execute("select status from runs order by start_time").fetchall()
    return [state for (state,) in rows]


def at_random(source: random.Random, longest: float) -> Moment:
    """Return a moment within so many seconds from now."""
    end = time.monotonic() + source.uniform(0, longest)
    return lambda _: time.monotonic() > end


def main() -> None:
    """Kill so many runs, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    source, folder = random.Random(options.seed), Path(tempfile.mkdtemp())
    whole, project = (copy_of_project(folder / name) for name in ("whole", "killed"))
    begin = time.monotonic()
    succeeded(whole)
    longest, expected, kills, complete = time.monotonic() - begin, results(whole), 0, 0
    print(f"the run that is never killed: {longest:.0f} s")
    at_once = True
    while kills < options.kills:
        begin = time.monotonic()
        if killed(project, at_random(source, longest)):
            kills, at_once = kills + 1, False
            print(f"kill {kills:2d} after {time.monotonic() - begin:5.1f} s; ", end="")
        else:
            seconds, complete = time.monotonic() - begin, complete + 1
            check_end(project, expected)
            print(f"complete after {seconds:5.1f} s; ", end="")
            if at_once:  # (the machine may have been busier at first)
                longest = seconds
            at_once = True
        print(f"{check_whole(project)} stored files are whole", flush=True)
    begin = time.monotonic()
    succeeded(project)
    print(f"complete after {time.monotonic() - begin:5.1f} s; {check_whole(project)} are whole")
    check_end(project, expected)
    print(f"{kills} kills, {complete + 1} complete runs: the same bytes as never killed")
    print(f"in MLflow: {states(project)}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
