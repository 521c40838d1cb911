"""Taking a run from one version of its playbook to another: what it has done stays done, and it goes on at its place.

The place is found list by list. In each, the step that the run is in the middle of (or did last) marks it: what stands
before that in the new list counts as passed, what stands after is to do, wherever those steps stood before. A step that
is gone means its next surviving sibling, or the end of its list. Where a step is gone that the run is inside of, there
is no place for it, and it finishes the version that it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from rules.progress import AGAIN, PASSED, Progress, ways
from schemas.nesting import inner, walk
from schemas.plan import Act, Choose, Repeat, Split, Step, Steps, Together, Wait
from schemas.run import key_of


@dataclass(frozen=True)
class Placement:
    """A run's memory under the new version, by occurrence."""

    done: Mapping[str, str]
    since: Mapping[str, datetime]


@dataclass(frozen=True)
class Unplaced:
    """There is no place for the run in the new version, and why."""

    reason: str


class _NoPlace(Exception):  # noqa: N818 - an answer, not an error
    """The step that the run is inside of is gone."""


@dataclass
class _Move:
    """The move of one run: what it knew, and what it is to know."""

    before: Progress
    done: dict[str, str]
    since: dict[str, datetime]

    def move(self, old: Steps, new: Steps, occurrence: int) -> None:
        """Place the run in a list that it has come to."""
        if old == new:
            return
        at = self.before.place(old, occurrence)
        if at is None:
            return
        here = old[at]
        index = next((number for number, step in enumerate(new) if step.id == here.id), None)
        if self.before.is_finished(here, occurrence):
            until = self._next_surviving(old, at, new) if index is None else index + 1
        elif index is None:
            if self._is_inside(here, occurrence):
                raise _NoPlace(f"the step {here.id}, which the run is inside of, is gone")
            until = self._next_surviving(old, at, new)
            self.since.pop(key_of(here.id, occurrence), None)
        else:
            until = index
            self._enter(here, new[index], occurrence)
        for step in new[:until]:
            self._pass(step, occurrence)
        for step in new[until:]:
            if index is not None and step.id == here.id:
                continue
            # It stood before the place and stands after it now: what it has done isn't done again.
            if self.before.is_touched(step, occurrence):
                self._pass(step, occurrence)

    def _next_surviving(self, old: Steps, at: int, new: Steps) -> int:
        """Where the next sibling stands that the new list still has; its end where there is none."""
        places = {step.id: number for number, step in enumerate(new)}
        return next((places[step.id] for step in old[at + 1 :] if step.id in places), len(new))

    def _is_inside(self, step: Step, occurrence: int) -> bool:
        """Whether the run is past what the step itself does, among the steps inside it."""
        return isinstance(step, Repeat | Together) or self.before.outcome(step, occurrence) is not None

    def _pass(self, step: Step, occurrence: int) -> None:
        """See to it that a step which lies behind the run isn't taken, nor anything inside it or after its outcome."""
        key = key_of(step.id, occurrence)
        outcome = self.done.get(key)
        if outcome is None:
            self.since.pop(key, None)
        if not _goes_on(step, outcome):
            self.done[key] = PASSED

    def settle_moved(self, old: Steps, new: Steps) -> None:
        """What is done and stands inside another step now has no consequences there."""
        stood = {step.id: parent for step, parent in _parents(old)}
        for step, parent in _parents(new):
            if stood.get(step.id, parent) == parent:
                continue
            for key in [key for key in self.done if _step_of(key) == step.id]:
                if not _goes_on(step, self.done[key]):
                    self.done[key] = PASSED

    def _enter(self, old: Step, new: Step, occurrence: int) -> None:
        """Place the run inside a step that both versions have."""
        if old == new:
            return
        key = key_of(old.id, occurrence)
        if isinstance(old, Repeat) and isinstance(new, Repeat):
            self._enter_round(old, new, occurrence)
        elif isinstance(old, Together) and isinstance(new, Together):
            for branch, goal in _pair(old.branches, new.branches):
                self.move(branch, goal, occurrence)
        elif not self._is_inside(old, occurrence):
            if _word(old) != _word(new):
                # Another step of the same name: it begins anew.
                self.since.pop(key, None)
        elif old.kind != new.kind:
            raise _NoPlace(f"the step {old.id}, which the run is inside of, is of another kind")
        else:
            outcome, way = self.before.way(old, occurrence)
            found = _find_way(outcome, way, new)
            if found is None:
                raise _NoPlace(f"the way {outcome} of {old.id}, which the run has taken, is gone")
            if ways(new).get(found) is None and isinstance(old, Act | Wait):
                self.done[key] = PASSED
                return
            self.done[key] = found
            self.move(way, ways(new).get(found, ()), occurrence)

    def _enter_round(self, old: Repeat, new: Repeat, occurrence: int) -> None:
        if occurrence and old.at_most != new.at_most:
            raise _NoPlace(f"the rounds of {old.id}, which are counted through, are others")
        now = self.before.round_of(old, occurrence)
        for number in range(now + 1):
            round_number = occurrence * old.at_most + number
            if number < now:
                if old.steps != new.steps:
                    for step in new.steps:
                        self._pass(step, round_number)
                # The word after a round that lies behind was to go on, whoever asked.
                if new.until is not None and number + 1 < new.at_most:
                    self.done.setdefault(key_of(new.id, round_number), AGAIN)
            else:
                self.move(old.steps, new.steps, round_number)


