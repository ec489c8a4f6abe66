from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io import AbstractVersionedDataset, DatasetError
from kedro.io.core import Version
from kedro_datasets.json import JSONDataset
from kedro_datasets.matplotlib import MatplotlibDataset
from kedro_datasets.pandas import CSVDataset
from PIL import Image

from guided_dml.datasets.atomic import AtomicLocalFileSystem, write_atomically
from guided_dml.datasets.tensors import TensorsDataset

KINDS = ["json", "safetensors", "figure", "table"]


def figure(value: int, side: int) -> Any:
    drawn = plt.figure(figsize=(side / 100, side / 100))
    drawn.figimage(np.full((side, side), value, np.uint8), vmin=0, vmax=255, cmap="gray")
    return drawn


#: How to write `value` some `size` times over, so that a load can tell a whole from half a file.
MAKERS: dict[str, Callable[[int, int], Any]] = {
    "json": lambda value, size: [value] * size,
    "safetensors": lambda value, size: {"a": torch.full((size,), value)},
    "figure": lambda value, size: figure(value, round(size**0.5)),
    "table": lambda value, size: pd.DataFrame({"a": [value] * size}),
}


def dataset(
    kind: str, root: Path, version: int | None = None
) -> AbstractVersionedDataset[Any, Any]:
    saved = None if version is None else f"{version:06}"
    options = {"filepath": str(root / "file"), "version": Version(None, saved)}
    made: AbstractVersionedDataset[Any, Any]
    if kind == "json":
        made = JSONDataset(**options)
    elif kind == "safetensors":
        made = TensorsDataset(**options, backend="torch")
    elif kind == "figure":
        uncompressed = {"format": "png", "pil_kwargs": {"compress_level": 0}, "dpi": 100}
        made = MatplotlibDataset(**options, save_args=uncompressed)
    else:
        made = CSVDataset(**options, save_args={"index": False})
    return made


def loaded(kind: str, root: Path, size: int) -> int:
    """The value in the newest version, which must be whole."""
    latest = dataset(kind, root)
    if kind == "figure":
        with Image.open(str(latest._get_load_path())) as image:
            values = np.asarray(image.convert("L")).ravel()
        size = round(size**0.5) ** 2
    else:
        content = latest.load()
        values = np.asarray(content if kind == "json" else content["a"])
    assert len(values) == size
    assert (values == values[0]).all()
    return int(values[0])


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def _atomic() -> None:
    write_atomically()


@pytest.fixture
def filesystem() -> fsspec.AbstractFileSystem:
    return fsspec.filesystem("file", auto_mkdir=True)


@pytest.mark.parametrize("protocol", ["file", "local"])
def test_fsspec_hands_it_out(protocol: str) -> None:
    assert type(fsspec.filesystem(protocol)) is AtomicLocalFileSystem


@pytest.mark.parametrize(("mode", "content"), [("w", "ä\nb"), ("wt", "ä\nb"), ("wb", b"\xff\0")])
def test_a_file_appears_when_it_is_closed(
    tmp_path: Path, filesystem: Any, mode: str, content: str | bytes
) -> None:
    place = tmp_path / "deep" / "file"
    with filesystem.open(str(place), mode) as file:
        file.write(content)
        file.flush()
        assert not place.exists()
    assert files(tmp_path) == [place]
    expected = content.encode() if isinstance(content, str) else content
    assert place.read_bytes() == expected
    with filesystem.open(str(place), mode.replace("w", "r")) as file:
        assert file.read() == content


