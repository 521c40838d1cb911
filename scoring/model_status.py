"""What a day's figures make of the model: healthy, warning or critical in words, and what somebody must look at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from scoring.model_report import Alarm, Freshness, Quality, Status
from scoring.observed_expected import ALARM_Z, EARLY_DAYS, Drift, Ratio

HEALTHY_ACCURACY, WARNING_ACCURACY = 0.85, 0.75
LEAST_AUC = 0.6
# With fewer customers on either side, nothing is said.
FEWEST = 10
# As long as predictions of the model are told with high confidence.
MODEL_STALE_DAYS = 45
SCORING_STALE_HOURS = 36.0
LABELS_LATE_DAYS = 7
# So long after the first report a population run must have finished.
GRACE_DAYS = 2


def judge_status(quality: Quality | None) -> tuple[Status, tuple[str, ...]]:
    """The status, and why.

    Accuracy from .85 is healthy, from .75 a warning, below critical. Alone it says nothing where few leave: a model
    whose accuracy isn't above the majority rate, or whose AUC is under .6, is a warning at best.
    """
    if quality is None:
        return "unknown", ("No prediction is old enough to be judged.",)
    stayed = quality.customers - quality.customers_left
    if min(quality.customers_left, stayed) < FEWEST:
        told = f"Only {quality.customers_left} customers left and {stayed} stayed; judging takes {FEWEST} of each."
        return "unknown", (told,)
    status: Status = (
        "healthy"
        if quality.accuracy >= HEALTHY_ACCURACY
        else "warning"
        if quality.accuracy >= WARNING_ACCURACY
        else "critical"
    )
    why = [
        f"Accuracy is {quality.accuracy:.1%}; healthy from {HEALTHY_ACCURACY:.0%}, warning from {WARNING_ACCURACY:.0%}."
    ]
    if quality.accuracy <= quality.majority_rate:
        why.append(
            f"Always saying the more frequent outcome is right in {quality.majority_rate:.1%}: accuracy doesn't show "
            "that the model knows anything, so this can't be called healthy."
        )
    if quality.auc is None or quality.auc < LEAST_AUC:
        told = "can't be told" if quality.auc is None else f"is {quality.auc:.3f}, under {LEAST_AUC}"
        why.append(f"AUC {told}: it hardly ranks customers, so this can't be called healthy.")
    if len(why) > 1 and status == "healthy":
        status = "warning"
    return status, tuple(why)


def find_alarms(
    *,
    status: Status,
    why: tuple[str, ...],
    drift: Drift,
    newest: tuple[date, Ratio] | None,
    freshness: Freshness,
    today: date,
    horizon_days: int,
) -> Iterator[Alarm]:
    """What somebody must look at today; `newest` is the newest week whose 28 days are over."""
    if drift == "alarm" and newest is not None:
        day, ratio = newest
        yield Alarm(
            kind="model_drift",
            message=f"Of those scored on {day} {ratio.observed} left within {EARLY_DAYS} days where "
            f"{ratio.expected:.0f} were expected (O/E {ratio.ratio:.2f}, z {ratio.z:+.1f}; alarm beyond {ALARM_Z:g}): "
            "look at what changed, "
            "then recalibrate or train anew.",
        )
    if status == "critical":
        yield Alarm(kind="model_critical", message=" ".join(why))
    stale = list(_find_stale(freshness, horizon_days))
    if stale:
        yield Alarm(kind="model_stale", message=" ".join(stale))
    unscored = _find_unscored(freshness, today)
    if unscored is not None:
        yield Alarm(kind="scoring_stale", message=unscored)


def _find_stale(freshness: Freshness, horizon_days: int) -> Iterator[str]:
    for champion in freshness.champions:
        if champion.kind == "model" and champion.age_days > MODEL_STALE_DAYS:
            yield (
                f"The model {champion.version} was trained {champion.age_days:.0f} days ago, more than "
                f"{MODEL_STALE_DAYS}: see why training brings nothing new."
            )
    age = freshness.newest_label_age_days
    if age is not None and age > horizon_days + 1 + LABELS_LATE_DAYS:
        yield f"The newest outcome on record is of {freshness.newest_label}, {age} days ago: outcomes aren't filled in."


def _find_unscored(freshness: Freshness, today: date) -> str | None:
    if freshness.last_run_age_hours is not None:
        if freshness.last_run_age_hours <= SCORING_STALE_HOURS:
            return None
        return (
            f"The last population run that finished is that of {freshness.last_run}, "
            f"{freshness.last_run_age_hours:.0f} hours ago: see whether a batch process runs."
        )
    since = freshness.watched_since
    if since is not None and (today - since).days >= GRACE_DAYS:
        return f"No population run has finished since {since}: see whether a batch process runs."
    return None
