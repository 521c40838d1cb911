"""Who changed what: one row per change that somebody made, written with the change and never changed afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.access import Principal
from store.database import encode
from store.reading_rows import Row

# The request that is being answered, as the edge names it; empty outside of one.
current_request: ContextVar[str] = ContextVar("current_request", default="")
# Whoever it is answered for, where what is done happens further down than handlers reach.
current_actor: ContextVar[Principal | None] = ContextVar("current_actor", default=None)
LONGEST_ID = 300


class AuditRow(Row):
    """One change. `actor_kind`: person, key, token, open (pages that ask for nothing), system (the command line).

    `before` and `after` name what changed and hold no personal data beyond ids. `user_id` is the customer's own id
    where the object is a customer, as long as there is one.
    """

    id: int
    at: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    action: str
    object_kind: str
    object_id: str
    user_id: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Done:
    """One change: what was done (`run.stopped`), to what (by our own id of it), how it was and how it is."""

    action: str
    object_kind: str
    object_id: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


async def record_change(
    connection: AsyncConnection,
    actor: Principal,
    action: str,
    *,
    object_kind: str,
    object_id: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> None:
    """Write down that `actor` did `action` (such as `run.stopped`), in the transaction of the change itself.

    `object_id` is our own id of it: a customer's is the UUID that outlives what is known of them. `before` and `after`
    are JSON and hold no personal data: of texts and addresses write lengths or hashes.
    """
    await record_changes(
        connection, actor, [Done(action, object_kind, object_id, before, after)], request_id=request_id
    )


async def record_changes(
    connection: AsyncConnection, actor: Principal, changes: Sequence[Done], *, request_id: str = ""
) -> None:
    """Write down several changes of one actor at once (see `record_change`)."""
    if not changes:
        return
    await connection.execute(
        text(
            "INSERT INTO audit_log (at, actor_kind, actor_id, actor_name, action, object_kind, object_id, before, after,"
            " request_id) SELECT clock_timestamp(), :kind, :id, :name, c.action, c.object_kind, c.object_id,"
            " nullif(c.before, 'null'), nullif(c.after, 'null'), :request FROM jsonb_to_recordset(CAST(:rows AS jsonb))"
            " AS c(action text, object_kind text, object_id text, before jsonb, after jsonb)"
        ),
        {
            "kind": actor.kind,
            "id": _clean(actor.id),
            "name": _clean(actor.name),
            "request": request_id or current_request.get(),
            "rows": encode(
                [
                    {
                        "action": one.action,
                        "object_kind": one.object_kind,
                        "object_id": _clean(one.object_id),
                        "before": one.before,
                        "after": one.after,
                    }
                    for one in changes
                ]
            ),
        },
    )


def actor_called(name: str) -> Principal:
    """Whoever acts in this request; outside of one a process or a command line, by that name."""
    acting = current_actor.get()
    return acting or Principal(kind="system", id=f"system:{name}", name=name, role="admin")


async def list_changes(
    connection: AsyncConnection,
    *,
    actor: str | None = None,
    action: str | None = None,
    object_kind: str | None = None,
    object_id: str | None = None,
    customer: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[AuditRow]:
    """Changes, the latest first. `actor` is a name or an id; `action` may be the beginning of one (`run.`).

    `customer` is the caller's id of one; `since` and `until` (not included) are moments; `before` is the id of the last
    one seen.
    """
    conditions: list[str] = []
    values: dict[str, Any] = {"limit": limit}
    for name, value, condition in (
        ("actor", actor, "(a.actor_id = :actor OR a.actor_name = :actor)"),
        ("action", action, "starts_with(a.action, :action)"),
        ("object_kind", object_kind, "a.object_kind = :object_kind"),
        ("object_id", object_id, "a.object_id = :object_id"),
        (
            "customer",
            customer,
            "a.object_kind = 'customer' AND a.object_id ="
            " (SELECT c.id::text FROM customers c WHERE c.external_id = :customer)",
        ),
        ("since", since, "a.at >= :since"),
        ("until", until, "a.at < :until"),
        ("before", before, "a.id < :before"),
    ):
        if value is not None:
            conditions.append(condition)
            values[name] = value
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = await connection.execute(
        text(
            f"WITH a AS MATERIALIZED (SELECT * FROM audit_log a {where}ORDER BY a.id DESC LIMIT :limit)"
            " SELECT a.id, a.at, a.actor_kind, a.actor_id, a.actor_name, a.action, a.object_kind, a.object_id,"
            " c.external_id AS user_id, a.before, a.after, a.request_id FROM a"
            " LEFT JOIN customers c ON c.id = CASE WHEN a.object_kind = 'customer'"
            " AND a.object_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN a.object_id::uuid END"
            " ORDER BY a.id DESC"
        ),
        values,
    )
    return [AuditRow.model_validate(dict(row._mapping)) for row in rows]


def _clean(value: str) -> str:
    return value.replace("\x00", "")[:LONGEST_ID]
