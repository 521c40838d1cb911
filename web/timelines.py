"""A run as a line of happenings, in order of time, for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from store.reading_rows import MessageRow, RunRow, StepRow, TaskRow, WaitRow


@dataclass(frozen=True)
class Happening:
    """One point of the line; `pending`: it is under way or still to come."""

    at: datetime
    word: str
    title: str
    outcome: str = ""
    detail: str = ""
    message: MessageRow | None = None
    task: TaskRow | None = None
    pending: bool = False


def make_timeline(
    run: RunRow,
    steps: Sequence[StepRow],
    messages: Sequence[MessageRow],
    tasks: Sequence[TaskRow],
    waits: Sequence[WaitRow],
) -> list[Happening]:
    """Entry, each step with its message or task, what is under way, the goal's window and the end."""
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
        )
        for step in steps
    ]  # fmt: skip
    line += [
        Happening(
            message.created_at,
            message.channel,
            message.step,
            message.state,
            message.error or "",
            message=message,
        )
        for key, message in by_step.items()
        if key not in told
    ]
    done = {step.step for step in steps}
    line += [
        Happening(
            task.created_at,
            task.kind,
            task.step,
            task.outcome or task.state,
            task=task,
            pending=task.state == "open",
        )
        for task in tasks
        if task.step not in done
    ]
    line.sort(key=lambda happening: happening.at)
    if run.ended_at is not None:
        line.append(Happening(run.ended_at, "end", "Ended", run.outcome or "ended", run.reason or ""))
        return line
    line += [
        Happening(wait.until, "wait_for", wait.step, "waiting", "listens until then", pending=True)
        for wait in sorted(waits, key=lambda wait: wait.until)
        if (wait.step, wait.occurrence) not in told
    ]
    if run.goal_by is not None:
        line.append(Happening(run.goal_by, "goal", "The goal's window closes", pending=True))
    return line
