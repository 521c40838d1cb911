"""What an error of the database means: it is away for now, or it refuses this very statement."""

from __future__ import annotations

import asyncio

import psycopg
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# Operational errors that are about the statement or its locks, not about the server being away.
_ABOUT_THE_STATEMENT = (psycopg.errors.ProgramLimitExceeded,)


def is_away(error: BaseException) -> bool:
    """Whether the statement may well succeed later: the server is down, starting, full, locked, read-only."""
    if isinstance(error, PoolTimeoutError | asyncio.TimeoutError | ConnectionError):
        return True
    if isinstance(error, DBAPIError):
        if isinstance(error.orig, _ABOUT_THE_STATEMENT):
            return False
        return (
            error.connection_invalidated
            or isinstance(error, OperationalError | InterfaceError)
            or isinstance(error.orig, psycopg.errors.ReadOnlySqlTransaction)
        )
    return isinstance(error, psycopg.OperationalError)


def explain_refusal(error: BaseException) -> str | None:
    """Why the database refuses this very data, in its words, without the statement; else None."""
    if isinstance(error, DBAPIError) and (
        isinstance(error, DataError | IntegrityError) or isinstance(error.orig, _ABOUT_THE_STATEMENT)
    ):
        diagnostic = getattr(error.orig, "diag", None)
        told = getattr(diagnostic, "message_primary", None) or str(error.orig).splitlines()[0]
        return str(told)
    return None
