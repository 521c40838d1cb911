"""Entries that a person, a service or a step asks for: decided by the evaluator, answered to whoever asked."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import ConflictError, NotFoundError, UnavailableError
from store.customers import find_customer, lock_customers
from store.database import Database, encode

PATIENCE_SECONDS = 10.0
BELL = "holdfast_evaluate"


@dataclass(frozen=True, slots=True)
class EntryRequest:
    """A request that nobody has decided on yet.

    `customization`: what whoever asked wants said (message, timeline, special_offers), for the templates of the run.
    """

    id: str
    customer_id: str
    playbook: str
    reason: str
    priority: str | None = None
    customization: Mapping[str, Any] = field(default_factory=dict)
    asked_by: str = ""


async def request_entry(
    database: Database,
    playbook: str,
    external_id: str,
    reason: str,
    *,
    priority: str | None = None,
    customization: Mapping[str, Any] | None = None,
    asked_by: str = "",
    note: Callable[[AsyncConnection, EntryRequest], Awaitable[None]] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> str:
    """Ask for a customer's entry into a playbook, whatever its trigger says; returns the run's id.

    `note` is called in the transaction that puts the request.
    The other entry rules hold. Raises NotFoundError for an unknown customer or playbook, ConflictError with the reason if
    the entry is refused, UnavailableError if no worker decided in time (the request stays and is decided later).
    """
    request = str(uuid.uuid4())
    async with database.transaction() as connection:
        customer = await find_customer(connection, external_id)
        if customer is None:
            raise NotFoundError(
                f"There is no customer {external_id[:200]!r}.",
                remedy="Send an identify or track event for it first.",
            )
        if not await is_published(connection, playbook):
            raise NotFoundError(
                f"There is no playbook {playbook[:200]!r}.",
                remedy="The file's name in playbooks/ is its name; is it published?",
            )
        now = await database.clock.read(connection)
        await lock_customers(connection, [customer.id])
        asked = EntryRequest(request, customer.id, playbook, reason, priority, customization or {}, asked_by)
        await put_request(connection, asked, now)
        if note is not None:
            await note(connection, asked)
    await database.notify(BELL)
    return await _await_decision(database, request, playbook, patience_seconds)


async def is_published(connection: AsyncConnection, playbook: str) -> bool:
    """Whether there is a playbook of this name, whatever its status."""
    known = await connection.execute(text("SELECT 1 FROM playbooks WHERE name = :name"), {"name": playbook})
    return known.first() is not None


async def put_request(connection: AsyncConnection, request: EntryRequest, now: datetime) -> bool:
    """Have the evaluator decide on it (its customer is locked by the caller); False if it was put before."""
    done = await connection.execute(
        text(
            "INSERT INTO entry_requests"
            " (id, customer_id, playbook, reason, requested_at, priority, customization, asked_by) VALUES"
            " (:id, :customer, :playbook, :reason, :now, :priority, CAST(:customization AS jsonb), :asked_by)"
            " ON CONFLICT (id) DO NOTHING"
        ),
        {
            "id": request.id,
            "customer": request.customer_id,
            "playbook": request.playbook,
            "reason": request.reason,
            "now": now,
            "priority": request.priority,
            "customization": encode(request.customization),
            "asked_by": request.asked_by,
        },
    )
    if not done.rowcount:
        return False
    await connection.execute(
        text(
            "INSERT INTO evaluations (customer_id, since, changed) VALUES (:customer, :now, '{}') "
            "ON CONFLICT (customer_id) DO NOTHING"
        ),
        {"customer": request.customer_id, "now": now},
    )
    return True


async def _await_decision(database: Database, request: str, playbook: str, patience_seconds: float) -> str:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    while True:
        async with database.transaction() as connection:
            row = (
                await connection.execute(
                    text(
                        "SELECT decision, detail, run_id FROM entry_requests WHERE id = :id AND decided_at IS NOT NULL"
                    ),
                    {"id": request},
                )
            ).first()
        if row is not None and row.decision == "entered":
            return str(row.run_id)
        if row is not None:
            raise ConflictError(
                f"The customer doesn't enter {playbook}: {row.decision} ({row.detail}).",
                remedy="That is the answer of the entry rules; it is stored with the decisions.",
            )
        if loop.time() >= deadline:
            raise UnavailableError(
                "No worker has decided on this entry yet; the request stays and is decided when one runs.",
                remedy="Start a worker (`holdfast worker`), then look at `holdfast runs`.",
            )
        await asyncio.sleep(0.05)


async def load_requests(connection: AsyncConnection, customer_ids: Sequence[str]) -> list[EntryRequest]:
    """Undecided requests of these customers, oldest first."""
    rows = await connection.execute(
        text(
            "SELECT id, customer_id, playbook, reason, priority, customization, asked_by FROM entry_requests "
            "WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND decided_at IS NULL ORDER BY requested_at"
        ),
        {"ids": list(customer_ids)},
    )
    return [
        EntryRequest(
            str(r.id), str(r.customer_id), r.playbook, r.reason, r.priority, r.customization, r.asked_by
        )
        for r in rows
    ]


async def answer_requests(
    connection: AsyncConnection, answers: Sequence[tuple[str, str, str, str | None]], now: datetime
) -> None:
    """Write (request id, decision, detail, run id)."""
    await connection.execute(
        text(
            "UPDATE entry_requests e SET decided_at = :now, decision = a.decision, detail = a.detail, run_id = a.run_id "
            "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS a(id uuid, decision text, detail text, run_id uuid) "
            "WHERE e.id = a.id"
        ),
        {
            "now": now,
            "rows": encode(
                [dict(zip(("id", "decision", "detail", "run_id"), a, strict=True)) for a in answers]
            ),
        },
    )
