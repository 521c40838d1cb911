"""How well the bands of a health model separate customers who later left from those who stayed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from scoring.detection import Share
from scoring.health import RiskLevel

BANDS: tuple[RiskLevel, ...] = ("healthy", "at_risk", "critical", "unknown")
# Scores are grouped by so many points for the picture and the table of calibration.
GROUP_POINTS = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """One customer on one day of the past: what the model said, and whether the customer left afterwards."""

    customer: str
    score: int | None
    risk_level: RiskLevel
    left: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Those of one band, or of ten points of the score; `first` and `last` are the scores that it reaches over.

    The interval (Wilson's, 95 %) counts each customer once: days of one customer say nearly the same.
    """

    name: str
    rows: int
    customers: int
    left: Share
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Separation:
    """What a model's bands and scores were worth.

    base_rate: of all rows, those who left. majority_rate: how often one is right who always says what is more
    frequent. accuracy, precision and recall: as if critical meant leaving, and every other known band staying; rows of
    unknown risk count in none of the three. auc: how often a customer who left had a lower score than one who stayed
    (ties half; None where one of the two kinds is missing). monotone: no band has a higher share of leavers than a
    worse one.
    """

    rows: int
    customers: int
    base_rate: float | None
    majority_rate: float | None
    accuracy: float | None
    precision: float | None
    recall: float | None
    auc: float | None
    monotone: bool
    bands: Sequence[Group]
    groups: Sequence[Group]

    def group(self, band: str) -> Group:
        """One band. Raises KeyError for a name that isn't there."""
        return {group.name: group for group in self.bands}[band]

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def judge_bands(judged: Iterable[Judged]) -> Separation:
    """What the bands were worth, by all of these rows."""
    rows = list(judged)
    known = [row for row in rows if row.score is not None]
    left = sum(row.left for row in rows)
    base = left / len(rows) if rows else None
    flagged = [row for row in known if row.risk_level == "critical"]
    hits = sum(row.left for row in flagged)
    leavers = sum(row.left for row in known)
    right = hits + (len(known) - len(flagged)) - (leavers - hits)
    bands = [_group(band, [row for row in rows if row.risk_level == band]) for band in BANDS]
    shares = [group.left.rate for group in bands[:3] if group.left.rate is not None]
    return Separation(
        rows=len(rows),
        customers=len({row.customer for row in rows}),
        base_rate=base,
        majority_rate=None if base is None else max(base, 1 - base),
        accuracy=right / len(known) if known else None,
        precision=hits / len(flagged) if flagged else None,
        recall=hits / leavers if leavers else None,
        auc=_auc(known),
        monotone=all(better <= worse for better, worse in pairwise(shares)),
        bands=[group for group in bands if group.rows or group.name != "unknown"],
        groups=_by_score(known),
    )


def _group(name: str, rows: Sequence[Judged], first: int | None = None, last: int | None = None) -> Group:
    customers = len({row.customer for row in rows})
    hits = sum(row.left for row in rows)
    if not rows:
        return Group(name, 0, 0, Share(0, 0), first, last)
    rate = hits / len(rows)
    low, high = proportion_confint(rate * customers, customers, alpha=0.05, method="wilson")
    return Group(
        name, len(rows), customers, Share(hits, len(rows), rate, float(low), float(high)), first, last
    )


def _by_score(rows: Sequence[Judged]) -> list[Group]:
    found: dict[int, list[Judged]] = {}
    for row in rows:
        assert row.score is not None
        # 100 belongs to the last group.
        found.setdefault(min(row.score, 99) // GROUP_POINTS, []).append(row)
    groups = []
    for place in sorted(found):
        first = place * GROUP_POINTS
        last = 100 if first + GROUP_POINTS >= 100 else first + GROUP_POINTS - 1
        groups.append(_group(f"{first}–{last}", found[place], first, last))
    return groups


def _auc(rows: Sequence[Judged]) -> float | None:
    """By the sum of ranks (Mann and Whitney, 1947)."""
    left = np.array([row.left for row in rows], dtype=bool)
    lost, kept = int(left.sum()), int((~left).sum())
    if not lost or not kept:
        return None
    _, places, counts = np.unique(
        [-(row.score or 0) for row in rows], return_inverse=True, return_counts=True
    )
    # Equal scores share the mean of their ranks.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[left].sum() - lost * (lost + 1) / 2) / (lost * kept))
