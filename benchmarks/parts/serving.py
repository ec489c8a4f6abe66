"""The server: answers a second, how long they take, and its memory, with 60,000 images."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import perf_counter, sleep
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save
from torchvision.datasets import MNIST

from guided_dml.blocks import StudentParameters
from guided_dml.inference.card import Card
from guided_dml.inference.predictor import PARTS, Network
from guided_dml.lineage import record
from guided_dml.models.backbones import build_embedder
from guided_dml.models.onnx import to_onnx
from guided_dml.models.weights import hash_of_weights
from guided_dml.pipelines.student.nodes import NETWORK
from parts.memory import RAW, SIZES
from parts.project import scratch_project
from parts.training import BASE
from run import Table, markdown

VERSION = "2026-01-01T00.00.00.000Z"

#: 50 megapixels.
LARGE = (8000, 6250)


def export(project: Path, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Store an untrained airbench as an export of guided on MNIST, the images at random places."""
    student = StudentParameters(**BASE["student"] | {"backbone": "airbench"})
    weights = build_embedder(0, (1, 28, 28), student).state_dict()
    card = Card(
        method="guided",
        seed=0,
        image_shape=(1, 28, 28),
        resize="squash",
        background="white",
        normalisation={"mean": [33.3], "std": [78.6]},
        classes=[str(digit) for digit in range(10)],
        student={name: getattr(student, name) for name in NETWORK},
        unit_length=False,
        flip_average=False,
        target_scale=None,
        weights=hash_of_weights(weights),
        data_set="mnist",
    )
    network, count = to_onnx(card, weights), len(images)
    rng = np.random.default_rng(0)
    features = Network(network)(images[:2].numpy())[1].shape[1]
    gallery: dict[str, Any] = {
        "embeddings": rng.normal(size=(count, 2)).astype(np.float32),
        "features": np.zeros((count, features), np.float16),
        "labels": labels.numpy(),
        "learned": (np.arange(count) % 10 > 0).astype(np.uint8),
        "weights": np.frombuffer(bytes.fromhex(card.weights), np.uint8),
    }
    distances = np.sort(rng.uniform(size=count // 10)).tolist()
    content = {
        "card": json.dumps(card._asdict()).encode(),
        "network": network,
        "gallery": save(gallery),
        "gallery_names": json.dumps([str(number) for number in range(count)]).encode(),
        "calibration": json.dumps({"weights": card.weights, "distances": distances}).encode(),
        "gallery_images": save({"images": images.numpy()}),
        "model": b"{}",
    }
    files = PARTS | {"gallery_images": "gallery_images.safetensors", "model": "model.json"}
    places = {}
    for name, file in files.items():
        place = project / "data/06_models/mnist/guided" / file / VERSION / file
        place.parent.mkdir(parents=True)
        place.write_bytes(content[name])
        places[f"guided.{name}"] = place
    record(
        places["guided.model"], {f"guided.{part}": places[f"guided.{part}"] for part in PARTS}, {}
    )


@contextmanager
def server(project: Path) -> Iterator[tuple[int, int]]:
    """Start `kedro serve`; give its port and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["-m", "kedro", "serve", "--env", "mnist", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, *command], cwd=project, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http"), "the server did not start"
        yield port, process.pid
    finally:
        process.terminate()
        process.communicate()


def ask(port: int, bodies: list[bytes]) -> list[float]:
    """Send images one after the other; return the milliseconds that each answer took."""
    connection, took = http.client.HTTPConnection("127.0.0.1", port, timeout=300), []
    for body in bodies:
        begin = perf_counter()
        connection.request("POST", "/predict", body)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.reason
        took.append(1000 * (perf_counter() - begin))
    connection.close()
    return took


def together(port: int, clients: int, bodies: list[bytes]) -> tuple[list[float], float]:
    """Let clients send images at once; return all answers' milliseconds, and the seconds."""
    begin = perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        shares = [bodies[number::clients] for number in range(clients)]
        took = [one for some in pool.map(lambda share: ask(port, share), shares) for one in some]
    return took, perf_counter() - begin


def png(image: torch.Tensor) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.numpy()).save(file, "PNG")
    return file.getvalue()


def large(kind: str) -> bytes:
    """A colour image of 50 megapixels; of a PNG's layers, one is its transparency."""
    file, ramp = io.BytesIO(), np.linspace(0, 255, LARGE[0]).astype(np.uint8)
    channels = 4 if kind == "PNG" else 3
    pixels = np.stack([np.broadcast_to(ramp, LARGE[::-1])] * channels, axis=2)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


class Watch:
    """The most that a process held while it was watched, in MB without files."""

    def __init__(self, process: int) -> None:
        self._process, self._over, self.most = process, Event(), 0.0

    def now(self) -> dict[str, float]:
        status = Path(f"/proc/{self._process}/status").read_text()
        return {name: int(size) * 1024 / 1e6 for name, size in SIZES.findall(status)}

    def worked(self) -> float:
        """Return the seconds that the process has computed for."""
        stat = Path(f"/proc/{self._process}/stat").read_text().rpartition(") ")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Watch:
        self._thread = Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._over.is_set():
            self.most = max(self.most, self.now()["VmRSS"])
            sleep(0.005)

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()


def memory_row(name: str, watch: Watch, most: float = 0.0) -> list[str]:
    now = watch.now()
    peak = f"{most:,.0f}" if most else ""
    return [name, f"{now['VmRSS']:,.0f}", f"{now['RssAnon']:,.0f}", peak]


def measure() -> str:
    if not (RAW / "MNIST").exists():
        return "## The server\n\nNot measured: MNIST is not under data/01_raw/torchvision."
    train, test = (MNIST(RAW, train=train) for train in (True, False))
    bodies = [png(image) for image in test.data[:1000]]
    load = os.getloadavg()[0]
    with scratch_project() as project:
        export(project, train.data[:, None], train.targets)
        with server(project) as (port, process):
            return report(port, Watch(process), bodies, load)


def report(port: int, watch: Watch, bodies: list[bytes], load: float) -> str:
    memory: Table = [["server", "resident, MB", "without files, MB", "most, MB"]]
    memory.append(memory_row("at its start", watch))
    head = [
        "clients",
        "answers a second",
        "p50, ms",
        "p99, ms",
        "the server's CPU time, ms an answer",
    ]
    speed: Table = [head]
    ask(port, bodies[:50])
    for clients in (1, 20):
        before = watch.worked()
        took, seconds = together(port, clients, bodies)
        worked = 1000 * (watch.worked() - before) / len(took)
        p50, p99 = np.percentile(took, [50, 99])
        numbers = [f"{number:.1f}" for number in (p50, p99, worked)]
        speed.append([str(clients), f"{len(took) / seconds:,.0f}", *numbers])
    memory.append(memory_row("after 2,050 answers", watch))
    small = []
    for kind, name in {"JPEG": "JPEG", "PNG": "PNG with transparency"}.items():
        with Watch(watch._process) as most, ThreadPoolExecutor(1) as other:
            waiting = other.submit(together, port, 20, [large(kind)] * 20)
            while not waiting.done():
                small += ask(port, bodies[:1])
                sleep(0.05)
            waiting.result()
        memory.append(memory_row(f"20 clients, a {name} of 50 megapixels each", watch, most.most))
    return (
        "## The server\n\n`kedro serve` of an untrained airbench, 28x28, with MNIST's 60,000 "
        "training images at random places of\ntwo dimensions. The clients run on the same cores, "
        "and send MNIST's test images as PNG.\nOther work on the machine, processes that waited or "
        f"ran: {load:.1f}.\n\n"
        f"{markdown(speed)}\n\n{markdown(memory)}\n\nAn image of 28x28 pixels that came while "
        f"those of 50 megapixels were waiting was answered in {np.median(small):.0f} ms "
        f"(median of {len(small)}; at most {max(small):.0f})."
    )