@pytest.mark.parametrize("mode", ["w", "wb"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("before", [None, b"the old content"])
def test_an_error_leaves_what_was_there(
    tmp_path: Path,
    filesystem: Any,
    mode: str,
    error: type[BaseException],
    before: bytes | None,
) -> None:
    place = tmp_path / "file"
    if before is not None:
        place.write_bytes(before)
    with pytest.raises(error), filesystem.open(str(place), mode) as file:  # noqa: PT012
        file.write("half" if mode == "w" else b"half")
        file.flush()
        raise error
    assert files(tmp_path) == ([place] if before is not None else [])
    assert before is None or place.read_bytes() == before


def test_text_options_and_other_modes_pass_through(tmp_path: Path, filesystem: Any) -> None:
    place = tmp_path / "file"
    with filesystem.open(str(place), "w", encoding="latin1", newline="\r\n") as file:
        file.write("ä\n")
    with filesystem.open(str(place), "ab") as file:
        file.write(b"more")
    assert place.read_bytes() == b"\xe4\r\nmore"
    assert files(tmp_path) == [place]


def test_what_json_cannot_store_leaves_the_version_before(tmp_path: Path) -> None:
    dataset("json", tmp_path, 1).save([1] * 10)
    with pytest.raises(DatasetError, match="not JSON serializable"):
        dataset("json", tmp_path, 2).save(["a" * 100_000, object()])
    assert files(tmp_path) == [tmp_path / "file" / "000001" / "file"]
    assert loaded("json", tmp_path, 10) == 1


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room", [0, 20, 50_000])  # (fails in the last flush, or before it)
def test_a_write_that_fails_leaves_the_version_before(tmp_path: Path, kind: str, room: int) -> None:
    size = 100 if room < 100 else 1_000_000
    dataset(kind, tmp_path, 1).save(MAKERS[kind](1, 100))
    with largest_file(room), pytest.raises(DatasetError, match="too large"):
        dataset(kind, tmp_path, 2).save(MAKERS[kind](2, size))
    assert files(tmp_path) == [tmp_path / "file" / "000001" / "file"]
    assert loaded(kind, tmp_path, 100) == 1
    dataset(kind, tmp_path, 3).save(MAKERS[kind](3, size))
    assert loaded(kind, tmp_path, size) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_the_version_before(small_disk: Path, kind: str) -> None:
    dataset(kind, small_disk, 1).save(MAKERS[kind](1, 100))
    with pytest.raises(DatasetError, match="No space left"):
        dataset(kind, small_disk, 2).save(MAKERS[kind](2, 1_000_000))
    assert files(small_disk) == [small_disk / "file" / "000001" / "file"]
    assert loaded(kind, small_disk, 100) == 1
    dataset(kind, small_disk, 3).save(MAKERS[kind](3, 100))
    assert loaded(kind, small_disk, 100) == 3


#: Imports once; then forks, for every line it reads, a process that saves version after version.
WRITERS = """
import os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_atomic
test_atomic.write_atomically()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    kind, root = line.split()
    if pid := os.fork():
        print(pid, flush=True)
        continue
    made = [test_atomic.MAKERS[kind](value, 1_000_000) for value in range(4)]
    for version in range(10_000):
        test_atomic.dataset(kind, Path(root), version).save(made[version % 4])
        shutil.rmtree(Path(root, "file", f"{version - 9:06}"), ignore_errors=True)
    os._exit(1)
"""


@pytest.fixture(scope="module")
def writers() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WRITERS, str(Path(__file__).parent)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, bufsize=1, **pipes) as process:  # type: ignore[call-overload]
        yield process


def stop_while_writing(writer: int, root: Path) -> None:
    def halves() -> list[Path]:
        return list(root.glob("file/*/file.*.partial"))

    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        if halves() and len(list(root.glob("file/*/file"))) > 1:
            os.kill(writer, signal.SIGSTOP)
            while Path(f"/proc/{writer}/stat").read_text().rpartition(")")[2].split()[0] != "T":
                time.sleep(0.001)
            if any(half.stat().st_size for half in halves()):
                return
            os.kill(writer, signal.SIGCONT)
    raise TimeoutError


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_process_leaves_the_version_before(
    tmp_path: Path, writers: subprocess.Popen[str], kind: str
) -> None:
    assert writers.stdin
    assert writers.stdout
    writers.stdin.write(f"{kind} {tmp_path}\n")
    writer = int(writers.stdout.readline())
    try:
        stop_while_writing(writer, tmp_path)
    finally:
        os.kill(writer, signal.SIGKILL)
    while Path(f"/proc/{writer}").exists():
        time.sleep(0.001)
    (half,) = tmp_path.glob("file/*/file.*.partial")
    whole = sorted(tmp_path.glob("file/*/file"))
    assert half.parent not in [path.parent for path in whole]
    assert loaded(kind, tmp_path, 1_000_000) == int(whole[-1].parent.name) % 4
    dataset(kind, tmp_path, 999_999).save(MAKERS[kind](9, 100))
    assert loaded(kind, tmp_path, 100) == 9
