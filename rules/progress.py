"""How far a run has come in a plan, read off its memory: what it has done, and since when it is in the middle of what.

Memory is by occurrence (`key_of`), as the workflow keeps it: a step that branches has its decision in `done` as soon as
it is taken; `repeat` has its word after each round, of that round; `together` has nothing of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.nesting import inner
from schemas.plan import Act, Branch, Choose, Repeat, Split, Step, Steps, Together, Wait, WaitFor
from schemas.run import key_of

# A step that the run doesn't take, nor anything inside it.
PASSED = "passed"
AGAIN = "again"


def ways(step: Step) -> Mapping[str, Steps]:
    """The lists of which a run takes one, by the outcome that leads there; of acts and waits, their fallbacks."""
    match step:
        case Branch() | WaitFor():
            return {"then": step.then, "else": step.otherwise}
        case Choose():
            numbered = {str(number): case.steps for number, case in enumerate(step.cases, 1)}
            return {**numbered, "else": step.otherwise}
        case Split():
            return {name: variant.steps for name, variant in step.variants.items()}
        case Act() | Wait():
            return {name: reaction.steps for name, reaction in step.outcomes.items() if reaction.steps}
    return {}


@dataclass(frozen=True)
class Progress:
    """A run's memory, with the questions that are asked of it; `occurrence` is the round of the repeats around."""

    done: Mapping[str, str]
    since: Mapping[str, datetime]

    def outcome(self, step: Step, occurrence: int) -> str | None:
        """What this occurrence came to, or None."""
        return self.done.get(key_of(step.id, occurrence))

    def way(self, step: Step, occurrence: int) -> tuple[str, Steps]:
        """The way that a decided step leads into, and its outcome; an empty list where it leads nowhere."""
        outcome = self.outcome(step, occurrence) or ""
        if isinstance(step, Branch | WaitFor) and outcome != "then":
            outcome = "else"
        return outcome, ways(step).get(outcome, ())

    def round_of(self, step: Repeat, occurrence: int) -> int:
        """The round (from 0) that the run has come to."""
        first = occurrence * step.at_most
        for number in range(step.at_most - 1, 0, -1):
            if any(self.is_touched(one, first + number) for one in step.steps):
                return number
        return 0

    def is_touched(self, step: Step, occurrence: int) -> bool:
        """Whether the run has come to this step, or to one inside it."""
        key = key_of(step.id, occurrence)
        match step:
            case Repeat():
                rounds = range(occurrence * step.at_most, (occurrence + 1) * step.at_most)
                return self.done.get(key) == PASSED or any(
                    self.is_touched(one, number) for number in rounds for one in step.steps
                )
            case Together():
                return self.done.get(key) == PASSED or any(
                    self.is_touched(one, occurrence) for branch in step.branches for one in branch
                )
        return key in self.done or key in self.since

    def is_under_way(self, step: Step, occurrence: int) -> bool:
        """Whether the run is in the middle of this step, or of one inside it."""
        key = key_of(step.id, occurrence)
        if self.done.get(key) == PASSED:
            return False
        match step:
            case Repeat():
                rounds = range(occurrence * step.at_most, (occurrence + 1) * step.at_most)
                return any(
                    self._is_open(key_of(step.id, number))
                    or any(self.is_under_way(one, number) for one in step.steps)
                    for number in rounds
                )
            case Together():
                return any(self.is_under_way(one, occurrence) for branch in step.branches for one in branch)
        if key not in self.done:
            return key in self.since
        return any(self.is_under_way(one, occurrence) for one in self.way(step, occurrence)[1])

    def is_finished(self, step: Step, occurrence: int) -> bool:
        """Whether nothing of this step is left to do."""
        key = key_of(step.id, occurrence)
        if self.done.get(key) == PASSED:
            return True
        match step:
            case Repeat():
                number = self.round_of(step, occurrence)
                last = occurrence * step.at_most + number
                ended = number + 1 == step.at_most or self.done.get(key_of(step.id, last)) == "done"
                return ended and self.is_complete(step.steps, last)
            case Together():
                return all(self.is_complete(branch, occurrence) for branch in step.branches)
        return key in self.done and self.is_complete(self.way(step, occurrence)[1], occurrence)

    def is_complete(self, steps: Steps, occurrence: int) -> bool:
        """Whether nothing of this list is left to do."""
        at = self.place(steps, occurrence)
        if at is None:
            return not steps
        return at == len(steps) - 1 and self.is_finished(steps[at], occurrence)

    def place(self, steps: Steps, occurrence: int) -> int | None:
        """The index of the step that the run is in the middle of, else of the last it came to; None: none."""
        touched = None
        for index, step in enumerate(steps):
            if self.is_under_way(step, occurrence):
                return index
            if self.is_touched(step, occurrence):
                touched = index
        return touched

    def _is_open(self, key: str) -> bool:
        return key in self.since and key not in self.done


def standing_at(steps: Steps, step_id: str, at: datetime, *, finished: bool = False) -> Progress | None:
    """The memory of a run that stands at a step (or, `finished`, has just done it), in the first round of whatever it
    stands in, and has done all that comes before; None where the plan has no such step.
    """
    done: dict[str, str] = {}
    if not _reach(steps, step_id, done):
        return None
    since = dict.fromkeys(done, at) | {step_id: at}
    if finished:
        done[step_id] = "done"
    return Progress(done, since)


def _reach(steps: Steps, step_id: str, done: dict[str, str]) -> bool:
    for step in steps:
        if step.id == step_id:
            return True
        for outcome, way in ways(step).items():
            within: dict[str, str] = {step.id: outcome}
            if _reach(way, step_id, within):
                done |= within
                return True
        if isinstance(step, Repeat | Together):
            for nested in inner(step):
                within = {}
                if _reach(nested, step_id, within):
                    done |= within
                    return True
        done[step.id] = PASSED
    return False


def next_step(steps: Steps, progress: Progress) -> str | None:
    """The id of the step that the run takes, or goes on with, first; None when all are done."""
    return _next(steps, progress, 0)


def _next(steps: Steps, progress: Progress, occurrence: int) -> str | None:
    for step in steps[progress.place(steps, occurrence) or 0 :]:
        if progress.is_finished(step, occurrence):
            continue
        match step:
            case Repeat():
                number = occurrence * step.at_most + progress.round_of(step, occurrence)
                found = _next(step.steps, progress, number) or step.id
            case Together():
                branches = (_next(branch, progress, occurrence) for branch in step.branches)
                found = next((one for one in branches if one), step.id)
            case _ if progress.outcome(step, occurrence) is not None:
                found = _next(progress.way(step, occurrence)[1], progress, occurrence) or step.id
            case _:
                found = step.id
        return found
    return None
