"""What a player needs to see: what runs did lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from store.database import Connection


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a run did, or time undid. kind: entry, message, task, reward, reward_end, end; `word` is the
    channel, arm or outcome.
    """

    kind: str
    id: str
    at: datetime
    customer: str
    playbook: str
    step: str
    word: str
    detail: str

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.kind}/{self.id}"


async def load_happenings(connection: Connection, since: datetime) -> list[Happening]:
    """What runs did from `since` on, oldest first."""
    rows = await connection.execute(
        text(
            "SELECT kind, h.id::text, at, c.external_id AS customer, playbook, step, word, detail FROM ("
            "SELECT 'entry' AS kind, id, entered_at AS at, customer_id, playbook, '' AS step, arm AS word, "
            "trigger ->> 'reason' AS detail FROM runs WHERE entered_at >= :since "
            "UNION ALL SELECT 'message', d.id, d.settled_at, d.customer_id, r.playbook, d.step, d.channel, "
            "coalesce(d.content ->> 'subject', d.content ->> 'title', d.content ->> 'text', '') "
            "FROM deliveries d JOIN runs r ON r.id = d.run_id WHERE d.state = 'accepted' AND d.settled_at >= :since "
            "UNION ALL SELECT 'task', t.id, t.created_at, t.customer_id, r.playbook, t.step, t.kind, t.title "
            "FROM tasks t JOIN runs r ON r.id = t.run_id WHERE t.created_at >= :since "
            "UNION ALL SELECT 'reward', w.id, w.granted_at, w.customer_id, r.playbook, w.step, 'granted', "
            "w.feature || coalesce(' for ' || (w.until - w.granted_at)::text, '') "
            "FROM rewards w JOIN runs r ON r.id = w.run_id WHERE w.granted_at >= :since "
            "UNION ALL SELECT 'reward_end', w.id, w.revoked_at, w.customer_id, r.playbook, w.step, 'taken_back', "
            # Taken back as of its end, which may lie before the last look.
            "w.feature FROM rewards w JOIN runs r ON r.id = w.run_id WHERE w.revoked_at >= :since - interval '1 hour' "
            "UNION ALL SELECT 'end', id, ended_at, customer_id, playbook, '', outcome, reason FROM runs "
            "WHERE ended_at >= :since AND arm <> 'shadow'"
            ") h JOIN customers c ON c.id = h.customer_id "
            "ORDER BY at, kind"
        ),
        {"since": since},
    )
    return [Happening(**row._mapping) for row in rows]
