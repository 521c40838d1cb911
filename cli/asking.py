"""Asking the database from a command: one connection, one transaction, and the settings that say where it is."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from schemas.settings import Settings

if TYPE_CHECKING:
    from store.database import Connection

_Result = TypeVar("_Result")


async def ask_database(ask: Callable[[Connection], Awaitable[_Result]]) -> _Result:
    """What `ask` finds or does in a transaction. Raises SettingError where no database is set."""
    from store.database import Database

    url = Settings.read(os.environ).require_database_url()
    async with Database(url, connections=1) as database, database.transaction() as connection:
        return await ask(connection)
