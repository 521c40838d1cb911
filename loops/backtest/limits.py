"""What the numbers of a backtest can't tell, said plainly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from activities.routing import picks_channel
from loops.backtest.span import Span
from schemas.nesting import walk
from schemas.plan import Act, CompiledPlaybook
from scoring.detection import Detection
from store.kept_past import KeptPast

# Events known so much later than they happened were imported rather than told.
_LATE = timedelta(days=2)


def describe_limits(
    playbook: CompiledPlaybook,
    pasts: Sequence[KeptPast],
    span: Span,
    *,
    known_until: datetime,
    recorded: int,
    share: float,
    of: int,
    as_happened: bool,
    detection: Detection,
) -> list[str]:
    """The limits of this backtest, the ones that matter most first; one sentence or two each."""
    return [
        "Nobody's reaction is known to messages and calls that they never got: what customers do here is what they did"
        " without them, so goals reached count what would have come anyway.",
        *_about_runs(playbook, pasts, span, recorded),
        *_about_detection(detection, known_until),
        *_about_sample(playbook, pasts, share, of),
        *_about_knowledge(pasts, span, as_happened=as_happened),
        "Consent is as it was known then; the policy is today's, and suppressions that were lifted since are forgotten."
        " Entries that people or other playbooks asked for by hand aren't repeated.",
    ]


def _about_runs(
    playbook: CompiledPlaybook, pasts: Sequence[KeptPast], span: Span, recorded: int
) -> list[str]:
    said = []
    if recorded:
        said.append(
            f"{playbook.name} really ran in this period ({recorded} runs): what it did to customers is in what they did"
            " and whether they cancelled, so precision looks lower than it is where it worked. Those runs are played"
            " anew; their calls are completed as they were."
        )
    others = sum(
        run.playbook != playbook.name and run.arm != "shadow" and span.start <= run.entered_at < span.end
        for past in pasts
        for run in past.runs
    )
    if others:
        said.append(
            f"{others} runs of other playbooks are on record and stand: they hold groups, count as entries, and their"
            " messages count towards caps. Whether they would have given way isn't played."
        )
    if any(isinstance(step, Act) and picks_channel(step) for step in walk(playbook.steps)):
        said.append(
            "Which channel a message takes goes by the customer's own answers and by costs: how everybody answered then"
            " isn't known any more. Answers to the messages played here are unknown, too."
        )
    if any(isinstance(step, Act) and step.human for step in walk(playbook.steps)):
        said.append(
            "Where no run on record says otherwise, nobody completes a call or a task: it is escalated and given up."
        )
    return said


def _about_detection(detection: Detection, known_until: datetime) -> list[str]:
    said = []
    days = f"{detection.horizon_days:g} days"
    if not detection.cancellations:
        said.append("Nobody cancelled in this period, so recall can't be told.")
    if detection.unjudged:
        said.append(
            f"{detection.unjudged} of {detection.flags} flags are younger than {days} before {known_until:%Y-%m-%d}:"
            " whether a cancellation follows isn't known yet, and precision leaves them out."
        )
    if detection.flags and not detection.precision.n:
        said.append(
            f"No flag is {days} old: choose an earlier period or a shorter --churn-within for a precision."
        )
    return said


def _about_sample(playbook: CompiledPlaybook, pasts: Sequence[KeptPast], share: float, of: int) -> list[str]:
    if share >= 1:
        return []
    limit = playbook.enter.at_most_per_day if playbook.enter else None
    return [
        f"{len(pasts)} of {of} customers were played, drawn by a hash of their id: counts are theirs, not everybody's."
        + (f" The entry limit of {limit} a day was cut to the same share." if limit is not None else "")
    ]


def _about_knowledge(pasts: Sequence[KeptPast], span: Span, *, as_happened: bool) -> list[str]:
    inside = [event for past in pasts for event in past.events if span.start <= event.at < span.end]
    late = sum(event.known_at - event.at > _LATE for event in inside)
    if as_happened:
        return [
            "Events count from when they happened, though some may have become known later: as one would like it."
        ]
    if inside and 2 * late > len(inside):
        return [
            f"{late} of {len(inside)} events of this period became known more than two days after they happened, as"
            " imported ones do, and count from then. --as-happened counts them from when they happened."
        ]
    return []
