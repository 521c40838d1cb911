"""Bringing a database to this version of the tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from schemas.errors import UnavailableError
from store.database import CONNECTED, driver_url
from store.partitions import ensure_partitions

# One migration at a time, whoever starts first; the number only has to be ours.
_LOCK = 0x484F4C44
_REMEDY = "Check HOLDFAST_DATABASE_URL and that the server runs, then try again."


@dataclass(frozen=True)
class Migrated:
    """What `migrate` did: revisions before and after (None: an empty database)."""

    before: str | None
    after: str | None


def migrate(database_url: str) -> Migrated:
    """Bring the database at `database_url` to the newest revision and make the partitions of the coming months.

    Safe to call from several processes at once. Raises UnavailableError if the database can't be reached.
    """
    engine = create_engine(driver_url(database_url), isolation_level="AUTOCOMMIT", hide_parameters=True)
    try:
        with engine.connect() as guard:
            guard.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            worker = create_engine(driver_url(database_url))
            try:
                with worker.connect() as connection:
                    # A migration that can't get its lock gives up quickly rather than queue everybody behind it.
                    connection.execute(text("SET lock_timeout = '2s'"))
                    connection.commit()
                    before = _revision(connection)
                    config = _config()
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
                    connection.commit()
                    after = _revision(connection)
                    ensure_partitions(connection, datetime.now(UTC).date())
                    connection.commit()
            finally:
                worker.dispose()
    except OperationalError as error:
        raise UnavailableError(
            f"the database can't be reached or is locked: {error.orig}",
            remedy=_REMEDY,
        ) from error
    finally:
        engine.dispose()
    return Migrated(before, after)


def pending(database_url: str) -> tuple[str | None, str]:
    """The revision that the database has (None: none) and the newest one. Raises UnavailableError, soon."""
    engine = create_engine(driver_url(database_url), connect_args=dict(CONNECTED), hide_parameters=True)
    try:
        with engine.connect() as connection:
            return _revision(connection), str(ScriptDirectory.from_config(_config()).get_current_head())
    except OperationalError as error:
        raise UnavailableError(f"the database can't be reached: {error.orig}", remedy=_REMEDY) from error
    finally:
        engine.dispose()


def _revision(connection: Connection) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    return revision


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
