"""Erasures: one row for each, from the moment it is asked for; afterwards it is the tombstone that outlives the customer.

fenced (nothing new begins, nothing is taken in or sent) -> cancelling (runs are closed, their executions go) -> erasing
(what is stored goes) -> done. Each step may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.access import Principal
from schemas.errors import NotFoundError
from schemas.run import Interruption
from store import runs
from store.addresses import ADDRESS_TRAITS, address_of, find_by_address, hash_address
from store.audit import record_change
from store.customers import load_customers, lock_customers, unknown_customer
from store.database import encode
from store.erasing_fence import hash_external_id
from store.push_tokens import PushToken, address_of_token

State = Literal["fenced", "cancelling", "erasing", "done"]
SUPPRESSED_AS = "erased"
RUN_REASON = "the customer is erased"


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure. `detail`: `not_before` (a run that was being started may appear in Temporal until then), `left` (how
    many executions are not gone yet), `executions`, `rows` by table, `again` (how often a backup brought them back).
    """

    id: str
    customer_id: str
    external_id_hash: str
    requested_by: str
    reason: str
    requested_at: datetime
    state: State
    finished_at: datetime | None
    allowed_again_at: datetime | None
    detail: Mapping[str, Any]


_FIELDS = ", ".join(Erasure.__dataclass_fields__)


def _erasure(row: Any) -> Erasure:
    given = dict(row._mapping)
    given["id"], given["customer_id"] = str(row.id), str(row.customer_id)
    return Erasure(**given)


async def request_erasure(
    connection: AsyncConnection, external_id: str, actor: Principal, *, reason: str, now: datetime
) -> Erasure:
    """Fence the customer: from this transaction's commit on nothing of theirs is taken in, entered, claimed or sent.

    Asking again gives the erasure there is. Raises NotFoundError for a customer who isn't there and never was erased.
    """
    hashed = hash_external_id(external_id)
    row = (
        await connection.execute(
            text("SELECT id::text AS id FROM customers WHERE external_id = :name"), {"name": external_id}
        )
    ).first()
    if row is None:
        if found := await find_erasure(connection, external_id):
            return found
        raise unknown_customer(external_id)
    await _lock(connection, row.id)
    inserted = await connection.execute(
        text(
            "INSERT INTO erasures (customer_id, external_id_hash, requested_by, reason, requested_at, state) "
            "SELECT CAST(:customer AS uuid), :hash, :by, :reason, :now, 'fenced' WHERE NOT EXISTS ("
            "SELECT FROM erasures WHERE customer_id = CAST(:customer AS uuid)) RETURNING id::text AS id"
        ),
        {"customer": row.id, "hash": hashed, "by": actor.name[:300], "reason": reason[:1000], "now": now},
    )
    new = inserted.first()
    if new is None:
        existing = await _of_customer(connection, row.id)
        if existing.state == "done":
            await reopen(connection, existing.id, now)
        return await load_erasure(connection, existing.id)
    await fence(connection, new.id, row.id, now)
    await record_change(
        connection, actor, "customer.erasure_requested", object_kind="customer", object_id=row.id,
        after={"erasure": new.id},
    )  # fmt: skip
    return await load_erasure(connection, new.id)


async def _lock(connection: AsyncConnection, customer_id: str) -> None:
    """Lock the customer, and whoever shares an address with them: nothing is claimed for it after the commit."""
    before = (await load_customers(connection, [customer_id])).get(customer_id)
    sharing = {customer_id}
    for channel in ADDRESS_TRAITS:
        if before is not None and (address := address_of(channel, before.profile)):
            sharing |= set(await find_by_address(connection, channel, address))
    await lock_customers(connection, sorted(sharing))


async def fence(connection: AsyncConnection, erasure_id: str, customer_id: str, now: datetime) -> None:
    """Suppress the customer's addresses for good, mark their open runs to end, and take them out of all queues."""
    customer = (await load_customers(connection, [customer_id])).get(customer_id)
    addresses = {
        (channel, hash_address(channel, address))
        for channel in ADDRESS_TRAITS
        if customer is not None and (address := address_of(channel, customer.profile))
    }
    tokens = await connection.execute(
        text("SELECT kind, token FROM push_tokens WHERE customer_id = CAST(:id AS uuid)"), {"id": customer_id}
    )
    devices = [PushToken(row.kind, row.token) for row in tokens]
    addresses |= {("push", hash_address("push", address_of_token(device))) for device in devices}
    if addresses:
        await connection.execute(
            text(
                "INSERT INTO suppressions (channel, address_hash, reason, source, at) "
                "VALUES (:channel, :hash, :reason, :source, :now) ON CONFLICT DO NOTHING"
            ),
            [
                {"channel": channel, "hash": hashed, "reason": SUPPRESSED_AS, "source": f"erasure {erasure_id}",
                 "now": now}
                for channel, hashed in sorted(addresses)
            ],
        )  # fmt: skip
    open_runs = await runs.load_open_runs(connection, [customer_id])
    starting = any(run.state == "starting" for run in open_runs)
    # Not rung: what runs is deleted at once, what has ended only after Temporal has cleaned up behind it.
    interruption = Interruption(kind="stop", outcome="stopped", reason=RUN_REASON, at=now)
    await connection.execute(
        text(
            "UPDATE runs SET interruption = CAST(:value AS jsonb) "
            "WHERE customer_id = CAST(:id AS uuid) AND ended_at IS NULL AND interruption IS NULL"
        ),
        {"id": customer_id, "value": interruption.model_dump_json()},
    )
    for queue in ("evaluations", "due"):
        await connection.execute(
            text(f"DELETE FROM {queue} WHERE customer_id = CAST(:id AS uuid)"), {"id": customer_id}
        )
    await drop_notices(connection, customer_id)
    if starting:
        # Whoever leased it may start it after we looked.
        await note_progress(connection, erasure_id, {"not_before": (now + runs.LEASE).isoformat()})


