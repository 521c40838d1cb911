"""What the arms of an experiment came to so far: shares with their intervals, and no verdict."""

from __future__ import annotations

from scoring.detection import Share
from scoring.intervals import wilson_interval


def share_of(hits: int, n: int, *, confidence: float = 0.95) -> Share:
    """`hits` of `n` with Wilson's interval (Journal of the American Statistical Association 22, 1927).

    Raises ValueError for counts that can't be.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} can't be")
    if n == 0:
        return Share(hits, n)
    return Share(hits, n, hits / n, *wilson_interval(hits, n, confidence=confidence))
