"""What becomes of a model that was trained: it serves from now on, what serves is recalibrated, or nothing changes.

A model is only ever judged by rows that neither it nor what serves has learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from schemas.errors import InputError
from scoring.churning.columns import Floats
from scoring.churning.folds import deal_groups
from scoring.hazard.outlook import HORIZONS
from scoring.hazard.snapshots import Snapshots
from scoring.promotion import (
    FEWEST_TO_JUDGE,
    Check,
    Comparison,
    check_bands,
    check_calibration,
    check_gain,
    check_ratio,
    compare,
    in_words,
)
from scoring.training import make_forward_folds, rows_of
from scoring.trial import Judged, Learner, Say, Trial, judge_rows, run_trial

Outcome = Literal["promoted", "recalibrated", "kept", "refused"]
Model = TypeVar("Model")
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Craft(Generic[Model]):
    """What can be done with models: forecast rows, and calibrate them anew by what came of rows."""

    forecast: Callable[[Model, Snapshots], Floats]
    recalibrate: Callable[[Model, Snapshots], Model]


@dataclass(frozen=True, slots=True)
class Serving(Generic[Model]):
    """What serves, and the day (an ordinal) on which it was trained: it may have learned of all that came before."""

    model: Model
    trained_day: float


@dataclass(frozen=True, slots=True)
class Verdict(Generic[Model]):
    """What becomes of a challenger; `recalibrated` is what serves, calibrated anew, where the outcome is that."""

    outcome: Outcome
    reason: str
    checks: tuple[Check, ...] = ()
    comparison: Comparison | None = None
    recalibrated: Model | None = None

    def to_json(self) -> dict[str, Any]:
        """The names that scripts read."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "checks": [check.to_json() for check in self.checks],
            "comparison": None if self.comparison is None else self.comparison.to_json(),
        }


def judge_newcomer(
    snapshots: Snapshots, trial: Trial, name: str, against: str, told: str, *, serves: bool = False
) -> Verdict[Model]:
    """Where nothing of its kind serves: a forecaster of the trial against another, which is `told` so in words.

    Where that other is what `serves` meanwhile, it is enough to be calibrated no worse.
    """
    judged = judge_rows(snapshots, trial.rows, trial.folds.horizon_days)
    if judged.events < FEWEST_TO_JUDGE:
        return Verdict("refused", f"Refused: {_too_few(judged)}.")
    checks, comparison = _check(judged, trial.said[name], trial.said[against], told, lenient=serves)
    if all(check.holds for check in checks):
        return Verdict("promoted", f"Promoted: {in_words(checks)}.{_short(trial)}", checks, comparison)
    return Verdict(
        "refused", f"Refused: {in_words(checks, holding=False)}.{_short(trial)}", checks, comparison
    )


def judge_challenger(
    snapshots: Snapshots,
    as_of_day: float,
    learner: Learner,
    serving: Serving[Model],
    craft: Craft[Model],
    say: Say = lambda line: None,
) -> Verdict[Model]:
    """Against what serves, on the days since that was trained: its rows there are as new to it as to the challenger."""
    found: tuple[Trial, Judged] | None = None
    most = 0
    for horizon in reversed(HORIZONS):
        folds = make_forward_folds(snapshots, as_of_day, horizon, since_day=serving.trained_day)
        if folds is None:
            continue
        places = np.concatenate([piece.test for piece in folds.pieces])
        events = judge_rows(snapshots, places, horizon).events
        most = max(most, events)
        if events >= FEWEST_TO_JUDGE:
            trial = run_trial(snapshots, folds, {"challenger": learner}, say)
            found = trial, judge_rows(snapshots, trial.rows, horizon)
            break
    if found is None:
        return Verdict(
            "kept",
            f"Kept what serves: it was trained {as_of_day - serving.trained_day:.0f} days ago, and of the rows since "
            f"then whose horizon is over {most} left; a challenger is judged from {FEWEST_TO_JUDGE} on.",
        )
    trial, judged = found
    theirs = craft.forecast(serving.model, rows_of(snapshots, trial.rows))
    checks, comparison = _check(judged, trial.said["challenger"], theirs, "what serves")
    if all(check.holds for check in checks):
        return Verdict("promoted", f"Promoted: {in_words(checks)}.", checks, comparison)
    refused = in_words(checks, holding=False)
    tried = _try_again(snapshots, trial, judged, serving.model, craft)
    if tried is None:
        return Verdict("kept", f"Kept what serves. The challenger: {refused}.", checks, comparison)
    again, model = tried
    told = check_gain(again, "what serves uncalibrated").told
    if model is None:
        reason = f"Kept what serves. The challenger: {refused}. Calibrating anew doesn't help surely: {told}."
        return Verdict("kept", reason, checks, comparison)
    reason = f"Calibrated what serves anew by the newest month: {told}. The challenger: {refused}."
    return Verdict("recalibrated", reason, checks, again, model)


