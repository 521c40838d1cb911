"""What templates draw and write: lines, bars, ticks, amounts, shares, links."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.charts import diverging, line_chart, spark
from web.formats import count, money, money_short, percent, signed
from web.rendering import linker

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.none() | st.integers(0, 100), max_size=40))
def test_a_sparkline_stays_in_its_box_and_ends_at_the_last_known_value(values: list[int | None]) -> None:
    line = spark(values)
    known = [value for value in values if value is not None]
    if len(known) < 2:
        assert line is None
        return
    assert line is not None
    for pair in line.path.replace("M", "L").split("L")[1:]:
        x, y = map(float, pair.split())
        assert 0 <= x <= line.width
        assert 0 <= y <= line.height
    assert line.path.endswith(f"{line.x:.1f} {line.y:.1f}")
    assert line.falling == (known[-1] < known[0])


@given(
    st.lists(st.tuples(st.integers(0, 500), NUMBERS), min_size=1, max_size=30, unique_by=lambda one: one[0])
)
def test_a_line_chart_holds_all_its_points_between_its_ticks(points: list[tuple[int, float]]) -> None:
    chart = line_chart(sorted(points))
    assert chart is not None
    heights = [tick.at for tick in chart.y_ticks]
    assert len(heights) >= 2
    for dot in chart.dots:
        assert chart.left - 0.11 <= dot.x <= chart.right + 0.11
        assert min(heights) - 0.11 <= dot.y <= max(heights) + 0.11


def test_a_chart_of_days_is_labelled_by_days_and_has_its_band() -> None:
    days = [date(2026, 3, day) for day in (1, 2, 3)]
    chart = line_chart(
        [(day, 0.5) for day in days],
        [(day, 0.4, 0.6) for day in days],
        low=0,
        high=1,
        write=lambda value: f"{value:.0%}",
    )
    assert chart is not None
    assert [tick.label for tick in chart.x_ticks] == ["Mar 1", "Mar 2", "Mar 3"]
    assert [chart.y_ticks[0].label, chart.y_ticks[-1].label] == ["0%", "100%"]
    assert chart.band.startswith("M")
    assert chart.band.endswith("Z")
    assert chart.dots[0].label == "Mar 1: 50%"
    assert line_chart([]) is None


def test_what_raises_goes_right_and_what_lowers_left_of_the_middle() -> None:
    up, down = diverging([("a", 2.0), ("b", -1.0)])
    assert (up.x, up.width, up.raises) == (50, 50, True)
    assert (down.x, down.width, down.raises) == (25, 25, False)
    assert diverging([]) == []


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (count(12345), "12,345"), (count(0.5), "0.5"), (count(None), "–"), (money(1234), "$1,234"),
        (money(49.5), "$49.50"), (money(49.0), "$49"), (money(-3), "−$3"), (money(None), "–"),
        (money_short(21_545_339), "$21.5M"), (money_short(9_999), "$9,999"), (money_short(999_999), "$1M"),
        (money_short(340_000), "$340k"), (percent(0.734), "73\u00a0%"), (percent(0.734, 1), "73.4\u00a0%"),
        (percent(None), "–"), (signed(5), "+5"), (signed(-3), "−3"), (signed(0), "±0"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected


def test_a_link_keeps_the_query_but_for_what_changes_and_for_what_was_told() -> None:
    link = linker(
        "/customers", {"risk": ["critical", "at_risk"], "told": ["done"], "cursor": ["x"], "sort": ["name"]}
    )
    assert link() == "/customers?risk=critical&risk=at_risk&sort=name"
    assert link(sort="-name", risk=None) == "/customers?sort=-name"
    assert linker("/", {})(search="a&b=c") == "/?search=a%26b%3Dc"


def test_a_chart_of_moments_takes_them_as_they_are() -> None:
    chart = line_chart([(datetime(2026, 3, 1, tzinfo=UTC), 1.0), (datetime(2026, 3, 2, tzinfo=UTC), 2.0)])
    assert chart is not None
    assert [tick.label for tick in chart.x_ticks] == ["Mar 1", "Mar 2"]
