"""Finished score files as runs in MLflow, children of their comparison's run.

Workers do not track: what is on the scoreboard can be uploaded at any time, and is uploaded once.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from time import time
from typing import Any

from guided_dml.comparison.plan import Plan
from guided_dml.comparison.sessions import Nested
from guided_dml.tracking import close_abandoned, experiment_of, flat, mlflow_client

logger = logging.getLogger(__name__)


class Uploader:
    """MLflow's side of the comparison on one data set; trouble there is a warning, once."""

    def __init__(self, project: Path, plan: Plan) -> None:
        """Find the comparison's run, or make it."""
        self._project, self._plan = project, plan
        self._working = plan.tracking
        self._attempt(self._open)

    def add(self, place: str, record: Nested) -> None:
        """Upload a record of the scoreboard, unless it is there.

        Args:
            place: Its partition.
            record: Its content.
        """
        self._attempt(lambda: self._upload(place, record))

    def _attempt(self, work: Any) -> None:
        if not self._working:
            return
        try:
            work()
        except Exception as error:  # (MLflow lets errors of its database and network through)
            self._working = False
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            logger.warning(
                "MLflow does not record this comparison (%s); all scores are on the scoreboard, "
                "and the same command again uploads what is missing",
                reason,
            )

    def _open(self) -> None:
        plan = self._plan
        self._client = mlflow_client(self._project)
        self._experiment = experiment_of(self._client, self._project, plan.data_set)
        close_abandoned(self._client, self._experiment)
        comparison = f"{plan.protocol} {plan.key}"
        found = self._client.search_runs([self._experiment], f"tags.comparison = '{comparison}'")
        self._parent = (
            found[0].info.run_id
            if found
            else self._run(f"comparison {plan.protocol}", {"comparison": comparison})
        )
        self._client.set_terminated(self._parent, "FINISHED")

    def _run(self, name: str, tags: dict[str, str]) -> str:
        own = {"host": socket.gethostname(), "process": str(os.getpid())}
        created = self._client.create_run(self._experiment, run_name=name, tags=tags | own)
        return str(created.info.run_id)

    def _upload(self, place: str, record: Nested) -> None:
        from mlflow.entities import Metric, Param

        there = f"tags.scoreboard = '{place}' AND attributes.status = 'FINISHED'"
        if self._client.search_runs([self._experiment], there, max_results=1):
            return
        facts = ("data_set", "protocol", "method", "seed", "data_version", "device", "finished")
        tags = {name.replace("_", " "): str(record[name]) for name in facts}
        tags |= {"mlflow.parentRunId": self._parent, "scoreboard": place}
        tags |= {f"git {name}": str(value).lower() for name, value in record["git"].items()}
        tags |= {f"library {name}": value for name, value in record["libraries"].items()}
        child = self._run(f"{record['method']} seed {record['seed']}", tags)
        numbers = record["scores"] | {
            "seconds": record["seconds"],
            "peak_memory_mb": record["peak_memory_mb"],
            "images_seen": sum(record["images_seen"].values()),
        }
        now = int(1000 * time())
        self._client.log_batch(
            child,
            metrics=[Metric(name, float(value), now, 0) for name, value in numbers.items()],
            params=[Param(name, str(value)) for name, value in flat(record["parameters"])],
        )
        self._client.set_terminated(child, "FINISHED")
