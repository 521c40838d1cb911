"""A backtest as a picture: entrants and messages by day, what they add up to, and how well the trigger told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from loops.backtest.result import BacktestResult
from schemas.errors import InputError
from scoring.detection import Share

FORMS = (".svg", ".png", ".pdf")
# Colours that the colour-blind can tell apart (Okabe and Ito, 2008).
_ENTRANTS, _MUTED, _HITS = "#0072B2", "#8A8A8A", "#009E73"
_CHANNELS = ("#E69F00", "#56B4E9", "#CC79A7", "#D55E00", "#F0E442")


def check_picture(path: Path) -> None:
    """Raises InputError where a picture can't be written under that name."""
    if path.suffix.lower() not in FORMS:
        raise InputError(
            f"{path}: a picture is a file ending in {', '.join(FORMS)}.", remedy="Choose one of these."
        )
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no directory {path.parent}.", remedy="Make it first.")


def draw(result: BacktestResult, path: Path) -> None:
    """Write the picture to `path`, in the form that its ending names. Raises InputError."""
    check_picture(path)
    # Text stays text, and the same numbers give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "holdfast", "font.size": 9}):
        figure = Figure(figsize=(10, 8), layout="constrained")
        grid = figure.add_gridspec(3, 1, height_ratios=(3, 3, 1.5))
        days = _days(result)
        entered = Counter(result.day(one.at) for one in result.entrants)
        entrants = figure.add_subplot(grid[0])
        _stack(entrants, days, {"entrants": entered}, [_ENTRANTS])
        entrants.set_ylabel("entrants a day")
        sent: dict[str, Counter[date]] = {}
        for message in sorted(result.sent, key=lambda one: one.channel):
            sent.setdefault(message.channel, Counter())[result.day(message.at)] += 1
        messages = figure.add_subplot(grid[1], sharex=entrants)
        _stack(messages, days, sent, _CHANNELS)
        messages.set_ylabel("messages a day")
        _draw_detection(figure.add_subplot(grid[2]), result)
        figure.suptitle(
            f"{result.playbook}: {len(result.entrants)} entrants, {len(result.sent)} messages, "
            f"{len(result.work)} calls and tasks\n{days[0]} to {days[-1]}, {result.customers} customers",
            fontsize=11,
        )
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def _days(result: BacktestResult) -> list[date]:
    first, last = result.day(result.start), result.day(result.end - timedelta(microseconds=1))
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _stack(
    axes: Axes, days: Sequence[date], series: dict[str, Counter[date]], colours: Sequence[str]
) -> None:
    """Bars by day on the left, what they add up to as a line on the right."""
    # matplotlib takes dates, which its types don't say.
    places: Any = days
    below = [0] * len(days)
    for number, (name, counted) in enumerate(series.items()):
        heights = [counted[day] for day in days]
        axes.bar(
            places, heights, bottom=below, width=0.9, color=colours[number % len(colours)],
            label=f"{name} ({sum(heights)})",
        )  # fmt: skip
        below = [low + height for low, height in zip(below, heights, strict=True)]
    total = axes.twinx()
    total.plot(places, list(accumulate(below)), color=_MUTED, linewidth=1.5, drawstyle="steps-post")
    total.set_ylabel("in all", color=_MUTED)
    total.set_ylim(bottom=0)
    for one in (axes, total):
        one.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        one.spines["top"].set_visible(False)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_ylim(bottom=0)
    if series:
        axes.legend(loc="upper left", frameon=False)


def _draw_detection(axes: Axes, result: BacktestResult) -> None:
    """Precision and recall with their intervals, the base rate as a line."""
    found = result.detection
    rows: list[tuple[str, Share, str]] = [
        (f"recall\n{found.recall.hits} of {found.recall.n} cancellations", found.recall, _HITS),
        (f"precision\n{found.precision.hits} of {found.precision.n} flags", found.precision, _ENTRANTS),
    ]
    for place, (_, share, colour) in enumerate(rows):
        if share.rate is None or share.low is None or share.high is None:
            axes.text(0.01, place, "can't be told", va="center", color=_MUTED)
            continue
        axes.barh(place, share.rate, height=0.5, color=colour)
        reach = [[share.rate - share.low], [share.high - share.rate]]
        axes.errorbar(share.rate, place, xerr=reach, color="black", capsize=4, linewidth=1)
        axes.text(
            min(share.high + 0.01, 0.93), place + 0.32, f"{share.rate:.0%}", va="center", fontweight="bold"
        )
    if found.base_rate is not None:
        axes.axvline(found.base_rate, color="#D55E00", linestyle="--", linewidth=1.5)
        axes.text(found.base_rate, 1.62, f" base rate {found.base_rate:.1%}", color="#D55E00", va="center")
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(-0.5, 1.8)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel(f"cancelled within {found.horizon_days:g} days; bars with 95 % intervals")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
