"""A database one of whose transactions goes wrong: undone, or done without an answer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from store.database import Connection, Database

How = Literal["undone", "unanswered"]


@dataclass
class Trouble:
    """The transactions of one database, counted; the one with the number `at` goes wrong."""

    at: int = -1
    how: How = "undone"
    begun: int = 0

    @contextlib.contextmanager
    def over(self, database: Database) -> Iterator[None]:
        """What is begun on this database meanwhile."""
        whole, single = database.transaction, database.single
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "transaction", lambda: self._break(whole))
            patch.setattr(database, "single", lambda: self._break_single(single))
            yield

    @contextlib.asynccontextmanager
    async def _break(
        self, begin: Callable[[], contextlib.AbstractAsyncContextManager[Connection]]
    ) -> AsyncIterator[Connection]:
        number, self.begun = self.begun, self.begun + 1
        async with begin() as connection:
            yield connection
            if number == self.at and self.how == "undone":
                raise _gone()
        if number == self.at:
            raise _gone()

    @contextlib.asynccontextmanager
    async def _break_single(
        self, begin: Callable[[], contextlib.AbstractAsyncContextManager[Connection]]
    ) -> AsyncIterator[Connection]:
        number, self.begun = self.begun, self.begun + 1
        if number == self.at and self.how == "undone":
            raise _gone()
        async with begin() as connection:
            yield connection
        if number == self.at:
            raise _gone()


def _gone() -> OperationalError:
    error = psycopg.OperationalError("server closed the connection unexpectedly")
    return OperationalError("COMMIT", None, error)
