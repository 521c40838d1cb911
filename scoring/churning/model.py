"""A fitted churn model: what every column, pair of columns and rule adds to the log-odds."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from scoring.churning.columns import Floats, Integers, Table, count_rows
from scoring.churning.columns import take as take_rows
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
        return tuple(effect.part.column for effect in self.effects)

    @property
    def base(self) -> float:
        """The log-odds of which reasons tell the difference: those of a customer who is average in everything."""
        return self.calibration.shift + self.calibration.slope * self.intercept

    @property
    def sources(self) -> tuple[str, ...]:
        """What reasons are about: the columns, then the rules as text."""
        return (*self.columns, *(str(rule.conjunction) for rule in self.rules))


def contributions(model: ChurnModel, table: Table) -> Floats:
    """What each of `model.sources` adds to the log-odds, shape (rows, sources); with `model.base` they sum to them.

    What a pair adds is shared half and half by its two columns.
    """
    rows = count_rows(table)
    found = np.empty((rows, len(model.sources)))
    for chosen, part in _chunks(model, table, rows):
        found[chosen] = _contributions(model, part, chosen.stop - chosen.start)
    return found


def log_odds(model: ChurnModel, table: Table) -> Floats:
    """Log-odds per row, shape (rows,)."""
    rows = count_rows(table)
    found = np.empty(rows)
    for chosen, part in _chunks(model, table, rows):
        found[chosen] = model.base + _contributions(model, part, chosen.stop - chosen.start).sum(axis=1)
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


def _chunks(model: ChurnModel, table: Table, rows: int) -> Iterator[tuple[slice, Table]]:
    wanted = {name: table[name] for name in model.columns}
    for first in range(0, rows, CHUNK_ROWS):
        chosen = slice(first, min(first + CHUNK_ROWS, rows))
        yield chosen, take_rows(wanted, np.arange(chosen.start, chosen.stop))


def _contributions(model: ChurnModel, table: Table, rows: int) -> Floats:
    found = np.empty((rows, len(model.sources)))
    bases = []
    for place, effect in enumerate(model.effects):
        basis = effect.part.basis(table)
        bases.append(basis)
        value = basis @ np.array(effect.weights) + effect.constant
        if effect.missing is not None:
            value[missing_of(table[effect.part.column])] = effect.missing
        found[:, place] = value
    for pair in model.pairs:
        weights = np.array(pair.weights)
        left = weights[0] + bases[pair.first] @ weights[1:]
        half = 0.5 * (left[:, 0] + np.einsum("ij,ij->i", left[:, 1:], bases[pair.second]))
        found[:, pair.first] += half
        found[:, pair.second] += half
    for place, rule in enumerate(model.rules, start=len(model.effects)):
        found[:, place] = rule.weight * (rule.conjunction.holds(table) - rule.support)
    found *= model.calibration.slope
    return found
