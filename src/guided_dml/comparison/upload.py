"""Finished score files as runs in MLflow, children of their comparison's run.

Workers do not track: what is on the scoreboard can be uploaded at any time, and is uploaded once.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from guided_dml.comparison.plan import Plan
from guided_dml.comparison.records import RunRecord
from guided_dml.comparison.sessions import Nested
from guided_dml.errors import Interrupted
from guided_dml.tracking import TrackedRun, open_experiment

logger = logging.getLogger(__name__)


class Uploader:
    """MLflow's side of the comparison on one data set; trouble there is a warning, once."""

    def __init__(self, project: Path, plan: Plan) -> None:
        """Find the comparison's run, or make it."""
        self._project, self._plan = project, plan
        self._working = plan.tracking
        self._attempt(self._open)

    def add(self, record: RunRecord) -> None:
        """Upload a record of the scoreboard, unless it is there."""
        self._attempt(lambda: self._upload(record))

    def _attempt(self, work: Any) -> None:
        if not self._working:
            return
        try:
            work()
        except Interrupted:
            raise
        except Exception as error:  # (MLflow lets errors of its database and network through)
            self._working = False
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            logger.warning(
                "MLflow does not record this comparison (%s); all scores are on the scoreboard, "
                "and the same command again uploads what is missing",
                reason,
            )

    def _open(self) -> None:
        plan, about = self._plan, self._plan.about
        self._client, self._experiment = open_experiment(self._project, about.data_set)
        comparison = f"{about.protocol} {plan.key}"
        found = self._client.search_runs([self._experiment], f"tags.comparison = '{comparison}'")
        if found:
            self._parent: str = found[0].info.run_id
            return
        parent = self._run(f"comparison {about.protocol}", {"comparison": comparison}, {})
        parent.finish("FINISHED")
        self._parent = parent.id

    def _run(self, name: str, tags: dict[str, str], parameters: Nested) -> TrackedRun:
        return TrackedRun(self._client, self._experiment, name, tags, parameters)

    def _upload(self, record: RunRecord) -> None:
        there = f"tags.scoreboard = '{record.id}' AND attributes.status = 'FINISHED'"
        known = self._client.search_runs([self._experiment], there)
        if any(record.scores.keys() <= run.data.metrics.keys() for run in known):
            return
        facts = ("data_set", "protocol", "method", "seed", "data_version", "device", "finished")
        tags = {name.replace("_", " "): str(getattr(record, name)) for name in facts}
        tags |= {"mlflow.parentRunId": self._parent, "scoreboard": record.id}
        tags |= {f"git {name}": str(value).lower() for name, value in record.git}
        tags |= {f"library {name}": value for name, value in record.libraries.items()}
        name = f"{record.method} seed {record.seed}"
        child = self._run(name, tags, record.parameters.model_dump())
        child.log_metrics(
            record.scores
            | {
                "seconds": record.seconds,
                "peak_memory_mb": record.peak_memory_mb,
                "images_seen": record.images_seen.student + record.images_seen.teacher,
            }
        )
        child.finish("FINISHED")
