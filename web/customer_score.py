"""One customer's health and risk of leaving as a page shows them: what they are made of, and where they are heading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from schemas.catalogue import load_catalogue
from schemas.errors import UnavailableError
from scoring.assessment import Assessment
from scoring.breakdown import factor_shares, weights_of
from scoring.cohorts import Cohort
from scoring.recommendations import Recommendation, recommend
from scoring.trajectory import Trajectory, project
from store.cohorts import CohortCounts
from store.customer_health import load_health_history
from store.database import Connection
from web.charts import BOTTOM, TOP, LineChart, line_chart
from web.cohorts import place
from web.edge import Edge
from web.success_answers import Explanation, NamedFactor, PredictionAnswerRow
from web.success_telling import tell_explanation, tell_prediction, why_not

RANGES = (7, 30, 90)
# So many reasons have a bar of their own.
MOST_REASONS = 8
LEAST_EFFECT = 0.005


@dataclass(frozen=True)
class FactorLine:
    """One factor of the score: how full it is (0–1), and of 100 points how many it weighs and how many it brings."""

    name: str
    about: str
    share: float
    weighs: float
    brings: float


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
        """The effects as they are shown beside their bars."""
        points = self.explanation is not None and self.explanation.scale == "points"
        return [
            f"{'+' if effect > 0 else '−'}{abs(effect) * 100:.0f}"
            if points
            else f"{'+' if effect > 0 else '−'}{abs(effect):.2f}"
            for _, effect in self.reasons
        ]


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
    shares = factor_shares(assessed.model, health, assessed.plan)
    weights = weights_of(assessed.model, health.segment, assessed.plan)
    made = assessed.prediction
    explanation = tell_explanation(made, load_catalogue()) if made else None
    told = [
        (_label(one.signal), one.effect)
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
        chart=_draw(points, path, cohort.median, today),
        days=days,
        prediction=tell_prediction(assessed.user_id, made, assessed.at, load_catalogue()) if made else None,
        explanation=explanation,
        reasons=reasons,
        rest=all_of_it - sum(effect for _, effect in reasons),
        why_not=why_not(assessed),
    )


def _lines(assessed: Assessment, shares: dict[str, float], weights: dict[str, float]) -> list[FactorLine]:
    known = sum(weights.get(name, 0.0) for name in shares)
    # Where factors are left out, the others count for more.
    scale = 100 / known if known > 0 else 0.0
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
