"""The hazard model: its speed, how few leavers it needs, what interventions do to it, and purchases forward in time.

`bench.churn` runs these. Customers are those of `bench.hazard_world`, whose law is known; times are of the processor.
"""

from __future__ import annotations

import dataclasses
import resource
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from bench.hazard_world import make_world
from bench.purchases import HORIZON_DAYS, read_snapshots
from scoring.churning.columns import Column, Floats, Numbers, Table, cut, take
from scoring.churning.fitting import Settings, fit
from scoring.churning.measures import area_under_curve, calibration_error, log_losses
from scoring.churning.model import Pair, predict, strongest
from scoring.churning.pairs import multiply
from scoring.hazard import (
    HazardModel,
    HazardSettings,
    Snapshots,
    fit_hazard,
    outlook,
    outlooks,
    recalibrate,
    within_days,
)

ROWS = 1_000_000
CHUNK = 20_000
SNAPSHOTS = 100_000
NOISE_COLUMNS = 22
PAIRS = 20
TIMES = 3_000


def measure_speed() -> dict[str, Any]:
    """Fitting 100,000 snapshots of 30 features; then a million customers told with dates and three reasons each.

    The model is given 20 pairs beyond what it found, as many as any may have. The rival is statsmodels' GLM on the same
    columns, bends and products, which tells one probability and nothing else.
    """
    world = make_world(SNAPSHOTS, per_customer=8)
    rng = np.random.default_rng(5)
    noise: dict[str, Column] = {
        f"noise{place:02d}": Numbers(
            rng.poisson(2 + place % 6 * 4, SNAPSHOTS).astype(float)
            if place % 3
            else rng.lognormal(2, 1, SNAPSHOTS).round(1)
        )
        for place in range(NOISE_COLUMNS)
    }
    snapshots = dataclasses.replace(world.snapshots, table={**world.snapshots.table, **noise})
    started = time.process_time()
    model = fit_hazard(snapshots, catalogue_digest="bench")
    fitting = time.process_time() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    model = _with_pairs(model, rng)
    many = snapshots.take(np.arange(ROWS) % SNAPSHOTS)
    started = time.process_time()
    for first in range(0, ROWS, CHUNK):
        chunk = slice(first, first + CHUNK)
        part = {name: cut(column, chunk) for name, column in many.table.items()}
        strongest(outlooks(model, part, many.renewal[chunk]).effects)
    ours = time.process_time() - started
    alone = []
    features = {
        name: float(column.values[0]) for name, column in many.table.items() if isinstance(column, Numbers)
    }
    for _ in range(TIMES):
        begun = time.thread_time_ns()
        outlook(model, features, 12.0)
        alone.append((time.thread_time_ns() - begun) / 1000)
    return {
        "snapshots": SNAPSHOTS,
        "columns": len(model.columns),
        "pairs": len(model.pairs),
        "rules": len(model.rules),
        "fit_cpu_seconds": round(fitting, 1),
        "peak_mb": round(memory),
        "rows": ROWS,
        "cpu_seconds_with_dates_and_three_reasons": round(ours, 2),
        "statsmodels_cpu_seconds_probability_alone": round(_predict_by_statsmodels(model, many.table), 2),
        "one_customer_us_median": round(float(np.median(alone)), 1),
        "one_customer_us_p99": round(float(np.quantile(alone, 0.99)), 1),
    }


def _with_pairs(model: HazardModel, rng: np.random.Generator) -> HazardModel:
    import msgspec

    widths = [effect.part.width + 1 for effect in model.effects]
    pairs = list(model.pairs)
    while len(pairs) < PAIRS:
        one, two = (int(place) for place in rng.choice(len(widths), 2, replace=False))
        weights = rng.normal(0, 0.01, (widths[one], widths[two])).tolist()
        pairs.append(Pair(one, two, tuple(tuple(row) for row in weights)))
    return msgspec.structs.replace(model, pairs=tuple(pairs))


