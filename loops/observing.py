"""The stored predictions and health scores of the past months, held against what became of the customers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from loops.maturing import moment_of, newest_over, read_known, stay_of
from schemas.catalogue import Catalogue
from schemas.policy import Policy
from scoring.churning.measures import CAPACITY
from scoring.model_report import Champion, Coverage, Freshness, HealthQuality, ModelReport, Stability
from scoring.model_status import find_alarms, judge_status
from scoring.monitoring import NEWEST_WEEKS, Fate, Told, Watch, choose_days, find_fate
from scoring.observed_expected import EARLY_DAYS, find_drift, stability_index
from scoring.separation import Judged, judge_bands
from scoring.training import midnight
from store import monitoring
from store.database import Connection, Database
from store.monitoring import HealthRow, PredictionRow
from store.past_reading import sample_customers
from store.training import Known

# So many customers tell drift apart from chance; more would only take longer.
CUSTOMERS = 20_000
WEEKS = 26
RECENT = timedelta(days=14)
YOUNGEST = timedelta(days=7)
_PAGE = 1000
# Which day of a week has predictions is seen on so many customers.
_PROBED = 200
_DAY = timedelta(days=1)
_RISKS = ("healthy", "at_risk", "critical", "unknown")


@dataclass
class _Gathered:
    """What the pages add up to."""

    watch: Watch
    health: list[tuple[Judged, bool]] = field(default_factory=list)
    health_models: set[str] = field(default_factory=set)
    scores: dict[date, list[float]] = field(default_factory=dict)


async def observe(
    database: Database,
    catalogue: Catalogue,
    policy: Policy,
    now: datetime,
    *,
    customers: int = CUSTOMERS,
    capacity: float = CAPACITY,
    say: Callable[[str], None] = lambda line: None,
) -> ModelReport:
    """What there is to tell at `now`, by `customers` drawn by a hash of their id; nothing is written.

    `capacity` is the share of customers whom the CSMs can look after.
    """
    horizon = policy.churn.horizon_days
    async with database.transaction() as connection:
        ids, total = await sample_customers(connection, now, customers)
        since = newest_over(now, horizon) - timedelta(weeks=WEEKS)
        days = choose_days(await monitoring.count_days(connection, ids[:_PROBED], since))
    early = [day for day in days if day <= newest_over(now, EARLY_DAYS)][-WEEKS:]
    matured = [day for day in days if day <= newest_over(now, horizon)][-NEWEST_WEEKS:]
    # The newest day and one a quarter of a year before it, to see how scores have moved.
    compared = [days[-min(len(days), 14)], days[-1]] if len(days) > 1 else []
    gathered = _Gathered(Watch(horizon, early, matured), scores={day: [] for day in compared})
    for first in range(0, len(ids), _PAGE):
        page = ids[first : first + _PAGE]
        wanted = sorted({*early, *matured, *compared})
        async with database.transaction() as connection:
            predictions = await monitoring.read_predictions(connection, page, wanted)
            health = await monitoring.read_health(connection, page, matured)
            there = sorted({row.customer_id for row in predictions} | {row.customer_id for row in health})
            known = await read_known(connection, there, catalogue, now)
        await asyncio.to_thread(_gather, gathered, first, predictions, health, known, catalogue, now)
        say(f"{min(first + _PAGE, len(ids)):,} of {len(ids):,} customers")
    async with database.transaction() as connection:
        coverage, freshness = await _look_around(connection, gathered.watch, now)
    return await asyncio.to_thread(
        _conclude, gathered, coverage, freshness, now, horizon, (len(ids), total), capacity
    )


def _gather(
    gathered: _Gathered,
    first: int,
    predictions: Sequence[PredictionRow],
    health: Sequence[HealthRow],
    known: Mapping[str, Known],
    catalogue: Catalogue,
    now: datetime,
) -> None:
    rows: dict[str, tuple[list[PredictionRow], list[HealthRow]]] = {}
    for row in predictions:
        rows.setdefault(row.customer_id, ([], []))[0].append(row)
    for score in health:
        rows.setdefault(score.customer_id, ([], []))[1].append(score)
    for number, (id_, (told, scores)) in enumerate(sorted(rows.items()), start=first):
        if id_ not in known:
            continue
        stay, entries = stay_of(id_, known[id_], catalogue), known[id_].treated
        held_out = any(row.held_out for row in told)
        for row in told:
            if row.day in gathered.scores:
                gathered.scores[row.day].append(row.probability)
            at = moment_of(row.day, row.calculated_at)
            fate = find_fate(stay, entries, at, now, held_out=row.held_out)
            if fate is not None:
                gathered.watch.add(number, _told(row, at), fate)
        for score in scores:
            fate = find_fate(stay, entries, midnight(score.day), now, held_out=held_out)
            if fate is not None and score.risk_level in _RISKS:
                gathered.health.append(_judge(id_, score, fate, gathered.watch.horizon_days))
                gathered.health_models.add(score.model)


def _told(row: PredictionRow, at: datetime) -> Told:
    return Told(
        day=row.day, at=at, probability=row.probability, within_30d=row.within_30d, level=row.level,
        source=row.source, version=row.version, segment=row.segment, held_out=row.held_out, sent=row.sent,
        left=row.actual, earliest=row.earliest, latest=row.latest,
    )  # fmt: skip


def _judge(customer: str, row: HealthRow, fate: Fate, horizon_days: float) -> tuple[Judged, bool]:
    judged = Judged(customer, row.score, row.risk_level, fate.left <= horizon_days)  # type: ignore[arg-type]
    return judged, fate.is_untreated(horizon_days)


async def _look_around(connection: Connection, watch: Watch, now: datetime) -> tuple[Coverage, Freshness]:
    """How many have a prediction of today, and how old is what serves."""
    today = now.astimezone(UTC).date()
    active, by_source = await monitoring.count_covered(connection, today, midnight(today) - YOUNGEST)
    run = await monitoring.read_last_run(connection, now)
    matured = await monitoring.load_matured_until(connection) if watch.rows else None
    since = await monitoring.read_first_report_day(connection)
    champions = tuple(
        Champion(kind=kind, version=version, trained_at=trained_at, age_days=(now - trained_at) / _DAY)
        for kind, version, trained_at in await monitoring.read_champions(connection)
    )
    freshness = Freshness(
        champions=champions,
        last_run=run[0] if run else None,
        last_run_age_hours=(now - run[1]) / timedelta(hours=1) if run else None,
        newest_label=matured,
        newest_label_age_days=(today - matured).days if matured else None,
        watched_since=min(since, today) if since else None,
    )
    return Coverage(active=active, predicted=by_source), freshness


def _conclude(
    gathered: _Gathered,
    coverage: Coverage,
    freshness: Freshness,
    now: datetime,
    horizon_days: int,
    customers: tuple[int, int],
    capacity: float,
) -> ModelReport:
    today = now.astimezone(UTC).date()
    early = gathered.watch.tell_early()
    matured = gathered.watch.tell_matured(capacity)
    status, why = judge_status(matured.untreated if matured else None)
    # What happened to predictions long ago is no news.
    recent = bool(early.weeks) and early.weeks[-1].day >= newest_over(now, EARLY_DAYS) - RECENT
    drift = find_drift([week.untreated for week in early.weeks]) if recent else "unknown"
    newest = (early.weeks[-1].day, early.weeks[-1].untreated) if early.weeks else None
    alarms = find_alarms(
        status=status, why=why, drift=drift, newest=newest, freshness=freshness, today=today,
        horizon_days=horizon_days,
    )  # fmt: skip
    return ModelReport(
        day=today, at=now, horizon_days=horizon_days, customers=customers[0], customers_of=customers[1],
        status=status, why=why, drift=drift, early=early, matured=matured, health=_tell_health(gathered),
        coverage=coverage, freshness=freshness, stability=_tell_stability(gathered), alarms=tuple(alarms),
    )  # fmt: skip


def _tell_health(gathered: _Gathered) -> HealthQuality | None:
    if not gathered.health:
        return None
    untreated = [judged for judged, kept in gathered.health if kept]
    return HealthQuality(
        models=tuple(sorted(gathered.health_models)),
        untreated=judge_bands(untreated).to_json() if untreated else None,
        everybody=judge_bands(judged for judged, _ in gathered.health).to_json(),
    )


def _tell_stability(gathered: _Gathered) -> Stability | None:
    import numpy as np

    days = sorted(gathered.scores)
    if len(days) < 2:
        return None
    index = stability_index(*(np.array(gathered.scores[day]) for day in days))
    return None if index is None else Stability(index=index, before=days[0], day=days[1])
