"""The shapes that a model can take, worked out on a table; which of them predicts best what was held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scoring.churning.columns import Floats, Integers, Table, take
from scoring.churning.conjunctions import Conjunction, bin_table, grow
from scoring.churning.design import (
    Design,
    Encoding,
    Fixed,
    add_pairs,
    add_rules,
    design_columns,
    encode_part,
    terms_of,
)
from scoring.churning.folds import SEED, grouped, stratified
from scoring.churning.measures import log_losses
from scoring.churning.model import Terms, add_up
from scoring.churning.pairs import screen_pairs
from scoring.churning.parts import Part, make_part
from scoring.churning.solving import Solution, choose_penalties, sigmoid, solve

# Harrell's advice of some ten to twenty events per parameter, applied to what a shape adds.
CURVES_FROM_EVENTS = 100
PAIRS_FROM_EVENTS = 300
RULES_FROM_EVENTS = 300
PAIR_Z = 2.0
MOST_PAIRS = 20
MOST_PAIR_COLUMNS = 400
MOST_RULES = 20
SCREENING_ROWS = 10_000
LINES_LEAST = 1.0
INNER_FOLDS = 3
# A more complicated shape must be better by so many standard errors of the difference.
WORTH_IT = {"anchor": 0.0, "lines": 0.0, "columns": 0.0, "pairs": 0.0, "rules": 1.0}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A shape worked out on some rows: parts, pairs, rules, and each block's penalty, with the fit to these rows.

    `design` is what was fitted, its first columns those of `fixed`.
    """

    encodings: Sequence[Encoding]
    encoded: Sequence[Floats]
    design: Design
    penalties: Floats
    solution: Solution
    pairs: Sequence[tuple[int, int]] = ()
    rules: Sequence[Conjunction] = ()
    fixed: Fixed | None = None
    anchor: str | None = None

    @property
    def penalty(self) -> Floats:
        """Of each column of the design, shape (columns,)."""
        found: Floats = self.penalties[self.design.blocks]
        return found

    @property
    def fixed_coefficients(self) -> Floats:
        """Of the columns that every shape has."""
        return self.solution.coefficients[: 0 if self.fixed is None else self.fixed.matrix.shape[1]]

    def terms(self, table: Table) -> Terms:
        """The rest of the coefficients as terms; `table` is what it was worked out on."""
        rest = self.solution.coefficients[len(self.fixed_coefficients) :]
        return terms_of(rest, self.encodings, self.encoded, self.pairs, self.rules, table)


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


def plan_shapes(
    table: Table,
    outcome: Floats,
    shapes: Sequence[str],
    *,
    anchor: str | None,
    fixed: Fixed | None = None,
    lines_least: float = LINES_LEAST,
) -> dict[str, Plan]:
    """Each of `shapes` worked out on these rows; they build on one another. All of them have the `fixed` columns.

    `lines_least` is the least penalty where there are too few events for curves.
    """
    found: dict[str, Plan] = {}
    curved = "columns" in shapes
    least = 0.01 if curved else lines_least
    given = _Given(outcome, anchor, fixed)
    if "nothing" in shapes:
        found["nothing"] = given.solve(
            design_columns([], table, least=least, anchor=None, fixed=fixed, rows=len(outcome)), []
        )
    if "anchor" in shapes and anchor is not None:
        encodings = _encode([anchor], table, curved=False)
        design = design_columns(encodings, table, least=least, anchor=anchor, fixed=fixed)
        encoded = [encoding.encode(table) for encoding in encodings]
        found["anchor"] = given.solve(design, [], encodings, encoded)
    if not {"lines", "columns"} & set(shapes):
        return found
    encodings = _encode(list(table), table, curved=curved)
    design = design_columns(encodings, table, least=least, anchor=anchor, fixed=fixed)
    encoded = [encoding.encode(table) for encoding in encodings]
    last = given.solve(design, [], encodings, encoded)
    found["columns" if curved else "lines"] = last
    if "pairs" in shapes:
        pairs = _find_pairs(encoded, design, outcome, last.solution)
        if pairs:
            design = add_pairs(design, encoded, pairs, least)
            last = given.solve(design, last.penalties, encodings, encoded, pairs)
        found["pairs"] = last
    if "rules" in shapes:
        rules = _find_rules(table, outcome, design, last.solution)
        if rules:
            design = add_rules(design, table, rules)
            last = given.solve(design, last.penalties, encodings, encoded, last.pairs, rules, choose=False)
        found["rules"] = last
    return found


