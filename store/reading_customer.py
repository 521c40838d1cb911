"""One customer's page: the line of everything that happened, and when each signal came to what it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.condition import Value
from schemas.signal_value import WrongType
from store import signals
from store.tables import SIGNAL_COLUMNS

Kind = Literal["event", "message", "run", "step", "task", "consent", "level"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Most look at what is new: older partitions are asked only where that isn't enough for a page.
RECENT = timedelta(days=62)
# Days are those of clients' own clocks, which may be a little off the moments.
MARGIN = timedelta(days=2)
EVER = date(1, 1, 1)
# A change of level is seen only beside the day before it; so long a pause between two days of scores may be.
BESIDE = timedelta(days=40)
CHANGES_BACK = timedelta(days=90)


class TimelinePlace(NamedTuple):
    """Where a happening stands in the line: its moment, and what tells it from others of that moment."""

    at: datetime
    key: str


@dataclass(frozen=True)
class TimelineRow:
    """One happening. `name` is what happened (an event's, playbook's or step's name), `state` a word for a badge,
    `told` more in words; `run_id` and `object_id` (a message's or task's) lead to it. Properties are those of an event.
    """

    kind: Kind
    at: datetime
    key: str
    name: str
    state: str
    told: str
    run_id: str | None = None
    object_id: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> TimelinePlace:
        """Where the rows after it begin."""
        return TimelinePlace(self.at, self.key)


_EMPTY = "'{}'::jsonb"
# A message as it stands now: what its provider said last, else how far we got.
_STANDING = "CASE WHEN d.seen_at IS NOT NULL THEN 'seen' ELSE coalesce(nullif(d.status, ''), d.state) END"
_HEADLINE = (
    "coalesce(d.content ->> 'subject', d.content ->> 'title', d.content ->> 'text', d.template, d.step, '')"
)


def _levels(table: str, day: str, level: str, name: str, told: str) -> str:
    return (
        f"SELECT 'level' AS kind, calculated_at AS at, 'level/{name}/' || {day} AS key, '{name}' AS name, "
        f"{level} AS state, concat('was ', replace(earlier, '_', ' '), {told}) AS told, NULL::text AS run_id, "
        f"NULL::text AS object_id, {_EMPTY} AS properties FROM (SELECT *, lag({level}) OVER (ORDER BY {day}) AS earlier "
        f"FROM {table} WHERE customer_id = CAST(:id AS uuid) AND {day} >= :beside) l "
        f"WHERE {day} >= :since AND earlier IS DISTINCT FROM {level} AND earlier IS NOT NULL AND {level} IS NOT NULL"
    )


# By kind, what it is made of. Every part has the same columns, and is cut to a page before they are put together.
_PARTS: Mapping[Kind, Sequence[str]] = {
    "event": (
        "SELECT 'event' AS kind, at, 'event/' || source || '/' || message_id AS key, name, '' AS state, '' AS told, "
        "NULL::text AS run_id, NULL::text AS object_id, properties FROM events "
        "WHERE customer_id = CAST(:id AS uuid) AND day >= :since",
    ),
    "message": (
        f"SELECT 'message' AS kind, d.created_at AS at, 'message/' || d.id AS key, d.channel AS name, "
        f"{_STANDING} AS state, left({_HEADLINE}, 200) AS told, d.run_id::text AS run_id, d.id::text AS object_id, "
        f"{_EMPTY} AS properties FROM deliveries d WHERE d.customer_id = CAST(:id AS uuid)",
        f"SELECT 'message' AS kind, i.at, 'reply/' || i.id AS key, i.channel AS name, 'wrote' AS state, "
        f"left(i.text, 200) AS told, NULL::text AS run_id, NULL::text AS object_id, {_EMPTY} AS properties "
        "FROM inbound_messages i WHERE i.customer_id = CAST(:id AS uuid)",
    ),
    "run": (
        f"SELECT 'run' AS kind, r.entered_at AS at, 'entered/' || r.id AS key, r.playbook AS name, CASE r.arm "
        f"WHEN 'treated' THEN 'entered' ELSE r.arm END AS state, coalesce(r.trigger ->> 'reason', '') AS told, "
        f"r.id::text AS run_id, NULL::text AS object_id, {_EMPTY} AS properties FROM runs r "
        "WHERE r.customer_id = CAST(:id AS uuid)",
        f"SELECT 'run' AS kind, r.ended_at AS at, 'ended/' || r.id AS key, r.playbook AS name, "
        f"coalesce(r.outcome, 'ended') AS state, coalesce(r.reason, '') AS told, r.id::text AS run_id, "
        f"NULL::text AS object_id, {_EMPTY} AS properties FROM runs r "
        "WHERE r.customer_id = CAST(:id AS uuid) AND r.ended_at IS NOT NULL",
    ),
    "step": (
        "SELECT 'step' AS kind, p.at, 'step/' || p.run_id || '/' || p.step || '/' || p.occurrence AS key, "
        "p.step AS name, p.outcome AS state, concat_ws(' · ', r.playbook, nullif(p.detail, '')) AS told, "
        f"p.run_id::text AS run_id, NULL::text AS object_id, {_EMPTY} AS properties FROM runs r "
        "JOIN run_steps p ON p.run_id = r.id WHERE r.customer_id = CAST(:id AS uuid)",
    ),
    "task": (
        f"SELECT 'task' AS kind, t.created_at AS at, 'opened/' || t.id AS key, t.title AS name, 'open' AS state, "
        "concat_ws(' · ', 'for ' || coalesce(t.taken_by, t.escalated_to, t.assignee), nullif(t.about, '')) AS told, "
        f"t.run_id::text AS run_id, t.id::text AS object_id, {_EMPTY} AS properties FROM tasks t "
        "WHERE t.customer_id = CAST(:id AS uuid)",
        f"SELECT 'task' AS kind, t.closed_at AS at, 'closed/' || t.id AS key, t.title AS name, "
        "coalesce(t.outcome, t.state) AS state, concat_ws(' · ', 'by ' || t.completed_by, nullif(t.notes, '')) AS told, "
        f"t.run_id::text AS run_id, t.id::text AS object_id, {_EMPTY} AS properties FROM tasks t "
        "WHERE t.customer_id = CAST(:id AS uuid) AND t.closed_at IS NOT NULL",
    ),
    "consent": (
        "SELECT 'consent' AS kind, e.at, 'consent/' || lpad(e.id::text, 20, '0') AS key, "
        "e.channel || CASE WHEN e.topic = '' THEN '' ELSE ':' || e.topic END AS name, "
        "CASE WHEN e.granted THEN 'granted' ELSE 'refused' END AS state, 'by ' || e.source AS told, "
        f"NULL::text AS run_id, NULL::text AS object_id, {_EMPTY} AS properties FROM consent_events e "
        "WHERE e.customer_id = CAST(:id AS uuid)",
    ),
    "level": (
        _levels("customer_health", "day", "risk_level", "health", "', score ' || health_score"),
        _levels(
            "churn_predictions", "prediction_date", "risk_level", "churn",
            "', probability ' || round(100 * churn_probability::numeric) || ' %'",
        ),
    ),
}  # fmt: skip


async def list_timeline(
    connection: AsyncConnection,
    customer_id: str,
    now: datetime,
    *,
    kinds: Collection[Kind] = KINDS,
    limit: int = 40,
    before: TimelinePlace | None = None,
) -> list[TimelineRow]:
    """What happened to a customer, newest first, at most `limit` after the place `before`.

    A message is one happening, with how it stands now; a run or a task is one when it begins and one when it ends.
    """
    start = (before.at if before else now).astimezone(UTC).date()
    given: dict[str, Any] = {"id": customer_id, "limit": limit}
    if before is not None:
        given |= {"at": before.at, "key": before.key}
    statement = text(_write(frozenset(kinds), before is not None))
    rows: Sequence[Any] = ()
    for since in (start - RECENT, EVER):
        beside = since - BESIDE if since > EVER else EVER
        rows = (await connection.execute(statement, {**given, "since": since, "beside": beside})).all()
        # What has no partitions is told however old it is: beyond the days that were looked at, the rest is missing.
        if len(rows) == limit and rows[-1].at.astimezone(UTC).date() > since + MARGIN:
            break
    return [TimelineRow(**row._mapping) for row in rows]


def _write(kinds: frozenset[str], following: bool) -> str:
    # Keys are compared byte by byte, whatever the database's language.
    order = 'at DESC, key COLLATE "C" DESC LIMIT :limit'
    after = (
        'WHERE (at, key COLLATE "C") < (CAST(:at AS timestamptz), CAST(:key AS text) COLLATE "C") '
        if following
        else ""
    )
    parts = [part for kind in KINDS if kind in kinds for part in _PARTS[kind]]
    cut = " UNION ALL ".join(f"(SELECT * FROM ({part}) x {after}ORDER BY {order})" for part in parts)
    # Which days are looked at is said in any case, so that every choice of kinds takes the same parameters.
    return f"SELECT * FROM ({cut}) x WHERE CAST(:since AS date) >= CAST(:beside AS date) ORDER BY {order}"


@dataclass(frozen=True, slots=True)
class KnownSignal:
    """A signal's value, and since when it is that: the moment of the event that set it, or the first day on which it
    was so at midnight (None: as long as is looked back, or never looked at).
    """

    value: Value
    wrong: bool = False
    set_at: datetime | None = None
    since: date | None = None


async def load_signals(
    connection: AsyncConnection, customer_id: str, now: datetime
) -> tuple[dict[str, KnownSignal], datetime | None]:
    """A customer's stored signals by name, and when any of them last changed."""
    stored = (await signals.load(connection, [customer_id])).get(customer_id)
    if stored is None:
        return {}, None
    rows = await connection.execute(
        text(
            f"SELECT DISTINCT ON (day) day, custom, {', '.join(SIGNAL_COLUMNS)} FROM signal_history "
            "WHERE customer_id = CAST(:id AS uuid) AND day > :since ORDER BY day DESC, revision DESC"
        ),
        {"id": customer_id, "since": now.astimezone(UTC).date() - CHANGES_BACK},
    )
    days = [dict(row._mapping) for row in rows]
    at = await connection.execute(
        text("SELECT changed_at FROM signals WHERE customer_id = CAST(:id AS uuid)"), {"id": customer_id}
    )
    found = {
        name: KnownSignal(
            value.raw if isinstance(value, WrongType) else value,
            isinstance(value, WrongType),
            stored.stamps.get(name),
            _since(name, value, days),
        )
        for name, value in stored.values.items()
    }
    return found, at.scalar()


def _since(name: str, value: object, days: Sequence[Mapping[str, Any]]) -> date | None:
    """The first day on which it was what it is; `days` from the newest."""
    wanted = value.raw if isinstance(value, WrongType) else list(value) if isinstance(value, tuple) else value
    since: date | None = None
    for day in days:
        held = day[name] if name in SIGNAL_COLUMNS else day["custom"].get(name)
        if held != wanted:
            # A value that no midnight has seen yet is of the time since the last one.
            return since or day["day"] + timedelta(days=1)
        since = day["day"]
    return None
