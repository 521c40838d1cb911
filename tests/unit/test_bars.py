"""Bars by day: nothing is lost between the numbers and the picture."""

from __future__ import annotations

from datetime import date, timedelta

from web.bars import bar_chart

FIRST = date(2026, 3, 2)


def test_columns_stand_on_each_other_and_end_at_the_axis() -> None:
    chart = bar_chart(
        {"email": {"2026-03-02": 3, "2026-03-04": 1}, "sms": {"2026-03-02": 1}}, FIRST, date(2026, 3, 5)
    )
    assert [(one.name, one.total) for one in chart.series] == [("email", 4), ("sms", 1)]
    assert chart.rows == [("2026-03-02", [3, 1]), ("2026-03-04", [1, 0])]
    email, later, sms = chart.bars
    assert email.y + email.height == chart.bottom == later.y + later.height
    assert sms.y + sms.height == email.y
    assert (sms.x, sms.told) == (email.x, "2026-03-02: 1 sms")
    assert [label for _, label in chart.y_ticks] == ["4", "2", "0"] or [
        label for _, label in chart.y_ticks
    ] == ["0", "2", "4"]


def test_long_periods_are_told_by_week_and_keep_every_count() -> None:
    days = {(FIRST + timedelta(days=number)).isoformat(): 1 for number in range(200)}
    chart = bar_chart({"entrants": days}, FIRST, FIRST + timedelta(days=199))
    assert chart.weekly
    assert sum(sum(counts) for _, counts in chart.rows) == 200
    assert chart.rows[0] == ("2026-03-02", [7])
    assert all(bar.x >= chart.left and bar.x + bar.width <= chart.right for bar in chart.bars)


def test_nothing_at_all_is_an_empty_picture() -> None:
    chart = bar_chart({"entrants": {}}, FIRST, FIRST)
    assert (chart.bars, chart.rows) == ([], [])
    assert [label for _, label in chart.x_ticks] == ["Mar 2"]
