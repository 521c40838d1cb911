"""Who may call: API keys of the environment and of the database."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schemas.access import Role
from schemas.errors import HoldfastError
from store.api_keys import hash_key, list_keys
from store.database import Database
from store.faults import is_away


class NoKeyError(HoldfastError):
    """An API key is needed."""

    code = "HF150"
    remedy = "Send `Authorization: Bearer KEY`, or Basic with the key as user name and no password."


class TokenForKeyError(NoKeyError):
    """This is a signed token (JWT), and it takes an API key here."""

    remedy = (
        "The tracking API (/v1) takes API keys (write keys) alone: make one with `holdfast keys add`. Everything else "
        "takes tokens where HOLDFAST_TOKEN_SECRET or HOLDFAST_TOKEN_JWKS_URL is set: docs/access.md."
    )


class NotSignedInError(NoKeyError):
    """Nobody is signed in in this browser."""

    code = "HF156"
    remedy = "Sign in at /sign-in, or send `Authorization: Bearer KEY`."


@dataclass(frozen=True)
class Key:
    """What an API key lets its holder do; `per_minute` is a limit of its own. One of the environment never expires."""

    name: str
    role: Role
    per_minute: int | None = None
    expires_at: datetime | None = None


class KeyRing:
    """The keys that are let in; those of the database are read again now and then.

    While the database is away the keys last read stay good: what they ask for will say that it is away. Whether one has
    expired is told by the database's clock, which all processes share; between two readings it goes on evenly.
    """

    REFRESH_SECONDS = 10.0
    # An unknown key makes us look again (it may be new), but not at every guess.
    RETRY_SECONDS = 1.0

    def __init__(self, database: Database, keys: Sequence[str]) -> None:
        self._database = database
        self._ours = {hash_key(key): Key("api", "admin") for key in keys}
        self._stored: Mapping[str, Key] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        # What the database's clock said, and what ours for durations said at that instant.
        self._moment = datetime.min.replace(tzinfo=UTC)
        self._moment_at = time.monotonic()

    async def identify(self, *offered: str | None) -> str:
        """The name of the first good key among those `offered`. Raises NoKeyError."""
        return (await self.find(*offered)).name

    def forget(self) -> None:
        """Read the database's keys again at the next call."""
        self._read_at = float("-inf")

    def knows(self, offered: str) -> bool:
        """Whether this is a key that was read already."""
        return self._find([hash_key(offered)]) is not None

    async def find(self, *offered: str | None) -> Key:
        """The first good key among those `offered`. Raises NoKeyError."""
        hashes = [hash_key(key) for key in offered if key]
        if not hashes:
            raise NoKeyError
        await self._refresh(self.REFRESH_SECONDS)
        key = self._find(hashes)
        if key is None:
            await self._refresh(self.RETRY_SECONDS)
            key = self._find(hashes)
        if key is None and any(is_token(one) for one in offered if one):
            raise TokenForKeyError
        if key is None:
            raise NoKeyError("This API key isn't known.", remedy="Check HOLDFAST_API_KEY on both sides.")
        if key.expires_at is not None and key.expires_at <= self._now():
            raise NoKeyError(
                f"The API key {key.name!r} has expired.", remedy="Make another: `holdfast keys add`."
            )
        return key

    def _find(self, hashes: Sequence[str]) -> Key | None:
        # Looking up a hash takes no longer for a guess that is nearly right: nobody can choose what a hash begins with.
        for ring in (self._ours, self._stored):
            for one in hashes:
                if one in ring:
                    return ring[one]
        return None

    def _now(self) -> datetime:
        return self._moment + timedelta(seconds=time.monotonic() - self._moment_at)

    async def _refresh(self, older_than_seconds: float) -> None:
        if time.monotonic() - self._read_at < older_than_seconds:
            return
        async with self._reading:
            if time.monotonic() - self._read_at < older_than_seconds:
                return
            self._read_at = time.monotonic()
            try:
                async with asyncio.timeout(2):
                    await self._read()
            except Exception as error:
                if not is_away(error):
                    raise

    async def _read(self) -> None:
        async with self._database.transaction() as connection:
            rows = await list_keys(connection)
            self._moment = await self._database.clock.read(connection)
        self._moment_at = time.monotonic()
        self._stored = {
            row.secret_hash: Key(row.name, row.role, row.per_minute, row.expires_at) for row in rows
        }


def is_token(shown: str) -> bool:
    """Whether this has the form of a signed token: a JSON object in base64url, and two more parts."""
    # In base64url every JSON object that begins with a name begins so.
    return shown.count(".") == 2 and shown.startswith("ey")


def read_authorization(header: str | None) -> str | None:
    """The key in an Authorization header: Bearer, or Basic's user name (its password if that is empty)."""
    scheme, _, value = (header or "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value or None
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return user or password or None
