"""What a playbook does just now: how many are where, what they were sent, what came of them, by step, arm and reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.reading_rows import Row

# How far back what is told of messages, decisions and shadows reaches.
DAYS = 30


class FiguresRow(Row):
    """One published playbook as it goes; entries of the last 7 and 30 days are of treated and held-out runs, messages
    those that left in the last 30. `ended` and `succeeded` count treated runs that are over.
    """

    name: str
    title: str
    about: str
    owner: str
    status: str
    version: str
    group: str | None
    priority: int
    updated_at: datetime
    open: int
    entered_7_days: int
    entered_30_days: int
    held_out: int
    shadows: int
    ended: int
    succeeded: int
    held_out_ended: int
    held_out_succeeded: int
    messages: int


class StepFigures(Row):
    """What one step came to in the last 30 days, and how many runs are at it now."""

    step: str
    open: int = 0
    reached: int = 0
    sent: int = 0
    delivered: int = 0
    opened: int = 0
    clicked: int = 0
    failed: int = 0
    skipped: int = 0


class ReasonRow(Row):
    """How often it was decided so, by the reason and, where a condition failed, its first failing line."""

    reason: str
    line: str
    count: int


class ArmRow(Row):
    """One arm of an experiment: who was exposed to it, of those whose run is over, and of these who reached the goal."""

    experiment: str
    variant: str
    exposed: int
    ended: int
    succeeded: int
    first_at: datetime
    last_at: datetime


class ShadowStep(Row):
    """What a step of the shadow runs would have done, how often."""

    step: str
    word: str
    outcome: str
    count: int


@dataclass(frozen=True)
class Shadow:
    """The shadow runs of the last 30 days: how many customers and runs, by day and by what came of them, and what their
    steps would have done.
    """

    customers: int
    runs: int
    open: int
    would_hold_out: int
    by_day: Mapping[date, int]
    outcomes: Mapping[str, int]
    steps: Sequence[ShadowStep]


_FIGURES = """
    SELECT p.name, coalesce(p.compiled ->> 'title', p.name) AS title, coalesce(p.compiled ->> 'about', '') AS about,
        coalesce(p.compiled ->> 'owner', '') AS owner, p.status, p.version, p.compiled ->> 'group' AS "group",
        coalesce((p.compiled ->> 'priority')::int, 50) AS priority, p.updated_at,
        coalesce(n.open, 0) AS open, coalesce(n.entered_7_days, 0) AS entered_7_days,
        coalesce(n.entered_30_days, 0) AS entered_30_days, coalesce(n.held_out, 0) AS held_out,
        coalesce(n.shadows, 0) AS shadows, coalesce(n.ended, 0) AS ended, coalesce(n.succeeded, 0) AS succeeded,
        coalesce(n.held_out_ended, 0) AS held_out_ended, coalesce(n.held_out_succeeded, 0) AS held_out_succeeded,
        coalesce(m.messages, 0) AS messages
    FROM playbooks p
    LEFT JOIN (
        SELECT playbook, count(*) FILTER (WHERE ended_at IS NULL AND arm = 'treated') AS open,
            count(*) FILTER (WHERE arm <> 'shadow' AND entered_at >= :now - interval '7 days') AS entered_7_days,
            count(*) FILTER (WHERE arm <> 'shadow' AND entered_at >= :now - interval '30 days') AS entered_30_days,
            count(*) FILTER (WHERE arm = 'held_out') AS held_out,
            count(*) FILTER (WHERE arm = 'shadow') AS shadows,
            count(*) FILTER (WHERE ended_at IS NOT NULL AND arm = 'treated') AS ended,
            count(*) FILTER (WHERE outcome = 'success' AND arm = 'treated') AS succeeded,
            count(*) FILTER (WHERE ended_at IS NOT NULL AND arm = 'held_out') AS held_out_ended,
            count(*) FILTER (WHERE outcome = 'success' AND arm = 'held_out') AS held_out_succeeded
        FROM runs WHERE CAST(:name AS text) IS NULL OR playbook = :name GROUP BY playbook
    ) n ON n.playbook = p.name
    LEFT JOIN (
        SELECT r.playbook, count(*) AS messages FROM deliveries d JOIN runs r ON r.id = d.run_id
        WHERE d.state = 'accepted' AND d.settled_at >= :now - interval '30 days'
        AND (CAST(:name AS text) IS NULL OR r.playbook = :name) GROUP BY r.playbook
    ) m ON m.playbook = p.name
    WHERE CAST(:name AS text) IS NULL OR p.name = :name
    ORDER BY (p.status = 'retired'), p.name
    """


async def list_figures(
    connection: AsyncConnection, now: datetime, *, name: str | None = None
) -> list[FiguresRow]:
    """Every published playbook (or the one of that name) with its figures at `now`, retired ones last."""
    rows = await connection.execute(text(_FIGURES), {"now": now, "name": name})
    return [FiguresRow.model_validate(dict(row._mapping)) for row in rows]


async def list_startable(connection: AsyncConnection) -> list[tuple[str, str, str]]:
    """(name, title, status) of the playbooks that somebody may ask a customer into, by title."""
    rows = await connection.execute(
        text(
            "SELECT name, coalesce(compiled ->> 'title', name) AS title, status FROM playbooks "
            "WHERE status IN ('live', 'shadow') ORDER BY lower(coalesce(compiled ->> 'title', name)), name"
        )
    )
    return [(row.name, row.title, row.status) for row in rows]


async def load_source(connection: AsyncConnection, publication: int) -> str:
    """The text that was published then; empty where none was kept."""
    row = await connection.execute(
        text("SELECT source FROM publications WHERE id = :id"), {"id": publication}
    )
    return row.scalar() or ""


async def list_step_figures(
    connection: AsyncConnection, playbook: str, now: datetime
) -> dict[str, StepFigures]:
    """What the steps of a playbook's real runs came to, by the step's id; steps of all versions are among them."""
    rows = await connection.execute(
        text(
            """
            WITH mine AS (SELECT id, step, ended_at FROM runs WHERE playbook = :playbook AND arm = 'treated'
                AND (ended_at IS NULL OR ended_at >= :now - make_interval(days => :days))),
            here AS (SELECT step, count(*) AS open FROM mine WHERE ended_at IS NULL AND step IS NOT NULL GROUP BY step),
            done AS (SELECT s.step, count(DISTINCT s.run_id) AS reached FROM run_steps s JOIN mine ON mine.id = s.run_id
                WHERE s.at >= :now - make_interval(days => :days) GROUP BY s.step),
            told AS (SELECT d.step, count(*) FILTER (WHERE d.state = 'accepted') AS sent,
                count(*) FILTER (WHERE d.delivered_at IS NOT NULL) AS delivered,
                count(*) FILTER (WHERE coalesce(d.opened_at, d.seen_at) IS NOT NULL) AS opened,
                count(*) FILTER (WHERE d.clicked_at IS NOT NULL) AS clicked,
                count(*) FILTER (WHERE d.state = 'failed') AS failed,
                count(*) FILTER (WHERE d.state = 'skipped') AS skipped
                FROM deliveries d JOIN mine ON mine.id = d.run_id
                WHERE d.created_at >= :now - make_interval(days => :days) GROUP BY d.step)
            SELECT step, coalesce(open, 0) AS open, coalesce(reached, 0) AS reached, coalesce(sent, 0) AS sent,
                coalesce(delivered, 0) AS delivered, coalesce(opened, 0) AS opened, coalesce(clicked, 0) AS clicked,
                coalesce(failed, 0) AS failed, coalesce(skipped, 0) AS skipped
            FROM here FULL JOIN done USING (step) FULL JOIN told USING (step)
            """
        ),
        {"playbook": playbook, "now": now, "days": DAYS},
    )
    found = [StepFigures.model_validate(dict(row._mapping)) for row in rows]
    return {row.step: row for row in found}


async def list_reasons(connection: AsyncConnection, playbook: str, today: date) -> list[ReasonRow]:
    """What was decided about entering in the last 30 days, most often first."""
    rows = await connection.execute(
        text(
            "SELECT reason, line, sum(count)::bigint AS count FROM decision_counts WHERE playbook = :playbook "
            "AND day > CAST(:today AS date) - CAST(:days AS int) GROUP BY reason, line ORDER BY 3 DESC, 1, 2 LIMIT 60"
        ),
        {"playbook": playbook, "today": today, "days": DAYS},
    )
    return [ReasonRow.model_validate(dict(row._mapping)) for row in rows]


async def list_arms(connection: AsyncConnection, playbook: str) -> list[ArmRow]:
    """The arms of the playbook's experiments with what came of those who were exposed, by experiment and arm."""
    rows = await connection.execute(
        text(
            "SELECT substr(x.experiment, strpos(x.experiment, '/') + 1) AS experiment, x.variant, count(*) AS exposed, "
            "count(*) FILTER (WHERE r.ended_at IS NOT NULL) AS ended, "
            "count(*) FILTER (WHERE r.outcome = 'success') AS succeeded, min(x.at) AS first_at, max(x.at) AS last_at "
            "FROM exposures x JOIN runs r ON r.id = x.run_id WHERE starts_with(x.experiment, :prefix) "
            "AND r.playbook = :playbook AND r.arm = 'treated' GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        {"playbook": playbook, "prefix": f"{playbook}/"},
    )
    return [ArmRow.model_validate(dict(row._mapping)) for row in rows]


async def read_shadow(connection: AsyncConnection, playbook: str, now: datetime) -> Shadow:
    """What the playbook's shadow runs of the last 30 days would have been."""
    given: dict[str, Any] = {"playbook": playbook, "now": now, "days": DAYS}
    mine = (
        "FROM runs r WHERE r.playbook = :playbook AND r.arm = 'shadow' "
        "AND r.entered_at >= :now - make_interval(days => :days)"
    )
    total = (
        await connection.execute(
            text(
                "SELECT count(*) AS runs, count(DISTINCT customer_id) AS customers, "
                f"count(*) FILTER (WHERE ended_at IS NULL) AS open {mine}"
            ),
            given,
        )
    ).one()
    days = await connection.execute(
        text(
            f"SELECT (entered_at AT TIME ZONE 'UTC')::date AS day, count(*) AS count {mine} GROUP BY 1 ORDER BY 1"
        ),
        given,
    )
    outcomes = await connection.execute(
        text(f"SELECT outcome, count(*) AS count {mine} AND outcome IS NOT NULL GROUP BY 1 ORDER BY 2 DESC"),
        given,
    )
    steps = await connection.execute(
        text(
            "SELECT s.step, s.word, s.outcome, count(*) AS count FROM run_steps s WHERE s.run_id IN "
            f"(SELECT r.id {mine}) GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 3 LIMIT 300"
        ),
        given,
    )
    held = await connection.execute(
        text(
            "SELECT count(*) FROM decisions WHERE playbook = :playbook AND reason = 'shadow' "
            "AND detail = 'would have been held out' AND at >= :now - make_interval(days => :days)"
        ),
        given,
    )
    return Shadow(
        customers=total.customers,
        runs=total.runs,
        open=total.open,
        would_hold_out=int(held.scalar_one()),
        by_day={day: int(number) for day, number in days},
        outcomes={outcome: int(number) for outcome, number in outcomes},
        steps=[ShadowStep.model_validate(dict(row._mapping)) for row in steps],
    )
