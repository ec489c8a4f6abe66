"""What a comparison consists of: data sets, methods and seeds, each run under a key."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kedro.io import DatasetError, Version
from kedro.runner import SequentialRunner

from guided_dml.comparison.measurements import UNSEEN, module_keys
from guided_dml.comparison.records import About, hash_of, place, settings_key
from guided_dml.comparison.sessions import Nested, merged, session
from guided_dml.comparison.tuned import read_tuned, tuned_file
from guided_dml.errors import InputError
from guided_dml.lineage import check_fit, content_hash, stored_versions
from guided_dml.methods import METHODS
from guided_dml.parameters import Parameters, defining, flat, validated

if TYPE_CHECKING:
    from guided_dml.training.policy import Policy

logger = logging.getLogger(__name__)

#: What the results of a comparison's runs depend on.
PREPARED = ("train_images", "test_images", "normalisation", "split", "classes")

#: What the runs read.
READ = (*PREPARED, "data_report")

SAVED_TOGETHER = (*READ, "image_names", "pixel_scores", *UNSEEN, "unseen_classes")


#: Queries of a data set whose images the atlas shows.
SHOWN_IMAGES = 2_000


class PlannedRun(NamedTuple):
    """One training and its scores.

    Attributes:
        place: The place of its comparison.
        settings: The key of everything else.
        data_version: Hash of the prepared data, and of the pretrained weights where there are any.
        parameters: What the session is given on top of the environment's parameters.
        version: Of the prepared data.
        reason: Why the precision is the one among the parameters.
    """

    data_set: str
    place: str
    protocol: str
    method: str
    seed: int
    settings: str
    data_version: str
    parameters: Nested
    version: str
    reason: str

    @property
    def id(self) -> str:
        """The run's place on the scoreboard."""
        return place(self.place, self.method, self.settings, self.seed)

    @property
    def of(self) -> str:
        """The data set, and what the parameters make of it."""
        return self.place.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The same with method and seed."""
        return f"{self.of} {self.method} {self.seed}"


@dataclass(frozen=True)
class Plan:
    """The runs on one data set.

    Attributes:
        runs: Seeds outermost, so that an unfinished comparison has seeds of all methods.
        about: What the report has to know.
        tracking: Whether MLflow is to know.
    """

    runs: list[PlannedRun]
    about: About
    tracking: bool


def plan_data_set(
    project: Path,
    data_set: str,
    protocol: str,
    methods: list[str],
    seeds: int,
    overrides: Nested,
    modules: Sequence[str] = (),
) -> Plan:
    """Prepare a data set, unless that is done, and plan its runs with so many seeds, from 0.

    ``overrides`` are parameters on top of the environment's; the protocol ``tuned`` lays each
    method's tuned settings below them. ``modules`` of robustness are going to be measured.

    Raises:
        InputError: A parameter is wrong, raw data are missing, or a method is not tuned.
    """
    from guided_dml.training.train import check_student
    from guided_dml.training.triplets import pairs_of

    quiet = merged(overrides, {"tracking": False})
    version = prepare(project, data_set, quiet)
    with session(project, data_set, overrides) as (_, context):
        catalog, parameters = context.catalog, context.config_loader["parameters"]
        policy = _policy(validated(parameters))
        common = _common(policy)
        shared = validated(merged(parameters, common))
        if protocol == "tuned" and shared.data.classes:
            raise InputError(
                "--protocol tuned: settings are chosen on validation images of all classes, those "
                "left out by --class-splits or data.classes among them; use --protocol equal"
            )
        tuned = _tuned(project, shared.recipe, data_set, methods) if protocol == "tuned" else {}
        on_top = {method: merged(tuned.get(method, {}), quiet, common) for method in METHODS}
        pin(catalog, version)
        given = {"data_set": data_set, "protocol": protocol, "given": dict(flat(overrides))}
        about = _about(catalog, shared, parameters, on_top, modules, given)
        queries = shared.evaluation.split
        shown = _shown_images(catalog, queries)
        catalog.save("scoreboard_images", {f"{data_set}/{about.data_version}/{queries}": shown})
        asked = [getattr(shared, name) for name in methods]
        check_student(shown["images"].shape[1:], shared.student, asked)
        if any(method.follows_teacher for method in asked):
            pairs_of(shared.triplets.pairs, len(about.classes))
    runs = [
        PlannedRun(
            data_set=data_set,
            place=about.id,
            protocol=protocol,
            method=method,
            seed=seed,
            settings=about.settings[method],
            data_version=about.data_version,
            parameters=merged(on_top[method], {"seed": seed}),
            version=version,
            reason=policy.reason,
        )
        for seed in range(seeds)
        for method in methods
    ]
    return Plan(runs, about, shared.tracking)


def _about(
    catalog: Any,
    shared: Parameters,
    parameters: Nested,
    on_top: dict[str, Nested],
    modules: Sequence[str],
    given: dict[str, Any],
) -> About:
    """Return what the report has to know; ``on_top`` are the parameters of each method's own."""
    queries = shared.evaluation.split
    files = [Path(catalog[name]._get_load_path()) for name in PREPARED]
    shared.student.check_pretrained()
    files += [Path(file) for file in [shared.student.pretrained] if file]
    data_version = hash_of([content_hash(file) for file in files])
    own = {method: validated(merged(parameters, layer)) for method, layer in on_top.items()}
    return About.model_validate(
        {
            **given,
            "settings": {name: settings_key(has, name, data_version) for name, has in own.items()},
            "blocks": {name: getattr(has, name).model_dump() for name, has in own.items()},
            "classes": catalog.load("classes"),
            "data_version": data_version,
            "parameters": shared,
            # (of the test images, which nothing else stands beside)
            "pixel_scores": catalog.load("pixel_scores") if queries == "test" else {},
            "robustness": module_keys(catalog, shared, data_version, modules),
        }
    )


