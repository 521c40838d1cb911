"""Reading back what happened to customers, with the moment at which each thing became known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.sent import Sent
from store.consent_history import load_consent_history, trace_consent
from store.corrections import TRAIT_EVENTS, StoredCorrection, load_corrections
from store.customers import load_customers
from store.deliveries import ANSWERED_AT, delivery_id
from store.kept_past import KeptPast, KnownEvent, RecordedRun, RecordedSend, RecordedWork
from store.message_history import NO_TALK
from store.signals import pick_day, read_value
from store.suppressions import find_suppressions
from store.tables import SIGNAL_COLUMNS

# What the engine itself put into a customer's history has this source.
OWN_SOURCE = "holdfast"


async def sample_customers(
    connection: AsyncConnection, created_before: datetime, limit: int
) -> tuple[list[str], int]:
    """Up to `limit` ids of customers who came before that moment, drawn by a hash of their id, and how many came."""
    known = {"before": created_before}
    total = await connection.execute(text("SELECT count(*) FROM customers WHERE created_at < :before"), known)
    rows = await connection.execute(
        text(
            "SELECT id::text FROM customers WHERE created_at < :before ORDER BY md5(id::text), id LIMIT :limit"
        ),
        known | {"limit": limit},
    )
    return list(rows.scalars()), int(total.scalar_one())


async def load_pasts(
    connection: AsyncConnection,
    ids: Sequence[str],
    *,
    history: Sequence[str],
    days: tuple[date, date],
    known_by: datetime | None,
) -> dict[str, KeptPast]:
    """What is kept of these customers: all events, and of the daily `history` of these signals the days from the first
    of `days` to before the second, as far as they were known by then.
    """
    customers = await load_customers(connection, ids)
    given = {"ids": list(customers)}
    made = await connection.execute(
        text("SELECT id::text, created_at FROM customers WHERE id = ANY(CAST(:ids AS uuid[]))"), given
    )
    found = {
        row.id: KeptPast(customers[row.id], row.created_at.astimezone(UTC))
        for row in made
        if row.id in customers
    }
    await _load_runs(connection, found, given)
    await _load_events(connection, found, given)
    await _load_contact(connection, found)
    await _load_days(connection, found, {**given, "known_by": known_by}, history, days)
    return found


async def _load_events(
    connection: AsyncConnection, found: Mapping[str, KeptPast], given: Mapping[str, Any]
) -> None:
    causes = await _causes(connection, given)
    corrections = await load_corrections(connection, given["ids"])
    rows = await connection.execute(
        text(
            "SELECT customer_id::text AS customer, source, message_id, name, at, received_at, properties FROM events "
            "WHERE customer_id = ANY(CAST(:ids AS uuid[])) ORDER BY received_at, at, message_id"
        ),
        given,
    )
    for row in rows:
        traits = row.properties.get("traits") if row.name in TRAIT_EVENTS else None
        event = KnownEvent(
            row.message_id,
            row.name,
            row.at.astimezone(UTC),
            row.received_at.astimezone(UTC),
            row.properties,
            # Loaded in bulk, the traits are the properties.
            (traits if isinstance(traits, dict) else row.properties) if row.name in TRAIT_EVENTS else {},
            causes.get(row.message_id) if row.source == OWN_SOURCE else None,
            row.source,
        )
        events = found[row.customer].events
        events.append(event)
        for one in corrections.get(row.customer, {}).get(event.key, ()):
            events.append(_correct(event, one))
    if corrections:
        for customer in corrections:
            found[customer].events.sort(key=lambda event: event.known_at)


def _correct(event: KnownEvent, said: StoredCorrection) -> KnownEvent:
    """The event as it is believed from this correction on."""
    body = said.apply(event.event)
    if body is None:
        return replace(event, known_at=said.at, corrects=True, retracts=True)
    told = event.name in TRAIT_EVENTS
    return replace(
        event,
        at=body.at,
        known_at=said.at,
        properties=event.properties if told else body.properties,
        traits=body.properties if told else {},
        corrects=True,
    )


async def _causes(connection: AsyncConnection, given: Mapping[str, Any]) -> dict[str, str]:
    """The run behind each event that a step put into the history, by the event's message id."""
    rewards = await connection.execute(
        text("SELECT id::text, run_id::text FROM rewards WHERE customer_id = ANY(CAST(:ids AS uuid[]))"),
        given,
    )
    causes = {f"{id_}/{name}": run for id_, run in rewards for name in ("feature_unlocked", "feature_locked")}
    marks = await connection.execute(
        text(
            "SELECT s.run_id::text, s.step, s.occurrence FROM run_steps s JOIN runs r ON r.id = s.run_id "
            "WHERE r.customer_id = ANY(CAST(:ids AS uuid[])) AND s.word = 'set'"
        ),
        given,
    )
    return causes | {f"set/{delivery_id(run, step, occurrence)}": run for run, step, occurrence in marks}


