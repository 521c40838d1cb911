"""API keys of callers: only their hashes are kept, so that a copy of the database opens nothing."""

from __future__ import annotations

import hashlib

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from schemas.errors import ConflictError, NotFoundError
from store.database import Database
from store.tables import api_keys


def hash_key(key: str) -> str:
    """The form in which a key is kept; keys are long and random, so a plain SHA-256 can't be undone."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


async def load_keys(database: Database) -> dict[str, str]:
    """Every key's hash and name."""
    async with database.transaction() as connection:
        rows = await connection.execute(select(api_keys.c.secret_hash, api_keys.c.name))
        return {row.secret_hash: row.name for row in rows}


async def add_key(database: Database, name: str, key: str) -> None:
    """Let `key` in under `name`. Raises ConflictError when the name or the key is there already."""
    try:
        async with database.transaction() as connection:
            now = await database.clock.read(connection)
            await connection.execute(
                insert(api_keys).values(secret_hash=hash_key(key), name=name, created_at=now)
            )
    except IntegrityError as error:
        raise ConflictError(f"There is an API key {name!r} already, or the key is in use.") from error


async def remove_key(database: Database, name: str) -> None:
    """Let the key called `name` in no longer. Raises NotFoundError."""
    async with database.transaction() as connection:
        done = await connection.execute(delete(api_keys).where(api_keys.c.name == name))
        if not done.rowcount:
            raise NotFoundError(f"There is no API key {name!r}.")
