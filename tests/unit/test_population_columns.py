"""What triggers find over the columns of a population is what they find over the facts of each customer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.population_columns import look_back, rule_columns
from rules.columns import match_columns
from rules.needs import needs_of
from rules.reference import explain
from schemas.catalogue import load_catalogue
from schemas.condition import Change, Condition, Crossing
from schemas.facts import Facts
from scoring.signal_columns import SignalColumns

CATALOGUE = load_catalogue()
NOW = datetime(2026, 3, 2, 0, 5, tzinfo=UTC)
DAY = 86_400
RECENT = 32

_scores = st.one_of(st.none(), st.sampled_from([30.0, 59.0, 60.0, 61.0, 80.0]))
_lines = st.one_of(
    st.builds(
        Crossing, signal=st.just("health_score"), direction=st.sampled_from(["below", "above"]),
        level=st.sampled_from([40, 60]), for_seconds=st.sampled_from([0, 3 * DAY, 40 * DAY]),
        rearm=st.sampled_from([None, 61, 59]),
    ),
    st.builds(
        Change, signal=st.just("health_score"), direction=st.sampled_from(["drop", "rise"]),
        by=st.sampled_from([1, 20]), within_seconds=st.sampled_from([7 * DAY, 30 * DAY, 90 * DAY]),
    ),
)  # fmt: skip


def facts_of(current: float | None, past: list[float | None]) -> Facts:
    """One customer: the score now, and at midnights from today's backwards."""
    history = [
        ((NOW - timedelta(days=ago)).date(), score) for ago, score in enumerate(past) if score is not None
    ]
    signals = {} if current is None else {"health_score": current}
    return Facts("c", NOW, signals, history={"health_score": history[::-1]})


@settings(max_examples=150, deadline=None)
@given(
    st.lists(_lines, min_size=1, max_size=4),
    st.lists(st.tuples(_scores, st.lists(_scores, max_size=60)), min_size=1, max_size=4),
)
def test_who_is_not_looked_back_for_needs_no_older_days(
    lines: list[Condition], customers: list[tuple[float | None, list[float | None]]]
) -> None:
    n = len(customers)
    grid = np.full((61, n), np.nan)
    for row, (_, past) in enumerate(customers):
        grid[: len(past), row] = [np.nan if score is None else score for score in past]
    now = np.array([np.nan if current is None else current for current, _ in customers])
    signals = SignalColumns(n, {"health_score": now})
    wanted = look_back(lines, signals, {"health_score": grid[:RECENT]})
    # Of the others the older days aren't read.
    grid[RECENT:, ~wanted] = np.nan
    columns = rule_columns(signals, {}, {}, needs_of(lines), NOW, CATALOGUE, {"health_score": grid}, {})
    named = {str(place): line for place, line in enumerate(lines)}
    answers = match_columns(named, columns)
    for row, (current, past) in enumerate(customers):
        for name, line in named.items():
            truth = explain(line, facts_of(current, past)).result
            assert answers[name][row] == {True: 1, False: 0, None: -1}[truth]


def test_most_need_not_be_looked_back_for() -> None:
    line = Crossing(signal="health_score", direction="below", level=60)
    grid = np.full((RECENT, 4), 70.0)
    grid[:, 1] = 50.0
    grid[:10, 2] = 50.0
    grid[:, 3] = np.nan
    signals = SignalColumns(4, {"health_score": np.array([70.0, 50.0, 50.0, 70.0])})
    assert look_back([line], signals, {"health_score": grid}).tolist() == [False, True, False, True]


@pytest.mark.parametrize("hour", [0, 5])
def test_a_day_counts_once_its_midnight_has_passed(hour: int) -> None:
    now = datetime(2026, 3, 2, hour, tzinfo=UTC)
    line = Change(signal="health_score", direction="drop", by=10, within_seconds=DAY)
    signals = SignalColumns(1, {"health_score": np.array([50.0])})
    grid = np.array([[80.0], [50.0]])
    columns = rule_columns(signals, {}, {}, needs_of([line]), now, CATALOGUE, {"health_score": grid}, {})
    assert match_columns({"": line}, columns)[""].tolist() == [1 if hour else 0]
