"""A churn model from a table: as much shape as its events can carry, chosen by predicting what was held back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from schemas.errors import InputError
from scoring.churning.choosing import CURVES_FROM_EVENTS, Choice, Say, choose_shape, list_shapes
from scoring.churning.columns import Floats, Integers, Numbers, Table, take
from scoring.churning.inspection import Note, inspect
from scoring.churning.model import FORMAT, Calibration, ChurnModel, Training
from scoring.churning.planning import plan_shapes, refit, spread_rows
from scoring.churning.solving import solve

FEWEST_EVENTS = 10
CALIBRATE_FROM_EVENTS = CURVES_FROM_EVENTS
# Shapes and penalties are chosen on so many rows, or on as many as hold a thousand events; all rows then fit.
CHOOSING_ROWS = 15_000
CHOOSING_EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What is to be learned; `anchor` names a numeric column, such as a health score, that needs no proof."""

    label: str
    positive: str
    anchor: str | None = None
    rules: bool = True


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model, and what its owner should know about the columns."""

    model: ChurnModel
    notes: tuple[Note, ...]


def check_events(outcome: Floats, label: str) -> None:
    """Raises InputError where there is too little to learn from: fewer than 10 events, or than 10 without."""
    events = int(outcome.sum())
    others = len(outcome) - events
    if min(events, others) < FEWEST_EVENTS:
        what = "the event" if events < others else "its absence"
        raise InputError(
            f"{label}: {min(events, others)} of {len(outcome)} rows have {what}; "
            f"at least {FEWEST_EVENTS} of each are needed.",
            remedy="Add rows, or lengthen the period in which the event is looked for.",
        )


def fit(
    table: Table,
    outcome: Floats,
    settings: Settings,
    *,
    groups: Integers | None = None,
    say: Say = lambda line: None,
) -> Fitted:
    """Learn the probability that `outcome` (0 or 1 per row) is 1; the same input gives the same model.

    `groups` (0… per row) stay together when shapes are compared. Raises InputError without both outcomes.
    """
    events = int(outcome.sum())
    if not 0 < events < len(outcome):
        raise InputError(f"{settings.label} is the same in every row: nothing can be learned.")
    names, notes = inspect(table, outcome)
    if settings.anchor is not None and settings.anchor not in names and settings.anchor in table:
        raise InputError(
            f"{settings.anchor} can't be the anchor: it has nothing to learn from, or is a leak."
        )
    table = {name: table[name] for name in names}
    for note in notes:
        say(f"{note.column} {note.message}" + ("; left out" if note.left_out else ""))
    chosen_rows = choosing_rows(len(outcome), events)
    small, small_outcome, small_groups = table, outcome, groups
    if chosen_rows is not None:
        small, small_outcome = take(table, chosen_rows), outcome[chosen_rows]
        small_groups = None if groups is None else np.unique(groups[chosen_rows], return_inverse=True)[1]
    anchor = settings.anchor
    shapes = list_shapes(table, events, anchor=anchor, rules=settings.rules)
    choice = choose_shape(small, small_outcome, shapes, anchor=anchor, groups=small_groups, say=say)
    shape = choice.shape
    say(f"fitting {shape} to {len(outcome):,} rows, {events:,} events")
    plan = plan_shapes(small, small_outcome, shapes[: shapes.index(shape) + 1], anchor=anchor)[shape]
    if chosen_rows is not None:
        plan = refit(plan, table, outcome)
    terms = plan.terms(table)
    model = ChurnModel(
        format=FORMAT,
        label=settings.label,
        positive=settings.positive,
        intercept=round(plan.solution.intercept, 8),
        calibration=_calibrate(choice, small_outcome),
        effects=terms.effects,
        pairs=terms.pairs,
        rules=terms.rules,
        training=Training(len(outcome), events, fingerprint(table, outcome), shape),
    )
    return Fitted(model, tuple(notes))


def fingerprint(table: Table, outcome: Floats) -> str:
    """A hash of the data that was learned from: names, values, outcome, in order of rows."""
    digest = hashlib.sha256(np.ascontiguousarray(outcome).tobytes())
    for name in sorted(table):
        column = table[name]
        digest.update(f"\n{name}\n".encode())
        if isinstance(column, Numbers):
            digest.update((column.values + 0.0).tobytes())
        else:
            digest.update("\0".join(column.levels).encode())
            digest.update(column.codes.tobytes())
    return digest.hexdigest()[:32]


def choosing_rows(rows: int, events: int) -> Integers | None:
    """The rows to choose shapes and penalties on; None for all of them."""
    wanted = max(CHOOSING_ROWS, CHOOSING_EVENTS * rows // max(1, min(events, rows - events)))
    return None if wanted >= rows else spread_rows(rows, wanted)


def _calibrate(choice: Choice, outcome: Floats) -> Calibration:
    """What the held-back log-odds of the chosen shape lack in calibration."""
    events = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    if events < CALIBRATE_FROM_EVENTS or choice.shape == "nothing" or len(choice.rows) == 0:
        return Calibration()
    line = solve(choice.eta[:, None], outcome[choice.rows], np.zeros(1))
    return Calibration(round(line.intercept, 6), round(float(np.clip(line.coefficients[0], 0.5, 1.5)), 6))
