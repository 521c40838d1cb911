"""Steps that a person carries out: put on a list, escalated, given up. How they went comes through the inbox."""

from __future__ import annotations

from datetime import datetime

from temporalio import activity

from activities.messages import context_of
from activities.steps import Opened, StepOpening, note
from channels.header import clean_text
from channels.rendering import RenderError, render_line, render_part
from rules.assigning import UNASSIGNED, Assignment, Share, choose_member, escalates_to, team_asked
from rules.tasks import outcomes_of, set_deadlines
from schemas.assignee import read_assignee
from schemas.plan import Act
from schemas.run import StepCall, StepResult
from store import run_steps, sharing, tasks
from store.database import Connection
from store.tasks import Task, task_id


class HumanTasks:
    """Opens and closes the tasks of runs."""

    def __init__(self, opening: StepOpening) -> None:
        self._opening = opening
        self._database = opening.database

    @activity.defn(name="Tasks.assign")
    async def assign(self, call: StepCall) -> StepResult:
        """Put this step's work on its assignee's list; outcome `open`, or the outcome it already has."""
        async with self._database.transaction() as connection:
            begun = await self._opening.open_act(connection, call)
            if isinstance(begun, StepResult):
                return begun
            opened, step = begun
            task = await _find(connection, call)
            if task is None:
                try:
                    context = await context_of(connection, opened)
                    title = render_line(step.args["title"], context)
                    about = step.args.get("about") or ""
                    about = render_part(about, context, html=False) if about else ""
                except RenderError as error:
                    await note(connection, call, step.word, "failed", opened.now, error.message)
                    return StepResult(outcome="failed", at=opened.now, detail="template")
                if opened.run.arm == "shadow":
                    return await note(connection, call, step.word, "shadow", opened.now, title, private=True)
                task = await self._open(connection, call, opened, step, title, clean_text(about))
                output = {"assignee": task.holder}
                await note(connection, call, step.word, "open", opened.now, title, output)
            escalation = step.args.get("escalate") or {}
            return StepResult(
                outcome=task.outcome or "open" if task.state == "done" else task.state,
                at=opened.now,
                until=task.due_at,
                escalate_at=task.escalate_at if task.escalated_to is None else None,
                escalate_to=escalates_to(escalation.get("to"), task.team, opened.policy),
                give_up_at=task.give_up_at,
            )

    @activity.defn(name="Tasks.escalate")
    async def escalate(self, call: StepCall) -> StepResult:
        """Hand the task to somebody else because nobody completed it in time; outcome `open` where it was agreed to
        be done later.
        """
        async with self._database.transaction() as connection:
            now = await self._opening.read_now(connection, call)
            key = task_id(call.run_id, call.step, call.occurrence)
            task = await tasks.load_task(connection, key)
            if task.state == "open" and task.escalate_at is not None and task.escalate_at > now:
                return _moved(task, now)
            await tasks.escalate_task(connection, key, call.to or UNASSIGNED)
            return StepResult(outcome="escalated", at=now, detail=call.to or UNASSIGNED)

    @activity.defn(name="Tasks.close")
    async def close(self, call: StepCall) -> StepResult:
        """Close the task with `call.outcome`: overdue, or what a person told the run. The first word stands; outcome
        `open` where nobody is to give up yet, because it was agreed to be done later.
        """
        async with self._database.transaction() as connection:
            now = await self._opening.read_now(connection, call)
            key = task_id(call.run_id, call.step, call.occurrence)
            task = await tasks.load_task(connection, key)
            if task.state == "open":
                outcome = call.outcome or "overdue"
                if outcome == "overdue" and task.give_up_at > now:
                    return _moved(task, now)
                state = "overdue" if outcome == "overdue" else "done"
                await tasks.close_task(connection, key, state, now, outcome=outcome, by=call.by)
                output = {"assignee": task.holder}
                return await note(connection, call, task.kind, outcome, now, task.title, output, private=True)
            return StepResult(outcome=task.outcome or task.state, at=task.closed_at or now)

    async def _open(
        self, connection: Connection, call: StepCall, opened: Opened, step: Act, title: str, about: str
    ) -> Task:
        assignment = await self._assign(connection, opened, step)
        deadlines = set_deadlines(step, opened.now, opened.policy)
        task = Task(
            id=task_id(call.run_id, call.step, call.occurrence),
            run_id=call.run_id,
            customer_id=opened.run.customer_id,
            step=call.step,
            occurrence=call.occurrence,
            kind=step.word,
            title=title,
            about=about,
            assignee=assignment.assignee,
            escalated_to=None,
            outcomes=outcomes_of(step),
            state="open",
            outcome=None,
            notes="",
            created_at=opened.now,
            due_at=deadlines.due_at,
            escalate_at=deadlines.escalate_at,
            give_up_at=deadlines.give_up_at,
            closed_at=None,
            team=assignment.team,
            assigned_because=assignment.because,
            remind_at=deadlines.remind_at,
        )
        return await tasks.open_task(connection, task)

    async def _assign(self, connection: Connection, opened: Opened, step: Act) -> Assignment:
        """Whose it is; what the team has is counted, and the turn noted, in this transaction."""
        owner = opened.known.customer.profile.get("csm")
        asked = team_asked(
            read_assignee(step.args.get("assign")), str(owner) if owner else None, opened.policy
        )
        if isinstance(asked, Assignment):
            return asked
        team = opened.policy.teams[asked.team]
        share = (
            Share(*await sharing.read_share(connection, asked.team, team.members)) if asked.by else Share()
        )
        assignment = choose_member(asked, team, share)
        if assignment.turn:
            await sharing.note_turn(connection, asked.team, assignment.turn)
        return assignment


async def _find(connection: Connection, call: StepCall) -> Task | None:
    """The task where it was put on a list before: it stands as it is, whatever customer and team look like now."""
    if await run_steps.load_word(connection, call.run_id, call.step, call.occurrence) is None:
        return None
    return await tasks.load_task(connection, task_id(call.run_id, call.step, call.occurrence))


def _moved(task: Task, now: datetime) -> StepResult:
    return StepResult(
        outcome="open", at=now, until=task.due_at, give_up_at=task.give_up_at,
        escalate_at=task.escalate_at if task.escalated_to is None else None,
    )  # fmt: skip
