"""One customer's health and risk of leaving as a page shows them: what they are made of, and where they are heading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from schemas.catalogue import load_catalogue
from schemas.errors import UnavailableError
from scoring.assessment import Assessment
from scoring.breakdown import factor_shares, weights_of
from scoring.cohorts import Cohort
from scoring.recommendations import Recommendation, recommend
from scoring.trajectory import Trajectory, project
from store import signals
from store.cohorts import CohortCounts
from store.customer_health import load_first_factors, load_health_history
from store.database import Connection
from web.charts import BOTTOM, TOP, LineChart, line_chart
from web.cohorts import place
from web.edge import Edge
from web.reason_words import name_reason
from web.success_answers import Explanation, NamedFactor, PredictionAnswerRow
from web.success_telling import tell_explanation, tell_prediction, why_not

RANGES = (7, 30, 90)
# So many reasons have a bar of their own.
MOST_REASONS = 8
LEAST_EFFECT = 0.005
# So many points of 100 are worth telling.
LEAST_MOVE = 0.5


@dataclass(frozen=True)
class FactorLine:
    """One factor of the score: how full it is (0–1), and of 100 points how many it weighs and how many it brings."""

    name: str
    about: str
    share: float
    weighs: float
    brings: float


@dataclass(frozen=True)
class ScoreMoves:
    """What moved a score since a day: the points (label, of 100) that each factor brings more or less than it did then,
    the largest loss first, and how many of the change are none of theirs (weights that changed with segment and plan).
    """

    since: date
    change: int
    moved: Sequence[tuple[str, float]]

    @property
    def rest(self) -> float:
        """The change that the factors don't explain."""
        return self.change - sum(points for _, points in self.moved)


@dataclass(frozen=True)
class ScoreChart:
    """The scores of some days, the cohort's median as a level line, and where a line through them leads."""

    chart: LineChart
    projected: str
    median_y: float | None


@dataclass(frozen=True)
class ScoreSheet:
    """Everything that is told of one customer's health and risk at `assessed.at`.

    `reasons` are the strongest (label, effect), from what makes leaving likelier to what makes it less likely; `rest`
    is what all others come to, `why_not` why nothing is predicted.
    """

    assessed: Assessment
    factors: Sequence[FactorLine]
    recommendations: Sequence[Recommendation]
    cohort: Cohort
    trajectory: Trajectory | None
    moves: ScoreMoves | None
    chart: ScoreChart | None
    days: int
    prediction: PredictionAnswerRow | None
    explanation: Explanation | None
    reasons: Sequence[tuple[str, float]]
    rest: float
    why_not: str | None

    @property
    def named(self) -> Sequence[NamedFactor]:
        """The domain's named factors, the weightiest first."""
        return self.prediction.factors if self.prediction else ()

    @property
    def written_reasons(self) -> list[str]:
        """The effects as they are shown beside their bars: points of 100, or how many times likelier, in odds."""
        if self.explanation is not None and self.explanation.scale == "points":
            return [f"{'+' if effect > 0 else '−'}{abs(effect) * 100:.0f}" for _, effect in self.reasons]
        return [_times(effect) for _, effect in self.reasons]

    @property
    def written_rest(self) -> str:
        """What all other reasons come to, as a factor of the odds."""
        return _times(self.rest)

    @property
    def within_a_week(self) -> tuple[float, float] | None:
        """How likely somebody average and this customer leave within a week; None where the rule of thumb tells."""
        if self.explanation is None or self.explanation.scale == "points":
            return None
        return _chance(self.explanation.base), _chance(self.explanation.score)


def _times(log_odds: float) -> str:
    times = math.exp(max(-20.0, min(20.0, log_odds)))
    return f"×{times:,.0f}" if times >= 10 else f"×{times:.1f}" if times >= 0.95 else f"×{times:.2g}"


def _chance(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, log_odds))))


async def assess(edge: Edge, user_id: str, *, record: bool = False) -> Assessment:
    """What is known of this customer's health and risk as of now. Raises NotFoundError, UnavailableError."""
    if edge.assess is None:
        raise UnavailableError("This process can't score.", remedy="Run `holdfast web`, which can.")
    return await edge.assess(user_id, record)


