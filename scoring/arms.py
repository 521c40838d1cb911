"""What the arms of an experiment came to so far: shares with their intervals, and no verdict."""

from __future__ import annotations

from statsmodels.stats.proportion import proportion_confint

from scoring.detection import Share


def share_of(hits: int, n: int, *, confidence: float = 0.95) -> Share:
    """`hits` of `n` with Wilson's interval (Journal of the American Statistical Association 22, 1927).

    Raises ValueError for counts that can't be.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} can't be")
    if n == 0:
        return Share(hits, n)
    low, high = (float(bound) for bound in proportion_confint(hits, n, alpha=1 - confidence, method="wilson"))
    return Share(hits, n, hits / n, low, high)
