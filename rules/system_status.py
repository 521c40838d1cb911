"""What figures of the system itself mean: healthy, a warning or critical, each with a sentence that says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["unknown", "starting", "healthy", "warning", "critical"]
ORDER: tuple[Status, ...] = ("unknown", "healthy", "starting", "warning", "critical")

# Of treated runs that ended within 24 hours, the share that succeeded.
HEALTHY_SUCCESS, WARNING_SUCCESS = 0.60, 0.40
# With fewer, nothing is said.
FEWEST_RUNS = 10
# From claiming a message to its provider's taking it, at the 95th percentile, in seconds.
HEALTHY_LATENCY_SECONDS, WARNING_LATENCY_SECONDS = 0.5, 2.0
FEWEST_MESSAGES = 20

# Queue -> (the age of its oldest from which it is a warning, and critical), in seconds. What may wait longer by design
# (a message for a provider that rests, a customer who is to be forgotten) is given longer.
QUEUE_SECONDS: Mapping[str, tuple[float, float]] = {
    "evaluate": (30, 300),
    "due": (60, 600),
    "dispatch": (30, 300),
    "inbox": (30, 300),
    "hooks": (60, 900),
    "sends_claimed": (120, 900),
    "sends_unknown": (600, 86_400),
    "sends_retrying": (3600, 43_200),
    "notices": (300, 3600),
    "repairs": (3600, 86_400),
    "erasures": (3600, 86_400),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status and why."""

    status: Status
    why: str


def judge_whole(parts: Mapping[str, Verdict]) -> Verdict:
    """All parts together: as the gravest, which are named. What can't be judged yet is named too, and is no fault."""
    status: Status = max((part.status for part in parts.values()), key=ORDER.index, default="unknown")
    open_ = [name for name, part in parts.items() if part.status == "unknown"]
    if status == "unknown":
        return Verdict("unknown", "Nothing was looked at yet.")
    if status == "starting":
        why = " ".join(part.why for part in parts.values() if part.status == "starting")
    elif status == "healthy":
        why = "Whatever can be judged is well." if open_ else "Every part is well."
    else:
        grave = [name for name, part in parts.items() if part.status == status]
        why = f"{_first_upper(_listed(grave))}: {status}; what that means stands there."
    return Verdict(status, f"{why} Not judged yet: {_listed(open_)}." if open_ else why)


def judge_success(succeeded: int, measured: int) -> Verdict:
    """Intervention success over 24 hours."""
    if measured < FEWEST_RUNS:
        return Verdict("unknown", f"{measured} measured runs ended within 24 h; judging takes {FEWEST_RUNS}.")
    share = succeeded / measured
    told = (
        f"{succeeded} of {measured} runs succeeded ({share:.0%}); healthy from {HEALTHY_SUCCESS:.0%}, "
        f"warning from {WARNING_SUCCESS:.0%}."
    )
    return Verdict(_at_least(share, HEALTHY_SUCCESS, WARNING_SUCCESS), told)


def judge_latency(p95_seconds: float | None, messages: int) -> Verdict:
    """How long providers take, at the 95th percentile of an hour."""
    if p95_seconds is None or messages < FEWEST_MESSAGES:
        return Verdict(
            "unknown", f"Messages that left within the hour: {messages}; judging takes {FEWEST_MESSAGES}."
        )
    told = (
        f"{p95_seconds * 1000:,.0f} ms at the 95th percentile of {messages} messages; healthy up to "
        f"{HEALTHY_LATENCY_SECONDS * 1000:,.0f} ms, warning up to {WARNING_LATENCY_SECONDS * 1000:,.0f} ms."
    )
    return Verdict(_at_most(p95_seconds, HEALTHY_LATENCY_SECONDS, WARNING_LATENCY_SECONDS), told)


def judge_queue(name: str, waiting: int, age_seconds: float) -> Verdict:
    """One queue, by the age of its oldest."""
    warning, critical = QUEUE_SECONDS[name]
    if not waiting:
        return Verdict("healthy", "Nothing waits.")
    told = f"The oldest waits {_told(age_seconds)}; warning from {_told(warning)}, critical from {_told(critical)}."
    return Verdict(
        "critical" if age_seconds >= critical else "warning" if age_seconds >= warning else "healthy", told
    )


def judge_integrations(parked: int, resting: int, in_all: int, given_up: int) -> Verdict:
    """Providers, and requests of other systems that were given up within a day."""
    parts = []
    if parked:
        parts.append(f"{parked} of {in_all} providers or channels are parked")
    if resting:
        parts.append(f"{resting} rest after failures")
    if given_up:
        parts.append(f"{given_up} requests of other systems were given up within 24 h")
    if not parts:
        return (
            Verdict("healthy", f"All {in_all} in use can be used.")
            if in_all
            else Verdict("unknown", "None was used yet.")
        )
    return Verdict("critical" if parked else "warning", f"{'; '.join(parts)}.")


def _listed(names: Sequence[str]) -> str:
    short = [name.partition(",")[0] for name in names]
    return " and ".join(filter(None, (", ".join(short[:-1]), *short[-1:])))


def _first_upper(told: str) -> str:
    return told[:1].upper() + told[1:]


def _at_least(value: float, healthy: float, warning: float) -> Status:
    return "healthy" if value >= healthy else "warning" if value >= warning else "critical"


def _at_most(value: float, healthy: float, warning: float) -> Status:
    return "healthy" if value <= healthy else "warning" if value <= warning else "critical"


def _told(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} s"
