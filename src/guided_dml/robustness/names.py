"""What robustness is measured on and by: every list of it comes from here."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from guided_dml.errors import known

#: The parts that it is measured in.
MODULES = {
    "corruptions": "Corrupted images",
    "ood": "Out-of-distribution images",
    "subpopulation": "Sub-populations",
    "maps": "Two-dimensional maps",
    "unseen": "Unseen classes",
}

#: The families of corruptions, in the order of the tables, and what they are called there.
FAMILIES = {
    "gaussian_noise": "Gaussian noise",
    "shot_noise": "Shot noise",
    "impulse_noise": "Impulse noise",
    "contrast": "Contrast",
    "brightness": "Brightness",
    "jpeg": "JPEG",
    "pixelate": "Pixelate",
    "gaussian_blur": "Gaussian blur",
    "rotate": "Rotate",
    "shear": "Shear",
    "shrink": "Shrink",
    "shift": "Shift",
}

#: Those that move pixels; CIFAR-10-C has none of them.
GEOMETRIC = ("rotate", "shear", "shrink", "shift")

#: From the mildest to the most severe.
SEVERITIES = (1, 2, 3, 4, 5)

#: Out-of-distribution sets that are made, not another data set's, and what they are called.
MADE_SETS = {
    "photographs": "Photo crops",
    "permuted": "Permuted pixels",
    "noise": "Noise",
}

#: What the paper says of its embeddings.
CLAIMS = {
    "shift": "better under distribution shift",
    "uncertainty": "less uncertain between in- and out-of-distribution images",
    "few-shot": "better with few images of new classes",
    "maps": "better two-dimensional maps",
}


class Outcome(NamedTuple):
    """A score that was declared before any was measured; larger is better.

    Attributes:
        module: One of MODULES.
        score: Its name among the scores of the module.
        title: What tables call it.
        claim: One of CLAIMS, which it is evidence for.
    """

    module: str
    score: str
    title: str
    claim: str

    @property
    def name(self) -> str:
        """Module and score as one."""
        return f"{self.module}.{self.score}"


OUTCOMES = (
    Outcome("maps", "neighbourhood_hit", "Neighbourhood hit of the map", "maps"),
    Outcome("corruptions", "corrupted_recall_at_1", "Recall@1, corrupted images", "shift"),
    Outcome("unseen", "auroc_nn", "AUROC, held-out classes", "uncertainty"),
    Outcome("subpopulation", "worst_class_recall", "Recall@1 of the worst class", "shift"),
    Outcome("unseen", "map_at_r", "MAP@R, unseen classes", "few-shot"),
    Outcome("unseen", "accuracy_5_shot", "5-shot accuracy", "few-shot"),
)


#: Of ten classes those trained on, by their numbers: the splits of open-set recognition (Neal et
#: al. 2018; Vaze et al. 2022). Two overlap, so they are no independent repeats.
CLASS_SPLITS = {
    "cifar10": ("064917", "157394", "861907", "241796"),
    "": ("245983", "326940", "583246", "378405", "634982"),
}


def class_splits_for(data_set: str, classes: Sequence[str]) -> list[str]:
    """Return choices of classes to train on, as ``kedro compare --class-splits`` takes them.

    Of ten classes they are those of the literature, else the first six of ten; of fewer than four
    none leaves enough.
    """
    if len(classes) < 4:
        return []
    if len(classes) == 10:
        return list(CLASS_SPLITS.get(data_set, CLASS_SPLITS[""]))
    return [class_split(classes[: max(2, 6 * len(classes) // 10)], classes)]


def class_split(chosen: Sequence[str], classes: Sequence[str]) -> str:
    """Return a choice of classes as ``kedro compare --class-splits`` takes it.

    By name; by number what would have to be quoted, unless that is another class's name.

    Args:
        chosen: Names of those trained on.
        classes: Names of all; none where they are not known.
    """
    numbers = {name: str(number) for number, name in enumerate(classes)}
    named = {name for name in chosen if re.fullmatch(r"[\w.-]+", name)}
    named |= {name for name in chosen if numbers.get(name, name) in {name, *classes}}
    return "+".join(name if name in named else numbers[name] for name in chosen)


def chosen_families(families: str) -> list[str]:
    """Return the families of ``robustness.families``, in the order of the tables.

    Raises:
        InputError: There is no such family; says which there are.
    """
    asked = families.split("+")
    known("family in robustness.families", asked, [*FAMILIES, "all"])
    return [family for family in FAMILIES if family in asked or "all" in asked]


def sets_in(ood: str) -> list[str]:
    """Return the names in ``robustness.ood``, each once, as they are given."""
    return [*dict.fromkeys(ood.split("+"))]


def other_sets(ood: str) -> list[str]:
    """Return the other data sets among the out-of-distribution sets of ``robustness.ood``."""
    return [name for name in sets_in(ood) if name not in MADE_SETS]
