"""The delivery ledger: one row per run, step and occurrence; claimed before a message leaves, settled after.

claimed -> accepted | failed | retrying (surely not sent) | unknown (may have been sent) -> accepted | failed, by looking
it up at the provider. A message that may take several channels is `retrying` with another one after one of them surely
failed; `evidence` says which. `skipped` was decided against, or, with the code `shadow`, only recorded: what a shadow run would
have sent. Rows never go back from accepted or failed.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.message_part import CHANNEL_PARTS
from schemas.sent import Sent
from store.database import encode, fetch
from store.runs import NAMESPACE


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one customer."""

    id: str
    run_id: str
    customer_id: str
    step: str
    occurrence: int
    channel: str
    state: str
    attempt: int
    topic: str | None
    template: str | None
    address_hash: str | None
    content: Mapping[str, Any]
    provider: str | None
    provider_id: str | None
    error_code: str | None
    error: str | None
    claimed_at: datetime | None
    settled_at: datetime | None
    reconciled_at: datetime | None
    # The consent that it went out on, why this channel and this moment, and the channels that failed before.
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed_channels(self) -> Sequence[Mapping[str, Any]]:
        """The channels by which it surely didn't reach the customer: channel, code, outcome (failed, suppressed), at."""
        failed: Sequence[Mapping[str, Any]] = self.evidence.get("failed", ())
        return failed


_FIELDS = ", ".join(Delivery.__dataclass_fields__)
# When a person first opened a message, followed a link in it, or wrote back.
ANSWERED_AT = "least(d.opened_at, d.clicked_at, d.replied_at, d.seen_at)"
_BY_NUMBER = ("sms", "whatsapp", "voice")
# What people put between the digits of a number.
_SEPARATORS = re.compile(r"[\s()./\u2010-\u2015-]+")


def delivery_id(run_id: str, step: str, occurrence: int) -> str:
    """The idempotency key: the same for every attempt at the same step of the same run."""
    return str(uuid.uuid5(NAMESPACE, f"{run_id}/{step}/{occurrence}"))


def hash_address(channel: str, address: str) -> str:
    """What an address is remembered by when the address itself must not be.

    Mail addresses and numbers are the same in any spelling; a push token is another one in other letters.
    """
    if channel in _BY_NUMBER:
        address = _SEPARATORS.sub("", address.strip().removeprefix("tel:").replace("(0)", ""))
        # What is dialled before a country's code in most of the world.
        address = f"+{address[2:]}" if address.startswith("00") else address
    return hash_as_written(channel, address)


def hash_as_written(channel: str, address: str) -> str:
    """The same for an address in just this spelling, as it was remembered before numbers were brought into one form."""
    spelled = address.strip() if channel == "push" else address.strip().lower()
    return hashlib.sha256(f"{channel}:{spelled}".encode()).hexdigest()


def read_delivery(values: Sequence[Any]) -> Delivery:
    """The delivery in a row of its fields, in their order."""
    fields = dict(zip(Delivery.__dataclass_fields__, values, strict=True))
    for name in ("id", "run_id", "customer_id"):
        fields[name] = str(fields[name])
    return Delivery(**fields)


def _delivery(row: Any) -> Delivery:
    fields = dict(row._mapping)
    for name in ("id", "run_id", "customer_id"):
        fields[name] = str(fields[name])
    return Delivery(**fields)


async def lock_delivery(connection: AsyncConnection, delivery: str) -> Delivery | None:
    """The ledger's row, locked, or None when there is none yet."""
    row = (
        await connection.execute(
            text(f"SELECT {_FIELDS} FROM deliveries WHERE id = :id FOR UPDATE"), {"id": delivery}
        )
    ).first()
    return _delivery(row) if row else None


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
    f"RETURNING {_FIELDS}"
)


