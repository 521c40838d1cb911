"""Whether one event is the one that a goal, an exit or a wait is after."""

from __future__ import annotations

from rules.kleene import Truth
from rules.reference import explain, facts_of_event
from schemas.facts import Event
from schemas.plan import EventMatch


def event_matches(match: EventMatch, event: Event) -> Truth:
    """True if `event` has the name and its properties satisfy `where`; None if that can't be decided.

    Ages inside `where` are taken at the event's own instant.
    """
    if event.name != match.name:
        return False
    if match.where is None:
        return True
    return explain(match.where, facts_of_event(event, event.at)).result
