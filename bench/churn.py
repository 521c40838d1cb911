"""Churn models beside plain logistic regression on the same folds, on purchases forward in time, and their speed.

`python -m bench.churn [--table F.csv --label COL] [--purchases CDNOW_master.txt] [--only PART]`. The rival is
statsmodels' GLM on the columns as they are: numbers standardised, a flag per level. Differences are paired, row by
row, with a bootstrap interval; times are of the processor. Parts whose file isn't there are passed over; those of the
hazard (see `bench.hazards`) but for the purchases need none.
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

from bench import hazards
from bench.purchases import HORIZON_DAYS, read_purchases
from cli.churn_table import read_features, read_outcome
from cli.csv_file import read_csv
from scoring.churning.columns import Categories, Floats, Integers, Numbers, Table, take
from scoring.churning.evaluation import evaluate
from scoring.churning.fitting import Settings, fit
from scoring.churning.folds import Fold, forward, stratified
from scoring.churning.inspection import inspect
from scoring.churning.measures import area_under_curve, log_losses
from scoring.churning.model import contributions, predict, strongest
from scoring.churning.parts import rare_rows
from scoring.churning.solving import sigmoid

DRAWS = 500
ROWS = 1_000_000
PARTS = ("table", "speed", "purchases", "hazard-speed", "cold-start", "feedback", "hazard-purchases")


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
    parser.add_argument("--table", type=Path, metavar="F.csv")
    parser.add_argument("--label", metavar="COL")
    parser.add_argument("--purchases", type=Path, metavar="CDNOW_master.txt")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; may be given several times")
    given = parser.parse_args()
    parts = given.only or PARTS
    if {"table", "speed"} & set(parts) and _is_there(given.table, "--table", "table and speed"):
        if given.label is None:
            parser.error("--table needs --label COL")
        file = read_csv(given.table)
        outcome, positive = read_outcome(file, given.label, None)
        table = read_features(file, [name for name in file.header if name != given.label])
        settings = Settings(given.label, positive)
        if "table" in parts:
            _tell(given.table.name, compare(table, outcome, stratified(outcome, 5), settings))
        if "speed" in parts:
            _tell("speed", measure_speed(table, outcome, settings))
    if "purchases" in parts and _is_there(given.purchases, "--purchases", "purchases"):
        shopped, gone, times = read_purchases(given.purchases)
        newest = date(1998, 1, 1).toordinal()
        # Learned from cuts whose 90 days were over before the first that is predicted.
        folds = forward(gone, np.where(times >= newest, newest, 0), 1)
        folds = [Fold(1, np.flatnonzero(times <= newest - HORIZON_DAYS), fold.test) for fold in folds]
        _tell(given.purchases.name, compare(shopped, gone, folds, Settings("gone", "1")))
    if "hazard-speed" in parts:
        _tell("hazard-speed", hazards.measure_speed())
    if "cold-start" in parts:
        for row in hazards.start_cold():
            _tell("cold-start", row)
    if "feedback" in parts:
        for row in hazards.feed_back():
            _tell("feedback", row)
    if "hazard-purchases" in parts and _is_there(given.purchases, "--purchases", "hazard-purchases"):
        _tell("hazard-purchases", hazards.foresee_purchases(given.purchases))


def _is_there(path: Path | None, option: str, part: str) -> bool:
    if path is not None and path.is_file():
        return True
    why = "wasn't given" if path is None else f"{path} isn't there"
    sys.stderr.write(f"{part}: passed over, {option} {why}\n")
    return False


def _tell(what: str, found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"part": what, **found}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