async def claim(
    connection: AsyncConnection,
    *,
    delivery: str,
    run_id: str,
    customer_id: str,
    step: str,
    occurrence: int,
    channel: str,
    topic: str | None,
    template: str | None,
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
            "id": delivery,
            "run_id": run_id,
            "customer_id": customer_id,
            "step": step,
            "occurrence": occurrence,
            "channel": channel,
            "topic": topic,
            "template": template,
            "address_hash": address_hash,
            "content": encode(content),
            "evidence": encode(evidence or {}),
            "critical": critical,
            "provider": provider,
            "now": now,
        },
    )
    if not rows:
        raise NoResultFound(f"delivery {delivery} can't be claimed: it is settled, or somebody has it")
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
    *,
    delivery: str,
    run_id: str,
    customer_id: str,
    step: str,
    occurrence: int,
    channel: str,
    topic: str | None,
    template: str | None,
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
            "id": delivery,
            "run_id": run_id,
            "customer_id": customer_id,
            "step": step,
            "occurrence": occurrence,
            "channel": channel,
            "topic": topic,
            "template": template,
            "content": encode(content or {}),
            "state": state,
            "reason": reason,
            "detail": detail[:2000],
            "now": now,
        },
    )


async def load_recent_sends(
    connection: AsyncConnection, customer_id: str, since: datetime, *, but: str, shadow: bool = False
) -> list[Sent]:
    """Messages that left, or may have left, for this customer since then, oldest first; `but` is left out.

    shadow: with what their shadow runs would have sent.
    """
    rows = await connection.execute(
        text(
            "SELECT d.channel, coalesce(d.claimed_at, d.settled_at) AS at, d.topic, r.playbook, "
            f"{ANSWERED_AT} AS answered_at FROM deliveries d JOIN runs r ON r.id = d.run_id "
            "WHERE d.customer_id = :customer AND d.id <> :but AND d.channel = ANY(:channels) "
            "AND (d.claimed_at >= :since AND d.state IN ('claimed', 'accepted', 'unknown')"
            + (
                " OR d.settled_at >= :since AND d.state = 'skipped' AND d.error_code = 'shadow'"
                if shadow
                else ""
            )
            + ") ORDER BY at"
        ),
        {"customer": customer_id, "since": since, "but": but, "channels": list(CHANNEL_PARTS)},
    )
    return [Sent(row.channel, row.at, row.topic, row.playbook, row.answered_at) for row in rows]


async def release(connection: AsyncConnection, claimed: Delivery) -> None:
    """Give back this very claim, if it stands: nothing was sent under it."""
    await connection.execute(
        text(
            "UPDATE deliveries SET state = 'retrying' "
            "WHERE id = :id AND state = 'claimed' AND attempt = :attempt AND claimed_at = :claimed"
        ),
        {"id": claimed.id, "attempt": claimed.attempt, "claimed": claimed.claimed_at},
    )


async def is_anothers(
    connection: AsyncConnection, provider: str, provider_id: str | None, delivery: str
) -> bool:
    """Whether the ledger holds this message of the provider's for a delivery other than `delivery`."""
    row = await connection.execute(
        text(
            "SELECT 1 FROM deliveries WHERE provider = :provider AND provider_id = :message AND id <> :id LIMIT 1"
        ),
        {"provider": provider, "message": provider_id, "id": delivery},
    )
    return row.first() is not None


async def drop_unsent(connection: AsyncConnection, run_id: str, now: datetime) -> None:
    """The run ends: what was to be tried again, and surely never left, won't be."""
    await connection.execute(
        text(
            "UPDATE deliveries SET state = 'skipped', error_code = 'run_ended', settled_at = :now "
            "WHERE run_id = :run AND state = 'retrying'"
        ),
        {"run": run_id, "now": now},
    )


async def load_forgotten(connection: AsyncConnection, before: datetime, limit: int) -> list[Delivery]:
    """Claims from before `before` whose sender never came back, of runs that have ended and won't ask about them."""
    rows = await connection.execute(
        text(
            f"SELECT {', '.join('d.' + name for name in Delivery.__dataclass_fields__)} FROM deliveries d "
            "JOIN runs r ON r.id = d.run_id WHERE d.state = 'claimed' AND r.ended_at IS NOT NULL AND d.claimed_at < :before "
            "ORDER BY d.claimed_at LIMIT :limit"
        ),
        {"before": before, "limit": limit},
    )
    return [_delivery(row) for row in rows]


async def load_deliveries(connection: AsyncConnection, run_ids: Sequence[str]) -> list[Delivery]:
    """All messages of these runs, oldest first."""
    rows = await connection.execute(
        text(
            f"SELECT {_FIELDS} FROM deliveries WHERE run_id = ANY(CAST(:ids AS uuid[])) ORDER BY created_at"
        ),
        {"ids": list(run_ids)},
    )
    return [_delivery(row) for row in rows]
