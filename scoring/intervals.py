"""Intervals of shares, in closed form: a page that shows one starts without a library of statistics."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


def wilson_interval(hits: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Journal of the American Statistical Association 22, 1927).

    Raises ValueError for counts that can't be, and where n is 0.
    """
    if not 0 <= hits <= n or not n:
        raise ValueError(f"{hits} of {n} can't be")
    z = _quantile(confidence)
    rate, spread = hits / n, z * z / n
    middle = (rate + spread / 2) / (1 + spread)
    half = sqrt(spread * (rate * (1 - rate) + spread / 4)) / (1 + spread)
    # At the ends the bound is the end itself, to the last digit.
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == n else middle + half)


def newcombe_interval(
    hits: int, n: int, other_hits: int, other_n: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Newcombe's hybrid score interval of the first share less the other (Statistics in Medicine 17, 1998, method 10).

    Raises ValueError for counts that can't be, and where an n is 0.
    """
    low, high = wilson_interval(hits, n, confidence=confidence)
    other_low, other_high = wilson_interval(other_hits, other_n, confidence=confidence)
    rate, other_rate = hits / n, other_hits / other_n
    difference = rate - other_rate
    return (
        difference - sqrt((rate - low) ** 2 + (other_high - other_rate) ** 2),
        difference + sqrt((high - rate) ** 2 + (other_rate - other_low) ** 2),
    )


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