def place(
    old: Steps, new: Steps, done: Mapping[str, str], since: Mapping[str, datetime]
) -> Placement | Unplaced:
    """Where a run of the steps `old`, with this memory, goes on in the steps `new`.

    Nothing that is done is taken again; what has begun keeps its beginning, so that waits end when they would have.
    """
    move = _Move(Progress(done, since), dict(done), dict(since))
    try:
        move.move(old, new, 0)
    except _NoPlace as reason:
        return Unplaced(str(reason))
    move.settle_moved(old, new)
    gone = {step.id for step in walk(old)} - {step.id for step in walk(new)}
    # What was begun and is gone is forgotten; what was done is remembered, should its step come back.
    begun = {key: at for key, at in move.since.items() if key in move.done or _step_of(key) not in gone}
    return Placement(move.done, begun)


def _goes_on(step: Step, outcome: str | None) -> bool:
    """Whether a run that comes by a step with this outcome simply goes on behind it."""
    if outcome is None or not isinstance(step, Act | Wait):
        return outcome == PASSED
    reaction = step.outcomes.get(outcome)
    if reaction is None:
        return outcome != "no_date"
    return reaction.do in ("next", "hold")


def _parents(steps: Steps, parent: str = "") -> Iterator[tuple[Step, str]]:
    for step in steps:
        yield step, parent
        for nested in inner(step):
            yield from _parents(nested, step.id)


def _step_of(key: str) -> str:
    return key.partition("#")[0]


def _word(step: Step) -> str:
    return step.word if isinstance(step, Act) else step.kind


def _find_way(outcome: str, way: Steps, new: Step) -> str | None:
    """The way of `new` that the steps of `way` stand in now; the arm of an experiment stays what it was."""
    found = ways(new)
    if isinstance(new, Split):
        return outcome if outcome in found or not way else None
    ids = {step.id for step in way}
    likeness = {name: len(ids & {step.id for step in steps}) for name, steps in found.items()}
    if any(likeness.values()) and not isinstance(new, Act | Wait):
        return max(likeness, key=lambda name: (likeness[name], name == outcome))
    if isinstance(new, Choose) and outcome not in found:
        return None
    return outcome


def _pair(old: tuple[Steps, ...], new: tuple[Steps, ...]) -> list[tuple[Steps, Steps]]:
    """Branches of both versions that share most steps, else that stand at the same number; each at most once."""
    ids = [{step.id for step in walk(branch)} for branch in (*old, *new)]
    likeness = sorted(
        (-len(ids[i] & ids[len(old) + j]), i != j, i, j) for i in range(len(old)) for j in range(len(new))
    )
    pairs: dict[int, int] = {}
    for shared, apart, i, j in likeness:
        if i not in pairs and j not in pairs.values() and (shared or not apart):
            pairs[i] = j
    return [(old[i], new[j]) for i, j in pairs.items()]