async def _load_runs(
    connection: AsyncConnection, found: Mapping[str, KeptPast], given: Mapping[str, Any]
) -> None:
    runs = await connection.execute(
        text(
            "SELECT customer_id::text AS customer, id::text AS id, playbook, key, run_group, arm, entered_at, ended_at "
            "FROM runs WHERE customer_id = ANY(CAST(:ids AS uuid[])) ORDER BY entered_at"
        ),
        given,
    )
    for row in runs:
        ended = row.ended_at.astimezone(UTC) if row.ended_at else None
        found[row.customer].runs.append(
            RecordedRun(
                row.id, row.playbook, row.key, row.run_group, row.arm, row.entered_at.astimezone(UTC), ended
            )
        )
    sends = await connection.execute(
        text(
            "SELECT d.customer_id::text AS customer, d.run_id::text AS run_id, d.channel, d.claimed_at, d.topic, r.playbook, "
            f"{ANSWERED_AT} AS answered_at FROM deliveries d JOIN runs r ON r.id = d.run_id "
            "WHERE d.customer_id = ANY(CAST(:ids AS uuid[])) AND d.state IN ('claimed', 'accepted', 'unknown') "
            "AND d.claimed_at IS NOT NULL ORDER BY d.claimed_at"
        ),
        given,
    )
    for row in sends:
        answered = row.answered_at.astimezone(UTC) if row.answered_at else None
        sent = Sent(row.channel, row.claimed_at.astimezone(UTC), row.topic, row.playbook, answered)
        found[row.customer].sends.append(RecordedSend(row.run_id, sent))
    work = await connection.execute(
        text(
            "SELECT customer_id::text AS customer, run_id::text AS run_id, step, kind, outcome, closed_at FROM tasks "
            "WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND run_id IS NOT NULL AND state = 'done' "
            "ORDER BY closed_at"
        ),
        given,
    )
    for row in work:
        found[row.customer].work.append(
            RecordedWork(
                row.run_id,
                row.step,
                row.outcome,
                row.closed_at.astimezone(UTC),
                row.kind == "call" and row.outcome not in NO_TALK,
            )
        )


async def _load_contact(connection: AsyncConnection, found: Mapping[str, KeptPast]) -> None:
    said = await load_consent_history(connection, list(found))
    for id_, events in said.items():
        found[id_].consents = [
            (word, granted, since.astimezone(UTC)) for word, granted, since in trace_consent(events)
        ]
    profiles = {id_: past.customer.profile for id_, past in found.items()}
    for id_, channel, reason, since in await find_suppressions(connection, profiles):
        found[id_].suppressed.append((channel, reason, since.astimezone(UTC)))


async def _load_days(
    connection: AsyncConnection,
    found: Mapping[str, KeptPast],
    given: Mapping[str, Any],
    history: Sequence[str],
    days: tuple[date, date],
) -> None:
    names = sorted(set(history))
    picked = ", ".join(pick_day(name, f"name{i}") for i, name in enumerate(names))
    rows = await connection.execute(
        text(
            # Of a day that was repaired, what was known last by then.
            f"SELECT DISTINCT ON (customer_id, day) customer_id::text, day, {picked} FROM signal_history "
            "WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND day >= :since AND day < :until "
            "AND (CAST(:known_by AS timestamptz) IS NULL OR known_at <= :known_by) "
            "ORDER BY customer_id, day, revision DESC"
        ),
        {**given, "since": days[0], "until": days[1]}
        | {f"name{i}": name for i, name in enumerate(names) if name not in SIGNAL_COLUMNS},
    )
    for customer, day, *values in rows:
        kept = found[customer].days
        for name, value in zip(names, values, strict=True):
            if value is not None:
                kept.setdefault(name, []).append((day, read_value(value, SIGNAL_COLUMNS.get(name, ""))))
