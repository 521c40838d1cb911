"""Whether the database answers, and whether it is at the newest revision."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from store.database import Database


@lru_cache(maxsize=1)
def newest_revision() -> str:
    """The revision that this version of the code wants."""
    # Takes a tenth of a second, which no process needs at its start.
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory(str(Path(__file__).parent / "migrations")).get_current_head())


async def read_revision(database: Database) -> str | None:
    """The database's revision; None when never migrated. Raises SQLAlchemy's errors when it is away."""
    try:
        async with database.transaction() as connection:
            return str(
                (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
            )
    except ProgrammingError:
        return None
