"""Factors of a health model over columns: shares from 0 to 1, nan where a factor is left out.

They are those of `scoring.health_factors`, row by row and to the last bit.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np

from schemas.health_model import Constant, Decay, Factor, InUse, Linear, Missing, Share, Steps, Values
from scoring.churning.columns import Flags, Floats
from scoring.population.known import Known
from scoring.population.truths import judge


def evaluate_factor(factor: Factor, known: Known) -> tuple[Floats, Flags]:
    """The factor's share, and whether it is known what it is made of, of every row."""
    shares = _shape(factor, known)
    aware = _aware(factor, known)
    if factor.when is not None:
        holds = judge(factor.when, known)
        shares = np.where(holds > 0, shares, factor.otherwise)
        aware = (holds < 0) | ((holds > 0) & aware)
    return shares, aware


def _aware(factor: Factor, known: Known) -> Flags:
    aware = np.ones(known.n, np.bool_)
    for name in factor.signals:
        if isinstance(factor.shape, Values):
            texts = known.texts(name)
            aware &= texts.codes >= 0 if texts is not None else False
        else:
            numbers = known.numbers(name)
            aware &= numbers[1] if numbers is not None else False
    return aware


def _shape(factor: Factor, known: Known) -> Floats:
    shape, missing, low, high = factor.shape, factor.missing, factor.at_least, factor.at_most
    match shape:
        case Constant():
            return np.full(known.n, _hold_one(shape.share, low, high))
        case Values():
            return _values(shape, missing, low, high, known)
        case InUse():
            return _in_use(shape, missing, low, high, known)
        case Share():
            return _share(shape, missing, low, high, known)
        case Linear() | Steps() | Decay():
            return _of_number(shape, missing, low, high, known)
        case _:
            assert_never(shape)


def _of_number(
    shape: Linear | Steps | Decay, missing: Missing, low: float, high: float, known: Known
) -> Floats:
    """A shape of one signal: what is missing counts as a value of it, or gives something by itself."""
    found = known.numbers(shape.signal)
    if found is None:
        values, valid = np.full(known.n, np.nan), np.zeros(known.n, np.bool_)
    else:
        values, valid = found
    if missing.counts_as is not None:
        values = np.where(valid, values, missing.counts_as)
    match shape:
        case Linear():
            span = shape.best - shape.worst
            share = (values - shape.worst) / span if span > 0 else (shape.worst - values) / -span
            shares = _hold(share, low, high)
        case Steps():
            parts = [*(step.gives for step in shape.steps), shape.rest]
            gives = np.array([_hold_one(part / shape.out_of, low, high) for part in parts])
            limits = np.array([step.below for step in shape.steps], np.float64)
            shares = gives[np.searchsorted(limits, values, side="right")]
        case Decay():
            # Python's own power: NumPy's may differ from it in the last bit.
            exponents = np.maximum((values - shape.full) / shape.half_life, 0.0)
            halved = [0.5**exponent for exponent in exponents.tolist()]
            shares = _hold(np.array(halved, np.float64), low, high)
    if missing.counts_as is None:
        shares = np.where(valid, shares, _or_nan(missing.gives))
    return shares


def _share(shape: Share, missing: Missing, low: float, high: float, known: Known) -> Floats:
    without = _hold_one(shape.without, low, high)
    parts, wholes = known.numbers(shape.signal), known.numbers(shape.whole)
    part = known.filled(shape.signal, np.nan if missing.counts_as is None else missing.counts_as)
    shares = np.full(known.n, without)
    if wholes is not None:
        whole, valid = wholes
        there = valid & (whole > 0)
        shares = np.where(there, _hold(np.divide(part, whole, out=shares, where=there), low, high), without)
    if missing.counts_as is None:
        shares = np.where(parts[1], shares, _or_nan(missing.gives)) if parts else _nothing(missing, known)
    return shares


def _values(shape: Values, missing: Missing, low: float, high: float, known: Known) -> Floats:
    column = known.texts(shape.signal)
    if column is None:
        return _nothing(missing, known)
    rest = _hold_one(shape.rest, low, high)
    gives = {value: _hold_one(share, low, high) for value, share in shape.values.items()}
    # Last, where the code -1 of what is missing finds it.
    table = [*(gives.get(level, rest) for level in column.levels), _or_nan(missing.gives)]
    return np.array(table, np.float64)[column.codes]


def _in_use(shape: InUse, missing: Missing, low: float, high: float, known: Known) -> Floats:
    names, absent = shape.signals, missing.counts_as
    shares = np.array([_hold_one(count / len(names), low, high) for count in range(len(names) + 1)])
    used = np.zeros(known.n, np.int64)
    for name in names:
        used += known.filled(name, np.nan if absent is None else absent) > 0
    found = shares[used]
    if absent is None:
        for name in names:
            numbers = known.numbers(name)
            if numbers is None:
                return _nothing(missing, known)
            found = np.where(numbers[1], found, _or_nan(missing.gives))
    return found


def _nothing(missing: Missing, known: Known) -> Floats:
    return np.full(known.n, _or_nan(missing.gives))


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _hold(shares: Floats, low: float, high: float) -> Floats:
    return np.minimum(np.maximum(shares, low), high)


def _hold_one(share: float, low: float, high: float) -> float:
    return low if share < low else high if share > high else share
