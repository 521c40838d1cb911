"""How somebody likes a page: its filters, order and columns under a name, for themselves or for everybody."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import InputError, NotFoundError
from store.database import encode

MOST_VIEWS = 50
LONGEST_NAME = 60


@dataclass(frozen=True)
class SavedView:
    """One view; `query` is the page's, as a mapping of name to text or list of texts. `own`: whoever asks made it."""

    id: str
    name: str
    query: Mapping[str, Any]
    shared: bool
    is_default: bool
    own: bool
    at: datetime


_LIST = text(
    "SELECT id::text, name, query, shared, is_default AND owner = :owner AS is_default, owner = :owner AS own, at "
    "FROM saved_views WHERE page = :page AND (owner = :owner OR shared) ORDER BY owner <> :owner, lower(name), id"
)
# Of a view that is there, only its owner changes anything: the key has the owner in it.
_SAVE = text(
    "INSERT INTO saved_views (owner, page, name, query, shared, is_default, at) "
    "VALUES (:owner, :page, :name, CAST(:query AS jsonb), :shared, :is_default, :now) "
    "ON CONFLICT (owner, page, name) DO UPDATE SET query = excluded.query, shared = excluded.shared, "
    "is_default = excluded.is_default, at = excluded.at RETURNING id::text"
)


async def list_views(connection: AsyncConnection, owner: str, page: str) -> list[SavedView]:
    """Their own views of a page by name, then those that others share."""
    rows = await connection.execute(_LIST, {"owner": owner, "page": page})
    return [SavedView(**row._mapping) for row in rows]


async def save_view(
    connection: AsyncConnection,
    owner: str,
    page: str,
    name: str,
    query: Mapping[str, Any],
    now: datetime,
    *,
    shared: bool = False,
    is_default: bool = False,
) -> str:
    """Save a view, or replace the one of this name; returns its id. At most one of a page is anybody's default.

    Raises InputError without a name, and where they have too many.
    """
    name = " ".join(name.split())[:LONGEST_NAME]
    if not name:
        raise InputError("The view has no name.", remedy="Give it one, such as “My accounts”.")
    views = [view for view in await list_views(connection, owner, page) if view.own]
    if len(views) >= MOST_VIEWS and name not in {view.name for view in views}:
        raise InputError(f"There are {MOST_VIEWS} views already.", remedy="Delete one that nobody uses.")
    if is_default:
        await _no_default(connection, owner, page)
    saved = await connection.execute(
        _SAVE,
        {
            "owner": owner, "page": page, "name": name, "query": encode(query), "shared": shared,
            "is_default": is_default, "now": now,
        },
    )  # fmt: skip
    return str(saved.scalar_one())


async def delete_view(connection: AsyncConnection, owner: str, view_id: str) -> SavedView:
    """Delete one's own view. Raises NotFoundError for one that isn't theirs."""
    rows = await connection.execute(
        text(
            "DELETE FROM saved_views WHERE id = CAST(:id AS uuid) AND owner = :owner "
            "RETURNING id::text, name, query, shared, is_default, true AS own, at"
        ),
        {"id": _known(view_id), "owner": owner},
    )
    return _only(rows.first())


async def set_default(connection: AsyncConnection, owner: str, view_id: str, on: bool) -> SavedView:
    """Have the page open with this view of theirs, or not any more. Raises NotFoundError for one that isn't theirs."""
    known = _known(view_id)
    page = (
        await connection.execute(
            text("SELECT page FROM saved_views WHERE id = CAST(:id AS uuid) AND owner = :owner"),
            {"id": known, "owner": owner},
        )
    ).scalar_one_or_none()
    if page is not None and on:
        await _no_default(connection, owner, page)
    rows = await connection.execute(
        text(
            "UPDATE saved_views SET is_default = :on WHERE id = CAST(:id AS uuid) AND owner = :owner "
            "RETURNING id::text, name, query, shared, is_default, true AS own, at"
        ),
        {"id": known, "owner": owner, "on": on},
    )
    return _only(rows.first())


async def _no_default(connection: AsyncConnection, owner: str, page: str) -> None:
    await connection.execute(
        text(
            "UPDATE saved_views SET is_default = false WHERE owner = :owner AND page = :page AND is_default"
        ),
        {"owner": owner, "page": page},
    )


def _known(view_id: str) -> str:
    try:
        return str(uuid.UUID(view_id))
    except ValueError:
        raise _missing() from None


def _only(row: Any) -> SavedView:
    if row is None:
        raise _missing()
    return SavedView(**row._mapping)


def _missing() -> NotFoundError:
    return NotFoundError(
        "There is no such view of yours.", remedy="Somebody else's view is theirs to change."
    )
