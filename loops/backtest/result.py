"""What a backtest found, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from loops.backtest.watcher import PlayedRun
from loops.simulation.run import Line
from loops.simulation.wording import plain
from rules.consent import MESSAGE_CHANNELS
from scoring.detection import Detection

WORK = ("call", "task")


@dataclass(frozen=True, slots=True)
class Entrant:
    """Somebody who would have entered: the caller's id, when, in which arm (treated, held_out), and what came of it."""

    customer: str
    at: datetime
    key: str
    arm: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was due: `outcome` is sent, or why it wasn't; `channel` as the step says where none was chosen."""

    customer: str
    at: datetime
    step: str
    channel: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Work:
    """A call or task that would have been put on somebody's list."""

    customer: str
    at: datetime
    step: str
    kind: str
    assignee: str


@dataclass(frozen=True)
class BacktestResult:
    """A playbook played over the stored history from `start` to before `end`; days are those of `zone`.

    `customers` were played of the `of` that there were. `kept_out` counts refused entries by reason. `escalated` counts
    work that nobody did in time. `recorded_runs` are runs of the playbook that really were in the period. `limits`
    says in words what the numbers can't tell.
    """

    playbook: str
    version: str
    start: datetime
    end: datetime
    zone: str
    customers: int
    of: int
    entrants: Sequence[Entrant]
    kept_out: Mapping[str, int]
    messages: Sequence[Message]
    work: Sequence[Work]
    escalated: int
    detection: Detection
    recorded_runs: int
    limits: Sequence[str]
    took_seconds: float

    def day(self, at: datetime) -> date:
        """The day that `at` falls on."""
        return at.astimezone(ZoneInfo(self.zone)).date()

    @property
    def sent(self) -> list[Message]:
        """The messages that would have left."""
        return [one for one in self.messages if one.outcome == "sent"]

    def by_day(self, moments: Iterable[datetime]) -> dict[str, int]:
        """How many fall on each day; days without any are left out."""
        counted = Counter(self.day(at).isoformat() for at in moments)
        return dict(sorted(counted.items()))

    def to_json(self) -> dict[str, Any]:
        """As `--format json` prints it."""
        sent, unsent = self.sent, [one for one in self.messages if one.outcome != "sent"]
        treated = [one for one in self.entrants if one.arm == "treated"]
        return {
            "playbook": self.playbook,
            "version": self.version,
            "from": plain(self.start),
            "to": plain(self.end),
            "zone": self.zone,
            "customers": {"played": self.customers, "of": self.of},
            "entrants": {
                "total": len(self.entrants),
                "customers": len({one.customer for one in self.entrants}),
                "treated": len(treated),
                "held_out": len(self.entrants) - len(treated),
                "by_day": self.by_day(one.at for one in self.entrants),
                "kept_out": ranked(self.kept_out),
                "outcomes": ranked(Counter(one.outcome for one in self.entrants)),
                "list": [
                    {
                        "customer": one.customer, "at": plain(one.at), "key": one.key or None, "arm": one.arm,
                        "outcome": one.outcome,
                    }
                    for one in self.entrants
                ],
            },
            "messages": {
                "sent": len(sent),
                "by_channel": ranked(Counter(one.channel for one in sent)),
                "by_day": _nested((self.day(one.at).isoformat(), one.channel) for one in sent),
                "not_sent": _nested((one.outcome, one.channel) for one in unsent),
            },
            "load": {
                "tasks": len(self.work),
                "escalated": self.escalated,
                "by_assignee": ranked(Counter(one.assignee for one in self.work)),
                "by_day": _nested((self.day(one.at).isoformat(), one.assignee) for one in self.work),
            },
            "detection": self.detection.to_json(),
            "recorded_runs": self.recorded_runs,
            "limits": list(self.limits),
            "took_seconds": round(self.took_seconds, 3),
        }  # fmt: skip


def read_timeline(
    customer: str, run: PlayedRun, lines: Sequence[Line], end: datetime
) -> tuple[list[Message], list[Work], int]:
    """What a played run came to before `end`: messages, work, escalations; its end is noted in `run`."""
    messages: list[Message] = []
    work: list[Work] = []
    escalated = 0
    for line in lines:
        at = line["at"]
        if at >= end:
            continue
        if "run" in line:
            if line["run"] == "ended":
                run.ended_at, run.outcome = at, line["outcome"]
        elif line["kind"] == "escalation":
            escalated += 1
        elif line["kind"] in WORK:
            if line["outcome"] == "open":
                work.append(Work(customer, at, line["step"], line["kind"], line["assignee"]))
        elif "until" in line:
            # Held until the run ended: it neither left nor was it skipped.
            continue
        elif line["kind"] == "message" or line["kind"] in MESSAGE_CHANNELS or line["kind"] == "in_app":
            channel = line.get("channel") or line["kind"]
            messages.append(Message(customer, at, line["step"], channel, line["outcome"]))
    return messages, work, escalated


def ranked(counted: Mapping[str, int]) -> dict[str, int]:
    """The largest first."""
    return dict(sorted(counted.items(), key=lambda one: (-one[1], one[0])))


def _nested(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    counted: dict[str, Counter[str]] = {}
    for outer, inner in pairs:
        counted.setdefault(outer, Counter())[inner] += 1
    return {outer: ranked(inner) for outer, inner in sorted(counted.items())}
