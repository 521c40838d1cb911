"""A fitted churn model: what every column, pair of columns and rule adds to the log-odds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from scoring.churning.columns import Floats, Integers, Table, count_rows, cut
from scoring.churning.conjunctions import Conjunction
from scoring.churning.parts import Curve, Levels, missing_of
from scoring.churning.solving import sigmoid

FORMAT = "holdfast-churn/1"
# Rows scored at a time: what is worked on then stays in the processor's cache.
CHUNK_ROWS = 4096


class Effect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column alone: its basis times `weights`, plus `constant`; `missing` instead where it has no value."""

    part: Curve | Levels
    constant: float
    weights: tuple[float, ...]
    missing: float | None = None


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two columns together: (1, basis of the first) · weights · (1, basis of the second); places in `effects`."""

    first: int
    second: int
    weights: tuple[tuple[float, ...], ...]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Adds `weight` where its conditions hold, less `weight · support` everywhere: zero on average."""

    conjunction: Conjunction
    weight: float
    support: float


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What moves the log-odds: columns, pairs of them, rules. Scores any table that has the columns."""

    effects: tuple[Effect, ...]
    pairs: tuple[Pair, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        return tuple(effect.part.column for effect in self.effects)

    @property
    def sources(self) -> tuple[str, ...]:
        """What reasons are about: the columns, then the rules as text."""
        return (*self.columns, *(str(rule.conjunction) for rule in self.rules))


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """log-odds = shift + slope · (what the terms add up to)."""

    shift: float = 0.0
    slope: float = 1.0


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it was fitted to: rows, events (rows with the label's positive value), a hash of the data used, and the
    shape chosen.
    """

    rows: int
    events: int
    fingerprint: str
    shape: str


class ChurnModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """log-odds of `label` being `positive` = intercept + all effects, pairs and rules.

    Each term is zero on average over the rows that it was fitted to. The calibration applies to the whole.
    """

    format: str
    label: str
    positive: str
    intercept: float
    calibration: Calibration
    effects: tuple[Effect, ...]
    pairs: tuple[Pair, ...]
    rules: tuple[Rule, ...]
    training: Training

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a table must have to be scored."""
        return self.terms.columns

    @property
    def terms(self) -> Terms:
        """What it is made of, without intercept and calibration."""
        return Terms(self.effects, self.pairs, self.rules)

    @property
    def base(self) -> float:
        """The log-odds of which reasons tell the difference: those of a customer who is average in everything."""
        return self.calibration.shift + self.calibration.slope * self.intercept

    @property
    def sources(self) -> tuple[str, ...]:
        """What reasons are about: the columns, then the rules as text."""
        return self.terms.sources


def contributions(model: ChurnModel, table: Table) -> Floats:
    """What each of `model.sources` adds to the log-odds, shape (rows, sources); with `model.base` they sum to them.

    What a pair adds is shared half and half by its two columns.
    """
    return add_terms(model.terms, table, model.calibration.slope)


def log_odds(model: ChurnModel, table: Table) -> Floats:
    """Log-odds per row, shape (rows,)."""
    found: Floats = model.base + add_up(model.terms, table, model.calibration.slope)
    return found


def add_terms(terms: Terms, table: Table, slope: float = 1.0) -> Floats:
    """What each source adds, times `slope`, shape (rows, sources); pairs are shared half and half."""
    rows = count_rows(table)
    found = np.empty((rows, len(terms.sources)))
    for chosen, part in _chunks(terms, table, rows):
        _add(terms, part, slope, found[chosen])
    return found


def add_up(terms: Terms, table: Table, slope: float = 1.0) -> Floats:
    """The sum of what all sources add, shape (rows,)."""
    rows = count_rows(table)
    found = np.empty(rows)
    space = np.empty((min(rows, CHUNK_ROWS), len(terms.sources)))
    for chosen, part in _chunks(terms, table, rows):
        mine = space[: chosen.stop - chosen.start]
        _add(terms, part, slope, mine)
        found[chosen] = mine.sum(axis=1)
    return found


def predict(model: ChurnModel, table: Table) -> Floats:
    """Probability of the positive label per row, shape (rows,)."""
    return sigmoid(log_odds(model, table))


def strongest(contributed: Floats, count: int = 3) -> Integers:
    """The places of the `count` contributions that move each row most, either way, strongest first.

    Shape (rows, at most count); of equally strong ones the first in order.
    """
    size = np.abs(contributed)
    count = min(count, size.shape[1])
    places = np.empty((len(size), count), dtype=np.int64)
    rows = np.arange(len(size))
    for rank in range(count):
        best = size.argmax(axis=1)
        places[:, rank] = best
        size[rows, best] = -1.0
    return places


def _chunks(terms: Terms, table: Table, rows: int) -> Iterator[tuple[slice, Table]]:
    wanted = {name: table[name] for name in terms.columns}
    for first in range(0, rows, CHUNK_ROWS):
        chosen = slice(first, min(first + CHUNK_ROWS, rows))
        yield chosen, {name: cut(column, chosen) for name, column in wanted.items()}


def _add(terms: Terms, table: Table, slope: float, found: Floats) -> None:
    bases = []
    for place, effect in enumerate(terms.effects):
        basis = effect.part.basis(table)
        bases.append(basis)
        value = basis @ np.array(effect.weights) + effect.constant
        if effect.missing is not None:
            value[missing_of(table[effect.part.column])] = effect.missing
        found[:, place] = value
    for pair in terms.pairs:
        weights = np.array(pair.weights)
        left = weights[0] + bases[pair.first] @ weights[1:]
        half = 0.5 * (left[:, 0] + np.einsum("ij,ij->i", left[:, 1:], bases[pair.second]))
        found[:, pair.first] += half
        found[:, pair.second] += half
    for place, rule in enumerate(terms.rules, start=len(terms.effects)):
        found[:, place] = rule.weight * (rule.conjunction.holds(table) - rule.support)
    found *= slope
