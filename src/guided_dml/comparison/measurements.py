"""What was measured of a run after its training: modules of robustness, from its stored weights.

A record a module lies on the scoreboard at ``<place of the run>/<module>/<key>``, where the key is
that of all that the measurement reads besides the run. Raw pixels have a place of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline
from pydantic import Field

from guided_dml.comparison.records import (
    SCOREBOARD,
    About,
    GitState,
    Placed,
    hash_of,
    read_stored,
    values_of,
)
from guided_dml.errors import InputError
from guided_dml.lineage import content_hash
from guided_dml.methods import OURS, pipeline_of
from guided_dml.parameters import Parameters
from guided_dml.robustness.names import MODULES, other_sets

#: Images of the classes that are not trained on.
UNSEEN = ("unseen_train_images", "unseen_test_images")

#: The namespace of raw pixels, which every method is measured beside.
PIXELS = "pixels"


class Measured(Placed):
    """What a module of robustness says of a run, or of raw pixels.

    Attributes:
        place: Of the run on the scoreboard, or that of the raw pixels.
        key: Of what was measured on, and how.
        seconds: Of all modules that were measured together.
        images: SHA-256 of the sets that were made for it.
        libraries: What made and measured them, with versions.
    """

    place: str
    module: str
    key: str
    scores: dict[str, float]
    seconds: Annotated[float, Field(ge=0)]
    images: dict[str, str] = Field(default_factory=dict)
    libraries: dict[str, str] = Field(default_factory=dict)
    git: GitState
    finished: str

    @property
    def id(self) -> str:
        """The place where this is stored."""
        return f"{self.place}/{self.module}/{self.key}"


def pixels_place(about: About) -> str:
    """Return where what is measured of raw pixels is stored."""
    return f"{about.id}/{PIXELS}/{about.data_version}/any_seed"


def module_keys(
    catalog: Any, parameters: Parameters, data_version: str, needed: Sequence[str]
) -> dict[str, str]:
    """Return for each module the key of what it reads besides a run.

    Args:
        catalog: Where the prepared data have the versions of the comparison.
        parameters: What all its runs share.
        data_version: Of the prepared data.
        needed: Modules that have to have one; others are left out if their images are not stored.

    Raises:
        InputError: The images that one of these is measured on are not stored.
    """
    from guided_dml.robustness.other_sets import digits_among

    unseen = [content_hash(Path(catalog[name]._get_load_path())) for name in UNSEEN]
    others, keys = {"unseen": unseen}, {}
    for module in MODULES:
        try:
            if module == "corruptions" and parameters.robustness.domain:
                digits_among(catalog.load("classes"))
            if module == "ood":
                others[module] = _other_images(catalog, parameters.robustness.ood)
        except InputError:
            if module in needed:
                raise
            continue
        values = values_of(parameters, steps_of(OURS, [module]).inputs())
        keys[module] = hash_of([module, data_version, others.get(module, []), values])
    return keys


def _other_images(catalog: Any, ood: str) -> list[str]:
    """Return hashes of the images of other data sets."""
    from guided_dml.robustness.corruptions import hash_of_images
    from guided_dml.robustness.other_sets import stored_images

    named = other_sets(ood)
    stored = catalog.load("other_images") if named else {}
    return [hash_of_images(stored_images(stored, name)[0]) for name in named]


def stored_modules(project: Path, place: str, modules: dict[str, str]) -> dict[str, Measured]:
    """Return what is stored of a run's modules, as far as it is sound."""
    found = {}
    for module, key in modules.items():
        where = f"{place}/{module}/{key}"
        record = read_stored("robustness", Measured, where, project / SCOREBOARD / f"{where}.json")
        if record:
            found[module] = record
    return found


def steps_of(method: str, modules: Iterable[str], without: Iterable[str] = ()) -> Pipeline:
    """Return the steps that measure modules, but for those of some namespaces."""
    asked = "robustness" if method == PIXELS else pipeline_of(method, "robustness")
    steps = pipelines[asked].to_outputs(*(dataset_of(method, module) for module in modules))
    return Pipeline([step for step in steps.nodes if step.namespace not in without])


def dataset_of(method: str, module: str) -> str:
    """Return the dataset of what a module says of a method."""
    return f"pixel_{module}" if method == PIXELS else f"{method}.{module}"