async def read_sheet(
    connection: Connection, assessed: Assessment, cohorts: CohortCounts, days: int
) -> ScoreSheet:
    """The sheet of an assessment, with the history of so many days."""
    health, today, id_ = assessed.health, assessed.at.date(), assessed.customer_id
    history = await load_health_history(connection, id_, today - timedelta(days=days), today)
    scores = dict(assessed.scores)
    if health.score is not None:
        scores[today] = health.score
    cohort = place(cohorts, assessed)
    path = project(scores, today)
    points = {one.day: one.health_score for one in history if one.health_score is not None}
    if health.score is not None:
        points[today] = health.score
    first = await load_first_factors(
        connection, id_, today - timedelta(days=days), today, assessed.model.digest
    )
    shares = factor_shares(assessed.model, health, assessed.plan)
    weights = weights_of(assessed.model, health.segment, assessed.plan)
    made = assessed.prediction
    explanation = tell_explanation(made, load_catalogue()) if made else None
    catalogue = load_catalogue()
    stored = (await signals.load(connection, [id_])).get(id_) if explanation else None
    values = stored.values if stored else {}
    told = [
        (name_reason(one.signal, values, catalogue, assessed.at), one.effect)
        for one in (explanation.reasons if explanation else ())
        if abs(one.effect) >= LEAST_EFFECT
    ]
    all_of_it = sum(one.effect for one in explanation.reasons) if explanation else 0.0
    reasons = sorted(told[:MOST_REASONS], key=lambda one: -one[1])
    return ScoreSheet(
        assessed=assessed,
        factors=_lines(assessed, shares, weights),
        recommendations=recommend(assessed.model, shares, weights),
        cohort=cohort,
        trajectory=path,
        moves=_tell_moves(assessed, weights, shares, points, first) if first else None,
        chart=_draw(points, path, cohort.median, today),
        days=days,
        prediction=tell_prediction(assessed.user_id, made, assessed.at, load_catalogue()) if made else None,
        explanation=explanation,
        reasons=reasons,
        rest=all_of_it - sum(effect for _, effect in reasons),
        why_not=why_not(assessed),
    )


def _scale(weights: Mapping[str, float], shares: Mapping[str, float]) -> float:
    known = sum(weights.get(name, 0.0) for name in shares)
    # Where factors are left out, the others count for more.
    return 100 / known if known > 0 else 0.0


def _tell_moves(
    assessed: Assessment,
    weights: Mapping[str, float],
    shares: Mapping[str, float],
    points: Mapping[date, int],
    first: tuple[date, Sequence[float | None]],
) -> ScoreMoves | None:
    day, kept = first
    score = assessed.health.score
    if score is None or day not in points or len(kept) != len(assessed.model.factors):
        return None
    names = [factor.name for factor in assessed.model.factors]
    worth = {name: value for name, value in zip(names, kept, strict=True) if value is not None}
    then = factor_shares(assessed.model, replace(assessed.health, factors=worth), assessed.plan)
    scale_now, scale_then = _scale(weights, shares), _scale(weights, then)
    moved = [
        (
            _label(name),
            weights.get(name, 0.0) * (scale_now * shares.get(name, 0.0) - scale_then * then.get(name, 0.0)),
        )
        for name in names
    ]
    told = sorted((one for one in moved if abs(one[1]) >= LEAST_MOVE), key=lambda one: one[1])
    return ScoreMoves(day, score - points[day], told)


def _lines(assessed: Assessment, shares: dict[str, float], weights: dict[str, float]) -> list[FactorLine]:
    scale = _scale(weights, shares)
    about = {factor.name: factor.about for factor in assessed.model.factors}
    lines = [
        FactorLine(
            _label(name),
            about.get(name, ""),
            share,
            scale * weights.get(name, 0.0),
            scale * weights.get(name, 0.0) * share,
        )
        for name, share in shares.items()
    ]
    return sorted(lines, key=lambda line: -line.weighs)


def _draw(
    points: dict[date, int], path: Trajectory | None, median: float | None, today: date
) -> ScoreChart | None:
    ahead = today + timedelta(days=path.ahead_days) if path else today
    now = points.get(today)
    band = []
    if path is not None and now is not None:
        band = [(today, float(now), float(now)), (ahead, path.lower, path.upper)]
    chart = line_chart([(day, float(points[day])) for day in sorted(points)], band, low=0, high=100)
    if chart is None:
        return None

    def y(score: float) -> float:
        return round(TOP + (chart.height - TOP - BOTTOM) * (1 - score / 100), 1)

    projected = ""
    if path is not None and band:
        last = chart.dots[-1]
        projected = f"M{last.x} {last.y} L{chart.right:.1f} {y(path.expected)}"
    return ScoreChart(chart, projected, None if median is None else y(median))


def _label(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")
