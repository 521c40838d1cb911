"""A report on the churn model in words, for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from scoring.model_report import Group, Matured, ModelReport, Quality
from scoring.observed_expected import EARLY_DAYS, Ratio

_DRIFT = {
    "unknown": "can't be told yet",
    "none": "none seen",
    "warning": "a warning: two weeks in a row lie beyond 2 standard deviations on the same side",
    "alarm": "ALARM: the newest week lies beyond 3 standard deviations",
}
_WEEKS_TOLD = 8


def describe(report: ModelReport) -> Iterator[str]:
    """The lines of the page."""
    yield (
        f"{report.day}: {report.status.upper()}; {report.customers:,} customers looked at of {report.customers_of:,}"
    )
    for sentence in report.why:
        yield f"  {sentence}"
    yield f"  Drift: {_DRIFT[report.drift]}."
    for alarm in report.alarms:
        yield f"  ! {alarm.kind}: {alarm.message}"
    yield ""
    yield from _tell_matured(report)
    yield ""
    yield from _tell_early(report)
    yield ""
    yield from _tell_health(report)
    yield ""
    yield from _tell_serving(report)


def _tell_matured(report: ModelReport) -> Iterator[str]:
    matured = report.matured
    yield f"Leaving within {report.horizon_days} days, said and seen"
    if matured is None:
        yield (
            f"  No prediction is {report.horizon_days + 1} days old yet: how good they are can't be said. Meanwhile "
            f"there are outcomes of {EARLY_DAYS} days where any are known, coverage, and what serves."
        )
        return
    yield (
        f"  predictions of {len(matured.days)} days, one a week, {matured.days[0]} to {matured.days[-1]}; by "
        + ", ".join(f"{name} {count:,}" for name, count in matured.sources.items())
    )
    yield f"  {'':22}{'untreated':>12}{'everybody':>12}"
    sides = (matured.untreated, matured.everybody)
    for name, form in _LINES:
        yield f"  {name:22}" + "".join(f"{form(side) if side else '-':>12}" for side in sides)
    if matured.untreated is not None:
        yield from _tell_quality(matured.untreated, matured)
    yield "  Untreated: in no playbook in the 84 days before, nor until the customer left or the time was over."


def _tell_quality(quality: Quality, matured: Matured) -> Iterator[str]:
    gain = 100 * (quality.accuracy - quality.majority_rate)
    yield (
        f"  Accuracy {quality.accuracy:.1%} beside {quality.majority_rate:.1%} for always saying the more frequent: "
        f"{abs(gain):.1f} points {'more' if gain > 0 else 'less' if gain < 0 else 'between them'}."
    )
    if quality.recall is not None and quality.lift is not None:
        yield (
            f"  Looking after the {quality.capacity:.0%} with the highest risk reaches {quality.recall:.1%} of those "
            f"who left, {quality.lift:.1f} times chance."
        )
    if matured.dated:
        yield (
            f"  Of {matured.dated} who left and had been told a date {matured.inside / matured.dated:.0%} left inside "
            "its interval (80 % should)."
        )
    yield f"  {'level':10}{'rows':>9}{'said':>9}  left (95 % interval)"
    for level in quality.levels:
        yield f"  {level.name:10}{level.rows:>9,}{level.said or 0:>9.1%}  {_interval(level)}"
    if not quality.monotone:
        yield "  The levels are NOT in order: a lower one lost more."


_LINES: tuple[tuple[str, Callable[[Quality], str]], ...] = (
    ("rows", lambda one: f"{one.rows:,}"),
    ("  of the held out", lambda one: f"{one.held_out:,}"),
    ("left", lambda one: f"{one.left:,}"),
    ("accuracy", lambda one: f"{one.accuracy:.4f}"),
    ("majority rate", lambda one: f"{one.majority_rate:.4f}"),
    ("AUC", lambda one: _figure(one.auc, 4)),
    ("log loss", lambda one: f"{one.log_loss:.4f}"),
    ("  skill over base rate", lambda one: _figure(one.skill, 4)),
    ("Brier", lambda one: f"{one.brier:.4f}"),
    ("ECE", lambda one: f"{one.ece:.4f}"),
    ("observed/expected", lambda one: _figure(one.ratio.ratio, 3)),
    ("recall at capacity", lambda one: _figure(one.recall, 4)),
    ("lift at capacity", lambda one: _figure(one.lift, 2)),
)


def _tell_early(report: ModelReport) -> Iterator[str]:
    early = report.early
    yield f"Leaving within {EARLY_DAYS} days, by week of prediction (untreated; the newest last)"
    if not early.weeks:
        yield f"  No prediction with a probability is {EARLY_DAYS + 1} days old yet."
        return
    for week in early.weeks[-_WEEKS_TOLD:]:
        yield f"  {week.day}  {_ratio(week.untreated)}"
    told: tuple[tuple[str, Mapping[str, Ratio]], ...] = (
        ("by level", early.levels), ("by segment", early.segments), ("by source", early.sources),
    )  # fmt: skip
    for name, kinds in told:
        if kinds:
            yield f"  {name}, {early.days[0]} to {early.days[-1]}:"
            for kind, ratio in kinds.items():
                yield f"    {kind:14}{_counts(ratio)}"
    if report.stability is not None:
        found = report.stability
        yield (
            f"  Scores of {found.before} and {found.day}: stability index {found.index:.3f}; a hint at the data, since "
            "it moves as the customers age, and stays where the world changes under the same scores."
        )


def _tell_health(report: ModelReport) -> Iterator[str]:
    health = report.health
    yield "Health scores of the same days"
    if health is None:
        yield "  None is old enough to be judged."
        return
    for name, found in (("untreated", health.untreated), ("everybody", health.everybody)):
        if found is None:
            continue
        yield (
            f"  {name}: AUC {_figure(found['auc'], 3)}, accuracy (critical taken for leaving) "
            f"{_figure(found['accuracy'], 3)} beside the majority's {_figure(found['majority_rate'], 3)}"
            + ("" if found["monotone"] else "; the bands are NOT in order")
        )
        for band in found["bands"]:
            if band["rows"]:
                yield f"    {band['name']:10}{band['rows']:>9,}  {_share(band['left'])}"


def _tell_serving(report: ModelReport) -> Iterator[str]:
    coverage, freshness = report.coverage, report.freshness
    yield "What serves"
    share = coverage.share
    yield (
        f"  {sum(coverage.predicted.values()):,} of {coverage.active:,} active customers have a prediction of today"
        + ("" if share is None else f" ({share:.0%})")
        + "".join(f"; {source} {count:,}" for source, count in coverage.predicted.items())
    )
    for champion in freshness.champions:
        yield f"  {champion.kind}: {champion.version}, trained {champion.age_days:.0f} days ago"
    if not any(champion.kind == "model" for champion in freshness.champions):
        yield "  No model serves yet: predictions are the recalibrated health score's or the rule of thumb's."
    if freshness.last_run is None:
        yield "  No population run has finished yet."
    else:
        yield f"  last population run: {freshness.last_run}, {freshness.last_run_age_hours:.0f} hours ago"
    if freshness.newest_label is not None:
        yield f"  outcomes are filled in up to {freshness.newest_label}, {freshness.newest_label_age_days} days ago"


def _ratio(ratio: Ratio) -> str:
    z = "too few to tell" if ratio.z is None else f"z {ratio.z:+.1f}"
    return f"{_counts(ratio)}, {z}"


def _counts(ratio: Ratio) -> str:
    told = "-" if ratio.ratio is None else f"{ratio.ratio:.2f}"
    return f"{ratio.observed:>6,} left, {ratio.expected:>8,.1f} expected, O/E {told:>5}"


def _interval(group: Group) -> str:
    return f"{group.rate:.1%} ({group.low:.1%} to {group.high:.1%})"


def _share(left: Mapping[str, Any]) -> str:
    return f"{left['rate']:.1%} left ({left['low']:.1%} to {left['high']:.1%})"


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
