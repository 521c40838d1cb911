"""`/api/keys`: the API keys of programs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import Field

from schemas.access import Role
from store.api_keys import KeyRow as StoredKey
from store.api_keys import list_keys
from store.reading_rows import Row
from web.answers import Answer
from web.api_runs import MOST_AT_ONCE, Limit, Word
from web.asked import Asked
from web.cursors import cut, read_offset_cursor
from web.edge import EdgeHere, Manager
from web.one_time_links import make_key, remove_key

router = APIRouter(prefix="/api/keys", tags=["people and keys"])
KEY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
KeyRole = Literal["service", "csm", "ops", "admin"]


class ApiKeyRow(Row):
    """One key without its secret, which nobody can read again; `perMinute` null: the process's limit."""

    name: str
    role: Role
    per_minute: int | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, key: StoredKey) -> ApiKeyRow:
        """What may be told of a key."""
        return cls(
            name=key.name,
            role=key.role,
            per_minute=key.per_minute,
            created_by=key.created_by,
            created_at=key.created_at,
            expires_at=key.expires_at,
        )


class ApiKeyList(Answer):
    """All keys but those of the environment, by name."""

    keys: list[ApiKeyRow]
    next_cursor: str | None


class NewKey(Asked):
    """A key to make; without `expiresInDays` it is good until it is removed."""

    name: Annotated[str, Field(pattern=KEY_NAME, examples=["mobile-app"])]
    role: KeyRole = "service"
    per_minute: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    expires_in_days: Annotated[int | None, Field(ge=1, le=3650)] = None


class KeyMade(Answer):
    """The key, shown this once."""

    name: str
    key: str


class KeyRemoved(Answer):
    """It is let in no longer, within ten seconds in every process."""

    name: str


@router.get("", summary="List API keys")
async def list_(
    edge: EdgeHere, caller: Manager, limit: Limit = MOST_AT_ONCE, cursor: Word = None
) -> ApiKeyList:
    """Names and rights, no secrets."""
    async with edge.database.transaction() as connection:
        keys, further = cut(await list_keys(connection), read_offset_cursor(cursor), limit)
    return ApiKeyList(keys=[ApiKeyRow.of(key) for key in keys], next_cursor=further)


@router.post("", summary="Make an API key", status_code=201)
async def add(edge: EdgeHere, caller: Manager, new: NewKey) -> KeyMade:
    """409 where a key is called so already."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        expires_at = now + timedelta(days=new.expires_in_days) if new.expires_in_days else None
        key = await make_key(
            connection,
            caller,
            new.name,
            role=new.role,
            per_minute=new.per_minute,
            expires_at=expires_at,
            now=now,
        )
    edge.keys.forget()
    return KeyMade(name=new.name, key=key)


@router.delete("/{name}", summary="Remove an API key")
async def remove(
    edge: EdgeHere, caller: Manager, name: Annotated[str, Path(max_length=200, pattern=r"^[^\x00]*$")]
) -> KeyRemoved:
    """404 where none is called so."""
    async with edge.database.transaction() as connection:
        await remove_key(connection, caller, name)
    edge.keys.forget()
    return KeyRemoved(name=name)
