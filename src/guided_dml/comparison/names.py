"""What a comparison's parts are called, and in which order they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from guided_dml.comparison.records import About
from guided_dml.methods import METHODS

#: The method that all others are tested against.
OURS = "guided"

DATA_SETS = {
    "digits": "Digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
}

PROTOCOLS = {
    "equal": "One setting for all methods: the same images, epochs and batches",
    "tuned": "Each method with its own settings, chosen on the validation images",
}

#: Letters of the names of some classes, all told.
LONGEST_NAMES = 60


def in_order(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return ``names`` in the order of ``known``, those unknown behind them by the alphabet."""
    ranks = {name: rank for rank, name in enumerate(known)}
    return sorted(names, key=lambda name: (ranks.get(name, len(ranks)), name))


def method_name(method: str) -> str:
    """Return what a method is called in tables and figures."""
    return METHODS[method].title if method in METHODS else method


def section_name(about: About) -> str:
    """Return what a comparison is called."""
    data, parts = about.parameters.data, [DATA_SETS.get(about.data_set, about.data_set)]
    if data.classes:
        parts.append(f"trained on {classes_name(data.classes)}")
    if data.imbalance_factor is not None:
        parts.append(f"long tail {data.imbalance_factor:g}")
    return ", ".join([*parts, f"{about.protocol} settings"])


def classes_name(classes: Sequence[str]) -> str:
    """Return what a choice of classes is called: their names, unless these are long."""
    names = (" " if max(map(len, classes)) < 2 else ", ").join(classes)
    long = len(names) > LONGEST_NAMES
    return f"{len(classes)} classes ({classes[0]} to {classes[-1]})" if long else names
