"""What bears on a message beside the customer's own messages before: those that wait, talks with people, and how
everybody answers.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.message_part import CHANNEL_PARTS
from schemas.sent import Waiting
from store.deliveries import ANSWERED_AT, delivery_id

# Where the record of a step that caps hold says so.
CAPPED = "capped"
# A call that nobody answered was no talk.
NO_TALK = ("no_answer", "cancelled", "overdue")


async def load_waiting(connection: AsyncConnection, customer_id: str, *, shadow: bool) -> list[Waiting]:
    """This customer's messages that caps hold just now, of runs that go on; shadow: those of shadow runs, too."""
    rows = await connection.execute(
        text(
            "SELECT s.run_id::text AS run, s.step, s.occurrence, s.output -> :capped AS waits, s.at, r.playbook "
            "FROM runs r JOIN run_steps s ON s.run_id = r.id WHERE r.customer_id = CAST(:customer AS uuid) "
            "AND r.ended_at IS NULL AND NOT r.paused AND (r.arm <> 'shadow' OR :shadow) "
            "AND s.outcome = 'holding' AND s.output -> :capped IS NOT NULL"
        ),
        {"customer": customer_id, "capped": CAPPED, "shadow": shadow},
    )
    return [
        Waiting(
            channel=row.waits["channel"],
            until=datetime.fromisoformat(row.waits["until"]),
            due_at=row.at,
            priority=row.waits["priority"],
            key=delivery_id(row.run, row.step, row.occurrence),
            topic=row.waits["topic"],
            by=row.playbook,
        )
        for row in rows
    ]


async def load_contact(
    connection: AsyncConnection, customer_id: str, reply_event: str, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """When this customer last wrote to us, and when a call with them was last completed."""
    row = (
        await connection.execute(
            text(
                "SELECT (SELECT max(at) FROM events WHERE customer_id = CAST(:customer AS uuid) AND name = :reply "
                "AND at <= :now) AS replied_at, (SELECT max(closed_at) FROM tasks "
                "WHERE customer_id = CAST(:customer AS uuid) AND kind = 'call' AND state = 'done' "
                "AND NOT outcome = ANY(:no_talk) AND closed_at <= :now) AS called_at"
            ),
            {"customer": customer_id, "reply": reply_event, "no_talk": list(NO_TALK), "now": now},
        )
    ).one()
    return row.replied_at, row.called_at


async def count_answers(
    connection: AsyncConnection, since: datetime, before: datetime
) -> dict[str, tuple[int, int]]:
    """channel -> (messages that were taken from `since` to `before`, of them answered), of all customers."""
    rows = await connection.execute(
        text(
            f"SELECT d.channel, count(*) AS sent, count({ANSWERED_AT}) AS answered FROM deliveries d "
            "WHERE d.settled_at >= :since AND d.settled_at < :before AND d.state = 'accepted' "
            "AND d.channel = ANY(:channels) GROUP BY d.channel"
        ),
        {"since": since, "before": before, "channels": list(CHANNEL_PARTS)},
    )
    return {row.channel: (row.sent, row.answered) for row in rows}
