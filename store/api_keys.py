"""API keys of callers: only their hashes are kept, so that a copy of the database opens nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import delete, insert, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

from schemas.access import Role
from schemas.errors import ConflictError, NotFoundError
from store.database import Connection
from store.tables import api_keys


def hash_key(key: str) -> str:
    """The form in which a key is kept; keys are long and random, so a plain SHA-256 can't be undone."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class KeyRow:
    """A key as it is kept: `per_minute` None means the process's limit, `expires_at` None never."""

    secret_hash: str
    name: str
    role: Role
    per_minute: int | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None


async def list_keys(connection: Connection) -> list[KeyRow]:
    """Every key, by name."""
    rows = await connection.execute(select(api_keys).order_by(api_keys.c.name))
    return [_read(row) for row in rows.mappings()]


async def store_key(
    connection: Connection,
    name: str,
    key: str,
    *,
    now: datetime,
    role: Role = "service",
    per_minute: int | None = None,
    expires_at: datetime | None = None,
    created_by: str = "",
) -> None:
    """Let `key` in under `name`. Raises ConflictError when the name or the key is there already."""
    try:
        async with connection.begin_nested():
            await connection.execute(
                insert(api_keys).values(
                    secret_hash=hash_key(key),
                    name=name,
                    created_at=now,
                    role=role,
                    per_minute=per_minute,
                    expires_at=expires_at,
                    created_by=created_by,
                )
            )
    except IntegrityError as error:
        raise ConflictError(f"There is an API key {name!r} already, or the key is in use.") from error


async def delete_key(connection: Connection, name: str) -> KeyRow:
    """Let the key called `name` in no longer; what it was. Raises NotFoundError."""
    done = await connection.execute(delete(api_keys).where(api_keys.c.name == name).returning(api_keys))
    row = done.mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"There is no API key {name!r}.", remedy="`holdfast keys list` names them.")
    return _read(row)


def _read(row: RowMapping) -> KeyRow:
    return KeyRow(
        secret_hash=row["secret_hash"],
        name=row["name"],
        role=cast(Role, row["role"]),
        per_minute=row["per_minute"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
