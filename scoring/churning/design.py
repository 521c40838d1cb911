"""The matrix that a churn model is fitted to, and the way back from its coefficients to readable terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoring.churning.columns import Floats, Integers, Table, count_rows
from scoring.churning.conjunctions import Conjunction
from scoring.churning.model import Effect, Pair, Rule, Terms
from scoring.churning.pairs import multiply
from scoring.churning.parts import Curve, Levels, Part, missing_of, rare_rows

# The penalty of a rule's 0/1 column: heavy, as rules are found by looking at the same rows.
RULE_PENALTY = 16.0
_DECIMALS = 8
_DIGITS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """A part's basis, centred and turned so that the columns of a curve are uncorrelated with variance one.

    `means` shape (width,), `turn` shape (width, width): encoded = (basis - means) @ turn. `missing` is the share of
    rows without a value if that has a column of its own.
    """

    part: Part
    means: Floats
    turn: Floats
    missing: float | None

    def encode(self, table: Table) -> Floats:
        """Shape (rows, width)."""
        encoded: Floats = (self.part.basis(table) - self.means) @ self.turn
        return encoded

    def missing_column(self, table: Table) -> Floats:
        """Shape (rows, 1): 1 where the value is missing, centred."""
        assert self.missing is not None
        flags = missing_of(table[self.part.column]).astype(np.float64)
        return flags[:, None] - self.missing


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Centred columns, shape (rows, columns), each column's block (0…), and each block's least penalty."""

    matrix: Floats
    blocks: Integers
    floors: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """Columns that a design has whatever its shape, centred, shape (rows, columns); their blocks (0…) and floors."""

    matrix: Floats
    blocks: Integers
    floors: Floats

    def take(self, rows: Integers) -> Fixed:
        """These rows alone, in this order."""
        return Fixed(self.matrix[rows], self.blocks, self.floors)


def encode_part(part: Part, table: Table) -> Encoding:
    """How this part enters a design made from `table`."""
    means = np.array(part.means)
    column = table[part.column]
    if isinstance(part, Levels):
        return Encoding(part, means, np.eye(part.width), None)
    centred = part.basis(table) - means
    # Gram–Schmidt in order: the line first, then what each cube bends away from those before it.
    upper = np.linalg.qr(centred, mode="r")
    signs = np.where(np.diag(upper) < 0, -1.0, 1.0)
    turn = np.linalg.inv(upper) * signs * np.sqrt(len(centred))
    missing = missing_of(column)
    share = float(missing.mean()) if missing.sum() >= rare_rows(len(column)) else None
    return Encoding(part, means, turn, share)


def design_columns(
    encodings: Sequence[Encoding],
    table: Table,
    *,
    least: float,
    anchor: str | None,
    fixed: Fixed | None = None,
    rows: int | None = None,
) -> Design:
    """Every column alone. Straight lines share a block, each curve's bends and each column's levels have their own.

    `least` is the least penalty; the line of the column `anchor` is all but free. The `fixed` columns come first.
    `rows` is needed where the table has no column that says it.
    """
    columns, blocks = [], []
    block = 2
    if fixed is not None:
        columns.append(fixed.matrix)
        blocks += (fixed.blocks + block).tolist()
        block += len(fixed.floors)
    for encoding in encodings:
        encoded = encoding.encode(table)
        columns.append(encoded)
        line = 1 if encoding.part.column == anchor else 0
        if isinstance(encoding.part, Curve):
            blocks += [line, *[block] * (encoded.shape[1] - 1)]
            block += encoded.shape[1] > 1
        else:
            blocks += [block] * encoded.shape[1]
            block += 1
        if encoding.missing is not None:
            columns.append(encoding.missing_column(table))
            blocks.append(0)
    floors = np.full(block, least)
    floors[1] = 1e-3
    if fixed is not None:
        floors[2 : 2 + len(fixed.floors)] = fixed.floors
    matrix = np.hstack(columns) if columns else np.empty((count_rows(table) if rows is None else rows, 0))
    return Design(matrix, np.array(blocks, dtype=np.int64), floors)


def add_pairs(
    design: Design, encoded: Sequence[Floats], pairs: Sequence[tuple[int, int]], least: float
) -> Design:
    """The design with the products of each pair's bases, each pair a block."""
    columns, blocks, block = [design.matrix], [design.blocks], len(design.floors)
    for first, second in pairs:
        products = multiply(encoded[first], encoded[second])
        columns.append(products - products.mean(axis=0))
        blocks.append(np.full(products.shape[1], block))
        block += 1
    floors = np.append(design.floors, np.full(len(pairs), least))
    return Design(np.hstack(columns), np.concatenate(blocks), floors)


def add_rules(design: Design, table: Table, rules: Sequence[Conjunction]) -> Design:
    """The design with a 0/1 column for each rule, centred; they share a block."""
    flags = np.column_stack([rule.holds(table) for rule in rules]).astype(np.float64)
    blocks = np.append(design.blocks, np.full(len(rules), len(design.floors)))
    return Design(
        np.hstack([design.matrix, flags - flags.mean(axis=0)]), blocks, np.append(design.floors, RULE_PENALTY)
    )


def terms_of(
    coefficients: Floats,
    encodings: Sequence[Encoding],
    encoded: Sequence[Floats],
    pairs: Sequence[tuple[int, int]],
    rules: Sequence[Conjunction],
    table: Table,
) -> Terms:
    """The coefficients (shape (columns of the design but the fixed ones,)) as weights of the parts' own bases.

    Coefficients are rounded to 8 decimals, what follows from them to 12 digits: the order in which a machine adds up
    doesn't reach the artifact.
    """
    coefficients = np.round(coefficients, _DECIMALS)
    place = 0
    effects = []
    for encoding in encodings:
        width = encoding.part.width
        weights = rounded(encoding.turn @ coefficients[place : place + width])
        constant = -float(encoding.means @ weights)
        place += width
        missing = None
        if encoding.missing is not None:
            extra = float(coefficients[place])
            place += 1
            constant -= extra * encoding.missing
            missing = round_digits(extra * (1.0 - encoding.missing))
        effects.append(Effect(encoding.part, round_digits(constant), tuple(weights.tolist()), missing))
    joint = []
    for first, second in pairs:
        one, two = encodings[first], encodings[second]
        shape = one.part.width, two.part.width
        raw = coefficients[place : place + shape[0] * shape[1]]
        place += len(raw)
        weights = np.zeros((shape[0] + 1, shape[1] + 1))
        weights[1:, 1:] = one.turn @ raw.reshape(shape) @ two.turn.T
        weights[0, 1:] = -one.means @ weights[1:, 1:]
        weights[1:, 0] = -weights[1:, 1:] @ two.means
        average = float(multiply(encoded[first], encoded[second]).mean(axis=0) @ raw)
        weights[0, 0] = float(one.means @ weights[1:, 1:] @ two.means) - average
        joint.append(Pair(first, second, tuple(tuple(row) for row in rounded(weights).tolist())))
    told = tuple(
        Rule(rule, round_digits(float(weight)), float(rule.holds(table).mean()))
        for rule, weight in zip(rules, coefficients[place:], strict=True)
    )
    return Terms(tuple(effects), tuple(joint), told)


def rounded(values: Floats) -> Floats:
    """Each to 12 digits."""
    return np.vectorize(round_digits, otypes=[np.float64])(values)  # type: ignore[no-any-return]


def round_digits(value: float) -> float:
    """To 12 digits."""
    return float(f"{value:.{_DIGITS}g}") + 0.0
