"""A health model played over the stored past: what it would have said of customers, against who left afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from schemas.catalogue import Catalogue, load_catalogue
from schemas.condition import Value
from schemas.errors import InputError
from schemas.facts import Event
from schemas.health_model import HealthModel
from scoring.derivations import compile_derivations
from scoring.detection import STATUS
from scoring.health import Scorer
from scoring.leaving import Stay, trace_stay
from scoring.separation import Judged, Separation, judge_bands
from scoring.signals import ages
from scoring.training import midnight
from store import signals
from store.database import Connection, Database
from store.outcomes import load_outcomes
from store.past_reading import sample_customers

# Customers read at once.
_PAGE = 500
LIMITS = (
    "Who was treated by a playbook meanwhile may have stayed for it: every model looks worse than it is.",
    "Signals that came into the catalogue later are missing on earlier days.",
    "Days of one customer say nearly the same, so the intervals count each customer once.",
)


@dataclass(frozen=True)
class BandResult:
    """What a model came to on `days` (midnights, UTC) for `customers` of the `of` that there were.

    `unjudged` days lie in the period, and their horizon isn't over yet.
    """

    model: str
    version: str
    days: Sequence[date]
    unjudged: int
    horizon_days: float
    customers: int
    of: int
    separation: Separation
    limits: Sequence[str] = LIMITS

    def to_json(self) -> dict[str, Any]:
        """As `--format json` prints it."""
        return {
            "model": self.model,
            "version": self.version,
            "days": [day.isoformat() for day in self.days],
            "unjudged_days": self.unjudged,
            "churn_within_days": self.horizon_days,
            "sample": {"customers": self.customers, "of": self.of},
            **self.separation.to_json(),
            "limits": list(self.limits),
        }


async def backtest_bands(
    database: Database,
    model: HealthModel,
    start: datetime,
    end: datetime,
    *,
    every: timedelta,
    horizon: timedelta,
    customers: int,
    say: Callable[[str], None],
) -> BandResult:
    """Score customers by `model` every so often from `start` to before `end`, and see who left within `horizon`.

    Raises InputError where no day of the period can be judged yet.
    """
    async with database.transaction() as connection:
        now = await database.clock.read(connection)
    wanted = list(_days(start, end, every))
    days = [day for day in wanted if midnight(day) + horizon <= now]
    if not wanted or start >= end:
        raise InputError("This period has no midnight.", remedy="Let --to lie after --from.")
    if not days:
        raise InputError(
            f"No day of this period can be judged yet: {horizon.days} days must have passed since.",
            remedy=f"Begin before {(now - horizon).date()}, or take a shorter --churn-within.",
        )
    catalogue = load_catalogue()
    scorer = Scorer(model)
    judged: list[Judged] = []
    async with database.transaction() as connection:
        ids, total = await sample_customers(connection, midnight(days[-1]), customers)
    for first in range(0, len(ids), _PAGE):
        page = ids[first : first + _PAGE]
        async with database.transaction() as connection:
            judged += await _judge(connection, page, scorer, days, horizon, now, catalogue)
        say(f"{min(first + _PAGE, len(ids))} of {len(ids)} customers")
    return BandResult(
        model.name, model.digest, days, len(wanted) - len(days), horizon / timedelta(days=1), len(ids), total,
        judge_bands(judged),
    )  # fmt: skip


async def _judge(
    connection: Connection,
    ids: Sequence[str],
    scorer: Scorer,
    days: Sequence[date],
    horizon: timedelta,
    now: datetime,
    catalogue: Catalogue,
) -> list[Judged]:
    bases = dict(compile_derivations(catalogue).ages)
    names = {bases.get(name, name) for name in scorer.model.signals}
    # As it was known then: a repair tells what the model of the day couldn't see.
    history = await signals.load_history(connection, ids, names, days[0], as_first_known=True)
    telling = [name for name, moves in compile_derivations(catalogue).moves.items() if _tells(moves)]
    outcomes = await load_outcomes(connection, ids, [*telling, "login"], now)
    judged: list[Judged] = []
    for id_ in ids:
        known = outcomes.get(id_)
        if known is None:
            continue
        stay = trace_stay(
            id_, known.created_at, [Event(name, at, body) for name, at, body in known.events], catalogue
        )
        series = {name: dict(values) for name, values in history.get(id_, {}).items()}
        judged += _judge_customer(id_, stay, series, scorer, days, horizon, catalogue)
    return judged


def _judge_customer(
    customer: str,
    stay: Stay,
    series: Mapping[str, Mapping[date, Value]],
    scorer: Scorer,
    days: Sequence[date],
    horizon: timedelta,
    catalogue: Catalogue,
) -> Iterator[Judged]:
    kinds = catalogue.signals
    for day in days:
        at = midnight(day)
        read = ((name, kinds[name].read(by_day[day])) for name, by_day in series.items() if day in by_day)
        values = {name: value for name, value in read if value is not None}
        if not values or stay.is_gone(at):
            continue
        for name, (since, unit) in ages(values, at, catalogue).items():
            values[name] = int((at - since).total_seconds() // unit)
        health = scorer(values)
        yield Judged(customer, health.score, health.risk_level, stay.leaves_within(at, horizon))


def _tells(moves: Sequence[Any]) -> bool:
    return any(move.signal.name == STATUS for move in moves)


def _days(start: datetime, end: datetime, every: timedelta) -> Iterator[date]:
    step = max(1, round(every / timedelta(days=1)))
    day = start.astimezone(UTC).date()
    if midnight(day) < start:
        day += timedelta(days=1)
    while midnight(day) < end:
        yield day
        day += timedelta(days=step)
