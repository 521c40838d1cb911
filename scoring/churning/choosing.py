"""Which of the shapes that a model can take predicts best what was held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scoring.churning.columns import Floats, Integers, Table, take
from scoring.churning.design import Fixed
from scoring.churning.folds import SEED, grouped, stratified
from scoring.churning.measures import log_losses
from scoring.churning.model import add_up
from scoring.churning.planning import LINES_LEAST, plan_shapes
from scoring.churning.solving import sigmoid

# Harrell's advice of some ten to twenty events per parameter, applied to what a shape adds.
CURVES_FROM_EVENTS = 100
PAIRS_FROM_EVENTS = 300
RULES_FROM_EVENTS = 300
INNER_FOLDS = 3
# A more complicated shape must be better by so many standard errors of the difference.
WORTH_IT = {"anchor": 0.0, "lines": 0.0, "columns": 0.0, "pairs": 0.0, "rules": 1.0}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The shape that predicts best what was held back.

    `rows` are the places of the rows predicted, of every repetition in turn; `eta` their held-back log-odds under the
    shape, `index` the part of these that comes from the terms. `losses` are the mean log losses of all shapes.
    """

    shape: str
    rows: Integers
    eta: Floats
    index: Floats
    losses: dict[str, float]


def list_shapes(table: Table, events: int, *, anchor: str | None, rules: bool) -> list[str]:
    """The shapes that so many events can carry, the plainest first."""
    shapes = ["nothing"]
    if not table:
        return shapes
    if anchor in table:
        shapes.append("anchor")
    if events < CURVES_FROM_EVENTS:
        return [*shapes, "lines"]
    shapes.append("columns")
    if events >= PAIRS_FROM_EVENTS and len(table) > 1:
        shapes.append("pairs")
    if events >= RULES_FROM_EVENTS and rules:
        shapes.append("rules")
    return shapes


def choose_shape(
    table: Table,
    outcome: Floats,
    shapes: Sequence[str],
    *,
    anchor: str | None,
    groups: Integers | None,
    say: Say,
    fixed: Fixed | None = None,
    events: int | None = None,
    lines_least: float = LINES_LEAST,
) -> Choice:
    """The best of `shapes` by log loss on rows held back; groups (0…) stay together.

    `events` are how many there are to learn from if that is fewer than rows with the event.
    """
    nobody = np.empty(0, dtype=np.int64)
    nothing = Choice(shapes[0], nobody, np.empty(0), np.empty(0), {})
    events = int(min(outcome.sum(), len(outcome) - outcome.sum(), *([events] if events is not None else [])))
    if len(shapes) == 1 or events < 4:
        return nothing
    # Few events make one division of the rows a matter of luck.
    repeats = 1 if events >= CURVES_FROM_EVENTS else 4
    held: dict[str, Floats] = {shape: np.zeros((2, repeats, len(outcome))) for shape in shapes}
    predicted = np.zeros((repeats, len(outcome)), dtype=bool)
    for repeat in range(repeats):
        number = min(INNER_FOLDS if repeats == 1 else 5, events)
        seed = SEED + 1 + repeat
        folds = (
            stratified(outcome, number, seed) if groups is None else grouped(outcome, groups, number, seed)
        )
        for fold in folds:
            learned = outcome[fold.train]
            if not 0 < learned.sum() < len(learned):
                continue
            if repeats == 1:
                say(f"choosing among {', '.join(shapes)}: part {fold.number} of {len(folds)}")
            part, rest = take(table, fold.train), take(table, fold.test)
            mine = None if fixed is None else fixed.take(fold.train)
            for shape, plan in plan_shapes(
                part, learned, shapes, anchor=anchor, fixed=mine, lines_least=lines_least
            ).items():
                index = add_up(plan.terms(part), rest)
                eta = round(plan.solution.intercept, 8) + index
                if fixed is not None:
                    eta = eta + fixed.matrix[fold.test] @ plan.fixed_coefficients
                held[shape][:, repeat, fold.test] = eta, index
            predicted[repeat, fold.test] = True
    rows = np.tile(np.arange(len(outcome)), (repeats, 1))[predicted]
    if len(rows) == 0:
        return nothing
    every = outcome[rows]
    losses = {shape: log_losses(every, sigmoid(held[shape][0][predicted])) for shape in shapes}
    best = shapes[0]
    for shape in shapes[1:]:
        gain = losses[best] - losses[shape]
        error = float(gain.std()) / np.sqrt(len(gain) / repeats)
        if gain.mean() > WORTH_IT[shape] * error:
            best = shape
    means = {shape: float(loss.mean()) for shape, loss in losses.items()}
    say("held-back log loss: " + ", ".join(f"{shape} {mean:.4f}" for shape, mean in means.items()))
    return Choice(best, rows, held[best][0][predicted], held[best][1][predicted], means)
