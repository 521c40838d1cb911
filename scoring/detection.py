"""How well a trigger told in advance who would cancel: precision, recall and lead time, with the base rate beside them.

A flag is a moment at which a trigger began to hold. It is judged once `horizon` has passed over what is known, so that
a cancellation could have been seen; a flag on somebody who had cancelled already isn't one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Any

from schemas.catalogue import Catalogue
from schemas.facts import Event
from scoring.derivations import compile_derivations
from scoring.intervals import wilson_interval
from scoring.signals import move_signals

STATUS, CANCELLED = "subscription_status", "cancelled"
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Course:
    """One customer: known from `since` on, when the trigger began to hold, when they cancelled and came back.

    `flags`, `cancelled` and `returned` are in order of time.
    """

    customer: str
    since: datetime
    flags: Sequence[datetime] = ()
    cancelled: Sequence[datetime] = ()
    returned: Sequence[datetime] = ()

    def is_gone(self, at: datetime) -> bool:
        """Whether the customer had cancelled by then, and not come back."""
        last = max((one for one in self.cancelled if one <= at), default=None)
        return last is not None and not any(last < one <= at for one in self.returned)

    def cancels_within(self, at: datetime, horizon: timedelta) -> datetime | None:
        """The first cancellation after `at`, not later than `horizon` after it."""
        return next((one for one in self.cancelled if at < one <= at + horizon), None)


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `n`, with Wilson's 95 % interval; `rate`, `low` and `high` are None where n is 0."""

    hits: int
    n: int
    rate: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """What a trigger's flags were worth.

    precision: of the judged flags, those followed by a cancellation within the horizon. base_rate: of the customers
    who hadn't cancelled, at the midnights (UTC) of the judged stretch, those who did within the horizon: what flags
    drawn at random would come to; `lift` is how many times better the trigger is. recall: of the cancellations inside
    the period, those with a flag in the horizon before. `lead_days` is from the first such flag to the cancellation:
    median and quartiles. `never_flagged` names who cancelled inside the period without any flag in it before.
    """

    horizon_days: float
    flags: int
    unjudged: int
    flagged_customers: int
    precision: Share
    base_rate: float | None
    lift: float | None
    cancellations: int
    recall: Share
    lead_days: Mapping[str, float] | None
    never_flagged: Sequence[str] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"never_flagged": list(self.never_flagged)}


def trace_status(
    events: Iterable[Event], catalogue: Catalogue
) -> tuple[Sequence[datetime], Sequence[datetime]]:
    """When the subscription was cancelled, and when it was taken up again, by the catalogue's definition of it."""
    moves = compile_derivations(catalogue).moves
    telling = [
        event for event in events if any(move.signal.name == STATUS for move in moves.get(event.name, ()))
    ]
    cancelled: list[datetime] = []
    returned: list[datetime] = []
    status: Any = None
    for event in sorted(telling, key=lambda one: one.at):
        value = move_signals({}, {}, [event], catalogue).signals.get(STATUS)
        if value is None or value == status:
            continue
        if value == CANCELLED:
            cancelled.append(event.at)
        elif status == CANCELLED:
            returned.append(event.at)
        status = value
    return cancelled, returned


def share_of(hits: int, n: int) -> Share:
    """The share with Wilson's interval (Journal of the American Statistical Association 22, 1927)."""
    if not n:
        return Share(hits, n)
    return Share(hits, n, hits / n, *wilson_interval(hits, n))


def judge_flags(
    courses: Iterable[Course], *, start: datetime, end: datetime, known_until: datetime, horizon: timedelta
) -> Detection:
    """Judge the flags from `start` to before `end` by what is known until `known_until`."""
    judged_until = min(end, known_until - horizon)
    flags = unjudged = hits = flagged = cancellations = foreseen = 0
    active_days = doomed_days = 0
    leads: list[float] = []
    never: list[str] = []
    for course in courses:
        mine = [at for at in course.flags if start <= at < end and not course.is_gone(at)]
        flags += len(mine)
        flagged += bool(mine)
        for at in mine:
            if at > judged_until:
                unjudged += 1
            else:
                hits += course.cancels_within(at, horizon) is not None
        for gone in course.cancelled:
            if not start <= gone < end:
                continue
            cancellations += 1
            before = [at for at in mine if gone - horizon <= at < gone]
            if before:
                foreseen += 1
                leads.append((gone - before[0]).total_seconds() / _DAY_SECONDS)
            elif not any(at < gone for at in mine):
                never.append(course.customer)
        active, doomed = _count_days(course, start, judged_until, horizon)
        active_days, doomed_days = active_days + active, doomed_days + doomed
    precision = share_of(hits, flags - unjudged)
    base = doomed_days / active_days if active_days else None
    return Detection(
        horizon_days=horizon.total_seconds() / _DAY_SECONDS,
        flags=flags,
        unjudged=unjudged,
        flagged_customers=flagged,
        precision=precision,
        base_rate=base,
        lift=precision.rate / base if precision.rate is not None and base else None,
        cancellations=cancellations,
        recall=share_of(foreseen, cancellations),
        lead_days=_spread(leads),
        never_flagged=sorted(set(never)),
    )


def _count_days(course: Course, start: datetime, until: datetime, horizon: timedelta) -> tuple[int, int]:
    """The midnights at which the customer hadn't cancelled, and those after which they did within the horizon."""
    midnight = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    active = doomed = 0
    while midnight <= until:
        if midnight >= max(start, course.since) and not course.is_gone(midnight):
            active += 1
            doomed += course.cancels_within(midnight, horizon) is not None
        midnight += timedelta(days=1)
    return active, doomed


def _spread(days: Sequence[float]) -> dict[str, float] | None:
    if not days:
        return None
    if len(days) == 1:
        return {"quartile_1": days[0], "median": days[0], "quartile_3": days[0]}
    low, middle, high = quantiles(days, n=4, method="inclusive")
    return {"quartile_1": low, "median": middle, "quartile_3": high}