async def load_erasure(connection: AsyncConnection, erasure_id: str, *, lock: bool = False) -> Erasure:
    """One erasure. Raises NotFoundError."""
    row = (
        await connection.execute(
            text(f"SELECT {_FIELDS} FROM erasures WHERE id = :id" + (" FOR UPDATE" if lock else "")),
            {"id": erasure_id},
        )
    ).first()
    if row is None:
        raise NotFoundError(
            f"There is no erasure {erasure_id}.", remedy="`holdfast erase --list` lists them."
        )
    return _erasure(row)


async def find_erasure(connection: AsyncConnection, external_id: str) -> Erasure | None:
    """The last erasure of whom the caller calls so, if there ever was one."""
    row = (
        await connection.execute(
            text(
                f"SELECT {_FIELDS} FROM erasures WHERE external_id_hash = :hash ORDER BY requested_at DESC LIMIT 1"
            ),
            {"hash": hash_external_id(external_id)},
        )
    ).first()
    return _erasure(row) if row else None


async def _of_customer(connection: AsyncConnection, customer_id: str) -> Erasure:
    rows = await connection.execute(
        text(f"SELECT {_FIELDS} FROM erasures WHERE customer_id = :id ORDER BY requested_at DESC LIMIT 1"),
        {"id": customer_id},
    )
    return _erasure(rows.one())


async def load_unfinished(connection: AsyncConnection, limit: int) -> list[Erasure]:
    """Erasures that aren't done, oldest first."""
    rows = await connection.execute(
        text(f"SELECT {_FIELDS} FROM erasures WHERE state <> 'done' ORDER BY requested_at, id LIMIT :limit"),
        {"limit": limit},
    )
    return [_erasure(row) for row in rows]


async def list_erasures(connection: AsyncConnection, limit: int) -> list[Erasure]:
    """All there are, the latest first."""
    rows = await connection.execute(
        text(f"SELECT {_FIELDS} FROM erasures ORDER BY requested_at DESC, id LIMIT :limit"), {"limit": limit}
    )
    return [_erasure(row) for row in rows]


async def move_on(connection: AsyncConnection, erasure_id: str, before: State, after: State) -> bool:
    """From one state to the next; False if somebody else did."""
    done = await connection.execute(
        text("UPDATE erasures SET state = :after WHERE id = :id AND state = :before"),
        {"id": erasure_id, "before": before, "after": after},
    )
    return bool(done.rowcount)


async def note_progress(connection: AsyncConnection, erasure_id: str, detail: Mapping[str, Any]) -> None:
    """Add to what is told of the erasure; what it is told already is replaced."""
    await connection.execute(
        text("UPDATE erasures SET detail = detail || CAST(:detail AS jsonb) WHERE id = :id"),
        {"id": erasure_id, "detail": encode(dict(detail))},
    )


async def count_rows(connection: AsyncConnection, erasure_id: str, rows: Mapping[str, int]) -> None:
    """Add to the counts of rows that are gone, by table."""
    erasure = await load_erasure(connection, erasure_id, lock=True)
    counts = dict(erasure.detail.get("rows", {}))
    for table, count in rows.items():
        if count:
            counts[table] = counts.get(table, 0) + count
    await note_progress(connection, erasure_id, {"rows": counts})


async def count_claims(connection: AsyncConnection, customer_id: str, since: datetime) -> int:
    """How many of the customer's messages may be on their way: claimed after `since`, and not settled."""
    found = await connection.execute(
        text(
            "SELECT count(*) FROM deliveries WHERE customer_id = CAST(:id AS uuid) AND state = 'claimed' "
            "AND claimed_at > :since"
        ),
        {"id": customer_id, "since": since},
    )
    return int(found.scalar_one())


async def drop_notices(connection: AsyncConnection, customer_id: str) -> None:
    """Mails about appointments that wait to be sent to the customer aren't."""
    await connection.execute(
        text(
            "DELETE FROM notices WHERE customer_id = CAST(:id AS uuid) AND recipient = 'customer' AND state = 'waiting'"
        ),
        {"id": customer_id},
    )


async def load_executions(connection: AsyncConnection, customer_id: str) -> list[tuple[str, str | None]]:
    """(workflow id, id of the first execution of its chain) of every run that the customer ever had."""
    rows = await connection.execute(
        text(
            "SELECT DISTINCT workflow_id, execution_id FROM runs WHERE customer_id = CAST(:id AS uuid) AND arm <> 'held_out' "
            "ORDER BY workflow_id"
        ),
        {"id": customer_id},
    )
    return [(row.workflow_id, row.execution_id) for row in rows]


async def reopen(connection: AsyncConnection, erasure_id: str, now: datetime) -> None:
    """A customer who was erased is there again, from a backup: do it again."""
    await _lock(connection, (await load_erasure(connection, erasure_id)).customer_id)
    erasure = await load_erasure(connection, erasure_id, lock=True)
    if erasure.state != "done":
        return
    await connection.execute(
        text("UPDATE erasures SET state = 'fenced', finished_at = NULL WHERE id = :id"), {"id": erasure_id}
    )
    await note_progress(connection, erasure_id, {"again": int(erasure.detail.get("again", 0)) + 1})
    await fence(connection, erasure_id, erasure.customer_id, now)
