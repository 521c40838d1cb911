"""Everything that is known of one customer, as one document: whatever the tables hold, in words that can be read.

Every table with a `customer_id`, or with a run's, has a section; a test compares them with the tables there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.access import Principal
from schemas.errors import NotFoundError
from store.audit import record_change
from store.customers import find_customer, load_customers, unknown_customer
from store.database import Database
from store.erasing_names import names_of

FORMAT = 1


@dataclass(frozen=True)
class Section:
    """One table's rows in the document: what they are called there, what they are, and in which order they stand."""

    name: str
    about: str
    order: str
    # Of our machinery: says nothing to anybody outside.
    without: tuple[str, ...] = ()


_OURS = ("customer_id",)
# By the table's name; those whose rows name the customer.
SECTIONS: Mapping[str, Section] = {
    "signals": Section(
        "signals", "what is known at present, worked out from the events", "customer_id", ("stamps",)
    ),
    "consents": Section("consents", "where consent stands, by channel and topic", "channel, topic"),
    "consent_events": Section("consent_history", "every yes and no, with its source and evidence", "at, id"),
    "events": Section("events", "what happened, as it was sent", "at, source, message_id"),
    "corrections": Section("corrections", "what was said of events afterwards", "at, id"),
    "tallies": Section("daily_counts", "how often what happened on which day (UTC)", "day, name, detail"),
    "signal_history": Section("signal_history", "the signals as they were on each day", "day, revision"),
    "customer_health": Section("health_history", "the health score of each day with its parts", "day"),
    "churn_predictions": Section(
        "predictions", "how likely it was that they leave, by day, with the reasons", "prediction_date"
    ),
    "success_milestones": Section("milestones", "what was to be reached, and when it was", "milestone_type"),
    "runs": Section(
        "runs", "playbooks that the customer entered", "entered_at, id", ("start_attempts", "next_start_at")
    ),
    "intervention_executions": Section("outcomes", "what those runs came to", "completed_at, run_id"),
    "exposures": Section("experiments", "which variant of what was drawn for them", "at, experiment"),
    "decisions": Section("decisions", "why a playbook began with them or didn't", "at, id"),
    "standings": Section("standings", "where they stand with playbooks whose condition holds", "playbook"),
    "entry_requests": Section(
        "entry_requests", "entries that somebody asked for by hand", "requested_at, id"
    ),
    "deliveries": Section(
        "messages", "what was sent to them, or decided against, with its text", "created_at, id"
    ),
    "inbound_messages": Section("messages_received", "what they wrote to us", "at, id"),
    "tasks": Section("tasks", "what colleagues were to do for them, and noted", "created_at, id"),
    "notices": Section("notices", "mails about those tasks and about appointments", "created_at, number"),
    "rewards": Section("rewards", "what was unlocked for them", "granted_at, id"),
    "push_tokens": Section("devices", "where they get notifications", "created_at, token_hash"),
    "waits": Section("waits", "what their runs wait for", "since, run_id"),
    "scoring_failures": Section("scoring_failures", "days on which nothing could be worked out", "day"),
    "evaluations": Section("to_be_looked_at", "that they are to be looked at", "since"),
    "due": Section("due", "when they are looked at next", "at"),
    "repairs": Section("repairs", "that their past is to be worked out anew", "since"),
    "erasures": Section("erasure", "that they are to be erased", "requested_at, id", ("external_id_hash",)),
}
# Those whose rows name a run of the customer's.
RUN_SECTIONS: Mapping[str, Section] = {
    "run_steps": Section("run_steps", "what each step of a run came to", "at, run_id, step, occurrence"),
    "run_inbox": Section("run_inbox", "what reached a run", "run_id, seq"),
    "doorbells": Section("doorbells", "runs that are to look into their inbox", "run_id"),
}


async def export_customer(database: Database, external_id: str) -> dict[str, Any]:
    """One document of everything known of the customer, sections that are empty included; ISO times, UTC.

    What is null is left out of rows. Raises NotFoundError.
    """
    async with database.transaction() as connection:
        # What is told as of one moment is of one moment.
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        now = await database.clock.read(connection)
        return await _export(connection, external_id, now)


