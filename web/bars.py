"""Bars by day, one upon the other: geometry for an SVG that a template draws, in user units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

WIDTH, HEIGHT = 720.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 8.0, 10.0, 24.0
# More bars than these can't be told apart: they are weeks then.
MOST_DAYS = 62
STYLES = 5


@dataclass(frozen=True)
class Bar:
    """One piece of a column; `style` numbers the series, `told` says what it is."""

    x: float
    y: float
    width: float
    height: float
    style: int
    told: str


@dataclass(frozen=True)
class Series:
    """One kind of thing that is counted."""

    name: str
    style: int
    total: int


@dataclass(frozen=True)
class BarChart:
    """Bars of days or weeks with their axes; `rows` are the same numbers as a table, first the day."""

    bars: Sequence[Bar]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    series: Sequence[Series]
    rows: Sequence[tuple[str, Sequence[int]]]
    weekly: bool
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    bottom: float = HEIGHT - BOTTOM


def bar_chart(counted: Mapping[str, Mapping[str, int]], first: date, last: date) -> BarChart:
    """The chart of so many things a day, by name and ISO day, from `first` to `last`, both included."""
    weekly = (last - first).days >= MOST_DAYS
    columns = list(_columns(first, last, weekly=weekly))
    heights: dict[str, list[int]] = {}
    for name, days in counted.items():
        row = heights[name] = [0] * len(columns)
        for day, count in days.items():
            place = (date.fromisoformat(day) - columns[0]).days // (7 if weekly else 1)
            if 0 <= place < len(row):
                row[place] += count
    most = max((sum(row[place] for row in heights.values()) for place in range(len(columns))), default=0)
    top = _round_up(most)
    step = (WIDTH - LEFT - RIGHT) / len(columns)
    scale = (HEIGHT - TOP - BOTTOM) / top
    bars, base = [], [HEIGHT - BOTTOM] * len(columns)
    for number, (name, row) in enumerate(heights.items()):
        for place, count in enumerate(row):
            if count:
                base[place] -= count * scale
                told = f"{columns[place].isoformat()}: {count} {name}"
                bars.append(
                    Bar(round(LEFT + place * step + step * 0.1, 1), round(base[place], 1), round(step * 0.8, 1),
                        round(count * scale, 1), number % STYLES, told)
                )  # fmt: skip
    shown = sorted({round(index * (len(columns) - 1) / 5) for index in range(6)})
    return BarChart(
        bars,
        [
            # The last label ends with its column, so that it isn't cut off.
            (
                round(LEFT + (place + (1 if place and place == shown[-1] else 0.5)) * step, 1),
                _written(columns[place]),
            )
            for place in shown
        ],
        [(round(HEIGHT - BOTTOM - value * scale, 1), f"{value:,}") for value in sorted({0, top // 2, top})],
        [Series(name, number % STYLES, sum(row)) for number, (name, row) in enumerate(heights.items())],
        [
            (column.isoformat(), [row[place] for row in heights.values()])
            for place, column in enumerate(columns)
            if any(row[place] for row in heights.values())
        ],
        weekly,
    )


def _written(day: date) -> str:
    return f"{day:%b} {day.day}"


def _columns(first: date, last: date, *, weekly: bool) -> Sequence[date]:
    begin = first - timedelta(days=first.weekday()) if weekly else first
    size = 7 if weekly else 1
    return [begin + timedelta(days=size * number) for number in range((last - begin).days // size + 1)]


def _round_up(most: int) -> int:
    """The next round number that halves evenly."""
    if most <= 2:
        return 2
    size = 10 ** (len(str(most)) - 1)
    return next(int(size * factor) for factor in (1, 2, 4, 6, 8, 10) if size * factor >= most)
