"""What a comparison's parts are called, and in which order they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from guided_dml.comparison.records import About
from guided_dml.errors import counted
from guided_dml.methods import METHODS
from guided_dml.parameters import flat
from guided_dml.robustness.names import MADE_SETS

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


def set_name(name: str) -> str:
    """Return what a set of out-of-distribution images is called in tables and figures."""
    return MADE_SETS.get(name) or DATA_SETS.get(name, name)


def section_name(about: About) -> str:
    """Return what a comparison is called."""
    data, parts = about.parameters.data, [DATA_SETS.get(about.data_set, about.data_set)]
    if data.classes:
        parts.append(f"trained on {classes_name(data.classes)}")
    if data.imbalance_factor is not None:
        parts.append(f"long tail {data.imbalance_factor:g}")
    return ", ".join([*parts, f"{about.protocol} settings"])


def section_names(abouts: Sequence[About]) -> list[str]:
    """Return what comparisons are called; those of one name tell where their parameters differ."""
    names = [section_name(about) for about in abouts]
    settings = [
        dict(flat(about.parameters.model_dump(exclude=set(METHODS)) | about.blocks))
        for about in abouts
    ]
    found = []
    for name, setting in zip(names, settings, strict=True):
        same = [other for other, called in zip(settings, names, strict=True) if called == name]
        differ = (key for key in setting if any(one.get(key) != setting[key] for one in same))
        found.append(", ".join([name, *(f"{key}={setting[key]}" for key in differ)]))
    return found


def setting_name(about: About) -> str:
    """Return what the networks of a comparison share."""
    parameters = about.parameters
    student, cap = parameters.student, parameters.data.images_per_class
    stem = f" with {'the small' if student.stem == 'small' else 'its own'} stem"
    parts = [f"recipe {parameters.recipe}"] if parameters.recipe else []
    parts += [
        counted(student.epochs, "epoch"),
        f"{student.backbone}{stem if student.backbone.startswith('resnet') else ''}",
        "all images" if cap is None else f"at most {counted(cap, 'image')} per class",
        f"embedding dimension {student.embedding_dimension}",
        parameters.compute.precision,
    ]
    return "; ".join(parts)


def classes_name(classes: Sequence[str]) -> str:
    """Return what a choice of classes is called: their names, unless these are long."""
    names = (" " if max(map(len, classes)) < 2 else ", ").join(classes)
    long = len(names) > LONGEST_NAMES
    return f"{len(classes)} classes ({classes[0]} to {classes[-1]})" if long else names
