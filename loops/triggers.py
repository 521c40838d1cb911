"""Live playbooks made ready for matching: their triggers compiled together, each line with whether time changes it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rules.effort import effort
from rules.engines import match_with
from rules.generated import HOLDS, NOT_ASKED, LineFinder, compile_condition, compile_lines
from rules.likeness import without_places
from rules.needs import Needs, trigger_needs
from rules.reference import explain
from schemas.catalogue import Catalogue
from schemas.condition import (
    Age,
    Between,
    Change,
    Compare,
    Condition,
    Crossing,
    EventCount,
    OneOf,
    leaves,
)
from schemas.facts import Facts
from schemas.plan import CompiledPlaybook
from schemas.settings import RulesEngine, Settings
from store.playbooks import Published

Predicate = Callable[[Facts], bool | None]
# The path of the first line that isn't true, and when time alone may change that.
Failing = tuple[str, datetime | None]


class Answers:
    """What all triggers come to for one customer after the other, worked out together at the first question."""

    def __init__(self, find: LineFinder, triggers: int) -> None:
        self.find = find
        self._everything = b"\1" * triggers
        self._facts: Facts | None = None
        self._failing: list[int] = []

    def failing(self, place: int, facts: Facts) -> int:
        """The place of the first line of a trigger that isn't true, or HOLDS."""
        if facts is not self._facts:
            self._failing = self.find(facts, self._everything)
            self._facts = facts
        return self._failing[place]


@dataclass(frozen=True)
class Trigger:
    """One playbook's trigger: (line, does time alone change it, what it says) per line, those of little work first."""

    playbook: CompiledPlaybook
    looks_at: frozenset[str]
    place: int
    lines: tuple[tuple[Condition, bool, str], ...]
    goal: Predicate | None
    answers: Answers

    def first_failing(self, facts: Facts) -> Failing | None:
        """The path of the first line asked that isn't true, and when time alone may change that; None when all hold.

        The others needn't be asked when they change: until this one does, they can't let anybody in.
        """
        at = self.answers.failing(self.place, facts)
        if at == HOLDS:
            return None
        line, passing, _ = self.lines[at]
        return line.path, explain(line, facts).changes_at if passing else None


@dataclass(frozen=True)
class Triggers:
    """All triggers that anybody may enter by, and what they look at together."""

    published: Published
    triggers: tuple[Trigger, ...]
    needs: Needs
    answers: Answers
    # Per signal or event, the triggers that look at it as an integer of one byte each; and of those that look at none.
    asked_by: dict[str, int] = field(default_factory=dict)
    asked_always: int = 0

    def asked(self, changed: Collection[str] | None) -> bytes:
        """A byte per trigger: 1 where it looks at anything of `changed`, or at nothing; None asks all."""
        if changed is None:
            return b"\1" * len(self.triggers)
        mask = self.asked_always
        for name in changed:
            mask |= self.asked_by.get(name, 0)
        return mask.to_bytes(len(self.triggers), "little")

    def look(
        self, facts: Facts, changed: Collection[str] | None = None
    ) -> Iterator[tuple[Trigger, Failing | None]]:
        """Each trigger that what `changed` concerns (None: every one), with its first failing line as
        `first_failing` tells it; what lines say alike is worked out once.
        """
        moments: dict[str, datetime | None] = {}
        for trigger, at in zip(self.triggers, self.answers.find(facts, self.asked(changed)), strict=True):
            if at == NOT_ASKED:
                continue
            if at == HOLDS:
                yield trigger, None
                continue
            line, passing, said = trigger.lines[at]
            if passing and said not in moments:
                moments[said] = explain(line, facts).changes_at
            yield trigger, (line.path, moments.get(said))


def prepare_triggers(
    published: Published, catalogue: Catalogue, engine: RulesEngine | None = None
) -> Triggers:
    """Compile what is live; drafts and retired playbooks let nobody in and aren't looked at.

    `engine` evaluates the lines, by default the one that HOLDFAST_RULES_ENGINE names.
    """
    live = [
        playbook
        for playbook in published.playbooks.values()
        if playbook.enter is not None and playbook.status not in ("retired", "draft")
    ]
    lines = [sorted(playbook.enter.when.items, key=effort) for playbook in live if playbook.enter]
    answers = Answers(_finder(engine or Settings.read(os.environ).rules_engine, lines), len(live))
    triggers = []
    needs = Needs()
    asked_by: defaultdict[str, int] = defaultdict(int)
    always = 0
    for place, playbook in enumerate(live):
        assert playbook.enter is not None
        looks_at = frozenset(playbook.enter.signals)
        needs |= trigger_needs(playbook)
        for name in looks_at:
            asked_by[name] |= 1 << 8 * place
        if not looks_at:
            always |= 1 << 8 * place
        triggers.append(
            Trigger(
                playbook,
                looks_at,
                place,
                tuple((item, _passes([item], catalogue), without_places(item)) for item in lines[place]),
                compile_condition(playbook.goal.when) if playbook.goal and playbook.goal.when else None,
                answers,
            )
        )
    return Triggers(published, tuple(triggers), needs, answers, dict(asked_by), always)


def _finder(engine: RulesEngine, lines: Sequence[Sequence[Condition]]) -> LineFinder:
    if engine == "generated":
        return compile_lines(lines)
    named = {f"{place}:{at}": item for place, items in enumerate(lines) for at, item in enumerate(items)}
    match = match_with(engine, named)

    def find(facts: Facts, asked: bytes) -> list[int]:
        [(true, _)] = match([facts])
        holding = set(true)
        return [
            next((at for at in range(len(items)) if f"{place}:{at}" not in holding), HOLDS)
            if asked[place]
            else NOT_ASKED
            for place, items in enumerate(lines)
        ]

    return find


def _passes(conditions: Iterable[Condition], catalogue: Catalogue) -> bool:
    """Whether the mere passing of time can change any of these."""
    for line in leaves(conditions):
        if isinstance(line, Age | Crossing | Change | EventCount):
            # Of a count without a window, too: an event may lie a little ahead of now, or be judged by its age.
            return True
        if isinstance(line, Compare | OneOf | Between):
            signal = catalogue.signals.get(line.signal)
            if signal is not None and signal.age_of is not None:
                return True
    return False
