"""Pausing, resuming, stopping and putting off a run on somebody's behalf, and writing down who did."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from schemas.access import Principal
from schemas.errors import InputError, UnavailableError
from schemas.run import Command
from store.database import Database
from store.reading_rows import RunRow
from store.reading_runs import read_run
from web.audit import note_change
from web.edge import Edge
from web.executions import Executions, Verb

DONE: dict[Verb, str] = {
    "pause": "run.paused",
    "resume": "run.resumed",
    "stop": "run.stopped",
    "snooze": "run.snoozed",
}
# Nobody puts anything off by longer: the year was mistyped.
LONGEST_SNOOZE = timedelta(days=366)


async def command_run(
    edge: Edge, actor: Principal, run_id: str, verb: Verb, command: Command
) -> tuple[RunRow, str]:
    """`give_order` for whoever came to this web process.

    Raises as that does, and InputError for what would be put off by more than a year.
    """
    if command.until is not None:
        latest = await edge.time.read() + LONGEST_SNOOZE
        if command.until > latest:
            raise InputError(
                "A run can be put off by a year at most.",
                remedy=f"Give `until`, no later than {latest:%Y-%m-%d}; check the year.",
            )
    return await give_order(edge.database, edge.executions, actor, run_id, verb, command)


async def give_order(
    database: Database, executions: Executions, actor: Principal, run_id: str, verb: Verb, command: Command
) -> tuple[RunRow, str]:
    """Ask the run's workflow, and note what it answered; a command that nobody answered may still be carried out, and
    so may one whose answer somebody doesn't wait for.

    Raises NotFoundError, ConflictError, UnavailableError.
    """
    async with database.transaction() as connection:
        run = await read_run(connection, run_id)
    before = {"state": run.state, "paused": run.paused, "step": run.step}
    after: dict[str, object] = {
        "by": command.by,
        "reason_length": len(command.reason),
        "outcome": command.outcome,
        "paused": {"pause": True, "resume": False}.get(verb, run.paused),
        **({"until": command.until.isoformat()} if command.until else {}),
    }
    try:
        answer = await executions.command(run, verb, command)
    except (UnavailableError, asyncio.CancelledError):
        after["answered"] = False
        await note_change(
            database, actor, DONE[verb], object_kind="run", object_id=run.id, before=before, after=after
        )
        raise
    await note_change(
        database, actor, DONE[verb], object_kind="run", object_id=run.id, before=before, after=after
    )
    return run, answer
