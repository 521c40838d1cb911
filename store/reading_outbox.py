"""Reading one message of the ledger with all that is on record of it: attempts, cost, reports, what was written back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import ConflictError, NotFoundError
from store.reading_messages import read_message
from store.reading_rows import MessageRow

MOST_REPORTS = 200

_LEDGER = text(
    """
    SELECT d.claimed_at, d.reconciled_at, d.cost, d.critical, d.customer_id::text AS customer_id, r.ended_at AS run_ended_at,
        s.outcome AS step_outcome, p.state AS provider_state, p.reason AS provider_reason
    FROM deliveries d JOIN runs r ON r.id = d.run_id
    LEFT JOIN run_steps s ON s.run_id = d.run_id AND s.step = d.step AND s.occurrence = d.occurrence
    LEFT JOIN providers p ON p.channel = d.channel AND p.provider = d.provider
    WHERE d.id = CAST(:id AS uuid)
    """
)
_REPORTS = text(
    "SELECT provider, report_id, kind, detail, at, received_at FROM delivery_reports "
    "WHERE delivery_id = CAST(:id AS uuid) ORDER BY at, received_at LIMIT :most"
)
_REPLIES = text(
    "SELECT at, keyword, length(text) AS length FROM inbound_messages WHERE delivery_id = CAST(:id AS uuid) "
    "AND CAST(:customer AS uuid) = customer_id ORDER BY at LIMIT :most"
)


@dataclass(frozen=True, slots=True)
class Report:
    """One report of a provider, as it was kept."""

    provider: str
    report_id: str
    kind: str
    detail: Mapping[str, Any]
    at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Reply:
    """That a customer wrote back, how long it was, and the word it was understood as (stop, start, help)."""

    at: datetime
    keyword: str | None
    length: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One message with what only its own page tells. `cost` in the policy's currency; `step_outcome` is what the run went
    on with, None where it hasn't; `provider_state` is how its provider stands now.
    """

    message: MessageRow
    customer_id: str
    claimed_at: datetime | None
    reconciled_at: datetime | None
    cost: float
    critical: bool
    run_ended_at: datetime | None
    step_outcome: str | None
    provider_state: str | None
    provider_reason: str | None
    reports: Sequence[Report]
    replies: Sequence[Reply]


async def read_ledger_entry(connection: AsyncConnection, message_id: str) -> LedgerEntry:
    """One message. Raises NotFoundError, also for what is no id."""
    message = await read_message(connection, message_id)
    row = (await connection.execute(_LEDGER, {"id": message.id})).one()
    reports = await connection.execute(_REPORTS, {"id": message.id, "most": MOST_REPORTS})
    replies = await connection.execute(
        _REPLIES, {"id": message.id, "customer": row.customer_id, "most": MOST_REPORTS}
    )
    return LedgerEntry(
        message=message,
        customer_id=row.customer_id,
        claimed_at=row.claimed_at,
        reconciled_at=row.reconciled_at,
        cost=float(row.cost),
        critical=row.critical,
        run_ended_at=row.run_ended_at,
        step_outcome=row.step_outcome,
        provider_state=row.provider_state,
        provider_reason=row.provider_reason,
        reports=[Report(*one) for one in reports],
        replies=[Reply(*one) for one in replies],
    )


async def settle_unknown(
    connection: AsyncConnection, message_id: str, state: str, now: datetime, *, told: str, cost: float = 0.0
) -> str:
    """Somebody knows what became of a message of which nobody knew: `state` accepted or failed; returns our id of its
    customer. What its run went on with stays as it was.

    Raises NotFoundError; ConflictError where it isn't unknown (any more).
    """
    try:
        uuid.UUID(message_id)
    except ValueError:
        raise NotFoundError(f"There is no message {message_id[:60]!r}.") from None
    row = (
        await connection.execute(
            text(
                "UPDATE deliveries SET state = :state, reconciled_at = :now, settled_at = :now, "
                "cost = CASE WHEN :state = 'accepted' THEN CAST(:cost AS numeric) ELSE 0 END, "
                "error = CASE WHEN :state = 'failed' THEN :told END, "
                "error_code = CASE WHEN :state = 'failed' THEN 'marked_failed' END "
                "WHERE id = CAST(:id AS uuid) AND state = 'unknown' RETURNING customer_id::text"
            ),
            {"id": message_id, "state": state, "now": now, "told": told[:2000], "cost": cost},
        )
    ).first()
    if row is None:
        found = await read_message(connection, message_id)
        raise ConflictError(
            f"The message is {found.state}, so there is nothing to say of it.",
            remedy="Only what is unknown can be marked.",
        )
    return str(row.customer_id)
