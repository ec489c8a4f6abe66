"""Finished score files as runs in MLflow, children of their comparison's run.

Workers do not track: what is on the scoreboard can be uploaded at any time, and is uploaded once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from guided_dml.comparison.measurements import Measured
from guided_dml.comparison.plan import Plan
from guided_dml.comparison.records import RunRecord, hash_of
from guided_dml.mlflow_store import TrackedRun, made_with, metric_name, open_experiment, reason

logger = logging.getLogger(__name__)

#: What a run took.
COST = ("seconds", "peak_memory_mb", "peak_gpu_memory_mb")


class Uploader:
    """MLflow's side of the comparison on one data set; trouble there is a warning, once."""

    def __init__(self, project: Path, plan: Plan) -> None:
        """Find the comparison's run, or make it."""
        self._project, self._plan = project, plan
        self._working = plan.tracking
        self._attempt(self._open)

    def add(self, record: RunRecord, modules: Mapping[str, Measured]) -> None:
        """Upload a record of the scoreboard and what was measured beside it, unless it is there.

        The modules are named as ``kedro run`` logs them: ``ood``, and ``pixel_ood`` of raw pixels.
        """
        of_modules = {
            f"{module}.{name}": value
            for module, measured in modules.items()
            for name, value in measured.scores.items()
        }
        teacher = {f"gemini_scores.{name}": value for name, value in record.teacher.items()}
        self._attempt(lambda: self._upload(record, record.scores | teacher | of_modules))

    def _attempt(self, work: Callable[[], None]) -> None:
        if not self._working:
            return
        try:
            work()
        except Exception as error:  # (MLflow lets errors of its database and network through)
            self._working = False
            logger.warning(
                "MLflow does not record this comparison (%s); all scores are on the scoreboard, "
                "and the same command again uploads what is missing",
                reason(error),
            )

    def _open(self) -> None:
        about = self._plan.about
        self._experiment = open_experiment(self._project, about.data_set)
        key = {"comparison": f"{about.protocol} {hash_of(about.settings)}"}
        parent = TrackedRun(self._experiment, key, f"comparison {about.protocol}", {}, {})
        parent.finish("FINISHED")
        self._parent: str = parent.id

    def _upload(self, record: RunRecord, scores: dict[str, float]) -> None:
        key = {"scoreboard": record.id}
        known = self._experiment.find(key)
        uploaded = known.data.metrics if known and known.info.status == "FINISHED" else {}
        cost = {name: getattr(record, name) for name in COST}
        values = scores | cost | {"images_seen": sum(record.images_seen.values())}
        # (what was measured anew, on other images or of a network trained anew, is new)
        new = {name: v for name, v in values.items() if uploaded.get(metric_name(name)) != v}
        if known and not new and known.data.tags.get("mlflow.parentRunId") == self._parent:
            return
        facts = ("data_set", "protocol", "method", "seed", "data_version", "device", "finished")
        tags = {name.replace("_", " "): str(getattr(record, name)) for name in facts}
        tags |= {"mlflow.parentRunId": self._parent}
        tags |= made_with("kedro compare", dict(record.git), record.libraries)
        name = f"{record.method} seed {record.seed}"
        if self._plan.about.variant:
            name += f" {self._plan.about.variant}"
        parameters = record.parameters.model_dump(exclude_unset=True)
        child = TrackedRun(self._experiment, key, name, tags, parameters)
        child.log_data(record.data_set, record.data_version)
        child.log_metrics([new])
        child.finish("FINISHED")
