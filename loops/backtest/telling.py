"""A backtest in words, for a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from loops.backtest.result import BacktestResult, ranked
from loops.simulation.wording import plain
from scoring.detection import Detection, Share

WIDTH = 100
# A longer period is told by week.
_BY_DAY = 31
_NAMED = 10


def describe(result: BacktestResult) -> Iterator[str]:
    """The lines of the page."""
    yield (
        f"{result.playbook}, version {result.version}, from {plain(result.start)} to {plain(result.end)}, "
        f"{result.customers} customers; days are those of {result.zone}"
    )
    yield ""
    yield from _section("Entrants", _entrants(result))
    yield from _section("Messages", _messages(result))
    yield from _section("Load", _load(result))
    yield from _section("Trigger", _trigger(result.detection))
    yield ""
    yield from _table(result)
    yield ""
    yield "What this can't tell:"
    for limit in result.limits:
        yield from textwrap.wrap(limit, WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _entrants(result: BacktestResult) -> Iterator[str]:
    arms = Counter(one.arm for one in result.entrants)
    people = len({one.customer for one in result.entrants})
    yield f"{len(result.entrants)} by {people} customers: {arms['treated']} treated, {arms['held_out']} held out"
    if result.kept_out:
        yield f"kept out: {_listed(result.kept_out)}"
    if result.entrants:
        yield f"ended: {_listed(Counter(one.outcome for one in result.entrants))}"


def _messages(result: BacktestResult) -> Iterator[str]:
    sent = result.sent
    channels = f": {_listed(Counter(one.channel for one in sent))}" if sent else ""
    yield f"{len(sent)} sent{channels}"
    unsent = Counter(one.outcome for one in result.messages if one.outcome != "sent")
    for outcome, count in ranked(unsent).items():
        by = Counter(one.channel for one in result.messages if one.outcome == outcome)
        yield f"{outcome}: {count} ({_listed(by)})"


def _load(result: BacktestResult) -> Iterator[str]:
    yield f"{len(result.work)} calls and tasks" + (
        f", {result.escalated} escalated" if result.escalated else ""
    )
    if not result.work:
        return
    people: dict[str, Counter[date]] = {}
    for one in result.work:
        people.setdefault(one.assignee, Counter())[result.day(one.at)] += 1
    for assignee, days in sorted(people.items(), key=lambda item: (-item[1].total(), item[0]))[:_NAMED]:
        day, most = max(days.items(), key=lambda item: (item[1], item[0]))
        yield f"{assignee}: {days.total()}, at most {most} a day ({day})"
    if len(people) > _NAMED:
        yield f"and {len(people) - _NAMED} others"


def _trigger(found: Detection) -> Iterator[str]:
    within = f"within {found.horizon_days:g} days"
    yield f"began to hold {found.flags} times, for {found.flagged_customers} customers"
    base = f"; of all customers {found.base_rate:.1%} did" if found.base_rate is not None else ""
    yield f"precision {_share(found.precision)} cancelled {within}{base}"
    if found.lift is not None:
        yield f"that is {found.lift:.1f} times the base rate"
    yield f"recall {_share(found.recall)} of those who cancelled were flagged in the {found.horizon_days:g} days before"
    if found.lead_days:
        days = found.lead_days
        yield (
            f"lead time {days['median']:.0f} days (median; half between {days['quartile_1']:.0f} and "
            f"{days['quartile_3']:.0f})"
        )
    if found.never_flagged:
        never, more = found.never_flagged, len(found.never_flagged) - _NAMED
        named = ", ".join(never[:_NAMED]) + (f" and {more} others" if more > 0 else "")
        yield f"never flagged, and cancelled: {len(never)} ({named})"


def _share(share: Share) -> str:
    if share.rate is None or share.low is None or share.high is None:
        return "can't be told:"
    return f"{share.rate:.0%} ({share.hits} of {share.n}; 95 %: {share.low:.0%} to {share.high:.0%})"


def _table(result: BacktestResult) -> Iterator[str]:
    weekly = (result.end - result.start) > timedelta(days=_BY_DAY)
    counted: dict[date, Counter[str]] = {}

    def count(at: date, column: str) -> None:
        counted.setdefault(at - timedelta(days=at.weekday()) if weekly else at, Counter())[column] += 1

    for entrant in result.entrants:
        count(result.day(entrant.at), "entrants")
    for message in result.sent:
        count(result.day(message.at), message.channel)
    for work in result.work:
        count(result.day(work.at), "to do")
    channels = sorted({message.channel for message in result.sent})
    columns = ["entrants", *channels, "to do"]
    widths = [max(9, len(name) + 2) for name in columns]
    yield ("week of" if weekly else "day").ljust(12) + "".join(
        name.rjust(width) for name, width in zip(columns, widths, strict=True)
    )
    for day in sorted(counted):
        cells = (
            str(counted[day][name] or "·").rjust(width) for name, width in zip(columns, widths, strict=True)
        )
        yield f"{day.isoformat():12}" + "".join(cells)
    if not counted:
        yield "nothing would have happened"


def _section(name: str, lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{name if number == 0 else '':11}{line}"


def _listed(counted: Mapping[str, int]) -> str:
    parts: Sequence[str] = [f"{name} {count}" for name, count in ranked(counted).items()]
    return ", ".join(parts)
