"""Who may call: API keys of the environment and of the database."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Mapping, Sequence

from schemas.errors import HoldfastError
from store.api_keys import hash_key, load_keys
from store.database import Database
from store.faults import is_away


class NoKeyError(HoldfastError):
    """An API key is needed."""

    code = "HF150"
    remedy = "Send `Authorization: Bearer KEY`, or Basic with the key as user name and no password."


class KeyRing:
    """The keys that are let in; those of the database are read again now and then.

    While the database is away the keys last read stay good: what they ask for will say that it is away.
    """

    REFRESH_SECONDS = 10.0
    # An unknown key makes us look again (it may be new), but not at every guess.
    RETRY_SECONDS = 1.0

    def __init__(self, database: Database, keys: Sequence[str]) -> None:
        self._database = database
        self._ours = {hash_key(key): "api" for key in keys}
        self._stored: Mapping[str, str] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def identify(self, *offered: str | None) -> str:
        """The name of the first good key among those `offered`. Raises NoKeyError."""
        hashes = [hash_key(key) for key in offered if key]
        if not hashes:
            raise NoKeyError
        await self._refresh(self.REFRESH_SECONDS)
        name = self._find(hashes)
        if name is None:
            await self._refresh(self.RETRY_SECONDS)
            name = self._find(hashes)
        if name is None:
            raise NoKeyError("This API key isn't known.", remedy="Check HOLDFAST_API_KEY on both sides.")
        return name

    def _find(self, hashes: Sequence[str]) -> str | None:
        for ring in (self._ours, self._stored):
            for known, name in ring.items():
                if any(hmac.compare_digest(known, offered) for offered in hashes):
                    return name
        return None

    async def _refresh(self, older_than_seconds: float) -> None:
        if time.monotonic() - self._read_at < older_than_seconds:
            return
        async with self._reading:
            if time.monotonic() - self._read_at < older_than_seconds:
                return
            self._read_at = time.monotonic()
            try:
                self._stored = await asyncio.wait_for(load_keys(self._database), 2)
            except Exception as error:
                if not is_away(error):
                    raise


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
