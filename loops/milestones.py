"""Finding out who has reached a milestone as customers are looked at: its condition holds, or the product said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, reduce
from operator import or_

from activities.facts import Known
from rules.generated import Predicate, compile_condition
from rules.needs import Needs, needs_of
from schemas.condition import AllOf, Condition, OneOf
from schemas.incoming import Mover
from schemas.milestones import Milestone, Milestones
from store.database import Connection
from store.evaluations import Request
from store.milestones import TOLD, Reached, load_reached, load_tellings, reach, take_back


@dataclass(frozen=True)
class Watched:
    """A milestone with its condition compiled, and the names of the signals and events that it looks at."""

    milestone: Milestone
    holds: Predicate
    looks_at: frozenset[str]


class MilestoneWatch:
    """The live milestones, made ready for looking at customers."""

    def __init__(self, milestones: Milestones) -> None:
        self._milestones = milestones
        self._watched: list[Watched] = []
        needs = []
        for one in milestones.milestones if milestones.watched else ():
            if one.when is None:
                continue
            wanted = needs_of([one.when])
            needs.append(wanted)
            looks_at = wanted.signals | wanted.events.keys()
            self._watched.append(Watched(one, compile_condition(one.when), frozenset(looks_at)))
        self.needs = reduce(or_, needs, Needs())

    @cached_property
    def conditions(self) -> Mapping[str, Condition]:
        """By type, when each is reached, whose it is included: for asking it of many customers at once."""
        return {one.milestone.type: _whole(one.milestone) for one in self._watched}

    async def attend(
        self,
        connection: Connection,
        requests: Sequence[Request],
        known: Mapping[str, Known],
        now: datetime,
        *,
        move: Mover,
    ) -> int:
        """Write which milestones these customers have reached now; returns how many. Their signals are saved before."""
        asked = [request for request in requests if request.customer_id in known]
        told_of = [one.customer_id for one in asked if one.everything or TOLD in one.changed]
        holding: list[tuple[str, Milestone]] = []
        for request in asked:
            customer = known[request.customer_id]
            changed = None if request.everything else request.changed | customer.changed
            segment = customer.facts.signals.get("segment")
            holding += [
                (request.customer_id, one.milestone)
                for one in self._watched
                if (changed is None or changed & one.looks_at)
                and one.milestone.concerns(segment)
                and one.holds(customer.facts) is True
            ]
        if not told_of and not holding:
            return 0
        types = self._milestones.by_type
        tellings = await load_tellings(connection, told_of, types) if told_of else {}
        reached = await load_reached(connection, {*told_of, *(customer for customer, _ in holding)})
        new: dict[tuple[str, str], Reached] = {}
        repeated = []
        for customer_id, theirs in tellings.items():
            for type_, telling in theirs.items():
                row = reached.get(customer_id, {}).get(type_)
                counted = row is not None and row.metadata.get("counts") is True
                if row is None:
                    told = Reached(customer_id, types[type_], telling.first_at, "product", counts=False)
                    new[customer_id, type_] = told
                if again := telling.times + counted - 1 - telling.repeated:
                    repeated.append((customer_id, type_, telling, again))
        for customer_id, milestone in holding:
            if milestone.type not in reached.get(customer_id, {}):
                found = Reached(customer_id, milestone, now, "condition", counts=True)
                new.setdefault((customer_id, milestone.type), found)
        written = await reach(connection, list(new.values()), now, move=move)
        await take_back(connection, [one for one in repeated if one[3] > 0], now, move=move)
        return len(written)


def _whole(milestone: Milestone) -> Condition:
    """What `Milestone.concerns` and its condition say together."""
    assert milestone.when is not None
    if not milestone.segments:
        return milestone.when
    # Whoever is looked at has a segment: it is worked out with the scores.
    return AllOf(items=(milestone.when, OneOf(signal="segment", values=milestone.segments)))
