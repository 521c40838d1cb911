"""How much a run of a plan puts on channels and people, at most: what simulation tells exactly, counted beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.assignee import name_assignee
from schemas.nesting import inner
from schemas.plan import (
    Act,
    Branch,
    CalendarDays,
    Choose,
    Elapsed,
    Repeat,
    Split,
    Step,
    Steps,
    Stop,
    Together,
    Wait,
    WaitFor,
)

DAY = 86_400
# Rounds beyond this make no difference to anybody who reads the number.
MOST_ROUNDS = 1000


@dataclass
class Workload:
    """How often each word is carried out, at most, in the first day and in the whole run; `assigned`: people's work by
    whom the step assigns it to (`csm` is the customer's own).
    """

    first_day: Counter[str] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)
    assigned: Counter[str] = field(default_factory=Counter)

    def add(self, other: Workload) -> None:
        """What comes as well."""
        self.first_day.update(other.first_day)
        self.whole.update(other.whole)
        self.assigned.update(other.assigned)


def count_work(steps: Steps, arms: Mapping[str, str]) -> Workload:
    """The work of one run that has these arms of experiments; of ways that exclude each other, the most of each word.

    A person may take a call at once, and what is waited for may come at once.
    """
    work = Workload()
    _walk(steps, arms, 0, work)
    return work


def _walk(steps: Steps, arms: Mapping[str, str], since: int, work: Workload) -> int | None:
    """Count a list that begins so many seconds after entry, at the soonest; when it ends (None: the run ends)."""
    now: int | None = since
    for step in steps:
        if now is None:
            return None
        now = _take(step, arms, now, work)
    return now


def _take(step: Step, arms: Mapping[str, str], now: int, work: Workload) -> int | None:
    match step:
        case Stop():
            return None
        case Act():
            work.whole[step.word] += 1
            work.first_day[step.word] += now < DAY
            if step.human:
                work.assigned[name_assignee(step.args.get("assign"))] += 1
            # What is done is mostly gone on from; a fallback comes as well.
            _exclude(inner(step), arms, now, work)
            return now
        case Wait():
            return now + _length(step)
        case WaitFor():
            begun = [(step.then, now), (step.otherwise, now + step.for_seconds)]
            return _most([(way, start) for way, start in begun], arms, work)
        case Split():
            variant = step.variants.get(arms.get(step.experiment, ""))
            return _walk(variant.steps, arms, now, work) if variant else now
        case Branch() | Choose():
            return _most([(way, now) for way in inner(step)], arms, work)
        case Repeat():
            end: int | None = now
            for _ in range(min(step.at_most, MOST_ROUNDS)):
                end = _walk(step.steps, arms, end, work) if end is not None else None
            return end
        case Together():
            ends = [_walk(branch, arms, now, work) for branch in step.branches]
            return None if None in ends else max((end for end in ends if end is not None), default=now)


def _exclude(ways: Iterable[Steps], arms: Mapping[str, str], now: int, work: Workload) -> None:
    _most([(way, now) for way in ways], arms, work)


def _most(ways: list[tuple[Steps, int]], arms: Mapping[str, str], work: Workload) -> int | None:
    """Of ways that exclude each other the most of each word, and the soonest end."""
    ends: list[int] = []
    most = Workload()
    for steps, start in ways:
        one = Workload()
        end = _walk(steps, arms, start, one)
        if end is not None:
            ends.append(end)
        most = Workload(most.first_day | one.first_day, most.whole | one.whole, most.assigned | one.assigned)
    work.add(most)
    return min(ends) if ends else None


def _length(step: Wait) -> int:
    """How long it lasts at least, in seconds."""
    match step.spec:
        case Elapsed():
            return step.spec.seconds
        case CalendarDays():
            return max(0, step.spec.days - 1) * DAY
    return 0
