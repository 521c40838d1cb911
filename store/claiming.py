"""Claiming a message in the ledger before it leaves, and settling it after.

claimed -> accepted | failed | retrying (surely not sent) | unknown (may have been sent) -> accepted | failed, by looking
it up at the provider. A message that may take several channels is `retrying` with another one after one of them surely
failed; `evidence` says which. `skipped` was decided against, or, with the code `shadow`, only recorded: what a shadow run would
have sent. Rows never go back from accepted or failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection

from store.asking import fetch
from store.database import encode
from store.deliveries import DELIVERY_FIELDS, Delivery, LedgerEntry, read_delivery

_CLAIM = (
    "INSERT INTO deliveries AS d (id, run_id, customer_id, step, occurrence, channel, state, attempt, topic, template, "
    "address_hash, content, evidence, critical, provider, created_at, claimed_at) VALUES (%(id)s, %(run_id)s, "
    "%(customer_id)s, %(step)s, %(occurrence)s, %(channel)s, 'claimed', 1, %(topic)s, %(template)s, %(address_hash)s, "
    "CAST(%(content)s AS jsonb), CAST(%(evidence)s AS jsonb), %(critical)s, %(provider)s, %(now)s, %(now)s) "
    "ON CONFLICT (id) DO UPDATE SET state = 'claimed', attempt = d.attempt + 1, claimed_at = %(now)s, "
    "channel = excluded.channel, address_hash = excluded.address_hash, content = excluded.content, "
    "evidence = d.evidence || excluded.evidence, critical = excluded.critical, "
    # What another channel's provider called it isn't what this one will.
    "provider = coalesce(excluded.provider, CASE WHEN d.channel = excluded.channel THEN d.provider END), "
    "provider_id = CASE WHEN d.channel = excluded.channel THEN d.provider_id END, "
    "error = NULL, error_code = NULL, settled_at = NULL WHERE d.state IN ('retrying', 'unknown') "
    f"RETURNING {DELIVERY_FIELDS}"
)


async def claim(
    connection: AsyncConnection,
    entry: LedgerEntry,
    *,
    address_hash: str | None,
    content: Mapping[str, Any],
    now: datetime,
    evidence: Mapping[str, Any] | None = None,
    critical: bool = False,
    provider: str | None = None,
) -> Delivery:
    """Claim the right to send; the caller holds the customer's lock and has checked that it may.

    evidence: the consent, and why this channel and moment, as they were checked. provider: who is handed it first, and so is
    asked where the claim is found without its sender.
    """
    rows = await fetch(
        connection,
        _CLAIM,
        {
            **asdict(entry),
            "address_hash": address_hash,
            "content": encode(content),
            "evidence": encode(evidence or {}),
            "critical": critical,
            "provider": provider,
            "now": now,
        },
    )
    if not rows:
        raise NoResultFound(f"delivery {entry.id} can't be claimed: it is settled, or somebody has it")
    return read_delivery(rows[0])


async def settle(
    connection: AsyncConnection,
    delivery: str,
    attempt: int,
    state: str,
    now: datetime,
    *,
    provider: str | None = None,
    provider_id: str | None = None,
    error_code: str | None = None,
    error: str | None = None,
    cost: Decimal | float = 0,
    reconciled: bool = False,
) -> bool:
    """Record what became of attempt `attempt`; False if the row moved on meanwhile (a later attempt, or settled)."""
    done = await connection.execute(
        text(
            "UPDATE deliveries SET state = :state, settled_at = :now, provider = coalesce(:provider, provider), "
            "provider_id = coalesce(:provider_id, provider_id), error_code = :error_code, error = :error, cost = :cost, "
            "reconciled_at = CASE WHEN :reconciled THEN :now ELSE reconciled_at END "
            "WHERE id = :id AND attempt = :attempt AND state IN ('claimed', 'unknown')"
        ),
        {
            "id": delivery,
            "attempt": attempt,
            "state": state,
            "now": now,
            "provider": provider,
            "provider_id": provider_id,
            "error_code": error_code,
            "error": error[:2000] if error else None,
            "cost": cost,
            "reconciled": reconciled,
        },
    )
    return bool(done.rowcount)


_SETTLE_SENT = (
    "WITH moment AS MATERIALIZED (SELECT coalesce(CAST(%(now)s AS timestamptz), "
    "greatest(CAST(%(at)s AS timestamptz), clock_timestamp())) AS now), "
    "settled AS (UPDATE deliveries SET state = 'accepted', settled_at = moment.now, "
    "provider = coalesce(%(provider)s, provider), provider_id = coalesce(%(provider_id)s, provider_id), "
    "error_code = NULL, error = NULL, cost = %(cost)s FROM moment "
    "WHERE id = %(id)s AND attempt = %(attempt)s AND state IN ('claimed', 'unknown')) "
    "INSERT INTO run_steps (run_id, step, occurrence, word, outcome, at, detail, output) "
    "SELECT %(run)s, %(step)s, %(occurrence)s, %(word)s, 'sent', moment.now, %(detail)s, CAST(%(output)s AS jsonb) "
    "FROM moment ON CONFLICT (run_id, step, occurrence) DO UPDATE SET outcome = excluded.outcome, at = excluded.at, "
    "detail = excluded.detail, output = excluded.output RETURNING at"
)


async def settle_sent(
    connection: AsyncConnection,
    delivery: Delivery,
    *,
    at: datetime,
    now: datetime | None,
    word: str,
    detail: str,
    provider: str,
    provider_id: str | None,
    cost: float,
) -> datetime:
    """As `settle` for what was accepted, and the step's record with it, in one statement; returns when that was.

    now: that moment (None: the database's clock, but not before `at`). What moved on meanwhile stays as it is; the
    step is on record as sent either way.
    """
    rows = await fetch(
        connection,
        _SETTLE_SENT,
        {
            "now": now, "at": at, "provider": provider, "provider_id": provider_id, "cost": cost, "id": delivery.id,
            "attempt": delivery.attempt, "run": delivery.run_id, "step": delivery.step,
            "occurrence": delivery.occurrence, "word": word, "detail": detail,
            "output": encode({"channel": delivery.channel}),
        },
    )  # fmt: skip
    settled_at: datetime = rows[0][0]
    return settled_at.astimezone(UTC)


async def note_failed_channel(
    connection: AsyncConnection, delivery: Delivery, code: str, outcome: str, now: datetime
) -> None:
    """By this channel it surely didn't reach the customer, nor will; `outcome` is what that alone would be."""
    entry = {"channel": delivery.channel, "code": code, "outcome": outcome, "at": now.isoformat()}
    await connection.execute(
        text(
            "UPDATE deliveries SET evidence = jsonb_set(evidence, '{failed}', "
            "coalesce(evidence -> 'failed', '[]'::jsonb) || CAST(:entry AS jsonb)) WHERE id = :id AND attempt = :attempt "
            "AND state = 'claimed'"
        ),
        {"id": delivery.id, "attempt": delivery.attempt, "entry": encode([entry])},
    )


async def record_skipped(
    connection: AsyncConnection,
    entry: LedgerEntry,
    *,
    state: str,
    reason: str,
    detail: str,
    now: datetime,
    content: Mapping[str, Any] | None = None,
) -> None:
    """Note a message that was decided against (skipped) or could not be made (failed).

    content: the rendered message of a shadow run, for the reason `shadow`.
    """
    await connection.execute(
        text(
            "INSERT INTO deliveries AS d (id, run_id, customer_id, step, occurrence, channel, state, topic, template, "
            "content, error_code, error, created_at, settled_at) VALUES (:id, :run_id, :customer_id, :step, :occurrence, "
            ":channel, :state, :topic, :template, CAST(:content AS jsonb), :reason, :detail, :now, :now) "
            "ON CONFLICT (id) DO UPDATE SET state = excluded.state, error_code = excluded.error_code, "
            "error = excluded.error, settled_at = excluded.settled_at WHERE d.state = 'retrying'"
        ),
        {
            **asdict(entry),
            "content": encode(content or {}),
            "state": state,
            "reason": reason,
            "detail": detail[:2000],
            "now": now,
        },
    )


async def release(connection: AsyncConnection, claimed: Delivery, *, repeated: bool = False) -> None:
    """Give back this very claim, if it stands: nothing was sent under it.

    repeated: something may have been sent under an earlier one, so that it is unknown again, not surely unsent.
    """
    await connection.execute(
        text(
            "UPDATE deliveries SET state = :state, settled_at = CASE WHEN :state = 'unknown' THEN claimed_at END "
            "WHERE id = :id AND state = 'claimed' AND attempt = :attempt AND claimed_at = :claimed"
        ),
        {
            "id": claimed.id, "attempt": claimed.attempt, "claimed": claimed.claimed_at,
            "state": "unknown" if repeated else "retrying",
        },
    )  # fmt: skip


async def drop_unsent(connection: AsyncConnection, run_id: str, now: datetime) -> None:
    """The run ends: what was to be tried again, and surely never left, won't be."""
    await connection.execute(
        text(
            "UPDATE deliveries SET state = 'skipped', error_code = 'run_ended', settled_at = :now "
            "WHERE run_id = :run AND state = 'retrying'"
        ),
        {"run": run_id, "now": now},
    )
