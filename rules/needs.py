"""What conditions look at, so that no more than that has to be loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.condition import Change, Condition, Crossing, EventCount, leaves
from schemas.nesting import conditions as asked
from schemas.nesting import walk
from schemas.plan import BeforeDate, CompiledPlaybook, EventMatch, Wait, WaitFor


@dataclass(frozen=True)
class Needs:
    """Signals and histories by name; events by name with the longest window in seconds (None: all there ever were)."""

    signals: frozenset[str] = frozenset()
    history: frozenset[str] = frozenset()
    events: dict[str, int | None] = field(default_factory=dict)

    def __or__(self, other: Needs) -> Needs:
        events = dict(self.events)
        for name, window in other.events.items():
            mine = events.get(name, 0)
            events[name] = None if window is None or mine is None else max(window, mine)
        return Needs(self.signals | other.signals, self.history | other.history, events)


def needs_of(conditions: Iterable[Condition]) -> Needs:
    """What these conditions look at."""
    signals: set[str] = set()
    history: set[str] = set()
    needs = Needs()
    for line in leaves(conditions):
        if isinstance(line, EventCount):
            needs |= Needs(events={line.name: line.within_seconds})
        else:
            signals.add(line.signal)
            if isinstance(line, Crossing | Change):
                history.add(line.signal)
    return needs | Needs(frozenset(signals), frozenset(history))


def trigger_needs(playbook: CompiledPlaybook) -> Needs:
    """What deciding an entry looks at: the trigger and the goal, which must not hold yet."""
    conditions: list[Condition] = []
    if playbook.enter:
        conditions.append(playbook.enter.when)
    if playbook.goal and playbook.goal.when:
        conditions.append(playbook.goal.when)
    return needs_of(conditions)


def run_needs(playbook: CompiledPlaybook) -> Needs:
    """What a run looks at: goal, exits, and the conditions and events of its steps."""
    conditions: list[Condition] = []
    matches: list[EventMatch] = []
    dates: set[str] = set()
    for watched in ((playbook.goal,) if playbook.goal else ()) + playbook.exits:
        if watched.when:
            conditions.append(watched.when)
        if watched.event:
            matches.append(watched.event)
    for step in walk(playbook.steps):
        conditions.extend(asked(step))
        if isinstance(step, WaitFor) and step.event:
            matches.append(step.event)
        if isinstance(step, Wait) and isinstance(step.spec, BeforeDate):
            dates.add(step.spec.signal)
    # A run's own events are looked for since it was entered, however long ago that is.
    return needs_of(conditions) | Needs(frozenset(dates), events={match.name: None for match in matches})
