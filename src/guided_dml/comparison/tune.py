"""`kedro tune`: the best settings of a method on a data set, chosen on its validation images.

Every method may vary the same two parameters of the optimiser, and those of its own loss, with the
same number of trials.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from guided_dml.comparison.cluster import cluster, each, reason
from guided_dml.comparison.plan import Run, plan_data_set, tuned_file
from guided_dml.comparison.records import settings_key
from guided_dml.comparison.sessions import Nested, merged
from guided_dml.comparison.worker import compute
from guided_dml.databases import alive, sqlite_url
from guided_dml.errors import DivergedError, InputError
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

#: What is maximised.
SCORE = "map_at_r"

#: Of every method, with its own: lowest and highest value, searched on a logarithmic scale.
COMMON = {"student.learning_rate": (0.01, 1.0), "student.weight_decay": (1e-5, 1e-2)}


def tune(
    project: Path,
    data_set: str,
    method: str,
    trials: int,
    overrides: Nested,
    workers: int | None,
    scheduler: str | None,
    say: Callable[[str], Any],
) -> Path:
    """Try settings until there are ``trials`` of them, those of earlier commands included.

    The first are the environment's own, so that the best are no worse than those on these images.

    Args:
        project: The project's folder.
        data_set: The environment.
        method: Which one.
        trials: How many in all.
        overrides: Parameters on top of the environment's, the same in all trials.
        workers: Processes on this machine.
        scheduler: Address of a running cluster, in their place.
        say: Is told of every trial that ends.

    Returns:
        The file with the best settings.

    Raises:
        InputError: No trial is asked for or none succeeded, a wrong parameter, no such cluster.
    """
    if trials < 1:
        raise InputError(f"--trials: {trials} given; at least one is needed")
    fixed = merged(
        overrides, {"evaluation": {"split": "validation"}, "tracking": False, "seed": SEED}
    )
    plan = plan_data_set(project, data_set, "equal", [method], 1, fixed)
    base, shared = plan.runs[0], plan.about.parameters.model_dump()
    base = base._replace(seed=SEED, parameters=merged(base.parameters, fixed))
    study = _study(project, f"{data_set} {method} {base.settings}")
    if not study.trials:
        study.enqueue_trial(_own_settings(shared, method))
    before = len(_complete(study))
    to_do = max(0, trials - before)
    say(f"{method} on {data_set}: {before} trials before, {to_do} to do")
    if to_do:
        with cluster(workers, scheduler, to_do, base.parameters["compute"]["threads"]) as client:
            for trial, why in _tried(client, project, study, base, shared, to_do):
                say(f"trial {trial.number}: {why or _score(trial)} with {_settings(trial)}")
    return _write(project, study, base, data_set, method, say)


def _study(project: Path, name: str) -> Study:
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    (project / STORAGE).parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=sqlite_url(project / STORAGE),
        study_name=name,
        direction="maximize",
        load_if_exists=True,
    )
    # Another seed in each command, or its first trials would be those of the first one again.
    seed = len(study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    # Those of a killed command are tried again, with the same settings.
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        host, process = trial.user_attrs.get("of", (None, 0))
        if host == socket.gethostname() and not alive(process):
            study.enqueue_trial(trial.params)
            study.tell(trial.number, state=TrialState.FAIL)
    return study


def _own_settings(shared: Nested, method: str) -> dict[str, float]:
    """Those of the environment, as far as they lie in the ranges."""
    settings, ranges = dict(flat(shared)), COMMON | METHODS[method].ranges
    return {
        name: settings[name]
        for name, (lowest, highest) in ranges.items()
        if lowest <= settings[name] <= highest
    }


def _complete(study: Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE,))


def _tried(
    client: Client, project: Path, study: Study, base: Run, shared: Nested, count: int
) -> Iterator[tuple[FrozenTrial, str]]:
    """Try as many settings at once as there are workers, and yield the trials as they end."""
    from optuna.distributions import FloatDistribution
    from optuna.trial import TrialState

    space: dict[str, Any] = {
        name: FloatDistribution(*ends, log=True)
        for name, ends in (COMMON | METHODS[base.method].ranges).items()
    }

    def jobs() -> Iterator[tuple[Trial, tuple[Any, ...]]]:
        for _ in range(count):
            trial = study.ask(space)
            trial.set_user_attr("of", (socket.gethostname(), os.getpid()))
            parameters = merged(base.parameters, *map(_nested, trial.params.items()))
            whole = validated(merged(shared, parameters))
            key = settings_key(whole, base.method, base.data_version)
            yield trial, (str(project), base._replace(parameters=parameters, settings=key), False)

    for trial, record, error in each(client, compute, jobs()):
        if error is None:
            yield study.tell(trial, record.scores[SCORE]), ""
        elif isinstance(error, DivergedError):
            yield study.tell(trial, 0.0), reason(error)
        elif isinstance(error, InputError):
            raise error
        else:
            yield study.tell(trial, state=TrialState.FAIL), reason(error)


def _nested(item: tuple[str, float]) -> Nested:
    block, name = item[0].split(".")
    return {block: {name: item[1]}}


def _score(trial: FrozenTrial) -> str:
    return f"MAP@R {100 * (trial.value or 0):.2f}"


def _settings(trial: FrozenTrial) -> str:
    return ", ".join(f"{name}={value:.4g}" for name, value in trial.params.items())


def _write(
    project: Path,
    study: Study,
    base: Run,
    data_set: str,
    method: str,
    say: Callable[[str], Any],
) -> Path:
    complete = _complete(study)
    if not any(trial.value for trial in complete):
        raise InputError(f"{method} on {data_set}: every trial failed; no settings are written")
    best = study.best_trial
    file, commit = tuned_file(project, data_set, method), git_state(project)["commit"]
    file.parent.mkdir(exist_ok=True)
    settings = merged(*map(_nested, sorted(best.params.items())))
    fixed = {k: v for k, v in base.parameters.items() if k not in ("tracking", "seed")}
    partial = file.with_suffix(".partial")
    partial.write_text(
        f"# kedro tune --env {data_set} --method {method}: the best of {len(complete)} trials, "
        f"{_score(best)}\n"
        f"# on the validation images with seed {SEED}; commit {commit}, data {base.data_version}.\n"
        f"# The same in all trials: {json.dumps(fixed)}\n"
        + yaml.safe_dump(settings, sort_keys=False)
    )
    partial.replace(file)
    say(f"{method} on {data_set}: {_score(best)} with {_settings(best)}")
    say(f"written: {file.relative_to(project)}")
    return file
