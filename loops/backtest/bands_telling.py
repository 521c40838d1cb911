"""What a health model's bands were worth, in words, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from loops.backtest.bands import BandResult
from scoring.separation import Group

_WIDTH = 100
_BAR = 40


def describe_bands(result: BandResult) -> Iterator[str]:
    """The lines of the page."""
    found = result.separation
    yield (
        f"{result.model}, version {result.version}: {len(result.days)} days from {result.days[0]} to "
        f"{result.days[-1]}, {found.customers} customers ({result.of} there are), {found.rows} scores"
    )
    if result.unjudged:
        yield f"{result.unjudged} days of the period can't be judged yet."
    yield ""
    if not found.rows:
        yield "Nobody was there on these days with signals on record."
        return
    yield f"{'band':<10}{'scores':>8}{'share':>8}  left within {result.horizon_days:g} days (95 % interval)"
    for group in found.bands:
        yield _line(group, found.rows)
    yield f"{'all':<10}{found.rows:>8}{'100 %':>8}  {found.base_rate:.1%}"
    yield ""
    yield from _worth(result)
    yield ""
    yield "By score:"
    for group in found.groups:
        rate = group.left.rate or 0.0
        yield f"{group.name:>8}{group.rows:>8}  {rate:>6.1%} {'█' * round(rate * _BAR)}".rstrip()
    yield ""
    yield "What this can't tell:"
    for limit in result.limits:
        yield from textwrap.wrap(limit, _WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _line(group: Group, rows: int) -> str:
    left = group.left
    start = f"{group.name:<10}{group.rows:>8}{group.rows / rows:>8.0%}"
    if left.rate is None or left.low is None or left.high is None:
        return f"{start}  can't be told"
    return f"{start}  {left.rate:.1%} ({left.low:.1%} to {left.high:.1%})"


def _worth(result: BandResult) -> Iterator[str]:
    found = result.separation
    majority = found.majority_rate or 0.0
    if found.accuracy is not None:
        against = "more" if found.accuracy > majority else "no more" if found.accuracy == majority else "less"
        yield (
            f"Taking critical for leaving is right in {found.accuracy:.1%}; {against} than always saying what is more "
            f"frequent: {majority:.1%}."
        )
    if found.precision is not None and found.recall is not None:
        yield (
            f"Of the critical {found.precision:.1%} left; of those who left {found.recall:.1%} had been critical."
        )
    if found.auc is None:
        yield "Everybody left, or nobody did: nothing can be said of how well scores separate."
        return
    yield (
        f"AUC {found.auc:.3f}: so often somebody who left had the lower score of a pair (0.5 is chance). "
        + (
            "The bands are in order."
            if found.monotone
            else "The bands are NOT in order: a better one lost more."
        )
    )
