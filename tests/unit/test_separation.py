"""What a model's bands are worth against who left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import load_catalogue
from schemas.facts import Event
from scoring.leaving import Stay, trace_stay
from scoring.separation import Judged, judge_bands

START = datetime(2026, 1, 1, tzinfo=UTC)
HORIZON = timedelta(days=60)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def stay(*, logins: list[float] = [], cancelled: list[float] = [], back: list[float] = []) -> Stay:  # noqa: B006
    events = [
        *(Event("login", day(at)) for at in logins),
        *(Event("subscription_cancelled", day(at)) for at in cancelled),
        *(Event("subscription_started", day(at)) for at in back),
    ]
    return trace_stay("c", START, events, load_catalogue())


def test_leaving_is_cancelling_within_the_horizon() -> None:
    one = stay(logins=list(range(0, 200, 5)), cancelled=[100])
    assert not one.leaves_within(day(39.9), HORIZON)
    assert one.leaves_within(day(40), HORIZON)
    assert [one.is_gone(day(at)) for at in (99, 100, 150)] == [False, True, True]


def test_leaving_is_sixty_days_without_a_login() -> None:
    one = stay(logins=[0, 50])
    assert not one.leaves_within(day(49), HORIZON)
    assert one.leaves_within(day(50), HORIZON)
    assert [one.is_gone(day(at)) for at in (49, 109.9, 110)] == [False, False, True]
    # Whoever is back on the sixtieth day wasn't away for sixty days, a day later they were.
    assert not stay(logins=[0, 60, 119]).leaves_within(day(10), HORIZON)
    assert stay(logins=[0, 61]).leaves_within(day(10), HORIZON)


def test_who_never_logs_in_is_silent_from_the_first_day() -> None:
    assert stay().leaves_within(day(0), HORIZON)
    assert stay().is_gone(day(60))


def test_who_comes_back_is_there_again() -> None:
    one = stay(logins=list(range(0, 300, 5)), cancelled=[20], back=[30])
    assert [one.is_gone(day(at)) for at in (19, 25, 31)] == [False, True, False]


@given(st.lists(st.integers(0, 200), max_size=8), st.integers(0, 150), st.integers(1, 90))
def test_leaving_by_silence_agrees_with_looking_at_every_day(logins: list[int], at: int, days: int) -> None:
    one = stay(logins=[float(login) for login in logins])
    if not one.is_gone(day(at)):
        looked = any(one.is_gone(day(at + later)) for later in range(1, days + 1))
        assert one.leaves_within(day(at), timedelta(days=days)) is looked


def rows(*told: tuple[str, int, int, int]) -> list[Judged]:
    """(band, score, left, stayed), each customer of its own."""
    made = []
    for band, score, left, stayed in told:
        for number in range(left + stayed):
            made.append(Judged(f"{band}{score}-{number}", score, band, number < left))  # type: ignore[arg-type]
    return made


def test_shares_by_band_stand_beside_the_majority() -> None:
    found = judge_bands(rows(("healthy", 90, 1, 59), ("at_risk", 60, 4, 16), ("critical", 20, 15, 5)))
    assert [(one.name, one.rows, one.left.hits) for one in found.bands] == [
        ("healthy", 60, 1), ("at_risk", 20, 4), ("critical", 20, 15),
    ]  # fmt: skip
    assert (found.base_rate, found.majority_rate) == (0.2, 0.8)
    assert (found.accuracy, found.precision, found.recall) == (0.9, 0.75, 0.75)
    assert found.monotone
    assert [(one.name, one.rows) for one in found.groups] == [("20–29", 20), ("60–69", 20), ("90–100", 60)]


def test_bands_out_of_order_are_told() -> None:
    assert not judge_bands(rows(("healthy", 90, 5, 5), ("critical", 20, 1, 9))).monotone


def test_the_unknown_count_in_the_base_and_in_nothing_else() -> None:
    unknown = [Judged(f"u{number}", None, "unknown", number < 5) for number in range(10)]
    found = judge_bands([*rows(("healthy", 90, 0, 5), ("critical", 20, 5, 0)), *unknown])
    assert (found.accuracy, found.auc, found.base_rate) == (1.0, 1.0, 0.5)
    assert found.group("unknown").left.hits == 5


def test_nothing_is_said_where_nothing_can_be() -> None:
    none = judge_bands([])
    assert (none.base_rate, none.auc, none.accuracy) == (None, None, None)
    assert judge_bands(rows(("healthy", 90, 0, 9))).auc is None


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=2, max_size=40))
def test_auc_counts_the_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    left = [score for score, gone in pairs if gone]
    kept = [score for score, gone in pairs if not gone]
    found = judge_bands(Judged(str(i), score, "at_risk", gone) for i, (score, gone) in enumerate(pairs)).auc
    if not left or not kept:
        assert found is None
    else:
        wins = sum(
            1 if lost < stayed else 0.5 if lost == stayed else 0 for lost, stayed in product(left, kept)
        )
        assert found == pytest.approx(wins / (len(left) * len(kept)))


def test_many_days_of_one_customer_make_no_narrower_interval() -> None:
    once = judge_bands(rows(("critical", 20, 5, 5))).group("critical").left
    often = [
        Judged(one.customer, one.score, one.risk_level, one.left)
        for one in rows(("critical", 20, 5, 5))
        for _ in range(9)
    ]
    assert judge_bands(often).group("critical").left.low == once.low
