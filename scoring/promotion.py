"""Whether a model that was trained takes the place of what serves, by rules that are told beside the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from scoring.churning.columns import Floats
from scoring.churning.measures import ECE_BINS, calibration_error, log_losses
from scoring.hazard.outlook import HORIZONS
from scoring.trial import SEED, Band, Interval, Judged, bands_of, observed_over_expected, ratio_of

FEWEST_TO_JUDGE = 10
RATIO = (0.9, 1.1)
LARGEST_ERROR = 0.02
BAND_ROWS = 50
# Held-out rows alone tell whether as many leave as expected once so many of them did: nobody kept them from it.
HELD_OUT_EVENTS = 50
_DRAWS = 200
# Log losses are told to four digits.
_SAME = 0.00005
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Comparison:
    """Mean log loss of one forecaster and another on the same rows, in nats; `gain` is how much less the first has."""

    days: int
    rows: int
    customers: int
    events: int
    log_loss: float
    other_log_loss: float
    gain: Interval

    @property
    def better(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.gain.low > 0

    def to_json(self) -> dict[str, Any]:
        """The names that scripts read."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of promotion, whether it holds, and what was found, in words."""

    name: str
    holds: bool
    told: str

    def to_json(self) -> dict[str, Any]:
        """The names that scripts read."""
        return asdict(self)


def compare(judged: Judged, one: Floats, other: Floats) -> Comparison:
    """The log losses of two forecasters (of the trial's shape) on these rows, paired, customers drawn together."""
    column = HORIZONS.index(judged.days)
    first = log_losses(judged.outcome, one[judged.at, column])
    second = log_losses(judged.outcome, other[judged.at, column])
    gain = ratio_of(second - first, np.ones(len(first)), judged.customer)
    return Comparison(
        judged.days,
        len(judged.at),
        len(np.unique(judged.customer)),
        judged.events,
        float(first.mean()),
        float(second.mean()),
        gain,
    )


def check_ratio(judged: Judged, said: Floats, other: Floats | None = None) -> Check:
    """As many left as were expected: within .9 to 1.1, or as near as so few rows can tell; where `other` is given, also
    where that one is further off.
    """
    probability = said[judged.at, HORIZONS.index(judged.days)]
    where = "held-out and untreated rows"
    held = judged.held_out
    if held.sum() and judged.outcome[held].sum() >= HELD_OUT_EVENTS:
        part = Judged(
            judged.days,
            judged.at[held],
            judged.outcome[held],
            judged.customer[held],
            judged.held_out[held],
            0,
        )
        found, where = observed_over_expected(part, probability[held]), "held-out rows"
    else:
        found = observed_over_expected(judged, probability)
    low, high = RATIO
    told = f"observed over expected is {found.value:.2f} on {where} (90 % interval {found.low:.2f} to {found.high:.2f})"
    if low <= found.value <= high:
        return Check("observed_over_expected", True, told)
    # An interval wider than the band can't place the figure in it or outside it.
    vague = found.high - found.low > high - low and found.low <= high and found.high >= low
    if vague:
        return Check("observed_over_expected", True, f"{told}: too few left to tell it from {low} to {high}")
    if other is not None:
        theirs = observed_over_expected(judged, other[judged.at, HORIZONS.index(judged.days)]).value
        if abs(np.log(max(found.value, _TINY))) <= abs(np.log(max(theirs, _TINY))):
            return Check(
                "observed_over_expected",
                True,
                f"{told}, nearer 1 than the {theirs:.2f} of what it is compared with",
            )
    return Check("observed_over_expected", False, f"{told}, outside {low} to {high}")


def check_calibration(judged: Judged, said: Floats, other: Floats | None) -> Check:
    """Calibration error at most .02, or no worse than the other's, or no more than chance gives on so few rows."""
    column = HORIZONS.index(judged.days)
    probability = said[judged.at, column]
    error = calibration_error(judged.outcome, probability)
    told = f"calibration error {error:.3f}"
    if error <= LARGEST_ERROR:
        return Check("calibration", True, told)
    if other is not None:
        theirs = calibration_error(judged.outcome, other[judged.at, column])
        if error <= theirs:
            return Check(
                "calibration", True, f"{told}, no worse than the {theirs:.3f} of what it is compared with"
            )
    chance = chance_error(probability)
    if error <= chance:
        return Check(
            "calibration", True, f"{told}: on {len(probability):,} rows chance alone gives up to {chance:.3f}"
        )
    return Check("calibration", False, f"{told}, above {LARGEST_ERROR}")


def chance_error(probability: Floats, seed: int = SEED) -> float:
    """The calibration error that perfect probabilities stay under in 95 of 100 draws of what happens."""
    order = np.sort(probability)
    starts = np.array([part[0] for part in np.array_split(np.arange(len(order)), min(ECE_BINS, len(order)))])
    said = np.add.reduceat(order, starts)
    generator = np.random.default_rng(seed)
    errors = [
        np.abs(
            np.add.reduceat((generator.random(len(order)) < order).astype(np.float64), starts) - said
        ).sum()
        for _ in range(_DRAWS)
    ]
    return float(np.percentile(errors, 95.0) / len(order))


def check_bands(judged: Judged, said: Floats) -> Check:
    """The share that left rises from level to level, over those with rows enough."""
    bands = bands_of(judged.outcome, said[judged.at, HORIZONS.index(judged.days)])
    there = [band for band in bands if band.rows >= BAND_ROWS]
    shares = ", ".join(f"{band.level} {_share(band)}" for band in there)
    if len(there) < 2:
        return Check("bands", True, f"only one level of risk has {BAND_ROWS} rows")
    rising = all((lower.left or 0.0) < (upper.left or 0.0) for lower, upper in pairwise(there))
    return Check(
        "bands", rising, f"churn {'rises' if rising else 'does not rise'} over the levels ({shares})"
    )


def _share(band: Band) -> str:
    return f"{band.left:.1%}" if band.left is not None else "-"


def check_gain(found: Comparison, against: str) -> Check:
    """The log loss is lower than what the model would take the place of, surely."""
    gain = found.gain
    how = (
        "no difference"
        if abs(gain.value) < _SAME
        else f"{'better' if gain.value > 0 else 'worse'} by {abs(gain.value):.4f}"
    )
    told = (
        f"log loss within {found.days} days {found.log_loss:.4f} against {found.other_log_loss:.4f} of {against}: "
        f"{how} (90 % interval {gain.low:+.4f} to "
        f"{gain.high:+.4f}; {found.rows:,} rows of {found.customers:,} customers, {found.events:,} left)"
    )
    return Check("log_loss", found.better, told)


def in_words(checks: Sequence[Check], *, holding: bool | None = None) -> str:
    """The checks as one sentence; with `holding` only those that hold, or that don't."""
    told = [check.told for check in checks if holding is None or check.holds == holding]
    return "; ".join(told)
