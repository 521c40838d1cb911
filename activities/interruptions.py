"""Whether a run's goal is reached or an exit holds, by the same code for the evaluator and before each step."""

from __future__ import annotations

from datetime import datetime

from activities.versions import Version
from rules.matching import event_matches
from schemas.facts import Facts
from schemas.plan import EventMatch
from schemas.run import Interruption
from store.runs import Run


def find_interruption(version: Version, run: Run, facts: Facts) -> Interruption | None:
    """What ends this run at `facts.now`, or None. If goal and exit both hold, the goal wins.

    Goal and exit events count from entry; a goal counts only within its window. An event that came within it counts
    whenever it is looked at, as the engine may have been away; of a condition only the present is known.
    """
    goal, now = version.playbook.goal, facts.now
    within = run.goal_by is None or now <= run.goal_by
    if goal and goal.when and within and version.holds(goal.when, facts):
        return Interruption(kind="goal", outcome="success", reason=f"goal {goal.name}", at=now)
    if goal and goal.event:
        by = min(now, run.goal_by or now)
        if _happened(goal.event, run, facts, by):
            reason = f"goal {goal.name}: {goal.event.name}"
            return Interruption(kind="goal", outcome="success", reason=reason, at=by)
    for exit_ in version.playbook.exits:
        if exit_.when and version.holds(exit_.when, facts):
            return Interruption(kind="exit", outcome=exit_.outcome, reason=exit_.when.path or "exit", at=now)
        if exit_.event and _happened(exit_.event, run, facts, now):
            return Interruption(
                kind="exit", outcome=exit_.outcome, reason=f"exit: {exit_.event.name}", at=now
            )
    return None


def _happened(match: EventMatch, run: Run, facts: Facts, by: datetime) -> bool:
    return any(
        run.entered_at <= event.at <= by and event_matches(match, event) is True
        for event in facts.events
        if event.name == match.name
    )
