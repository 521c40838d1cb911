"""How well a churn model predicts rows that it hasn't seen, fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoring.churning.choosing import Say
from scoring.churning.columns import Floats, Integers, Table, take
from scoring.churning.fitting import Settings, fit
from scoring.churning.folds import Fold
from scoring.churning.measures import Measures, majority, measure
from scoring.churning.model import predict


@dataclass(frozen=True, slots=True)
class FoldResult:
    """One fold: how many rows it learned from and predicted, how many of these have the event, and how well."""

    number: int
    learned_rows: int
    rows: int
    events: int
    majority: float
    measures: Measures

    def to_json(self) -> dict[str, Any]:
        """The names that scripts read."""
        return {
            "fold": self.number, "learned_rows": self.learned_rows, "rows": self.rows, "events": self.events,
            "majority": self.majority, **self.measures.to_json(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Out-of-fold predictions and how good they are.

    `predicted` holds the places of the rows that were predicted, in order; `outcome` and `probability` are theirs.
    """

    folds: tuple[FoldResult, ...]
    overall: Measures
    majority: float
    predicted: Integers
    outcome: Floats
    probability: Floats

    def to_json(self) -> dict[str, Any]:
        """The names that scripts read."""
        return {
            "rows": len(self.outcome),
            "majority": self.majority,
            "folds": [fold.to_json() for fold in self.folds],
            "overall": self.overall.to_json(),
        }


Predictor = Callable[[Table, Floats, Integers | None, Table], Floats]


def evaluate(
    table: Table,
    outcome: Floats,
    folds: Sequence[Fold],
    settings: Settings,
    *,
    groups: Integers | None = None,
    say: Say = lambda line: None,
    predictor: Predictor | None = None,
) -> Evaluation:
    """Fit on each fold's rows and predict the others; nothing of a predicted row is seen before.

    `predictor` (table, outcome and groups learned from, table to predict) takes the place of our model in comparisons.
    A fold whose learned rows all have the same outcome predicts that share.
    """
    probability = np.full(len(outcome), np.nan)
    learned_rows: dict[int, int] = {}
    count = max((fold.number for fold in folds), default=0)
    for fold in folds:
        learned = outcome[fold.train]
        learned_rows[fold.number] = learned_rows.get(fold.number, 0) + len(learned)
        say(
            f"fold {fold.number} of {count}: learning from {len(learned):,} rows, predicting {len(fold.test):,}"
        )
        if not 0 < learned.sum() < len(learned):
            probability[fold.test] = learned.mean() if len(learned) else outcome.mean()
            say(f"fold {fold.number}: the rows to learn from all have the same outcome")
            continue
        mine = None if groups is None else np.unique(groups[fold.train], return_inverse=True)[1]
        before, after = take(table, fold.train), take(table, fold.test)
        if predictor is not None:
            probability[fold.test] = predictor(before, learned, mine, after)
        else:
            fitted = fit(before, learned, settings, groups=mine)
            probability[fold.test] = predict(fitted.model, after)
    results = []
    for number in sorted(learned_rows):
        rows = np.sort(np.concatenate([fold.test for fold in folds if fold.number == number]))
        known = outcome[rows]
        results.append(
            FoldResult(
                number=number,
                learned_rows=learned_rows[number],
                rows=len(rows),
                events=int(known.sum()),
                majority=majority(known),
                measures=measure(known, probability[rows]),
            )
        )
    predicted = np.flatnonzero(~np.isnan(probability))
    return Evaluation(
        folds=tuple(results),
        overall=measure(outcome[predicted], probability[predicted]),
        majority=majority(outcome[predicted]),
        predicted=predicted,
        outcome=outcome[predicted],
        probability=probability[predicted],
    )