async def _export(connection: AsyncConnection, external_id: str, now: datetime) -> dict[str, Any]:
    row = (
        await connection.execute(
            text("SELECT to_jsonb(c) AS profile, id::text AS id FROM customers c WHERE external_id = :name"),
            {"name": external_id},
        )
    ).first()
    if row is None:
        raise unknown_customer(external_id)
    document: dict[str, Any] = {
        "format": FORMAT,
        "customer": external_id,
        "exported_at": now.isoformat(),
        "about": {"profile": "who they are, as it was told", **_about()},
        "profile": _told(row.profile, ()),
    }
    by_run = "t.run_id IN (SELECT id FROM runs WHERE customer_id = CAST(:id AS uuid))"
    for sections, where in ((SECTIONS, "t.customer_id = CAST(:id AS uuid)"), (RUN_SECTIONS, by_run)):
        for table, section in sections.items():
            document[section.name] = await _rows(connection, table, section, where, {"id": row.id})
    return document | await _found_by_others(connection, row.id)


# What isn't found by the customer's id: section -> (table, what, condition, order).
FOUND_BY_OTHERS: Mapping[str, tuple[str, str, str, str]] = {
    "delivery_reports": (
        "delivery_reports", "what providers said of their messages",
        "EXISTS (SELECT FROM deliveries d WHERE d.customer_id = CAST(:id AS uuid) AND (t.delivery_id = d.id "
        "OR (t.provider = d.provider AND t.provider_id = d.provider_id)))", "at, report_id",
    ),
    "suppressions": (
        "suppressions", "addresses of theirs that nothing is sent to, by hash", "t.address_hash = ANY(:hashes)",
        "at, channel, reason",
    ),
    "messages_of_nobody": (
        "inbound_messages", "what came from an address of theirs and was found to nobody",
        "t.customer_id IS NULL AND t.address_hash = ANY(:hashes)", "at, id",
    ),
    "dead_letters": (
        "dead_letters", "what couldn't be stored and names them", "(t.body || ' ' || t.reason) ~* :names", "id"
    ),
    "requests": (
        "hook_requests", "requests of other systems that name them and aren't worked on",
        "t.body <> ''::bytea AND (encode(t.body, 'escape') || ' ' || t.query) ~* :names", "id",
    ),
    "audit": (
        "audit_log", "who did what to them, to their runs, tasks and messages",
        "t.object_id = :id OR t.object_id IN (SELECT id::text FROM runs WHERE customer_id = CAST(:id AS uuid)) "
        "OR t.object_id IN (SELECT id::text FROM tasks WHERE customer_id = CAST(:id AS uuid)) "
        "OR t.object_id IN (SELECT id::text FROM deliveries WHERE customer_id = CAST(:id AS uuid))", "at, id",
    ),
}  # fmt: skip


async def _found_by_others(connection: AsyncConnection, customer_id: str) -> dict[str, Any]:
    customer = (await load_customers(connection, [customer_id]))[customer_id]
    names = names_of(customer)
    given = {"id": customer_id, "hashes": list(names.hashes), "names": names.pattern}
    found: dict[str, Any] = {}
    for name, (table, about, where, order) in FOUND_BY_OTHERS.items():
        used = {key: value for key, value in given.items() if f":{key}" in where}
        section = Section(name, about, order, ("body",) if table == "hook_requests" else ())
        found[name] = await _rows(connection, table, section, where, used)
    return found


def _about() -> dict[str, str]:
    return {
        **{section.name: section.about for section in (*SECTIONS.values(), *RUN_SECTIONS.values())},
        **{name: about for name, (_, about, _, _) in FOUND_BY_OTHERS.items()},
    }


async def _rows(
    connection: AsyncConnection, table: str, section: Section, where: str, given: Mapping[str, Any]
) -> Sequence[Mapping[str, Any]]:
    order = ", ".join(f"t.{column.strip()}" for column in section.order.split(","))
    rows = await connection.execute(
        text(f"SELECT to_jsonb(t) AS row FROM {table} t WHERE {where} ORDER BY {order}"), given
    )
    return [_told(row.row, section.without) for row in rows]


def _told(row: Mapping[str, Any], without: Sequence[str]) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if value is not None and name not in _OURS and name not in without
    }


async def export_and_record(database: Database, external_id: str, actor: Principal) -> dict[str, Any]:
    """As `export_customer`, with who had it made in the audit log, written before it is handed over."""
    document = await export_customer(database, external_id)
    async with database.transaction() as connection:
        customer = await find_customer(connection, external_id)
        if customer is None:
            raise NotFoundError(f"There is no customer {external_id[:200]!r} any more.")
        await record_change(
            connection, actor, "customer.exported", object_kind="customer", object_id=customer.id
        )
    return document
