"""Health by any model, of many customers: what `scoring.health.Scorer` says of each, to the last bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.health_model import EVERYONE, RISK_LEVELS, SEGMENTS, HealthModel, Row
from scoring.churning.columns import Categories, Flags, Floats, Integers
from scoring.health import NEW_USER_DAYS
from scoring.population.days import NO_SCORE, Scores, round_ninth
from scoring.population.known import Known
from scoring.population.shapes import evaluate_factor
from scoring.population.truths import judge

# Sorted, as levels of a column are.
RISKS = tuple(sorted(RISK_LEVELS))
SEGMENT_LEVELS = tuple(sorted(SEGMENTS))
_HEALTHY, _AT_RISK, _CRITICAL = (RISKS.index(risk) for risk in ("healthy", "at_risk", "critical"))
_ESTABLISHED, _NEW_USER, _POWER_USER = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class HealthColumns:
    """`score` is 0 to 100, NO_SCORE where too little is known; `risk` is missing there.

    `factors` has shape (rows, factors of the model), in its order: shares, or points where it shows points; nan where a
    factor is left out. `coverage` (0–1) is the share of the weights whose signals are known.
    """

    score: Scores
    risk: Categories
    factors: Floats
    coverage: Floats
    segment: Categories


def score_health(model: HealthModel, known: Known) -> HealthColumns:
    """The health of every customer that follows from the signals."""
    segment = given_segments(known)
    weights = _Weights(model, segment, known)
    points = model.shown == "points"
    factors = np.empty((len(model.factors), known.n))
    total, counted, covered = np.zeros(known.n), np.full(known.n, 100.0), np.zeros(known.n)
    for place, factor in enumerate(model.factors):
        shares, aware = evaluate_factor(factor, known)
        weight = weights.of(place)
        worth = shares * weight
        left_out = np.isnan(shares)
        total += np.where(left_out, 0.0, worth)
        counted -= np.where(left_out, weight, 0.0)
        covered += np.where(aware, weight, 0.0)
        factors[place] = worth if points else shares
    coverage = covered / 100
    known_enough = counted >= 1e-9
    if model.minimum_coverage:
        known_enough &= coverage >= model.minimum_coverage - 1e-9
    exact = np.where(counted == 100, total, 100 * total / np.where(known_enough, counted, 1.0))
    score = np.floor(round_ninth(exact) + 0.5)
    risk = np.full(known.n, -1)
    for override in model.overrides:
        holds = judge(override.when, known) > 0
        if override.at_most is not None:
            score = np.where(holds, np.minimum(score, override.at_most), score)
        if override.at_least is not None:
            score = np.where(holds, np.maximum(score, override.at_least), score)
        if override.risk is not None:
            risk[holds] = RISKS.index(override.risk)
    bands = model.bands
    of_score = np.where(score >= bands.at_risk, _AT_RISK, _CRITICAL)
    of_score[score >= bands.healthy] = _HEALTHY
    risk = np.where(risk < 0, of_score, risk)
    return HealthColumns(
        np.where(known_enough, score, NO_SCORE).astype(np.int16),
        Categories(RISKS, np.where(known_enough, risk, -1)),
        factors.T,
        coverage,
        Categories(SEGMENT_LEVELS, segment),
    )


def segments_of(known: Known) -> Categories:
    """The segment by age, adoption and activity, as `scoring.health.segment_of` has it."""
    powerful = (known.filled("features_adopted", 0) >= 6) & (known.filled("active_days_30d", 0) >= 20)
    codes = np.where(powerful, _POWER_USER, _ESTABLISHED)
    return Categories(SEGMENT_LEVELS, np.where(_young(known), _NEW_USER, codes))


def given_segments(known: Known) -> Integers:
    """The segment among the signals, as a place in SEGMENT_LEVELS; where there is none, by age alone."""
    codes: Integers = np.where(_young(known), _NEW_USER, _ESTABLISHED)
    given = known.texts("segment")
    if given is not None:
        places = [SEGMENT_LEVELS.index(level) if level in SEGMENT_LEVELS else -1 for level in given.levels]
        said = np.array([*places, -1])[given.codes]
        codes = np.where(said >= 0, said, codes)
    return codes


def _young(known: Known) -> Flags:
    return known.filled("account_age_days", NEW_USER_DAYS) < NEW_USER_DAYS


class _Weights:
    """The weights of each customer's segment and plan."""

    def __init__(self, model: HealthModel, segment: Integers, known: Known) -> None:
        names = [factor.name for factor in model.factors]
        rows = [_row(model.weights, level, names) for level in SEGMENT_LEVELS]
        self._place: npt.NDArray[np.int64] = segment
        plans = known.texts("plan")
        if model.plans and plans is not None:
            # For each plan and segment, the row of the plan where it has one.
            table = []
            for plan in (*plans.levels, None):
                own = model.plans.get(plan, {}) if plan is not None else {}
                for place, level in enumerate(SEGMENT_LEVELS):
                    has_row = level in own or EVERYONE in own
                    table.append(len(rows) if has_row else place)
                    rows += [_row(own, level, names)] if has_row else []
            codes = np.where(plans.codes >= 0, plans.codes, len(plans.levels))
            self._place = np.array(table)[codes * len(SEGMENT_LEVELS) + segment]
        self._table = np.array(rows, np.float64).reshape(len(rows), len(names))

    def of(self, factor: int) -> Floats:
        """What the factor weighs for each customer, in points."""
        found: Floats = self._table[:, factor][self._place]
        return found


def _row(rows: dict[str, Row], segment: str, names: list[str]) -> list[float]:
    row = rows.get(segment) or rows.get(EVERYONE, {})
    return [row.get(name, 0.0) for name in names]