def _check(
    judged: Judged, said: Floats, other: Floats, told: str, *, lenient: bool = False
) -> tuple[tuple[Check, ...], Comparison]:
    comparison = compare(judged, said, other)
    checks = (
        check_gain(comparison, told),
        check_ratio(judged, said, other if lenient else None),
        check_calibration(judged, said, other),
        check_bands(judged, said),
    )
    return checks, comparison


def _try_again(
    snapshots: Snapshots, trial: Trial, judged: Judged, model: Model, craft: Craft[Model]
) -> tuple[Comparison, Model | None] | None:
    """What serves, calibrated by some customers of the newest month and judged by the others; where that is better,
    calibrated by all of them, too. None where too few left to try.
    """
    places = trial.rows[judged.at]
    newest = np.flatnonzero(snapshots.day[places] == snapshots.day[places].max())
    outcome = judged.outcome[newest]
    if min(outcome.sum(), len(outcome) - outcome.sum()) < FEWEST_TO_JUDGE:
        return None
    rows = rows_of(snapshots, places[newest])
    groups = np.unique(rows.customer, return_inverse=True)[1]
    part = deal_groups(outcome, groups, _PARTS)[groups]
    anew = np.empty((len(newest), len(HORIZONS)))
    for number in range(_PARTS):
        try:
            learned = craft.recalibrate(model, rows_of(rows, np.flatnonzero(part != number)))
        except InputError:
            return None
        test = np.flatnonzero(part == number)
        anew[test] = craft.forecast(learned, rows_of(rows, test))
    alone = Judged(
        judged.days, np.arange(len(newest)), outcome, judged.customer[newest], judged.held_out[newest], 0
    )
    comparison = compare(alone, anew, craft.forecast(model, rows))
    return comparison, craft.recalibrate(model, rows) if comparison.better else None


def _too_few(judged: Judged) -> str:
    left_out = f" ({judged.treated_left_out:,} treated rows are left out)" if judged.treated_left_out else ""
    return (
        f"of the {len(judged.at):,} rows held back whose {judged.days} days are over{left_out} {judged.events} left; "
        f"a model is judged from {FEWEST_TO_JUDGE} on"
    )


def _short(trial: Trial) -> str:
    if trial.folds.forward and trial.folds.horizon_days == HORIZONS[-1]:
        return ""
    if trial.folds.forward:
        return f" The history is short: judged by {trial.folds.horizon_days} days instead of {HORIZONS[-1]}."
    horizon = trial.folds.horizon_days
    shorter = f" and judged by {horizon} days instead of {HORIZONS[-1]}" if horizon < HORIZONS[-1] else ""
    return (
        " The history is too short, or too few left, to test forward in time: tested on customers held back, of all "
        f"months{shorter}."
    )


def judged_metrics(trial: Trial, judged: Mapping[int, Judged]) -> dict[str, Any]:
    """How a trial was made, for who reads its figures."""
    return {
        "forward": trial.folds.forward,
        "months": len(trial.learned_rows),
        "learned_rows": list(trial.learned_rows),
        "treated_left_out": {str(days): one.treated_left_out for days, one in judged.items()},
        "held_out_rows": {str(days): int(one.held_out.sum()) for days, one in judged.items()},
    }
