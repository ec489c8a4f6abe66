"""The scoreboard, one file a run: which runs are on it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from guided_dml.comparison.plan import Run, settings_key
from guided_dml.comparison.sessions import Nested

logger = logging.getLogger(__name__)

#: Where the catalog keeps it.
SCOREBOARD = Path("data/08_reporting/comparison/scoreboard")


def finished(project: Path, planned: Run) -> Nested | None:
    """Return a run's record, if it is on the scoreboard and sound."""
    path = project / SCOREBOARD / f"{planned.id}.json"
    try:
        record: Nested = json.loads(path.read_text("utf-8"))
        fits = record["seed"] == planned.seed and planned.settings == settings_key(
            record["parameters"], planned.method, record["data_version"]
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        logger.warning("%s is damaged or of another run; it is computed again", path)
        return None
    return record
