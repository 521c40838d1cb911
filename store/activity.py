"""When customers were there: logins, and messages that they opened or answered."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Beside the catalogue's `login`: openings as Segment names them, and what providers report of our own messages (what
# programs opened makes no event).
PRESENCE_EVENTS = (
    "login", "email_opened", "push_opened", "message_opened", "message_clicked", "message_replied",
    "Email Opened", "Email Link Clicked", "Push Notification Tapped",
)  # fmt: skip
# Enough to know somebody's habits, and little to read for somebody who logs in by script.
_LIMIT = 1000


async def load_presence(
    connection: AsyncConnection, customer_id: str, since: datetime, now: datetime
) -> list[datetime]:
    """The latest instants at which this customer was there, newest first.

    Tallies count by UTC day and can't tell hours, so the events themselves are read, over their index by customer
    and name.
    """
    rows = await connection.execute(
        text(
            "SELECT at FROM events WHERE customer_id = :customer AND name = ANY(:names) AND at >= :since AND at <= :now "
            "UNION ALL SELECT seen_at FROM deliveries WHERE customer_id = :customer AND seen_at >= :since "
            "AND seen_at <= :now ORDER BY 1 DESC LIMIT :limit"
        ),
        {
            "customer": customer_id, "names": list(PRESENCE_EVENTS), "since": since, "now": now, "limit": _LIMIT,
        },
    )  # fmt: skip
    return [row.at for row in rows]
