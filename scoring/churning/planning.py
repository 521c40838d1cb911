"""The shapes that a model can take, worked out on a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoring.churning.columns import Floats, Integers, Table
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
from scoring.churning.folds import SEED
from scoring.churning.model import Terms
from scoring.churning.pairs import screen_pairs
from scoring.churning.parts import Part, make_part
from scoring.churning.solving import Solution, choose_penalties, sigmoid, solve

PAIR_Z = 2.0
MOST_PAIRS = 20
MOST_PAIR_COLUMNS = 400
MOST_RULES = 20
SCREENING_ROWS = 10_000
LINES_LEAST = 1.0


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
