"""`kedro tune`: the best settings of a method on a data set, chosen on its validation images.

Every method may vary the same two parameters of the optimiser, and those of its own loss, with the
same number of trials.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guided_dml.comparison.cluster import cluster, each, reason
from guided_dml.comparison.plan import PlannedRun, plan_data_set
from guided_dml.comparison.records import settings_key
from guided_dml.comparison.sessions import Nested, merged, session
from guided_dml.comparison.tuned import Found, tuned_file, why_kept, write_tuned
from guided_dml.comparison.worker import compute
from guided_dml.databases import alive, sqlite_url
from guided_dml.errors import DivergedError, InputError, counted
from guided_dml.methods import METHODS
from guided_dml.parameters import flat, validated
from guided_dml.provenance import git_state

if TYPE_CHECKING:
    from distributed import Client
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

#: Where Optuna keeps every trial.
STORAGE = Path("data/08_reporting/comparison/tuning.db")

#: Of all trials; no comparison has so many seeds.
SEED = 1_000_003

#: Trials that TPE draws at random before it learns from them.
RANDOM = 10

#: What is maximised.
SCORE = "map_at_r"

Ranges = Mapping[str, tuple[float, float]]

#: Of every method, with its own: lowest and highest value, searched on a logarithmic scale.
COMMON = {"student.learning_rate": (0.01, 1.0), "student.weight_decay": (1e-5, 1e-2)}

#: The same where Muon trains the convolutions, which are nearly all weights and do not decay.
COMMON_OF_MUON = {"student.learning_rate": (0.01, 1.0), "student.muon_learning_rate": (0.01, 1.0)}


def tune(
    project: Path,
    data_set: str,
    method: str,
    trials: int,
    overrides: Nested,
    workers: int | None,
    scheduler: str | None,
    say: Callable[[str], Any],
    replace: bool = False,
) -> Path:
    """Try settings until there are ``trials`` of them, those of earlier commands included.

    The first are the environment's own, so that the best are no worse than those on these images.
    ``overrides`` are parameters on top of the environment's, the same in all trials, which are
    computed by :func:`cluster`; ``say`` is told of each that ends. With ``replace`` stored settings
    give way whatever they are.

    Returns:
        The file of the best settings: those stored stay where they were found with other
        parameters or data, by more trials, or with a better score.

    Raises:
        InputError: No trial is asked for or none succeeded, a wrong parameter, no such cluster;
            the database of trials or the file of settings cannot be read.
    """
    if trials < 1:
        raise InputError(f"--trials: {trials} given; at least one is needed")
    commit = str(git_state(project)["commit"])  # (before hours in which others may follow)
    fixed = merged(
        overrides, {"evaluation": {"split": "validation"}, "tracking": False, "seed": SEED}
    )
    with session(project, data_set, fixed) as (_, context):  # (before anything is prepared)
        known = validated(context.config_loader["parameters"]).model_dump()
    ranges = _ranges(known, method)
    _check_left_free(ranges, overrides)
    plan = plan_data_set(project, data_set, "equal", [method], 1, fixed)
    base, shared = plan.runs[0], plan.about.parameters.model_dump()
    base = base._replace(seed=SEED, parameters=merged(base.parameters, fixed))
    with _database_errors_shown_plainly():
        study = _study(project, f"{data_set} {method} {base.settings}")
        if not study.trials:
            study.enqueue_trial(_own_settings(shared, ranges))
        before = len(_complete(study))
        to_do = max(0, trials - before)
        say(f"{method} on {data_set}: {counted(before, 'trial')} before, {to_do} to do")
        if trials < RANDOM:
            say(f"fewer than {RANDOM} trials are a random search: the sampler learns from so many")
        if to_do:
            threads = base.parameters["compute"]["threads"]
            with cluster(workers, scheduler, to_do, threads) as client:
                for trial, why in _tried(client, project, study, base, shared, ranges, to_do):
                    score = f"MAP@R {100 * (trial.value or 0):.2f}"
                    say(f"trial {trial.number}: {why or score} with {_settings(trial.params)}")
        recipe = {"recipe": shared["recipe"]} if shared["recipe"] else {}
        asked = recipe | overrides
        settings, found = _best(study, base, asked, commit)
    say(f"{method} on {data_set}: {found}, with {_settings(dict(flat(settings)))}")
    file = tuned_file(project, data_set, method)
    kept = "" if replace else why_kept(file, found)
    if kept:
        say(f"{file.relative_to(project)} stays as it is: {kept}; --replace writes these")
    else:
        write_tuned(file, settings, found)
        say(f"written: {file.relative_to(project)}")
    return file


def _study(project: Path, name: str) -> Study:
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    (project / STORAGE).parent.mkdir(parents=True, exist_ok=True)
    try:
        study = optuna.create_study(
            storage=sqlite_url(project / STORAGE),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
        )
    except RuntimeError as error:  # (another Optuna made it)
        raise InputError(f"{STORAGE}, where all trials are kept: {error}") from error
    # Another seed in each command, or its first trials would be those of the first one again.
    seed = len(study.trials)
    study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=RANDOM, seed=seed, constant_liar=True
    )
    # Those of a killed command are tried again, with the same settings.
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        host, process = trial.user_attrs.get("of", (None, 0))
        if host == socket.gethostname() and not alive(process):
            study.enqueue_trial(trial.params)
            study.tell(trial.number, state=TrialState.FAIL)
    return study


def _ranges(shared: Nested, method: str) -> Ranges:
    """Return what is varied, and between which ends."""
    common = COMMON_OF_MUON if shared["student"]["muon_learning_rate"] else COMMON
    chosen = METHODS[method]
    undone = {chosen.scale_of_targets} if shared["student"]["target_scale"] else set()
    return {name: ends for name, ends in (common | chosen.ranges).items() if name not in undone}


def _check_left_free(ranges: Ranges, overrides: Nested) -> None:
    """Refuse a value for what is varied, or the same in all trials."""
    why = {
        name: f"kedro tune varies it from {ends[0]:g} to {ends[1]:g}"
        for name, ends in ranges.items()
    }
    why |= {
        "seed": "all trials have the same one",
        "evaluation.split": "settings are chosen on the validation images",
    }
    for name, _ in flat(overrides):
        if name in why:
            raise InputError(f"--params {name}: {why[name]}; leave it out")


def _own_settings(shared: Nested, ranges: Ranges) -> dict[str, float]:
    """Those of the environment, as far as they lie in the ranges."""
    settings = dict(flat(shared))
    return {
        name: settings[name]
        for name, (lowest, highest) in ranges.items()
        if lowest <= settings[name] <= highest
    }


def _complete(study: Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE,))


def _tried(
    client: Client,
    project: Path,
    study: Study,
    base: PlannedRun,
    shared: Nested,
    ranges: Ranges,
    count: int,
) -> Iterator[tuple[FrozenTrial, str]]:
    """Try as many settings at once as there are workers, and yield the trials as they end."""
    from optuna.distributions import FloatDistribution
    from optuna.trial import TrialState

    space: dict[str, Any] = {
        name: FloatDistribution(*ends, log=True) for name, ends in ranges.items()
    }

    def jobs() -> Iterator[tuple[Trial, tuple[Any, ...]]]:
        for _ in range(count):
            trial = study.ask(space)
            trial.set_user_attr("of", (socket.gethostname(), os.getpid()))
            parameters = merged(base.parameters, *map(_nested, trial.params.items()))
            whole = validated(merged(shared, parameters))
            key = settings_key(whole, base.method, base.data_version)
            yield trial, (str(project), base._replace(parameters=parameters, settings=key), False)

    for trial, record, error in each(
        client, compute, jobs(), shared["compute"]["device"] == "cuda"
    ):
        if error is None:
            yield study.tell(trial, record.scores[SCORE]), ""
        elif isinstance(error, DivergedError):
            yield study.tell(trial, 0.0), reason(error)
        elif isinstance(error, InputError):
            study.tell(trial, state=TrialState.FAIL)  # (or it would be tried again for ever)
            raise error
        else:
            yield study.tell(trial, state=TrialState.FAIL), reason(error)


def _nested(item: tuple[str, float]) -> Nested:
    block, name = item[0].split(".")
    return {block: {name: item[1]}}


def _settings(params: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:.4g}" for name, value in params.items())


def _best(study: Study, base: PlannedRun, asked: Nested, commit: str) -> tuple[Nested, Found]:
    complete = _complete(study)
    if not any(trial.value for trial in complete):
        raise InputError(
            f"{base.method} on {base.data_set}: every trial failed; no settings are written"
        )
    found = Found(
        score=study.best_value,
        trials=len(complete),
        shared=base.settings,
        parameters=asked,
        data_version=base.data_version,
        commit=commit,
    )
    return merged(*map(_nested, sorted(study.best_params.items()))), found


@contextmanager
def _database_errors_shown_plainly() -> Iterator[None]:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except (StorageInternalError, DBAPIError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = getattr(cause, "orig", cause)
        raise InputError(
            f"{STORAGE}, where all trials are kept: {reason}; if another command or backup holds "
            "it, wait for its end; if it is damaged, move it away or bring back a copy; run again"
        ) from error
