"""One customer before one playbook's door: as a trigger that holds, as somebody's request, or as a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from activities.facts import Known
from loops.triggers import Trigger
from rules.entry import EntryDecision, key_of_run
from rules.generated import compile_condition
from rules.shortfall import describe_shortfall
from schemas.plan import CompiledPlaybook
from store.entry_requests import EntryRequest
from store.evaluations import Request
from store.runs import NewRun


@dataclass(frozen=True)
class Entry:
    """One customer whose trigger holds, and then what was decided."""

    customer_id: str
    playbook: CompiledPlaybook
    key: str
    goal: bool | None
    changed: frozenset[str]
    condition: bool | None = True
    # What keeps the condition from being true, where it isn't.
    shortfall: str = ""
    decision: EntryDecision | None = None
    run: NewRun | None = None
    # Somebody asked for this entry: the request's id, and why.
    request: str | None = None
    asked: str = ""
    # What they want said, for the templates of the run.
    wishes: Mapping[str, Any] = field(default_factory=dict)
    # The trace of the look at the customer, where there is one.
    traceparent: str | None = None

    @property
    def until(self) -> datetime | None:
        """When the answer may be another, by time alone."""
        return self.decision.until if self.decision else None


def hold(request: Request, known: Known, trigger: Trigger) -> Entry:
    """The entry of a trigger that holds, yet to be decided."""
    goal = trigger.goal(known.facts) if trigger.goal else None
    changed = request.changed | known.changed
    return Entry(
        request.customer_id,
        trigger.playbook,
        _key(trigger.playbook, known),
        goal,
        changed,
        traceparent=request.traceparent,
    )


def ask(request: EntryRequest, known: Known, playbook: CompiledPlaybook) -> Entry:
    """The entry that somebody asked for, yet to be decided: all entry rules but the trigger hold for it."""
    goal = playbook.goal.when if playbook.goal else None
    return Entry(
        request.customer_id,
        playbook,
        _key(playbook, known),
        compile_condition(goal)(known.facts) if goal else None,
        frozenset(),
        request=request.id,
        asked=request.reason or "asked for",
        wishes=_wishes(request),
    )


def consider(customer_id: str, known: Known, playbook: CompiledPlaybook, truth: bool | None) -> Entry:
    """The entry as it would be decided now, whatever its trigger came to."""
    goal = playbook.goal.when if playbook.goal else None
    holds = compile_condition(goal)(known.facts) if goal else None
    shortfall = (
        describe_shortfall(playbook.enter.when, known.facts) if playbook.enter else "it has no trigger"
    )
    return Entry(
        customer_id, playbook, _key(playbook, known), holds, frozenset(), condition=truth, shortfall=shortfall
    )


def _wishes(request: EntryRequest) -> dict[str, Any]:
    named = {
        "priority": request.priority,
        "asked_by": request.asked_by,
        "customization": dict(request.customization),
    }
    return {name: value for name, value in named.items() if value}


def _key(playbook: CompiledPlaybook, known: Known) -> str:
    return key_of_run(playbook, known.facts) or ""
