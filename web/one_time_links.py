"""Links that let somebody in once, and keys: made here, shown once, kept as hashes."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from schemas.access import Principal, Role
from store.api_keys import delete_key, store_key
from store.audit import record_change
from store.database import Connection
from store.people import Person
from store.sessions import hash_token
from store.sign_in_links import add_link

LINK_LASTS = timedelta(days=3)


async def make_link(
    connection: Connection, actor: Principal, person: Person, public_url: str, now: datetime
) -> str:
    """A link by which this person chooses a password and signs in, good for three days. Raises ConflictError."""
    token = secrets.token_urlsafe(32)
    await add_link(connection, actor, person, token_hash=hash_token(token), expires_at=now + LINK_LASTS)
    return f"{public_url}/welcome/{token}"


async def make_key(
    connection: Connection,
    actor: Principal,
    name: str,
    *,
    role: Role,
    per_minute: int | None,
    expires_at: datetime | None,
    now: datetime,
) -> str:
    """A new API key. Raises ConflictError where one is called so."""
    key = f"hf_{secrets.token_urlsafe(24)}"
    await store_key(
        connection,
        name,
        key,
        now=now,
        role=role,
        per_minute=per_minute,
        expires_at=expires_at,
        created_by=actor.name,
    )
    after = {"role": role, "per_minute": per_minute, "expires_at": expires_at}
    await record_change(connection, actor, "key.added", object_kind="key", object_id=name, after=after)
    return key


async def remove_key(connection: Connection, actor: Principal, name: str) -> None:
    """Let a key in no longer. Raises NotFoundError."""
    was = await delete_key(connection, name)
    before = {"role": was.role, "per_minute": was.per_minute, "expires_at": was.expires_at}
    await record_change(connection, actor, "key.removed", object_kind="key", object_id=name, before=before)
