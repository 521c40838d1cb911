"""Why somebody may leave, in words: the signals that a reason is about, with what they are of this customer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rules.ages import units_elapsed
from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.signal_value import WrongType
from web.plain_words import tell_value

_DAY_SECONDS = 86400


def name_reason(signals: str, values: Mapping[str, Value], catalogue: Catalogue, now: datetime) -> str:
    """`days since last login: 16`; of several signals together each with its own. `values` are the stored ones."""
    return " + ".join(_name(one, values, catalogue, now) for one in signals.split(" + "))


def _name(signal: str, values: Mapping[str, Value], catalogue: Catalogue, now: datetime) -> str:
    label = signal.replace("_", " ").replace("-", " ")
    known = catalogue.signals.get(signal)
    if known is None:
        return label
    value = values.get(signal)
    since = values.get(known.age_of) if known.age_of else None
    if isinstance(since, datetime):
        value = units_elapsed(since, _DAY_SECONDS, now)
    if value is None or isinstance(value, WrongType):
        return f"{label}: not known"
    return f"{label}: {tell_value(value)}"