def announce(catalog: Any, plans: list[Plan]) -> None:
    """Let the report be about this comparison."""
    catalog.save("comparisons", {plan.about.id: plan.about.stored() for plan in plans})


def _policy(parameters: Parameters) -> Policy:
    """Return how this machine would compute, and say why if that is slow."""
    from guided_dml.training.policy import Policy

    compute = parameters.compute.model_copy(update={"threads": parameters.compute.threads or 1})
    policy = Policy.of(compute, parameters.student.backbone)
    logger.log(logging.WARNING if policy.slower else logging.INFO, "all runs on %s", policy)
    return policy


def _common(policy: Policy) -> Nested:
    """Return what all runs compute with, on whatever machine: neither auto nor left open."""
    precision = "bfloat16" if policy.autocast else "float32"
    return {"compute": {"precision": precision, "threads": policy.threads}}


def prepare(project: Path, data_set: str, parameters: Nested) -> str:
    """Return the version of the prepared data that fit the parameters; make it, if need be."""
    with session(project, data_set, parameters) as (opened, context):
        asked = validated(context.config_loader["parameters"])
        wanted = {
            "fingerprint": context.catalog["raw_images"].fingerprint(),
            "images_per_class": asked.data.images_per_class,
        }
        version = _stored(context.catalog, wanted, defining(asked))
        if version is None:
            opened.run(pipeline_names=["ingestion"], runner=SequentialRunner())
            version = str(opened.session_id)
    return version


def pin(catalog: Any, version: str) -> None:
    """Let all prepared data be of this version, not of one that another run makes meanwhile."""
    for name in SAVED_TOGETHER:
        catalog[name]._version = Version(version, None)


def _stored(catalog: Any, wanted: Nested, made_with: Nested) -> str | None:
    """Return the newest version of the prepared data that is whole and as wanted."""
    for version in stored_versions(catalog["data_report"]):
        pin(catalog, version)
        try:
            report = catalog.load("data_report")
            files = {name: Path(catalog[name]._get_load_path()) for name in SAVED_TOGETHER}
            if not (
                wanted.items() <= (report | report["parameters"]).items()
                and all(file.exists() for file in files.values())
            ):
                continue  # (or an ingestion that was refused half-way)
            check_fit(files, dict.fromkeys(files, ("ingestion",)), made_with)
        except (DatasetError, InputError):
            continue
        return version
    return None


def _shown_images(catalog: Any, queried: str) -> Nested:
    """Return an evenly spaced selection of the queries: images, labels, rows, names as UTF-8."""
    import torch

    from guided_dml.figures.plane import evenly_spaced
    from guided_dml.metrics.protocol import as_bytes, image_names_of, sets_of

    train, test, split = (catalog.load(name) for name in ("train_images", "test_images", "split"))
    _, queries = sets_of(train, test, split, queried).values()
    _, names = image_names_of(catalog.load("image_names"), split, queried).values()
    rows = evenly_spaced(len(names), SHOWN_IMAGES)
    return {
        "images": queries["images"][rows],
        "labels": queries["labels"][rows],
        "rows": torch.from_numpy(rows),
        "names": torch.from_numpy(as_bytes([names[row] for row in rows])),
    }


def _tuned(
    project: Path, recipe: str | None, data_set: str, needed: list[str]
) -> dict[str, Nested]:
    """Return the tuned settings of each method that has some; all that are needed must."""
    files = {method: tuned_file(project, data_set, method) for method in METHODS}
    for method in needed:
        if not files[method].exists():
            raise InputError(
                f"{method} is not tuned on {data_set}: there is no "
                f"{files[method].relative_to(project)}; run kedro tune --env {data_set} "
                f"--method {method}, or use --protocol equal"
            )
    read = {method: read_tuned(file) for method, file in files.items() if file.exists()}
    for method in needed:
        found = read[method][1]
        other = found.parameters.get("recipe") if found else recipe
        if other != recipe:
            raise InputError(
                f"{files[method].relative_to(project)} was found with recipe={other or 'null'}, "
                f"now it is {recipe or 'null'}; tune anew with this recipe (kedro tune --env "
                f"{data_set} --method {method} --replace), or compare with that one"
            )
    return {method: settings for method, (settings, _) in read.items()}
