"""Whether a run's goal is reached or an exit holds, by the same code for the evaluator and before each step."""

from __future__ import annotations

from activities.versions import Version
from rules.matching import event_matches
from schemas.facts import Facts
from schemas.plan import EventMatch
from schemas.run import Interruption
from store.runs import Run


def find_interruption(version: Version, run: Run, facts: Facts) -> Interruption | None:
    """What ends this run at `facts.now`, or None. If goal and exit both hold, the goal wins.

    Goal and exit events count from entry; a goal counts only within its window.
    """
    goal = version.playbook.goal
    if goal and (run.goal_by is None or facts.now <= run.goal_by):
        if goal.when and version.holds(goal.when, facts):
            return Interruption(kind="goal", outcome="success", reason=f"goal {goal.name}", at=facts.now)
        if goal.event and _happened(goal.event, run, facts):
            return Interruption(
                kind="goal", outcome="success", reason=f"goal {goal.name}: {goal.event.name}", at=facts.now
            )
    for exit_ in version.playbook.exits:
        if exit_.when and version.holds(exit_.when, facts):
            return Interruption(
                kind="exit", outcome=exit_.outcome, reason=exit_.when.path or "exit", at=facts.now
            )
        if exit_.event and _happened(exit_.event, run, facts):
            return Interruption(
                kind="exit", outcome=exit_.outcome, reason=f"exit: {exit_.event.name}", at=facts.now
            )
    return None


def _happened(match: EventMatch, run: Run, facts: Facts) -> bool:
    return any(
        run.entered_at <= event.at <= facts.now and event_matches(match, event) is True
        for event in facts.events
        if event.name == match.name
    )
