"""SQLite databases that several processes share: their addresses, and who still writes."""

from __future__ import annotations

import os
from pathlib import Path


def sqlite_url(path: Path) -> str:
    """Return the address of a database for SQLAlchemy, whatever its folders are called.

    The driver is named because MLflow takes what follows a plain ``sqlite:///`` for an unquoted
    path and makes that folder.
    """
    from sqlalchemy import URL

    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string()


def alive(process: int) -> bool:
    """Return whether a process of this machine is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
