"""Factors of a health model as functions of the signals: a share from 0 to 1, or None where the factor is left out.

They are compiled once, with everything that doesn't depend on the customer worked out: every event makes its
customer's score anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from schemas.health_model import (
    Constant,
    Decay,
    Factor,
    InUse,
    Linear,
    Missing,
    Share,
    Steps,
    Values,
)
from scoring.health_condition import Predicate, compile_predicate

Signals = Mapping[str, Any]
Evaluate = Callable[[Signals], float | None]
Curve = Callable[[float], float]


def compile_factor(factor: Factor) -> Evaluate:
    """The factor's function: its shape, held to its bounds, where its `when` holds."""
    evaluate = _compile_shape(factor)
    if factor.when is None:
        return evaluate
    holds, otherwise = compile_predicate(factor.when), factor.otherwise
    return lambda signals: evaluate(signals) if holds(signals) else otherwise


def compile_known(factor: Factor) -> Callable[[Signals], bool]:
    """Whether it is known whether `when` holds and, where it does, what every signal of the shape is."""
    names = factor.signals
    numeric = not isinstance(factor.shape, Values)
    asked: Predicate = compile_predicate(factor.when) if factor.when is not None else _always

    def is_known(signals: Signals) -> bool:
        holds = asked(signals)
        if not holds:
            return holds is not None
        if numeric:
            return all(is_number(signals.get(name)) for name in names)
        return all(isinstance(signals.get(name), str) for name in names)

    return is_known


def is_number(value: object) -> bool:
    """Whether a signal's value counts as a number: not a boolean, not endless."""
    return type(value) is int or (type(value) is float and isfinite(value))


def _always(_: Signals) -> bool:
    return True


def _compile_shape(factor: Factor) -> Evaluate:
    shape, missing = factor.shape, factor.missing
    low, high = factor.at_least, factor.at_most
    if isinstance(shape, Constant):
        share = _hold(shape.share, low, high)
        return lambda signals: share
    if isinstance(shape, Values):
        return _values(shape, missing, low, high)
    if isinstance(shape, InUse):
        return _in_use(shape, missing, low, high)
    if isinstance(shape, Share):
        return _share(shape, missing, low, high)
    if isinstance(shape, Linear):
        return _linear(shape, missing, low, high)
    return _curve(shape, missing, low, high)


# Each of these looks at its signal and its bounds by itself: a call more for each factor is felt.
def _linear(shape: Linear, missing: Missing, low: float, high: float) -> Evaluate:
    name, worst, span = shape.signal, shape.worst, shape.best - shape.worst
    without = missing.gives
    if missing.counts_as is not None:
        without = _hold((missing.counts_as - worst) / span, low, high)

    def rising(signals: Signals) -> float | None:
        value = signals.get(name)
        if type(value) is int or (type(value) is float and isfinite(value)):
            share = (value - worst) / span
            return low if share < low else high if share > high else share
        return without

    def falling(signals: Signals) -> float | None:
        value = signals.get(name)
        if type(value) is int or (type(value) is float and isfinite(value)):
            # The other way round, so that a factor of nothing is 0 and not -0.
            share = (worst - value) / -span
            return low if share < low else high if share > high else share
        return without

    return rising if span > 0 else falling


def _curve(shape: Steps | Decay, missing: Missing, low: float, high: float) -> Evaluate:
    name, curve = (
        shape.signal,
        _steps(shape, low, high) if isinstance(shape, Steps) else _decay(shape, low, high),
    )
    without = missing.gives if missing.counts_as is None else curve(missing.counts_as)

    def evaluate(signals: Signals) -> float | None:
        value = signals.get(name)
        if type(value) is int or (type(value) is float and isfinite(value)):
            return curve(value)
        return without

    return evaluate


def _steps(shape: Steps, low: float, high: float) -> Curve:
    limits = [step.below for step in shape.steps]
    parts = [*(step.gives for step in shape.steps), shape.rest]
    gives = [_hold(part / shape.out_of, low, high) for part in parts]
    return lambda value: gives[bisect_right(limits, value)]


def _decay(shape: Decay, low: float, high: float) -> Curve:
    full, half_life = shape.full, shape.half_life
    return lambda value: _hold(1.0 if value <= full else 0.5 ** ((value - full) / half_life), low, high)


def _share(shape: Share, missing: Missing, low: float, high: float) -> Evaluate:
    name, whole_name, without = shape.signal, shape.whole, _hold(shape.without, low, high)
    absent = missing.counts_as if missing.counts_as is not None else None

    def evaluate(signals: Signals) -> float | None:
        part = signals.get(name)
        if not (type(part) is int or (type(part) is float and isfinite(part))):
            if absent is None:
                return missing.gives
            part = absent
        whole = signals.get(whole_name)
        if (type(whole) is int or (type(whole) is float and isfinite(whole))) and whole > 0:
            share = part / whole
            return low if share < low else high if share > high else share
        return without

    return evaluate


def _values(shape: Values, missing: Missing, low: float, high: float) -> Evaluate:
    name, rest = shape.signal, _hold(shape.rest, low, high)
    gives = {value: _hold(share, low, high) for value, share in shape.values.items()}

    def evaluate(signals: Signals) -> float | None:
        value = signals.get(name)
        return gives.get(value, rest) if type(value) is str else missing.gives

    return evaluate


def _in_use(shape: InUse, missing: Missing, low: float, high: float) -> Evaluate:
    names, absent = shape.signals, missing.counts_as
    # By how many are in use, so that 3 of 4 is worked out once.
    shares = [_hold(count / len(names), low, high) for count in range(len(names) + 1)]

    def evaluate(signals: Signals) -> float | None:
        count = 0
        for name in names:
            value = signals.get(name)
            if not (type(value) is int or (type(value) is float and isfinite(value))):
                if absent is None:
                    return missing.gives
                value = absent
            count += value > 0
        return shares[count]

    return evaluate


def _hold(share: float, low: float, high: float) -> float:
    return low if share < low else high if share > high else share
