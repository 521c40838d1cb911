"""What a model says of leaving: of one customer, and of many."""

from __future__ import annotations

from dataclasses import dataclass

from scoring.churning.columns import Floats

# Days, what probabilities are told for.
HORIZONS = (30, 60, 90)


@dataclass(frozen=True, slots=True)
class Reason:
    """What one signal (or rule, as text) adds to the score: above 0 towards leaving. An association, not a cause."""

    signal: str
    effect: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """One customer: `within` are the probabilities of leaving within 30, 60 and 90 days.

    `score` is the log-odds of leaving in the coming week; base + all effects = score, exactly; `reasons` has every
    term, the strongest first. `expected` is the day on which half of those like this one who leave within 52 weeks
    are gone, `earliest` and `latest` hold 80 % of them: days from now, with decimals. All three are None where
    leaving within 52 weeks is hardly to be expected at all (`curve.LEAST_REACH`).
    """

    within: tuple[float, float, float]
    score: float
    base: float
    reasons: tuple[Reason, ...]
    expected: float | None = None
    earliest: float | None = None
    latest: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Outlooks:
    """The same of many, a row each: `within` has shape (rows, 3), `effects` (rows, sources) with `sources` naming them.

    `expected`, `earliest` and `latest` are days from now (nan: none), shape (rows,).
    """

    within: Floats
    score: Floats
    base: float
    effects: Floats
    sources: tuple[str, ...]
    expected: Floats
    earliest: Floats
    latest: Floats
