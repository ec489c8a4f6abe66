"""Progress bars, as a terminal is told to draw them."""

from __future__ import annotations

import io
import os
import re
from contextlib import redirect_stderr

import pytest
import torch
from torch import Tensor, nn

from guided_dml.parameters import Parameters
from guided_dml.progress import progress_bar
from guided_dml.seeding import generator
from guided_dml.training.batches import RandomBatches
from guided_dml.training.fit import fit
from guided_dml.training.policy import Policy
from guided_dml.training.triplets import TripletBatches

CPU = torch.device("cpu")


class Terminal(io.StringIO):
    """Remembers what is written to it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(params=[80, 160], autouse=True)
def _columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("LINES", "24")


def bars(terminal: Terminal) -> list[str]:
    """Return what was drawn, one after the other; none wraps."""
    drawn = [line.rstrip() for line in terminal.getvalue().split("\r") if line.strip()]
    assert all(len(bar) <= int(os.environ["COLUMNS"]) for bar in drawn)
    return drawn


def loss_of(model: nn.Linear, _: object) -> Tensor:
    loss: Tensor = model(torch.ones(1)).square().sum()
    return loss


def test_a_training_counts_whole_images(parameters: Parameters) -> None:
    batches = RandomBatches(torch.arange(10), 3, generator(0, "x"))
    settings = parameters.student.model_copy(update={"epochs": 7, "schedule": "constant"})
    with redirect_stderr(Terminal()) as terminal:
        fit(nn.Linear(1, 1), loss_of, batches, settings, Policy(CPU), "student")
    drawn = bars(terminal)
    counts = [int(count) for bar in drawn for count in re.findall(r"(\d+)/63", bar)]
    assert set(range(0, 63, 9)) <= set(counts)
    assert counts == sorted(counts)
    assert drawn[-1].startswith("student 7/7 |")
    assert "loss=" in drawn[-1]


def test_large_counts_leave_room_for_the_bar_and_say_what_is_counted(
    parameters: Parameters,
) -> None:
    classes, many = torch.tensor([[0, 1], [1, 0]]), torch.zeros(2, 432_000, dtype=torch.int64)
    triplets = {"classes": classes, "anchors": many, "positives": many, "negatives": many}
    settings = parameters.gemini.model_copy(update={"epochs": 13})
    batches = TripletBatches(triplets, CPU)
    with redirect_stderr(Terminal()) as terminal:
        fit(nn.Linear(1, 1), loss_of, batches, settings, Policy(CPU), "gemini")
    last = bars(terminal)[-1]
    assert "/33.7M triplet images, " in last
    assert len(last.split("|")[1]) >= 6


def test_nothing_is_drawn_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("x", 3) as bar:
        bar.update(3)
    assert capsys.readouterr().err == ""
