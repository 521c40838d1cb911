"""Shift and slope of a hazard model anew, on rows that are newer than its own, or that nobody treated."""

from __future__ import annotations

import msgspec
import numpy as np

from schemas.errors import InputError
from scoring.churning.columns import Categories, Floats
from scoring.churning.fitting import CALIBRATE_FROM_EVENTS, FEWEST_EVENTS
from scoring.churning.model import add_up
from scoring.churning.solving import sigmoid
from scoring.hazard.curve import weekly_log_odds
from scoring.hazard.fitting import SLOPES
from scoring.hazard.model import HazardCalibration, HazardModel
from scoring.hazard.snapshots import Snapshots, check_snapshots
from scoring.hazard.weeks import BILLING, draw_weeks, treated_in

# That the slope is right already counts as much as some ten customers who left.
_SURE = 10.0
_STEPS = 100
_LONGEST = 1.0
_NEAR = 1e-9


def recalibrate(model: HazardModel, snapshots: Snapshots) -> HazardModel:
    """The model with its log-odds moved and stretched to fit all matured weeks of `snapshots`.

    With fewer than 100 customers who left the slope stays, and only the level moves. Pass the newest matured
    snapshots, or those of the holdout, which no playbook ever treats: that is where the truth about the untreated is.
    Raises InputError where fewer than 10 customers left.
    """
    check_snapshots(snapshots)
    weeks = draw_weeks(snapshots, None, 0)
    row, week = weeks.row, weeks.week
    events = len(np.unique(snapshots.customer[row[weeks.outcome > 0]]))
    stayed = len(row) - int(weeks.outcome.sum())
    if min(events, stayed) < FEWEST_EVENTS:
        raise InputError(
            f"{events} customers left in a week of these snapshots that was observed to its end, {stayed} weeks "
            f"passed without; at least {FEWEST_EVENTS} of each are needed to recalibrate.",
            remedy="Take more snapshots, or wait until more is known.",
        )
    table = snapshots.table
    index = add_up(model.terms, table)[row] if model.effects else np.zeros(len(row))
    billing = table.get(BILLING)
    eta = weekly_log_odds(
        model,
        index,
        snapshots.renewal[row],
        billing.take(row) if isinstance(billing, Categories) else None,
        week,
        treated_in(snapshots, row, week),
    )
    centre = float(eta.mean())
    slope = 1.0
    if events >= CALIBRATE_FROM_EVENTS:
        slope = float(np.clip(_fit_line(eta - centre, weeks.outcome, None)[1], *SLOPES))
    shift = _fit_line(eta - centre, weeks.outcome, slope)[0] - slope * centre
    old = model.calibration
    return msgspec.structs.replace(
        model,
        calibration=HazardCalibration(
            round(shift + slope * old.shift, 6), round(slope * old.slope, 6), round(slope * old.fade, 6)
        ),
    )


def _fit_line(eta: Floats, outcome: Floats, slope: float | None) -> tuple[float, float]:
    """Level and slope of log-odds = level + slope · eta by Newton's method; only the level where `slope` is given."""
    level = float(np.log(outcome.mean()) - np.log1p(-outcome.mean()))
    tilt = 1.0 if slope is None else slope
    for _ in range(_STEPS):
        probability = sigmoid(level + tilt * eta)
        residual, weight = outcome - probability, probability * (1.0 - probability)
        gradient = np.array([residual.sum(), residual @ eta - _SURE * (tilt - 1.0)])
        if slope is not None:
            move = np.array([gradient[0] / weight.sum(), 0.0])
        else:
            cross = float(weight @ eta)
            curvature = np.array([[weight.sum(), cross], [cross, weight @ (eta * eta) + _SURE]])
            move = np.linalg.solve(curvature, gradient)
        # Steps that are too long would leave the region in which the curvature holds.
        move *= min(1.0, _LONGEST / float(np.abs(move).max() + 1e-300))
        level, tilt = level + float(move[0]), tilt + float(move[1])
        if np.abs(move).max() < _NEAR:
            break
    return level, tilt
