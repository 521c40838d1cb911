"""Pausing, resuming, stopping and putting off a run on somebody's behalf, and writing down who did."""

from __future__ import annotations

from schemas.access import Principal
from schemas.errors import UnavailableError
from schemas.run import Command
from store.reading_rows import RunRow
from store.reading_runs import read_run
from web.audit import note_change
from web.edge import Edge
from web.executions import Verb

DONE: dict[Verb, str] = {
    "pause": "run.paused",
    "resume": "run.resumed",
    "stop": "run.stopped",
    "snooze": "run.snoozed",
}


async def command_run(
    edge: Edge, actor: Principal, run_id: str, verb: Verb, command: Command
) -> tuple[RunRow, str]:
    """Ask the run's workflow, and note what it answered; a command that nobody answered may still be carried out.

    Raises NotFoundError, ConflictError, UnavailableError.
    """
    async with edge.database.transaction() as connection:
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
        answer = await edge.executions.command(run, verb, command)
    except UnavailableError:
        after["answered"] = False
        await note_change(
            edge, actor, DONE[verb], object_kind="run", object_id=run.id, before=before, after=after
        )
        raise
    await note_change(
        edge, actor, DONE[verb], object_kind="run", object_id=run.id, before=before, after=after
    )
    return run, answer
