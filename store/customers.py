"""Customers: who they are, and the lock that orders everything that happens to one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from store.asking import fetch
from store.database import encode
from store.erasing_fence import find_fenced

# Traits of an identify call that have a column of their own.
PROFILE_TRAITS = ("first_name", "business_name", "email", "phone", "timezone", "locale", "csm")


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer's profile; `id` is our random UUID, `external_id` the caller's name for it."""

    id: str
    external_id: str
    profile: Mapping[str, Any]
    demo: bool

    @property
    def called(self) -> str:
        """What people call them: by their business, their own name, or else the caller's id."""
        return str(self.profile.get("business_name") or self.profile.get("first_name") or self.external_id)


async def ensure_customers(
    connection: AsyncConnection, seen: Mapping[str, datetime], *, demo: bool = False
) -> dict[str, str]:
    """The ids of these external ids, created where new, all locked (FOR NO KEY UPDATE, ids ascending).

    Whoever was erased, or is about to be, is left out.
    """
    found = await _lock_by_name(connection, list(seen))
    if fenced := await find_fenced(connection, seen):
        seen = {name: at for name, at in seen.items() if name not in fenced}
        found = {name: id_ for name, id_ in found.items() if name not in fenced}
    if len(found) < len(seen):
        rows = encode([{"external_id": name, "created_at": at} for name, at in sorted(seen.items())])
        await connection.execute(
            text(
                "INSERT INTO customers (external_id, created_at, demo) SELECT external_id, created_at, :demo "
                "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(external_id text, created_at timestamptz) "
                "ORDER BY external_id ON CONFLICT DO NOTHING"
            ),
            {"rows": rows, "demo": demo},
        )
        found = await _lock_by_name(connection, list(seen))
    return found


async def _lock_by_name(connection: AsyncConnection, names: Sequence[str]) -> dict[str, str]:
    rows = await fetch(
        connection,
        "SELECT external_id, id::text FROM customers WHERE external_id = ANY(%(names)s) ORDER BY customers.id "
        "FOR NO KEY UPDATE",
        {"names": list(names)},
    )
    return dict(rows)


async def lock_customers(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Lock these customers' rows, ids ascending, until the transaction ends."""
    await connection.execute(
        text("SELECT 1 FROM customers WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE"),
        {"ids": list(ids)},
    )


# As texts, which are read faster than what the driver makes of ids and JSON.
_LOAD = text(
    f"SELECT id::text, external_id, demo, traits::text, {', '.join(PROFILE_TRAITS)} FROM customers "
    "WHERE id = ANY(CAST(:ids AS uuid[]))"
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


async def load_customers(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Customer]:
    """Profiles by id; ids that don't exist are left out."""
    rows = await connection.execute(_LOAD, {"ids": list(ids)})
    return {row[0]: read_customer(*row) for row in rows}


def read_customer(id_: str, external_id: str, demo: bool, traits: str, *columns: str | None) -> Customer:
    """The customer in a row of id and traits as texts, and the columns of PROFILE_TRAITS."""
    profile: dict[str, Any] = {**_decode(traits), **dict(zip(PROFILE_TRAITS, columns, strict=True))}
    given = {name: value for name, value in profile.items() if value is not None}
    return Customer(id_, external_id, given, demo)


async def find_customer(connection: AsyncConnection, external_id: str) -> Customer | None:
    """The customer that the caller names so, or None."""
    rows = await connection.execute(
        text("SELECT * FROM customers WHERE external_id = :name"), {"name": external_id}
    )
    row = rows.first()
    return _customer(row) if row else None


async def need_customer(connection: AsyncConnection, external_id: str) -> Customer:
    """The customer that the caller names so. Raises NotFoundError."""
    found = await find_customer(connection, external_id)
    if found is None:
        raise unknown_customer(external_id)
    return found


def unknown_customer(external_id: str) -> NotFoundError:
    """What is told of a name that no customer has."""
    return NotFoundError(
        f"There is no customer {external_id[:200]!r}.", remedy="Ids are the userId of the events."
    )


async def find_ids(connection: AsyncConnection, external_ids: Sequence[str]) -> dict[str, str]:
    """Our ids by the caller's names; names that nobody has are left out, and nothing is locked."""
    rows = await connection.execute(
        text("SELECT external_id, id::text FROM customers WHERE external_id = ANY(:names)"),
        {"names": list(external_ids)},
    )
    return {row.external_id: row.id for row in rows}


def _customer(row: Any) -> Customer:
    profile = {**row.traits, **{name: getattr(row, name) for name in PROFILE_TRAITS}}
    return Customer(
        str(row.id), row.external_id, {k: v for k, v in profile.items() if v is not None}, row.demo
    )