def refit(plan: Plan, table: Table, outcome: Floats, fixed: Fixed | None = None) -> Plan:
    """The same parts, pairs, rules and penalties, fitted to other rows."""
    encoded = [encoding.encode(table) for encoding in plan.encodings]
    design = design_columns(
        plan.encodings, table, least=0.0, anchor=plan.anchor, fixed=fixed, rows=len(outcome)
    )
    if plan.pairs:
        design = add_pairs(design, encoded, plan.pairs, 0.0)
    if plan.rules:
        design = add_rules(design, table, plan.rules)
    solution = solve(design.matrix, outcome, plan.penalties[plan.design.blocks], start=plan.solution)
    return Plan(
        plan.encodings, encoded, Design(design.matrix, plan.design.blocks, plan.design.floors), plan.penalties,
        solution, plan.pairs, plan.rules, fixed, plan.anchor,
    )  # fmt: skip


def spread_rows(rows: int, wanted: int) -> Integers:
    """So many rows, drawn over all of them, in order."""
    if rows <= wanted:
        return np.arange(rows)
    return np.sort(np.random.default_rng(SEED).permutation(rows)[:wanted])


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    outcome: Floats
    anchor: str | None
    fixed: Fixed | None

    def solve(
        self,
        design: Design,
        known: Floats | Sequence[float],
        encodings: Sequence[Encoding] = (),
        encoded: Sequence[Floats] = (),
        pairs: Sequence[tuple[int, int]] = (),
        rules: Sequence[Conjunction] = (),
        *,
        choose: bool = True,
    ) -> Plan:
        """The design fitted, its penalties chosen from those `known` for its first blocks on; with `choose` False
        these and the least penalties of the others are kept.
        """
        start = np.ones(len(design.floors))
        start[: len(known)] = known
        if choose:
            penalties, solution = choose_penalties(
                design.matrix, self.outcome, design.blocks, start, floor=design.floors
            )
        else:
            penalties = np.maximum(start, design.floors)
            solution = solve(design.matrix, self.outcome, penalties[design.blocks])
        return Plan(encodings, encoded, design, penalties, solution, pairs, rules, self.fixed, self.anchor)


def _encode(names: Sequence[str], table: Table, *, curved: bool) -> list[Encoding]:
    parts: list[Part] = []
    for name in names:
        part = make_part(name, table[name], curved=curved)
        if part is not None:
            parts.append(part)
    return [encode_part(part, table) for part in parts]


def _find_pairs(
    encoded: Sequence[Floats], design: Design, outcome: Floats, solution: Solution
) -> list[tuple[int, int]]:
    rows = spread_rows(len(outcome), SCREENING_ROWS)
    probability = sigmoid(solution.intercept + design.matrix[rows] @ solution.coefficients)
    # The line and the first bend of each curve are enough to notice by; what is noticed enters whole.
    narrow = [basis[rows][:, :2] if basis.shape[1] <= 4 else basis[rows] for basis in encoded]
    screened = screen_pairs(
        narrow, design.matrix[rows], outcome[rows] - probability, probability * (1.0 - probability)
    )
    found: list[tuple[int, int]] = []
    width = 0
    for pair in screened[:MOST_PAIRS]:
        added = encoded[pair.first].shape[1] * encoded[pair.second].shape[1]
        if pair.z > PAIR_Z and width + added <= MOST_PAIR_COLUMNS:
            found.append((pair.first, pair.second))
            width += added
    return found


def _find_rules(table: Table, outcome: Floats, design: Design, solution: Solution) -> list[Conjunction]:
    eta = solution.intercept + design.matrix @ solution.coefficients
    return grow(bin_table(table), outcome, eta, MOST_RULES)
