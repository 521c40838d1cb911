"""From what scoring found of a part of the population to the rows that are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from activities.scores import HOLDOUT
from rules.assignment import held_out
from schemas.catalogue import Catalogue
from schemas.health_model import HealthModel
from scoring.breakdown import weights_of
from scoring.churning.columns import Categories, Flags, Floats
from scoring.derivations import compile_derivations
from scoring.population.days import NO_SCORE, Scores, round_ninth
from scoring.population.deriving import Derived, derived_names
from scoring.population.named import NAMED
from scoring.population.predictions import CONFIDENCES, LEVELS, REASONS, SOURCES, Dates
from scoring.signal_columns import NO_INSTANT
from store.bulk import NO_DAY, Array, Rows
from store.population_reading import DAY_MICROSECONDS, StoredPart
from store.tables import SIGNAL_COLUMNS
from store.tables.customers import BOOL, DATE, LIST, NUMBER, TEXT_

# What these factors of the model are called in the customer's row of the day.
FACTOR_SCORES: Mapping[str, str] = {
    "feature_adoption": "feature_adoption_score",
    "client_engagement": "client_engagement_score",
    "support_health": "support_ticket_score",
    "billing_health": "billing_health_score",
}


@cache
def written_names(catalogue: Catalogue) -> tuple[str, ...]:
    """The signals with a column that scoring writes: what follows from others, and totals, which begin at 0."""
    derived = derived_names(catalogue) | frozenset(compile_derivations(catalogue).totals)
    return tuple(name for name in SIGNAL_COLUMNS if name in derived)


@cache
def written_lists(catalogue: Catalogue) -> tuple[str, ...]:
    """Those of them that are lists."""
    return tuple(name for name in written_names(catalogue) if SIGNAL_COLUMNS[name] == LIST)


def changed_signals(part: StoredPart, derived: Derived, catalogue: Catalogue) -> dict[str, Flags]:
    """Where each of the written signals is another than the stored one; one that is nowhere is left out."""
    changed: dict[str, Flags] = {}
    signals, n = derived.signals, part.n
    for name in written_names(catalogue):
        kind = SIGNAL_COLUMNS[name]
        if kind in (NUMBER, BOOL):
            before, now = part.numbers[name], signals.numbers.get(name, np.full(n, np.nan))
            other = (before != now) & ~(np.isnan(before) & np.isnan(now))
        elif kind == TEXT_:
            other = _other_texts(part.texts[name], signals.texts.get(name))
        elif kind == LIST:
            listed = signals.lists.get(name, [None] * n)
            pairs = zip(part.lists[name], listed, strict=True)
            other = np.array([(None if one is None else tuple(one)) != two for one, two in pairs], np.bool_)
        else:
            other = part.instants[name] != signals.instants.get(name, np.full(n, NO_INSTANT))
        if other.any():
            changed[name] = other
    return changed


def _other_texts(before: Sequence[str | None], now: Categories | None) -> Flags:
    if now is None:
        return np.array([one is not None for one in before], np.bool_)
    # In the codes of what is now; what has none there is another in any case.
    codes: dict[str | None, int] = {level: place for place, level in enumerate(now.levels)}
    codes[None] = -1
    stored = np.array([codes.get(one, -2) for one in before], np.int64)
    return np.asarray(stored != now.codes, np.bool_)


def signal_rows(part: StoredPart, derived: Derived, catalogue: Catalogue, chosen: Array) -> Rows:
    """Every signal that scoring writes, of the rows `chosen`."""
    rows, signals, n = Rows(chosen), derived.signals, part.n
    rows.ids("customer_id", part.ids)
    rows.ids("version", part.versions)
    rows.ids("place", np.arange(n, dtype=np.int32))
    for name in written_names(catalogue):
        kind = SIGNAL_COLUMNS[name]
        if kind in (NUMBER, BOOL):
            numbers = signals.numbers.get(name, np.full(n, np.nan))
            rows.numbers(name, numbers) if kind == NUMBER else rows.flags(name, numbers)
        elif kind == TEXT_:
            texts = signals.texts.get(name, Categories((), np.full(n, -1)))
            rows.codes(name, texts.codes, texts.levels)
        elif kind == LIST:
            rows.lists(name, signals.lists.get(name, [None] * n))
        else:
            instants = signals.instants.get(name, np.full(n, NO_INSTANT))
            if kind == DATE:
                rows.days(name, np.where(instants == NO_INSTANT, NO_DAY, instants // DAY_MICROSECONDS))
            else:
                rows.instants(name, instants)
    return rows


def health_rows(part: StoredPart, derived: Derived, model: HealthModel, chosen: Array) -> Rows:
    """The day's health of the rows `chosen`."""
    rows, health = Rows(chosen), derived.health
    rows.ids("customer_id", part.ids)
    rows.counts("health_score", health.score)
    rows.codes("risk_level", health.risk.codes, health.risk.levels)
    rows.counts("previous_score", derived.previous)
    rows.codes("score_trend", derived.score_trend.codes, derived.score_trend.levels)
    rows.counts("enhanced_score", derived.enhanced)
    rows.instants("last_login", part.instants["last_login"])
    for name, column in FACTOR_SCORES.items():
        rows.counts(column, _percents(model, derived, name))
    for place in range(len(model.factors)):
        rows.numbers(f"factor_{place}", health.factors[:, place])
    return rows


