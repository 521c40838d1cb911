"""Churn models beside plain logistic regression on the same folds, on purchases forward in time, and their speed.

`python -m bench.churn --table F.csv --label COL [--purchases CDNOW_master.txt]`. The rival is statsmodels' GLM on
the columns as they are: numbers standardised, a flag per level. Differences are paired, row by row, with a bootstrap
interval; times are of the processor.
"""

from __future__ import annotations

import os

# Before numpy is imported: see cli/churn.py.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import sys
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from cli.churn_table import read_csv, read_features, read_outcome
from scoring.churning.columns import Categories, Column, Floats, Integers, Numbers, Table, take
from scoring.churning.evaluation import evaluate
from scoring.churning.fitting import Settings, fit
from scoring.churning.folds import Fold, forward, stratified
from scoring.churning.inspection import inspect
from scoring.churning.measures import area_under_curve, log_losses
from scoring.churning.model import contributions, predict, strongest
from scoring.churning.parts import rare_rows
from scoring.churning.solving import sigmoid

DRAWS = 500
HORIZON_DAYS = 90
ROWS = 1_000_000


def predict_plainly(before: Table, learned: Floats, groups: Integers | None, after: Table) -> Floats:
    """Plain logistic regression by statsmodels, twins and identifiers left out as ours does."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    names, _ = inspect(before, learned)
    one, two = [np.ones(len(learned))], [np.ones(len(next(iter(after.values()))))]
    for name in names:
        seen, new = before[name], after[name]
        if isinstance(seen, Numbers) and isinstance(new, Numbers):
            mean, spread = np.nanmean(seen.values), np.nanstd(seen.values)
            for columns, column in ((one, seen), (two, new)):
                columns.append(np.nan_to_num((column.values - mean) / spread))
        elif isinstance(seen, Categories) and isinstance(new, Categories):
            counts = np.bincount(seen.codes[seen.codes >= 0], minlength=len(seen.levels))
            for code in np.flatnonzero(counts >= rare_rows(len(seen))):
                if code != counts.argmax():
                    one.append((seen.codes == code).astype(float))
                    two.append((new.codes == code).astype(float))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = GLM(learned, np.column_stack(one), family=Binomial()).fit()
    return sigmoid(np.column_stack(two) @ found.params)


def compare(table: Table, outcome: Floats, folds: list[Fold], settings: Settings) -> dict[str, Any]:
    """Ours and the rival on the same folds, and the paired differences with 95 % intervals."""
    started = time.process_time()
    ours = evaluate(table, outcome, folds, settings)
    seconds = time.process_time() - started
    plain = evaluate(table, outcome, folds, settings, predictor=predict_plainly)
    rng = np.random.default_rng(0)
    gain = log_losses(ours.outcome, ours.probability) - log_losses(ours.outcome, plain.probability)
    draws = []
    for _ in range(DRAWS):
        rows = rng.integers(0, len(gain), len(gain))
        known = ours.outcome[rows]
        aucs = [area_under_curve(known, one.probability[rows]) or 0.5 for one in (ours, plain)]
        draws.append((aucs[0] - aucs[1], float(gain[rows].mean())))
    low, high = np.quantile(np.array(draws), [0.025, 0.975], axis=0)
    return {
        "rows": len(ours.outcome),
        "majority": round(ours.majority, 4),
        "ours": {name: round(value or 0.0, 4) for name, value in ours.overall.to_json().items()},
        "plain": {name: round(value or 0.0, 4) for name, value in plain.overall.to_json().items()},
        "auc_difference": [round(float(low[0]), 4), round(float(high[0]), 4)],
        "log_loss_difference": [round(float(low[1]), 4), round(float(high[1]), 4)],
        "cpu_seconds": round(seconds, 1),
    }


def read_purchases(path: Path) -> tuple[dict[str, Column], Floats, Floats]:
    """Snapshots of CDNOW's customers at seven cuts, whether 90 days without a purchase followed, and when."""
    lines = [line.split() for line in path.read_text().splitlines()[1:]]
    moments = np.array([date.fromisoformat(line[1]).toordinal() for line in lines], dtype=float)
    _, customers = np.unique([line[0] for line in lines], return_inverse=True)
    discs, spent = (np.array([float(line[place]) for line in lines]) for place in (2, 3))
    count = int(customers.max()) + 1
    columns: dict[str, list[Floats]] = {}
    outcomes, times = [], []
    for month in (7, 8, 9, 10, 13, 14, 15):
        cut = float(date(1997 + (month - 1) // 12, (month - 1) % 12 + 1, 1).toordinal())
        past = moments < cut
        known = np.unique(customers[past])

        def total(values: Floats, chosen: Any, known: Integers = known) -> Floats:
            sums: Floats = np.bincount(customers[chosen], weights=values[chosen], minlength=count)[known]
            return sums

        ones = np.ones(len(moments))
        first, last = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(first, customers[past], moments[past])
        np.maximum.at(last, customers[past], moments[past])
        orders = total(ones, past)
        features = {
            "days_since_last": cut - last[known],
            "days_since_first": cut - first[known],
            "orders": orders,
            "orders_30d": total(ones, past & (moments >= cut - 30)),
            "orders_90d": total(ones, past & (moments >= cut - 90)),
            "discs": total(discs, past),
            "spent": total(spent, past),
            "mean_order": total(spent, past) / orders,
            "days_per_order": (last[known] - first[known]) / np.maximum(orders - 1, 1),
        }
        for name, values in features.items():
            columns.setdefault(name, []).append(values)
        later = total(ones, (moments >= cut) & (moments < cut + HORIZON_DAYS))
        outcomes.append((later == 0).astype(float))
        times.append(np.full(len(known), cut))
    table: dict[str, Column] = {name: Numbers(np.concatenate(parts)) for name, parts in columns.items()}
    return table, np.concatenate(outcomes), np.concatenate(times)


def measure_speed(table: Table, outcome: Floats, settings: Settings) -> dict[str, Any]:
    """CPU seconds for a million probabilities, and with three reasons each."""
    model = fit(table, outcome, settings).model
    many = take(table, np.arange(ROWS) % len(outcome))
    started = time.process_time()
    predict(model, many)
    alone = time.process_time() - started
    started = time.process_time()
    strongest(contributions(model, many))
    return {
        "rows": ROWS,
        "columns": len(model.columns),
        "pairs": len(model.pairs),
        "rules": len(model.rules),
        "cpu_seconds": round(alone, 2),
        "cpu_seconds_with_reasons": round(time.process_time() - started, 2),
    }


def main() -> None:
    """Measure and print one JSON object per part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--purchases", type=Path)
    given = parser.parse_args()
    file = read_csv(given.table)
    outcome, positive = read_outcome(file, given.label, None)
    table = read_features(file, [name for name in file.header if name != given.label])
    settings = Settings(given.label, positive)
    _tell(given.table.name, compare(table, outcome, stratified(outcome, 5), settings))
    _tell("speed", measure_speed(table, outcome, settings))
    if given.purchases is not None:
        shopped, gone, times = read_purchases(given.purchases)
        newest = date(1998, 1, 1).toordinal()
        # Learned from cuts whose 90 days were over before the first that is predicted.
        folds = forward(gone, np.where(times >= newest, newest, 0), 1)
        folds = [Fold(1, np.flatnonzero(times <= newest - HORIZON_DAYS), fold.test) for fold in folds]
        _tell(given.purchases.name, compare(shopped, gone, folds, Settings("gone", "1")))


def _tell(what: str, found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"part": what, **found}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
