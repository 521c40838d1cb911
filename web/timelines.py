"""A run as a line of happenings, in order of time, for people to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.plan import CompiledPlaybook
from store.audit import AuditRow
from store.reading_rows import MessageRow, RunRow, StepRow, TaskRow, WaitRow
from web.flow import make_flow
from web.flow_boxes import walk_nodes

# What people did to a run, as the audit log names it.
_COMMANDS = {
    "run.paused": "pause",
    "run.resumed": "resume",
    "run.stopped": "stop",
    "run.snoozed": "snooze",
    "run.started": "start",
}


@dataclass(frozen=True)
class Happening:
    """One point of the line; `pending`: it is under way or still to come. `meant` is what its playbook says there."""

    at: datetime
    word: str
    title: str
    outcome: str = ""
    detail: str = ""
    message: MessageRow | None = None
    task: TaskRow | None = None
    pending: bool = False
    by: str = ""
    meant: Sequence[str] = field(default=())


def read_meanings(playbook: CompiledPlaybook | None) -> Mapping[str, Sequence[str]]:
    """What each step says, by its id; nothing where the version can't be read."""
    if playbook is None:
        return {}
    return {node.step: [line.told for line in node.lines] for node in walk_nodes(make_flow(playbook).nodes)}


def make_timeline(
    run: RunRow,
    steps: Sequence[StepRow],
    messages: Sequence[MessageRow],
    tasks: Sequence[TaskRow],
    waits: Sequence[WaitRow],
    changes: Sequence[AuditRow] = (),
    meanings: Mapping[str, Sequence[str]] | None = None,
) -> list[Happening]:
    """Entry, each step with its message or task, what people did to it, what is under way, the goal's window, the end.

    `meanings` is what the playbook says of each step.
    """
    means = meanings or {}
    by_step = {(message.step, message.occurrence): message for message in messages}
    task_of = {task.step: task for task in tasks}
    told = {(step.step, step.occurrence) for step in steps}
    line = [
        Happening(
            run.entered_at, "enter", "Entered the playbook", run.arm, str(run.trigger.get("reason", ""))
        )
    ]
    line += [
        Happening(
            step.at, step.word, step.step, step.outcome, step.detail,
            message=by_step.get((step.step, step.occurrence)), task=task_of.get(step.step),
            meant=means.get(step.step, ()),
        )
        for step in steps
    ]  # fmt: skip
    line += [
        Happening(
            message.created_at, message.channel, message.step, message.state, message.error or "", message=message,
            pending=message.state in ("claimed", "retrying"), meant=means.get(message.step, ()),
        )
        for key, message in by_step.items()
        if key not in told
    ]  # fmt: skip
    done = {step.step for step in steps}
    line += [
        Happening(
            task.created_at, task.kind, task.step, task.outcome or task.state, task=task,
            pending=task.state == "open", meant=means.get(task.step, ()),
        )
        for task in tasks
        if task.step not in done
    ]  # fmt: skip
    line += [_command(change) for change in changes if change.action in _COMMANDS]
    line.sort(key=lambda happening: happening.at)
    if run.ended_at is not None:
        # What is taken back afterwards, a reward say, comes after the end.
        place = next((at for at, one in enumerate(line) if one.at > run.ended_at), len(line))
        line.insert(place, Happening(run.ended_at, "end", "Ended", run.outcome or "ended", run.reason or ""))
        return line
    line += [
        Happening(
            wait.until, "wait_for", wait.step, "waiting", "listens until then", pending=True,
            meant=means.get(wait.step, ()),
        )
        for wait in sorted(waits, key=lambda wait: wait.until)
        if (wait.step, wait.occurrence) not in told
    ]  # fmt: skip
    if run.goal_by is not None:
        line.append(Happening(run.goal_by, "goal", "The goal's window closes", pending=True))
    return line


def _command(change: AuditRow) -> Happening:
    after = change.after or {}
    by = str(after.get("by") or change.actor_name)
    said = "" if by == change.actor_name else f"signed in as {change.actor_name}"
    if after.get("answered") is False:
        said = f"{said}; no worker answered in time".removeprefix("; ")
    if after.get("until"):
        said = f"{said}; until {after['until']}".removeprefix("; ")
    outcome = str(after.get("outcome") or "")
    word = _COMMANDS[change.action]
    return Happening(change.at, word, f"{change.action.removeprefix('run.')} by {by}", outcome, said, by=by)
