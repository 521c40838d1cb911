"""Everything that follows at a moment from what is stored of many customers: signals, health, predictions.

The definitions are those of one customer (`scoring.signals.derive_signals`), and so are the values, row by row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeVar

import numpy as np

from schemas.catalogue import Catalogue
from scoring.churning.columns import Categories, Floats
from scoring.derivations import DerivationPlan, compile_derivations
from scoring.health import Scorer
from scoring.population.boost import enhance_scores
from scoring.population.days import (
    NO_SCORE,
    DayScores,
    Scores,
    average_scores,
    latest_scores,
    long_trends,
    score_trends,
    with_today,
)
from scoring.population.health import HealthColumns, score_health, segments_of
from scoring.population.known import Known
from scoring.population.predictions import LEVELS, PredictionColumns, predict
from scoring.population.tallies import TallyColumns
from scoring.population.windows import read_windows
from scoring.predictors import RULES_ONLY, Predictors
from scoring.signal_columns import NO_INSTANT, Longs, SignalColumns
from scoring.signals import DAY_SECONDS

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = DAY_SECONDS * 1_000_000
_SORTED_LEVELS = tuple(sorted(LEVELS))


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """`signals` has what is stored and what follows from it, ages included; one row per customer in all parts.

    `previous` is the score of the last day before today that has one (NO_SCORE: none of the last 31), `score_trend`
    the change against it, and `enhanced` the score with the viral boost.
    """

    signals: SignalColumns
    health: HealthColumns
    previous: Scores
    score_trend: Categories
    enhanced: Scores
    predictions: PredictionColumns


def derive_columns(
    stored: SignalColumns,
    tallies: TallyColumns,
    scores: DayScores,
    *,
    now: datetime,
    catalogue: Catalogue,
    scorer: Scorer,
    predictors: Predictors = RULES_ONLY,
    lists: Collection[str] = (),
) -> Derived:
    """Every signal, health and churn of `stored.n` customers at `now`; about 10,000 at a time is fastest.

    `tallies` reach back `catalogue.tally_days`. What `stored` holds of signals that follow from others is of an earlier
    moment and left out. Of derived lists (recent_features) only those named in `lists` are made. Raises ValueError
    where parts have other numbers of rows.
    """
    if len(scores.values) != stored.n:
        raise ValueError(f"{len(scores.values)} rows of scores for {stored.n} customers: give one for each.")
    with np.errstate(all="ignore"):
        plan, passing = compile_derivations(catalogue), derived_names(catalogue)
        numbers = _without(stored.numbers, passing)
        texts = _without(stored.texts, passing)
        instants = _without(stored.instants, passing)
        listed = _without(stored.lists, passing)
        columns = SignalColumns(stored.n, numbers, texts, instants, listed)
        known = Known(columns, _bools(catalogue))
        _fill_totals(plan, numbers, stored.n)
        windows = read_windows(plan, tallies, stored.n, lists=lists)
        numbers.update(windows.numbers)
        listed.update(windows.lists)
        _age(plan, columns, numbers, now)
        texts["segment"] = segments_of(known)
        health = score_health(scorer.model, known)
        enhanced = enhance_scores(health.score, known)
        days = with_today(scores, health.score)
        numbers["health_score"] = _as_signal(health.score)
        numbers["enhanced_score"] = _as_signal(enhanced)
        numbers["avg_health_30d"] = average_scores(days)
        texts["risk_level"] = health.risk
        texts["health_trend"] = long_trends(days, scorer.model.trend)
        predictions = predict(predictors, known, now, catalogue)
        _tell(predictions, numbers, texts, instants)
        previous = latest_scores(scores)
        return Derived(
            columns,
            health,
            previous,
            score_trends(health.score, previous, scorer.model.trend),
            enhanced,
            predictions,
        )


@cache
def derived_names(catalogue: Catalogue) -> frozenset[str]:
    """Signals that follow from others at each moment anew."""
    return frozenset(
        name
        for name, signal in catalogue.signals.items()
        if signal.derive and not any(form.stored for form in signal.derive)
    )


def _without(columns: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    return {name: column for name, column in columns.items() if name not in names}


@cache
def _bools(catalogue: Catalogue) -> frozenset[str]:
    return frozenset(name for name, signal in catalogue.signals.items() if signal.type == "bool")


def _fill_totals(plan: DerivationPlan, numbers: dict[str, Floats], n: int) -> None:
    for name in plan.totals:
        column = numbers.get(name)
        numbers[name] = np.zeros(n) if column is None else np.where(np.isnan(column), 0.0, column)


def _age(plan: DerivationPlan, columns: SignalColumns, numbers: dict[str, Floats], now: datetime) -> None:
    """Whole days since each instant that isn't to come."""
    moment = (now - _EPOCH) // timedelta(microseconds=1)
    for name, base in plan.ages:
        since = columns.instants.get(base)
        if since is not None:
            past = (since != NO_INSTANT) & (since <= moment)
            numbers[name] = np.where(past, (moment - np.where(past, since, moment)) // _DAY, np.nan)


def _as_signal(score: Scores) -> Floats:
    return np.where(score == NO_SCORE, np.nan, score)


def _tell(
    predictions: PredictionColumns,
    numbers: dict[str, Floats],
    texts: dict[str, Categories],
    instants: dict[str, Longs],
) -> None:
    """The catalogue's churn signals."""
    scored = predictions.scored
    numbers["churn_probability"] = np.where(scored, predictions.probability, np.nan)
    numbers["ltv_at_risk"] = np.where(scored, predictions.ltv_at_risk, np.nan)
    places = np.array([_SORTED_LEVELS.index(level) for level in LEVELS])
    codes = np.where(scored, places[predictions.level], -1)
    texts["churn_risk_level"] = Categories(_SORTED_LEVELS, codes)
    expected = predictions.expected
    if not np.isnat(expected).all():
        at = expected.astype("datetime64[us]").astype(np.int64)
        instants["predicted_churn_date"] = np.where(scored & ~np.isnat(expected), at, NO_INSTANT)
