"""What churn models may know of a customer: the one place where the catalogue's allow-list is enforced.

Whatever learns or predicts gets its columns here, of one customer or of many; both follow the same plan. A signal
that isn't learnable never gets past this module, whatever else is known of the customer.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from schemas.catalogue import Catalogue, Signal, refuse_learning
from schemas.condition import Value
from scoring.churning.columns import Categories, Column, Floats, Integers, Numbers
from scoring.signal_columns import SignalColumns

# Days since something that never happened.
NEVER_DAYS = 999.0
UNKNOWN = "unknown"
# A text that the catalogue doesn't list may be anything, a name for instance: all of them become this one.
OTHER = "other"


@dataclass(frozen=True, slots=True)
class _Feature:
    """A learnable signal; `missing` stands for no value (None: it stays missing), `levels` are a text's, sorted."""

    name: str
    missing: float | str | None
    known: frozenset[str]
    levels: tuple[str, ...]


def learnable(catalogue: Catalogue) -> tuple[Signal, ...]:
    """The signals that a model may learn from, in the catalogue's order.

    Those marked `learning` that are numbers, booleans, or texts with declared values, and neither personal nor a
    place nor the model's own answer.
    """
    return tuple(
        signal for signal in catalogue.signals.values() if signal.learning and refuse_learning(signal) is None
    )


def feature_row(signals: Mapping[str, Value], catalogue: Catalogue) -> dict[str, float | str | None]:
    """The features of one customer: every learnable signal, None where it stays missing.

    Ages are expected among `signals`. Missing counts are 0, days since what never happened 999, a missing trend is
    `unknown`. A value of the wrong type, nan and infinities count as missing.
    """
    row: dict[str, float | str | None] = {}
    for feature in _plan(catalogue):
        value = signals.get(feature.name)
        found: float | str | None = None
        if feature.levels:
            if isinstance(value, str):
                found = value if value in feature.known else OTHER
        elif isinstance(value, int | float):
            found = _finite(value)
        row[feature.name] = feature.missing if found is None else found
    return row


def feature_table(columns: SignalColumns, catalogue: Catalogue) -> dict[str, Column]:
    """The features of many customers: row by row what `feature_row` says of them."""
    table: dict[str, Column] = {}
    for feature in _plan(catalogue):
        if feature.levels:
            table[feature.name] = _text_column(feature, columns.texts.get(feature.name), columns.n)
        else:
            table[feature.name] = _number_column(feature, columns.numbers.get(feature.name), columns.n)
    return table


def allow_list_digest(catalogue: Catalogue) -> str:
    """16 hexadecimal digits that change with what may be learned, and how missing values are read."""
    rows = sorted((feature.name, feature.missing, feature.levels) for feature in _plan(catalogue))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


@cache
def _plan(catalogue: Catalogue) -> tuple[_Feature, ...]:
    plan = []
    for signal in learnable(catalogue):
        missing = _missing(signal, catalogue)
        known = frozenset(signal.values or ()) if signal.type == "text" else frozenset()
        extra = {OTHER} | ({missing} if isinstance(missing, str) else set())
        levels = tuple(sorted(known | extra)) if signal.type == "text" else ()
        plan.append(_Feature(signal.name, missing, known, levels))
    return tuple(plan)


def _missing(signal: Signal, catalogue: Catalogue) -> float | str | None:
    """What stands for no value: it follows from where the signal comes from."""
    if signal.type == "text":
        return UNKNOWN if any(form.model == "health" for form in signal.derive) else None
    if any(form.total or form.count or form.days_with or form.distinct for form in signal.derive):
        return 0.0
    since = catalogue.signals.get(signal.age_of or "")
    # The age of what only events tell: no event, so it never happened. An unknown sign-up stays unknown.
    return NEVER_DAYS if since is not None and any(form.latest for form in since.derive) else None


def _finite(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _number_column(feature: _Feature, values: Floats | None, rows: int) -> Numbers:
    missing = math.nan if feature.missing is None else float(feature.missing)
    if values is None:
        return Numbers(np.full(rows, missing))
    return Numbers(np.where(np.isfinite(values), values, missing))


def _text_column(feature: _Feature, column: Categories | None, rows: int) -> Categories:
    place = {level: code for code, level in enumerate(feature.levels)}
    missing = -1 if feature.missing is None else place[str(feature.missing)]
    if column is None:
        return Categories(feature.levels, np.full(rows, missing, dtype=np.int64))
    other = place[OTHER]
    known = [place[level] if level in feature.known else other for level in column.levels]
    # The last one is found by codes of -1.
    translated: Integers = np.array([*known, missing], dtype=np.int64)
    return Categories(feature.levels, translated[column.codes])
