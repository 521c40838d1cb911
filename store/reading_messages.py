"""Reading messages of the delivery ledger, and noting that an in-app message was seen."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import text

from schemas.errors import NotFoundError
from store.asking import Source
from store.database import Database
from store.reading_rows import MessageRow, fetch_rows

_SELECT = """
    SELECT d.id::text AS id, d.run_id::text AS run_id, r.playbook, c.external_id AS user_id,
        coalesce(c.business_name, c.first_name) AS customer_name, d.step, d.occurrence, d.channel, d.state,
        d.attempt, d.topic, d.template, d.content, d.provider, d.provider_id, d.error_code, d.error,
        d.created_at, d.settled_at, d.seen_at, d.status, d.status_at, d.delivered_at, d.opened_at, d.clicked_at,
        d.replied_at, d.evidence
    FROM deliveries d JOIN runs r ON r.id = d.run_id JOIN customers c ON c.id = d.customer_id
    """


async def list_messages(
    source: Source,
    *,
    run_id: str | None = None,
    customer: str | None = None,
    channel: str | None = None,
    state: str | None = None,
    status: str | None = None,
    playbook: str | None = None,
    critical: bool | None = None,
    since: datetime | None = None,
    limit: int = 50,
    before: tuple[datetime, str] | None = None,
) -> list[MessageRow]:
    """Messages, newest first; `before` is the (created_at, id) of the last one seen.

    status: what its provider said last; critical: whether it leaves where nothing else may; since: made then or later.
    """
    conditions: list[str] = []
    values: dict[str, Any] = {}
    for column, name, value in (
        ("d.run_id = CAST(%(run)s AS uuid)", "run", run_id),
        ("d.customer_id = (SELECT id FROM customers WHERE external_id = %(customer)s)", "customer", customer),
        ("d.channel = %(channel)s", "channel", channel),
        ("d.state = %(state)s", "state", state),
        ("d.status = %(status)s", "status", status),
        ("r.playbook = %(playbook)s", "playbook", playbook),
        ("d.created_at >= %(since)s", "since", since),
    ):
        if value is not None:
            conditions.append(column)
            values[name] = value
    if critical is not None:
        conditions.append("d.critical" if critical else "NOT d.critical")
    if before is not None:
        conditions.append("(d.created_at, d.id) < (%(before_at)s, CAST(%(before_id)s AS uuid))")
        values["before_at"], values["before_id"] = before
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return await fetch_rows(
        source,
        MessageRow,
        f"{_SELECT}{where}ORDER BY d.created_at DESC, d.id DESC LIMIT {int(limit)}",
        values,
    )


async def list_in_app(source: Source, customer: str, limit: int = 50) -> list[MessageRow]:
    """The in-app messages that this customer may see: unseen ones first, then newest first."""
    return await fetch_rows(
        source,
        MessageRow,
        f"{_SELECT}WHERE c.external_id = %(customer)s AND d.channel = 'in_app' AND d.state = 'accepted' "
        "ORDER BY (d.seen_at IS NOT NULL), d.created_at DESC, d.id LIMIT %(limit)s",
        {"customer": customer, "limit": limit},
    )


async def read_message(source: Source, message_id: str) -> MessageRow:
    """One message. Raises NotFoundError, also for what is no id."""
    missing = NotFoundError(f"There is no message {message_id[:60]!r}.", remedy="The outbox lists messages.")
    try:
        uuid.UUID(message_id)
    except ValueError:
        raise missing from None
    rows = await fetch_rows(
        source, MessageRow, f"{_SELECT}WHERE d.id = CAST(%(id)s AS uuid)", {"id": message_id}
    )
    if not rows:
        raise missing
    return rows[0]


async def mark_seen(database: Database, message_id: str) -> MessageRow:
    """The customer has seen this in-app message; the first time counts. Raises NotFoundError."""
    async with database.transaction() as connection:
        found = await read_message(connection, message_id)
        if found.channel != "in_app" or found.state != "accepted":
            raise NotFoundError(
                f"There is no in-app message {message_id!r}.", remedy="Only in-app messages are seen here."
            )
        await connection.execute(
            text("UPDATE deliveries SET seen_at = :now WHERE id = CAST(:id AS uuid) AND seen_at IS NULL"),
            {"id": message_id, "now": await database.clock.read(connection)},
        )
        return await read_message(connection, message_id)
