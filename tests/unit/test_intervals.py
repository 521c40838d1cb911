"""Intervals of shares are those of statsmodels, for all counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scoring.intervals import newcombe_interval, wilson_interval

COUNTS = [(hits, n) for n in (1, 2, 3, 7, 20, 101) for hits in {0, 1, n // 3, n // 2, n - 1, n}]


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_wilsons_interval_is_that_of_statsmodels(confidence: float) -> None:
    from statsmodels.stats.proportion import proportion_confint

    for hits, n in [*COUNTS, (123_456, 9_876_543)]:
        theirs = proportion_confint(hits, n, alpha=1 - confidence, method="wilson")
        assert wilson_interval(hits, n, confidence=confidence) == pytest.approx(theirs, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_newcombes_interval_is_that_of_statsmodels(confidence: float) -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep

    for one in COUNTS:
        for other in COUNTS[::3]:
            theirs = confint_proportions_2indep(
                *one, *other, compare="diff", method="newcomb", alpha=1 - confidence
            )
            assert newcombe_interval(*one, *other, confidence=confidence) == pytest.approx(
                theirs, rel=1e-12, abs=1e-12
            )


def test_nobody_and_everybody_have_an_end_of_the_scale_as_bound() -> None:
    assert wilson_interval(0, 7)[0] == 0
    assert wilson_interval(7, 7)[1] == 1


@pytest.mark.parametrize(
    "tell", [lambda: wilson_interval(3, 2), lambda: wilson_interval(-1, 2), lambda: wilson_interval(0, 0)]
)
def test_counts_that_cannot_be_are_refused(tell: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="can't be"):
        tell()