def _percents(model: HealthModel, derived: Derived, name: str) -> Scores:
    """A factor's share in whole numbers 0–100, half up; NO_SCORE where it was left out."""
    place = next((at for at, factor in enumerate(model.factors) if factor.name == name), None)
    if place is None:
        return np.full(derived.signals.n, NO_SCORE, np.int16)
    shares = derived.health.factors[:, place]
    if model.shown == "points":
        weights = _weights(model, derived, name)
        shares = np.where(weights > 0, shares / np.where(weights > 0, weights, 1.0), np.nan)
    percents = np.floor(round_ninth(100 * shares) + 0.5)
    return np.where(np.isnan(percents), NO_SCORE, percents).astype(np.int16)


def _weights(model: HealthModel, derived: Derived, name: str) -> Floats:
    """What the factor weighs, by each customer's segment and plan."""
    segment, none = derived.health.segment, Categories((), np.full(derived.signals.n, -1))
    plan = derived.signals.texts.get("plan", none)
    pairs = segment.codes * (len(plan.levels) + 1) + plan.codes + 1
    weights = np.zeros(len(pairs))
    for pair in np.unique(pairs).tolist():
        of_segment, of_plan = divmod(pair, len(plan.levels) + 1)
        named = plan.levels[of_plan - 1] if of_plan else None
        weights[pairs == pair] = weights_of(model, segment.levels[of_segment], named)[name]
    return weights


def prediction_rows(part: StoredPart, derived: Derived, holdout_percent: float, chosen: Array) -> Rows:
    """The day's predictions of the rows `chosen`, who are all scored."""
    rows, made = Rows(chosen), derived.predictions
    rows.ids("customer_id", part.ids)
    rows.numbers("churn_probability", made.probability)
    for place, name in enumerate(("within_30d", "within_60d", "within_90d")):
        rows.numbers(name, made.within[:, place])
    rows.codes("risk_level", made.level, LEVELS)
    rows.codes("source", made.source, SOURCES)
    rows.codes("model_version", made.source, made.versions)
    rows.codes("model_confidence", made.confidence, CONFIDENCES)
    rows.days("predicted_churn_date", _days(made.expected))
    rows.days("earliest_churn_date", _days(made.earliest))
    rows.days("latest_churn_date", _days(made.latest))
    rows.ids("intervention_recommended", made.recommended)
    rows.counts("intervention_priority", made.priority)
    rows.numbers("ltv_at_risk", made.ltv_at_risk)
    rows.numbers("prevention_cost_estimate", made.prevention_cost)
    held = np.zeros(part.n, np.bool_)
    if holdout_percent > 0:
        held[chosen] = [held_out(HOLDOUT, holdout_percent, part.names[row]) for row in chosen.tolist()]
    rows.ids("held_out", held)
    for place in range(len(NAMED)):
        rows.ids(f"factor_{place}", np.ascontiguousarray(made.factors[:, place]))
    for place in range(REASONS):
        rows.codes(f"reason_{place}", made.reasons[:, place], made.sources)
        rows.ids(f"effect_{place}", np.ascontiguousarray(made.effects[:, place]))
    return rows


def _days(dates: Dates) -> Array:
    days = dates.astype("datetime64[D]").astype(np.int64)
    return np.where(np.isnat(dates), NO_DAY, days).astype(np.int32)
