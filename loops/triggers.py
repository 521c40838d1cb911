"""Live playbooks made ready for matching: each line of a trigger compiled, and whether time alone can change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from rules.generated import compile_condition
from rules.needs import Needs, trigger_needs
from rules.reference import explain
from schemas.catalogue import Catalogue
from schemas.condition import Age, AllOf, AnyOf, Change, Compare, Condition, Crossing, EventCount, NoneOf
from schemas.facts import Facts
from schemas.plan import CompiledPlaybook
from store.playbooks import Published

Predicate = Callable[[Facts], bool | None]


@dataclass(frozen=True)
class Trigger:
    """One playbook's trigger: (line, predicate, does time alone change it) per line."""

    playbook: CompiledPlaybook
    looks_at: frozenset[str]
    lines: tuple[tuple[Condition, Predicate, bool], ...]
    goal: Predicate | None

    def first_failing(self, facts: Facts) -> tuple[str, datetime | None] | None:
        """The path of the first line that isn't true, and when time alone may change that; None when all hold.

        The others needn't be asked when they change: until this one does, they can't let anybody in.
        """
        for line, predicate, passing in self.lines:
            if predicate(facts) is not True:
                return line.path, explain(line, facts).changes_at if passing else None
        return None


@dataclass(frozen=True)
class Triggers:
    """All triggers that anybody may enter by, and what they look at together."""

    published: Published
    triggers: tuple[Trigger, ...]
    needs: Needs


def prepare_triggers(published: Published, catalogue: Catalogue) -> Triggers:
    """Compile what is live; drafts and retired playbooks let nobody in and aren't looked at."""
    triggers = []
    needs = Needs()
    for playbook in published.playbooks.values():
        if playbook.enter is None or playbook.status in ("retired", "draft"):
            continue
        needs |= trigger_needs(playbook)
        triggers.append(
            Trigger(
                playbook,
                frozenset(playbook.enter.signals),
                tuple(
                    (item, compile_condition(item), _passes([item], catalogue))
                    for item in playbook.enter.when.items
                ),
                compile_condition(playbook.goal.when) if playbook.goal and playbook.goal.when else None,
            )
        )
    return Triggers(published, tuple(triggers), needs)


def _passes(conditions: Iterable[Condition], catalogue: Catalogue) -> bool:
    """Whether the mere passing of time can change any of these."""
    for node in conditions:
        if isinstance(node, AllOf | AnyOf | NoneOf):
            if _passes(node.items, catalogue):
                return True
        elif isinstance(node, Age | Crossing | Change):
            return True
        elif isinstance(node, EventCount):
            if node.within_seconds is not None:
                return True
        elif isinstance(node, Compare):
            signal = catalogue.signals.get(node.signal)
            if signal is not None and signal.age_of is not None:
                return True
    return False
