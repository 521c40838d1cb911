"""How good probabilities are: ranking, calibration, and what they are worth to somebody with little time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scoring.churning.columns import Floats

ECE_BINS = 15
CAPACITY = 0.10
_SMALLEST = 1e-15


@dataclass(frozen=True, slots=True)
class Measures:
    """Of probabilities against outcomes; None where it isn't defined (AUC, recall and lift need both outcomes).

    accuracy: at a threshold of .5. ece: expected calibration error over 15 bins of equal count. recall_at_10,
    lift_at_10: among the tenth of the rows with the highest probabilities.
    """

    auc: float | None
    accuracy: float
    log_loss: float
    brier: float
    ece: float
    recall_at_10: float | None
    lift_at_10: float | None

    def to_json(self) -> dict[str, float | None]:
        """The names that scripts read."""
        return {
            "auc": self.auc, "accuracy": self.accuracy, "log_loss": self.log_loss, "brier": self.brier,
            "ece": self.ece, "recall_at_10": self.recall_at_10, "lift_at_10": self.lift_at_10,
        }  # fmt: skip


def measure(outcome: Floats, probability: Floats) -> Measures:
    """Everything about these probabilities; both of shape (rows,), rows at least 1."""
    recall = recall_at(outcome, probability, CAPACITY)
    return Measures(
        auc=area_under_curve(outcome, probability),
        accuracy=float(((probability >= 0.5) == (outcome > 0.5)).mean()),
        log_loss=float(log_losses(outcome, probability).mean()),
        brier=float(((probability - outcome) ** 2).mean()),
        ece=calibration_error(outcome, probability),
        recall_at_10=recall,
        lift_at_10=None if recall is None else recall * len(outcome) / rows_at(len(outcome), CAPACITY),
    )


def log_losses(outcome: Floats, probability: Floats) -> Floats:
    """-log of the probability given to what happened, per row, in nats; probabilities are held off 0 and 1."""
    held = np.clip(probability, _SMALLEST, 1 - _SMALLEST)
    losses: Floats = -np.where(outcome > 0.5, np.log(held), np.log1p(-held))
    return losses


def area_under_curve(outcome: Floats, score: Floats) -> float | None:
    """Probability that a row with the event scores above one without, ties counting half (Mann–Whitney)."""
    events = float(outcome.sum())
    others = len(outcome) - events
    if not events or not others:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((ranks[outcome > 0.5].sum() - events * (events + 1) / 2.0) / (events * others))


def majority(outcome: Floats) -> float:
    """The share of the more frequent outcome: what always saying it would get right."""
    share = float(outcome.mean())
    return max(share, 1.0 - share)


def rows_at(rows: int, share: float) -> int:
    """How many rows the highest `share` are: rounded, at least one."""
    return max(1, math.floor(share * rows + 0.5))


def recall_at(outcome: Floats, score: Floats, share: float) -> float | None:
    """The share of all events among the highest-scored `share` of rows; rows that tie at the edge count in part."""
    events = float(outcome.sum())
    if not events:
        return None
    top = rows_at(len(outcome), share)
    edge = np.partition(score, len(score) - top)[len(score) - top]
    above, tied = score > edge, score == edge
    caught = outcome[above].sum() + outcome[tied].mean() * (top - above.sum())
    return float(caught / events)


def calibration_bins(
    outcome: Floats, probability: Floats, bins: int = ECE_BINS
) -> list[tuple[float, float, int]]:
    """Mean probability, share of events and rows of each of `bins` bins of equal count, in order of probability."""
    order = np.argsort(probability, kind="stable")
    return [
        (float(probability[rows].mean()), float(outcome[rows].mean()), len(rows))
        for rows in np.array_split(order, min(bins, len(order)))
    ]


def calibration_error(outcome: Floats, probability: Floats) -> float:
    """Expected calibration error: the bins' |mean probability - share of events|, weighted by rows."""
    found = calibration_bins(outcome, probability)
    return sum(abs(said - happened) * rows for said, happened, rows in found) / len(outcome)
