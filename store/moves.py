"""A run that goes on with another version of its playbook, as the store has it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store import waits
from store.database import encode
from store.runs import Run


async def is_superseded(connection: AsyncConnection, playbook: str, version: str, by: str) -> bool:
    """Whether `version` was published for the last time before `by` was."""
    found = await connection.execute(
        text(
            "SELECT max(id) FILTER (WHERE version = :version) < max(id) FILTER (WHERE version = :by) FROM publications "
            "WHERE name = :playbook AND kind IN ('playbook', 'rollback')"
        ),
        {"playbook": playbook, "version": version, "by": by},
    )
    return bool(found.scalar_one())


async def move_run(
    connection: AsyncConnection,
    run: Run,
    version: str,
    variants: Mapping[str, str],
    goal_by: datetime | None,
    now: datetime,
) -> None:
    """Let the run go by this version from now on; logs exposures to experiments that it hasn't met yet."""
    await connection.execute(
        text(
            "UPDATE runs SET version = :version, variants = CAST(:variants AS jsonb), goal_by = :goal_by WHERE id = :id"
        ),
        {"id": run.id, "version": version, "variants": encode(dict(variants)), "goal_by": goal_by},
    )
    if run.arm != "treated":
        return
    for experiment in sorted(variants.keys() - run.variants.keys()):
        await connection.execute(
            text(
                "INSERT INTO exposures (customer_id, experiment, variant, run_id, at) "
                "VALUES (:customer, :experiment, :variant, :run, :now) ON CONFLICT DO NOTHING"
            ),
            {
                "customer": run.customer_id, "experiment": f"{run.playbook}/{experiment}",
                "variant": variants[experiment], "run": run.id, "now": now,
            },
        )  # fmt: skip


async def keep_waits(
    connection: AsyncConnection, run_id: str, kept: Mapping[tuple[str, int], int | None]
) -> None:
    """Stop listening for all but these steps and occurrences; they end so many seconds after they began (None: as
    they did).
    """
    rows = await connection.execute(
        text("SELECT step, occurrence, since FROM waits WHERE run_id = :run"), {"run": run_id}
    )
    for row in rows.all():
        key = (row.step, row.occurrence)
        if key not in kept:
            await waits.close_wait(connection, run_id, *key)
        elif (seconds := kept[key]) is not None:
            await waits.move_wait(connection, run_id, *key, row.since + timedelta(seconds=seconds))


async def keep_tasks(
    connection: AsyncConnection, run_id: str, kept: Collection[tuple[str, int]], now: datetime
) -> None:
    """Take all open calls and tasks of the run off their lists but those of these steps and occurrences."""
    await connection.execute(
        text(
            "UPDATE tasks SET state = 'cancelled', closed_at = :now WHERE run_id = :run AND state = 'open' "
            "AND NOT EXISTS (SELECT FROM jsonb_to_recordset(CAST(:kept AS jsonb)) AS k(step text, occurrence int) "
            "WHERE k.step = tasks.step AND k.occurrence = tasks.occurrence)"
        ),
        {
            "run": run_id, "now": now,
            "kept": encode([{"step": step, "occurrence": occurrence} for step, occurrence in kept]),
        },
    )  # fmt: skip


async def record_passed(
    connection: AsyncConnection, run_id: str, steps: Mapping[tuple[str, int], str], outcome: str, at: datetime
) -> None:
    """Put on record that these steps and occurrences (with their words) aren't to be taken, unless they were."""
    rows = [
        {"step": step, "occurrence": occurrence, "word": word}
        for (step, occurrence), word in sorted(steps.items())
    ]
    if rows:
        await connection.execute(
            text(
                "INSERT INTO run_steps (run_id, step, occurrence, word, outcome, at) "
                "SELECT :run, step, occurrence, word, :outcome, :at FROM jsonb_to_recordset(CAST(:rows AS jsonb)) "
                "AS r(step text, occurrence int, word text) ON CONFLICT DO NOTHING"
            ),
            {"run": run_id, "outcome": outcome, "at": at, "rows": encode(rows)},
        )
