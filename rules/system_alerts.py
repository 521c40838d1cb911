"""When the system itself is unwell: figures against thresholds, with a margin before it counts as well again.

Thresholds of accuracy and success are those of the domain (healthy from 85 % and 60 %, critical under 75 % and 40 %).
Who is held at a severity leaves it only when the figure is better than its threshold by `margin`, so that one that
wavers around it doesn't open and close an alert every minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

Severity = Literal["warning", "critical"]

# Judged on fewer, a share says nothing.
FEWEST_MEASURED = 20
FEWEST_MESSAGES = 20
# A report older than that isn't judged any more; that it is old is an alert of its own.
REPORT_STALE = timedelta(hours=36)
CHANNEL_DOWN_AFTER = timedelta(minutes=1)
# What monitoring raises itself, once a day, says more.
MODEL_CRITICAL = "model_critical"


@dataclass(frozen=True)
class Threshold:
    """Beyond `warning`, beyond `critical`; `rising`: more is worse. `margin` is a share of the threshold."""

    warning: float
    critical: float
    rising: bool = True
    margin: float = 0.2

    def grade(self, value: float, held: Severity | None) -> Severity | None:
        """How bad `value` is, where an alert is open with `held`; None where it is well."""
        if self._is_beyond(value, self.critical, eased=held == "critical"):
            return "critical"
        return "warning" if self._is_beyond(value, self.warning, eased=held is not None) else None

    def _is_beyond(self, value: float, limit: float, *, eased: bool) -> bool:
        if self.rising:
            return value > limit * (1 - self.margin if eased else 1)
        return value < limit * (1 + self.margin if eased else 1)


ACCURACY = Threshold(0.85, 0.75, rising=False, margin=0.01)
SUCCESS = Threshold(0.60, 0.40, rising=False, margin=0.05)
DELAY_SECONDS = Threshold(5, 15)
POPULATION_HOURS = Threshold(30, 54, margin=0.0)
# How long the oldest entry may wait. What a provider doesn't know stays unknown until somebody looks: that has no time.
QUEUE_SECONDS: Mapping[str, Threshold] = {
    "evaluate": Threshold(300, 1800),
    "due": Threshold(300, 1800),
    "dispatch": Threshold(60, 600),
    "inbox": Threshold(60, 600),
    "hooks": Threshold(120, 1800),
    "sends_claimed": Threshold(900, 5400),
    "notices": Threshold(900, 7200),
    "repairs": Threshold(3600, 21600),
    "erasures": Threshold(86400, 259200),
}


@dataclass(frozen=True)
class ProviderFigures:
    """One provider of a channel: whether it can be used, and since when that is so."""

    channel: str
    name: str
    usable: bool
    since: datetime


@dataclass(frozen=True)
class SystemFigures:
    """What is judged, as of `at`; None where nothing is known.

    queues: seconds that the oldest entry waits, and entries. success: share, and of how many. delay: 95th percentile in
    seconds, and of how many messages. accuracy: of the newest report, of `reported_at`, with `status` and `why` as it
    says them. scored_at: when everybody was scored last.
    """

    at: datetime
    queues: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    providers: Sequence[ProviderFigures] = ()
    success: tuple[float, int] | None = None
    delay: tuple[float, int] | None = None
    accuracy: float | None = None
    status: str = "unknown"
    why: Sequence[str] = ()
    reported_at: datetime | None = None
    scored_at: datetime | None = None


@dataclass(frozen=True)
class Finding:
    """Something is unwell: the alert that is to be open."""

    kind: str
    severity: Severity
    message: str
    detail: Mapping[str, Any]


# Of these kinds alerts are opened and closed here; others look after their own.
KINDS = (
    "queue:",
    "channel_down:",
    "intervention_success",
    "delivery_delay",
    "churn_accuracy",
    "population_stale",
)


def is_ours(kind: str) -> bool:
    """Whether alerts of this kind are opened and closed by what `find_trouble` finds."""
    return kind.startswith(KINDS)


def find_trouble(figures: SystemFigures, held: Mapping[str, Severity]) -> Iterator[Finding]:
    """What is unwell; `held` are the open alerts' severities by kind. What isn't found any more is over."""
    yield from _find_slow_queues(figures, held)
    yield from _find_dead_channels(figures)
    if figures.success is not None and figures.success[1] >= FEWEST_MEASURED:
        share, measured = figures.success
        severity = SUCCESS.grade(share, held.get("intervention_success"))
        if severity:
            yield Finding(
                "intervention_success", severity,
                f"Of {measured} interventions that ended within 24 hours {share:.0%} reached their goal; healthy from "
                f"{SUCCESS.warning:.0%}, critical under {SUCCESS.critical:.0%}.",
                {"share": round(share, 4), "measured": measured},
            )  # fmt: skip
    if figures.delay is not None and figures.delay[1] >= FEWEST_MESSAGES:
        seconds, messages = figures.delay
        severity = DELAY_SECONDS.grade(seconds, held.get("delivery_delay"))
        if severity:
            yield Finding(
                "delivery_delay", severity,
                f"One message in twenty of the last hour took its provider {seconds:.1f} s or longer (of {messages}): "
                "look at the providers, then at the database.",
                {"p95_seconds": round(seconds, 3), "messages": messages},
            )  # fmt: skip
    yield from _find_model_trouble(figures, held)


def _find_slow_queues(figures: SystemFigures, held: Mapping[str, Severity]) -> Iterator[Finding]:
    for name, (seconds, entries) in figures.queues.items():
        threshold = QUEUE_SECONDS.get(name)
        severity = threshold.grade(seconds, held.get(f"queue:{name}")) if threshold else None
        if severity:
            yield Finding(
                f"queue:{name}", severity,
                f"The oldest of {entries} waiting in `{name}` has waited {_tell_seconds(seconds)}: see whether the "
                "workers keep up, and what their logs say.",
                {"queue": name, "age_seconds": round(seconds), "entries": entries},
            )  # fmt: skip


def _find_dead_channels(figures: SystemFigures) -> Iterator[Finding]:
    """Channels none of whose providers can be used."""
    by_channel: dict[str, list[ProviderFigures]] = {}
    for provider in figures.providers:
        by_channel.setdefault(provider.channel, []).append(provider)
    for channel, providers in sorted(by_channel.items()):
        if any(one.usable for one in providers):
            continue
        since = max(one.since for one in providers)
        if figures.at - since < CHANNEL_DOWN_AFTER:
            continue
        named = ", ".join(sorted(one.name for one in providers))
        yield Finding(
            f"channel_down:{channel}", "critical",
            f"Nothing leaves by {channel}: none of its providers can be used ({named}).",
            {"channel": channel, "providers": sorted(one.name for one in providers), "since": since.isoformat()},
        )  # fmt: skip


def _find_model_trouble(figures: SystemFigures, held: Mapping[str, Severity]) -> Iterator[Finding]:
    fresh = figures.reported_at is not None and figures.at - figures.reported_at < REPORT_STALE
    if fresh and figures.accuracy is not None and MODEL_CRITICAL not in held:
        severity = ACCURACY.grade(figures.accuracy, held.get("churn_accuracy"))
        if severity is None and figures.status == "warning":
            severity = "warning"
        if severity:
            told = " ".join(figures.why) or f"Accuracy is {figures.accuracy:.1%}."
            yield Finding(
                "churn_accuracy", severity, f"Churn predictions: {told}", {"accuracy": figures.accuracy}
            )
    if figures.scored_at is not None:
        hours = (figures.at - figures.scored_at) / timedelta(hours=1)
        severity = POPULATION_HOURS.grade(hours, held.get("population_stale"))
        if severity:
            yield Finding(
                "population_stale", severity,
                f"Everybody was scored last {hours:.0f} hours ago: see whether a batch worker runs "
                "(`holdfast worker --batch`), and what its log says.",
                {"hours": round(hours, 1)},
            )  # fmt: skip


def _tell_seconds(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
