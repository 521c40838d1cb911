"""The effect of a treatment against those held out, and how honestly it is told."""

from __future__ import annotations

import pytest

from scoring.effect import compare_arms


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10.
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((10, 10, 0, 20), 0.6791, 1.0000),
    ],
)
def test_the_interval_is_newcombes(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    effect = compare_arms(*counts)
    assert effect.low == pytest.approx(low, abs=6e-5)
    assert effect.high == pytest.approx(high, abs=6e-5)


def test_the_difference_is_of_rates_and_says_how_many_it_means() -> None:
    effect = compare_arms(120, 200, 40, 100)
    assert effect.difference == pytest.approx(0.2)
    assert effect.incremental == pytest.approx(40)
    assert effect.verdict == "better"


def test_an_empty_arm_gives_no_estimate_and_not_zero() -> None:
    effect = compare_arms(12, 30, 0, 0)
    assert (effect.verdict, effect.difference, effect.incremental) == ("not estimable", None, None)
    assert effect.treated_rate == pytest.approx(0.4)
    assert "held out" in effect.note


def test_a_handful_is_called_a_handful() -> None:
    effect = compare_arms(9, 20, 0, 2)
    assert effect.verdict == "undecided"
    assert "fewer than 5" in effect.note
    assert "fewer than 5" not in compare_arms(120, 200, 40, 100).note


def test_harm_is_called_harm() -> None:
    assert compare_arms(20, 100, 50, 100).verdict == "worse"


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="5 successes of 4"):
        compare_arms(5, 4, 0, 1)
