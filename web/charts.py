"""Charts' geometry: what the templates draw as SVG, in user units, without a script and without a style attribute."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

Where = float | int | date | datetime
# Room around a line chart's plot for its labels.
LEFT, RIGHT, TOP, BOTTOM = 44.0, 14.0, 10.0, 24.0
# What a day takes as a label, with some air.
LABEL_WIDTH = 60.0


@dataclass(frozen=True)
class Spark:
    """A line without axes; `x` and `y` are its last point's."""

    width: float
    height: float
    path: str
    area: str
    x: float
    y: float
    falling: bool


@dataclass(frozen=True)
class Tick:
    """A label at a place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A measured point and what it says."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class LineChart:
    """A line with axes; `band` is the closed shape around it, empty where none was given."""

    width: float
    height: float
    path: str
    band: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    dots: Sequence[Dot]
    left: float = LEFT
    right: float = 0.0
    bottom: float = 0.0


@dataclass(frozen=True)
class DivergingBar:
    """A bar to the left or right of the middle, in percent of the width."""

    label: str
    value: float
    x: float
    width: float
    raises: bool


def spark(values: Sequence[float | None], width: float = 88.0, height: float = 22.0) -> Spark | None:
    """The line of these values from left to right; None where fewer than two are known.

    A flat line lies in the middle. Unknown values are passed over.
    """
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return None
    lowest, highest = min(value for _, value in known), max(value for _, value in known)
    # A change of a point or two shall not look like a fall.
    span = max(highest - lowest, 10.0)
    middle = (highest + lowest) / 2
    step = (width - 6) / (len(values) - 1)
    points = [
        (3 + index * step, 3 + (height - 6) * (0.5 - (value - middle) / span)) for index, value in known
    ]
    path = "M" + " L".join(_pair(*point) for point in points)
    last = points[-1]
    area = f"{path} L{_pair(last[0], height)} L{_pair(points[0][0], height)} Z"
    return Spark(width, height, path, area, round(last[0], 1), round(last[1], 1), known[-1][1] < known[0][1])


def line_chart(
    points: Sequence[tuple[Where, float]],
    band: Sequence[tuple[Where, float, float]] = (),
    *,
    width: float = 640.0,
    height: float = 220.0,
    low: float | None = None,
    high: float | None = None,
    write: Callable[[float], str] = lambda value: f"{value:g}",
) -> LineChart | None:
    """The chart of (where, value) and of a band (where, low, high) around it; None without a point.

    `where` is a date, a moment or a number, the same kind throughout. `low` and `high` fix the value axis; `write`
    writes its labels.
    """
    if not points:
        return None
    places = [_number(where) for where, _ in points] + [_number(where) for where, *_ in band]
    values = [value for _, value in points] + [edge for _, *edges in band for edge in edges]
    first, last = min(places), max(places)
    ticks = _round_ticks(min(values) if low is None else low, max(values) if high is None else high)
    floor = ticks[0] if low is None else low
    ceiling = ticks[-1] if high is None else high

    def x(where: Where) -> float:
        return LEFT + (width - LEFT - RIGHT) * ((_number(where) - first) / ((last - first) or 1))

    def y(value: float) -> float:
        return TOP + (height - TOP - BOTTOM) * (1 - (value - floor) / ((ceiling - floor) or 1))

    shape = ""
    if band:
        there = [_pair(x(where), y(upper)) for where, _, upper in band]
        back = [_pair(x(where), y(lower)) for where, lower, _ in reversed(band)]
        shape = "M" + " L".join([*there, *back]) + " Z"
    wheres = sorted({where for where, _ in points}, key=_number)
    shown = wheres if len(wheres) <= 5 else [wheres[round(i * (len(wheres) - 1) / 4)] for i in range(5)]
    return LineChart(
        width,
        height,
        "M" + " L".join(_pair(x(where), y(value)) for where, value in points),
        shape,
        _apart([Tick(round(x(where), 1), _written(where)) for where in shown]),
        [Tick(round(y(value), 1), write(value)) for value in ticks if floor <= value <= ceiling],
        [
            Dot(round(x(where), 1), round(y(value), 1), f"{_written(where)}: {write(value)}")
            for where, value in points
        ],
        right=width - RIGHT,
        bottom=height - BOTTOM,
    )


def diverging(factors: Sequence[tuple[str, float]]) -> list[DivergingBar]:
    """Bars from the middle: what raises to the right, what lowers to the left; the strongest takes half the width."""
    strongest = max((abs(value) for _, value in factors), default=0.0) or 1.0
    bars = []
    for label, value in factors:
        width = 50 * abs(value) / strongest
        bars.append(
            DivergingBar(
                label, value, round(50.0 if value >= 0 else 50 - width, 2), round(width, 2), value >= 0
            )
        )
    return bars


def _apart(ticks: Sequence[Tick]) -> list[Tick]:
    """Those whose labels don't run into the one before; the last is kept, whatever it is beside."""
    kept: list[Tick] = []
    for tick in reversed(ticks):
        if not kept or kept[-1].at - tick.at >= LABEL_WIDTH:
            kept.append(tick)
    return kept[::-1]


def _pair(x: float, y: float) -> str:
    return f"{x:.1f} {y:.1f}"


def _number(where: Where) -> float:
    if isinstance(where, datetime):
        return where.timestamp()
    return float(where.toordinal()) if isinstance(where, date) else float(where)


def _written(where: Where) -> str:
    return f"{where:%b} {where.day}" if isinstance(where, date) else f"{where:g}"


def _round_ticks(low: float, high: float) -> list[float]:
    """Round numbers from at most `low` to at least `high`: at least two, about five."""
    if high <= low:
        high = low + 1
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    begin, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(begin, end + 1)]
