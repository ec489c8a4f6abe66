"""What a comparison's parts are called, and in which order they are shown."""

from __future__ import annotations

from collections.abc import Iterable

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


def in_order(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return ``names`` in the order of ``known``, those unknown behind them by the alphabet."""
    ranks = {name: rank for rank, name in enumerate(known)}
    return sorted(names, key=lambda name: (ranks.get(name, len(ranks)), name))


def method_name(method: str) -> str:
    """Return what a method is called in tables and figures."""
    return METHODS[method].title if method in METHODS else method


def section_name(data_set: str, protocol: str) -> str:
    """Return what the comparison on a data set under a protocol is called."""
    return f"{DATA_SETS.get(data_set, data_set)}, {protocol} settings"