def _predict_by_statsmodels(model: HazardModel, table: Table) -> float:
    """CPU seconds for a million probabilities by statsmodels' GLM, the design made in chunks as ours is."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    def design(part: Table) -> Floats:
        bases = [effect.part.basis(part) for effect in model.effects]
        products = [multiply(bases[pair.first], bases[pair.second]) for pair in model.pairs]
        return np.column_stack([np.ones(len(bases[0])), *bases, *products])

    first = design({name: cut(column, slice(0, 2000)) for name, column in table.items()})
    rng = np.random.default_rng(0)
    params = rng.normal(0, 0.01, first.shape[1])
    rival = GLM(rng.integers(0, 2, 2000).astype(float), first, family=Binomial())
    started = time.process_time()
    for begin in range(0, ROWS, CHUNK):
        rival.predict(params, design({n: cut(c, slice(begin, begin + CHUNK)) for n, c in table.items()}))
    return time.process_time() - started


def start_cold(repeats: int = 12) -> list[dict[str, Any]]:
    """By how many customers were seen leaving: the model beside its anchor recalibrated, and plain statsmodels."""
    test = make_world(20_000, seed=1000, level=-4.4)
    happened = _gone(test.snapshots, HORIZON_DAYS)
    rows = []
    for events in (10, 25, 50, 100, 300):
        found: dict[str, list[tuple[float, float]]] = {"ours": [], "health": [], "plain": []}
        for seed in range(repeats):
            snapshots = make_world(40 * events + 100, seed=5000 + 100 * events + seed, level=-4.4).snapshots
            leaves = np.flatnonzero(_gone(snapshots, 91))
            snapshots = snapshots.take(np.arange(leaves[events - 1] + 1))
            for name, settings in (("ours", HazardSettings()), ("health", HazardSettings(shape="health"))):
                model = fit_hazard(snapshots, catalogue_digest="bench", settings=settings)
                told = within_days(model, test.snapshots.table, test.snapshots.renewal, HORIZON_DAYS)
                found[name].append(_judge(happened, told))
            told = _predict_plainly(snapshots.table, _gone(snapshots, HORIZON_DAYS), test.snapshots.table)
            found["plain"].append(_judge(happened, told))
        row: dict[str, Any] = {"events": events, "draws": repeats}
        for name, values in found.items():
            auc, loss = np.mean(values, axis=0)
            row |= {f"{name}_auc": round(float(auc), 4), f"{name}_log_loss": round(float(loss), 4)}
        rows.append(row)
    return rows


def feed_back(rows: int = 40_000, held_out: float = 0.1) -> list[dict[str, Any]]:
    """A model picks the fifth most at risk, who are treated (hazard times .4) but for the holdout; a new one is then
    learned from what happened, in three ways, and tested where nobody is treated. What counts is predicted / true
    among the fifth that each puts highest.
    """
    first = fit_hazard(make_world(rows // 2, seed=1).snapshots, catalogue_digest="bench")
    rng = np.random.default_rng(2)
    plain = make_world(rows, seed=3).snapshots
    risk = within_days(first, plain.table, plain.renewal, HORIZON_DAYS)
    spared = rng.random(rows) < held_out
    treated = (risk >= np.quantile(risk, 0.8)) & ~spared
    world = make_world(rows, seed=3, treated=treated)
    lived = dataclasses.replace(world.snapshots, held_out=spared)
    blind = dataclasses.replace(lived, treated_from=np.full(rows, np.nan))
    test = make_world(rows, seed=4)
    flagged = fit_hazard(lived, catalogue_digest="bench")
    ways = {
        "before interventions": first,
        "naive": fit_hazard(blind, catalogue_digest="bench"),
        "treated rows dropped": fit_hazard(lived.take(np.flatnonzero(~treated)), catalogue_digest="bench"),
        "treated flag": flagged,
        "treated flag, recalibrated on the holdout": recalibrate(flagged, lived.take(np.flatnonzero(spared))),
    }
    truth = test.within(13)
    found = []
    for name, model in ways.items():
        told = within_days(model, test.snapshots.table, test.snapshots.renewal, 91)
        top = told >= np.quantile(told, 0.8)
        happened = _gone(test.snapshots, 91)
        found.append(
            {
                "learned": name,
                "auc": round(area_under_curve(happened, told) or 0.5, 4),
                "ece": round(calibration_error(happened, told), 4),
                "top_fifth_predicted_over_true": round(float(told[top].mean() / truth[top].mean()), 3),
            }
        )
    return found


def foresee_purchases(path: Path) -> dict[str, Any]:
    """CDNOW: the hazard of the next purchase, learned from what was known at the start of 1998, and whether 90 days
    pass without one; beside the model of that one question, which must leave out whatever isn't 90 days old.
    """
    found = read_snapshots(path)
    newest = float(date(1998, 1, 1).toordinal())
    past, test = np.flatnonzero(found.cut < newest), np.flatnonzero(found.cut >= newest)
    known = newest - found.cut[past]
    nothing = np.full(len(past), np.nan)
    snapshots = Snapshots(
        take(found.table, past),
        found.customer[past],
        found.cut[past].astype(np.int64),
        np.where(found.next_purchase[past] < known, found.next_purchase[past], np.nan),
        known,
        nothing,
        nothing,
        nothing,
        np.zeros(len(past), dtype=bool),
    )
    started = time.process_time()
    model = fit_hazard(snapshots, catalogue_digest="bench")
    fitting = time.process_time() - started
    newer = recalibrate(model, snapshots.take(np.flatnonzero(known < HORIZON_DAYS + 7)))
    later = take(found.table, test)
    gone = (~(found.next_purchase[test] < HORIZON_DAYS)).astype(float)
    told = {
        "hazard": 1.0 - within_days(model, later, np.full(len(test), np.nan), HORIZON_DAYS),
        "hazard_recalibrated": 1.0 - within_days(newer, later, np.full(len(test), np.nan), HORIZON_DAYS),
    }
    ripe = np.flatnonzero(found.cut <= newest - HORIZON_DAYS)
    silent = (~(found.next_purchase[ripe] < HORIZON_DAYS)).astype(float)
    told["one_question"] = predict(fit(take(found.table, ripe), silent, Settings("gone", "1")).model, later)
    row: dict[str, Any] = {
        "learned_rows": len(past), "predicted_rows": len(test), "gone": round(float(gone.mean()), 4),
        "fit_cpu_seconds": round(fitting, 1), "shape": model.training.shape,
    }  # fmt: skip
    for name, values in told.items():
        auc, loss = _judge(gone, values)
        row |= {
            f"{name}_auc": round(auc, 4),
            f"{name}_log_loss": round(loss, 4),
            f"{name}_ece": round(calibration_error(gone, values), 4),
        }
    return row


def _gone(snapshots: Snapshots, days: float) -> Floats:
    return (np.where(np.isnan(snapshots.left), np.inf, snapshots.left) < days).astype(float)


def _judge(happened: Floats, told: Floats) -> tuple[float, float]:
    return area_under_curve(happened, told) or 0.5, float(log_losses(happened, told).mean())


def _predict_plainly(before: Table, learned: Floats, after: Table) -> Floats:
    from bench.churn import predict_plainly

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return predict_plainly(before, learned, None, after)
