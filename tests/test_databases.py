from __future__ import annotations

import os
from pathlib import Path

import pytest
import sqlalchemy

from guided_dml.databases import alive, sqlite_url

#: Names of folders that mean something else in an address.
ODD_NAMES = ("a%20b", "50%", "what?x=1", "h#sh", 'a & b\'s "q"', "ünï ☃", "a;b,c=d@e:f+g")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_database_is_where_its_path_says(tmp_path: Path, name: str) -> None:
    database = tmp_path / name / "some.db"
    database.parent.mkdir()
    engine = sqlalchemy.create_engine(sqlite_url(database))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table made (here)"))
    engine.dispose()
    assert database.stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_process_is_alive_until_it_ends() -> None:
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    assert alive(os.getpid())
    assert alive(1)  # (whoever owns it)
    assert not alive(gone)
