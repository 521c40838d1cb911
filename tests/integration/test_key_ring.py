"""API keys of the database: good until they expire, by the clock that all processes share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from store.api_keys import store_key
from store.database import Database, PlayedClock
from web.keys import KeyRing, NoKeyError

NOW = datetime.now(UTC)
KEY = "hf_0123456789abcdef0123456789abcdef"


async def ring_at(database: Database, at: datetime, expires_at: datetime) -> KeyRing:
    """A process's keys on a machine whose own clock is `NOW`'s, over a database whose clock isn't."""
    database.clock = PlayedClock(at)
    async with database.transaction() as connection:
        await store_key(connection, "shop", KEY, now=at, expires_at=expires_at)
    return KeyRing(database, [])


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, connections=2)
    yield database
    await database.close()


async def test_a_key_lets_in_until_the_databases_clock_says_that_it_is_over(database: Database) -> None:
    behind = NOW - timedelta(days=400)
    ring = await ring_at(database, behind, behind + timedelta(days=1))
    assert (await ring.find(KEY)).name == "shop"
    database.clock = PlayedClock(behind + timedelta(days=2))
    ring.forget()
    with pytest.raises(NoKeyError, match="'shop' has expired"):
        await ring.find(KEY)


async def test_a_key_that_is_over_by_the_databases_clock_lets_nobody_in_whatever_the_hosts_says(
    database: Database,
) -> None:
    ahead = NOW + timedelta(days=400)
    ring = await ring_at(database, ahead, ahead - timedelta(days=1))
    with pytest.raises(NoKeyError, match="'shop' has expired"):
        await ring.find(KEY)


async def test_between_two_readings_the_databases_time_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = await ring_at(database, NOW, NOW + timedelta(hours=1))
    assert (await ring.find(KEY)).name == "shop"
    # Whatever happens to the database from here on, it isn't asked again: the ring's own time alone goes on.
    monkeypatch.setattr(KeyRing, "REFRESH_SECONDS", float("inf"))
    later = time.monotonic() + 7200
    monkeypatch.setattr("web.keys.time.monotonic", lambda: later)
    with pytest.raises(NoKeyError, match="'shop' has expired"):
        await ring.find(KEY)
