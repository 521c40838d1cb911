"""Acts of simulated runs that are no messages: work, rewards, marks, entries asked for, and what leaves the house."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from activities.marks import traits_of
from activities.texts import render_arguments
from channels.rendering import RenderError, render_line
from loops.simulation.entry import ask_entry
from loops.simulation.happening import Happening
from loops.simulation.run import SimulatedRun, place_of
from loops.simulation.work import Task
from rules.assigning import Assignment, Share, choose_member, escalates_to, team_asked
from rules.tasks import outcomes_of, set_deadlines
from schemas.assignee import read_assignee
from schemas.run import StepCall, StepResult


def tell(run: SimulatedRun, call: StepCall, outcome: str, **more: Any) -> StepResult:
    """Add the line of an act, and say the same to the workflow."""
    step = run.act(call)
    channel = run.setting.step_types[step.word].channel if step.word in run.setting.step_types else None
    run.tell(call.at, place_of(call), step.word, outcome, **({"channel": channel} | more))
    return StepResult(outcome=outcome, at=call.at, detail=str(more.get("detail") or ""))


def assign(run: SimulatedRun, call: StepCall) -> StepResult:
    """Put work on a list; once, however often it is asked for."""
    step, now, place = run.act(call), call.at, place_of(call)
    if place in run.work.tasks:
        known = run.work.tasks[place]
        return known.opened.model_copy(update={"outcome": known.outcome or "open", "at": now})
    try:
        context = run.context(now)
        title = render_line(step.args["title"], context)
        about = render_line(step.args["about"], context) if step.args.get("about") else None
    except RenderError as error:
        return tell(run, call, "failed", detail=error.message)
    policy, owner = run.setting.policy, run.customer.facts(now).profile.get("csm")
    asked = team_asked(read_assignee(step.args.get("assign")), str(owner) if owner else None, policy)
    if not isinstance(asked, Assignment):
        # What others have isn't played: the team starts with nothing to do, and this run's work is all there is.
        share = Share(run.work.turns.get(asked.team, ""), run.work.count_open())
        asked = choose_member(asked, policy.teams[asked.team], share)
        if asked.turn and asked.team:
            run.work.turns[asked.team] = asked.turn
    deadlines = set_deadlines(step, now, policy)
    opened = StepResult(
        outcome="open", at=now, until=deadlines.due_at, escalate_at=deadlines.escalate_at,
        give_up_at=deadlines.give_up_at,
        escalate_to=escalates_to((step.args.get("escalate") or {}).get("to"), asked.team, policy),
    )  # fmt: skip
    run.work.tasks[place] = Task(step.word, title, outcomes_of(step), opened, asked.assignee)
    run.outputs.setdefault(call.step, {})["assignee"] = asked.assignee
    run.tell(
        now, place, step.word, "open", title=title, about=about,
        assignee=asked.assignee, because=asked.because if asked.team else None, due_at=deadlines.due_at,
        escalate_at=deadlines.escalate_at, give_up_at=deadlines.give_up_at,
    )  # fmt: skip
    return opened


def grant(run: SimulatedRun, call: StepCall) -> StepResult:
    """Unlock a feature, and lock it again when its time is over, whatever becomes of the run."""
    step, now = run.act(call), call.at
    feature, seconds = str(step.args["feature"]), step.args.get("for_seconds")
    until = now + timedelta(seconds=int(seconds)) if seconds else None
    result = tell(run, call, "granted", feature=feature, until=until)
    told = {"feature": feature}
    run.customer.happen(Happening(now, "feature_unlocked", told))
    if until is not None:
        run.tell(until, place_of(call), step.word, "taken_back", feature=feature)
        run.customer.add(Happening(until, "feature_locked", told))
    return result


def mark(run: SimulatedRun, call: StepCall) -> StepResult:
    """Mark the customer."""
    try:
        args = _render(run, call)
    except RenderError as error:
        return tell(run, call, "failed", detail=error.message)
    # As live: a mark is an identify call of the engine's own.
    traits = traits_of(args, run.customer.facts(call.at).signals)
    result = tell(run, call, "set", **args)
    run.customer.happen(Happening(call.at, "identify", traits))
    return result


def ask(run: SimulatedRun, call: StepCall) -> StepResult:
    """Decide whether another playbook would be entered; its run isn't played."""
    name = str(run.act(call).args["playbook"])
    decision = ask_entry(run, name, call.at)
    if decision is None:
        return tell(run, call, "failed", playbook=name, detail=f"there is no playbook {name}")
    return tell(run, call, "asked", playbook=name, entry=decision.reason, detail=decision.detail or None)


def carry_out(run: SimulatedRun, call: StepCall) -> StepResult:
    """Tell what the step would do, and take it for done: nothing leaves."""
    step_type = run.setting.step_types[run.act(call).word]
    try:
        args = _render(run, call)
    except RenderError as error:
        return tell(run, call, "failed", detail=error.message)
    return tell(run, call, step_type.outcomes[0], args=args, detail="not carried out: this is a simulation")


def _render(run: SimulatedRun, call: StepCall) -> dict[str, Any]:
    step = run.act(call)
    model = run.setting.step_types[step.word].arguments
    return render_arguments(model, step.args, run.context(call.at))
