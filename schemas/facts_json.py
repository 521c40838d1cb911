"""Facts as they come in JSON: one customer per document, as `match`, `explain`, `score` and `simulate` read
them.

    {"customer": "id", "signals": {...}, "events": [{"name", "at", "properties"}],
     "history": {signal: [[day, value]]}, "profile": {...}, "consent": {...}, "suppressed": {...},
     "now": "2026-03-02T09:00:00Z"}

All but `customer` may be left out; null means left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, NoReturn, TypeVar, cast

from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.errors import InputError
from schemas.facts import Event, Facts
from schemas.problem import did_you_mean
from schemas.signal_value import instant_of, normalise, normalise_untyped

T = TypeVar("T")

KEYS = ("customer", "signals", "events", "history", "profile", "consent", "suppressed", "now")
EVENT_KEYS = ("name", "at", "properties")

_DAY_SECONDS = 86_400
# Python refuses to read integers of thousands of digits; beyond 2^53 their value doesn't matter any more.
_LONGEST_INTEGER = 400


class FactsError(InputError):
    """These facts can't be read."""

    code = "HF140"
    remedy = "Correct the facts; docs and `holdfast match --help` show their form."


def read_facts(text: str | bytes, catalogue: Catalogue, *, now: datetime) -> Facts:
    """The facts in one JSON document; `now` (aware) is taken where they name none. Raises FactsError."""
    return parse_facts(read_json(text), catalogue, now=now)


def read_json(text: str | bytes) -> Any:
    """A JSON document, strictly: a repeated key is an error. Raises FactsError.

    NaN, Infinity and integers of any length are read, because what they mean for a comparison is defined:
    nothing.
    """
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return json.loads(decoded, object_pairs_hook=_object, parse_int=_integer)
    except UnicodeDecodeError as error:
        raise FactsError(f"This is no UTF-8 text: byte {error.start + 1} can't be read.") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        raise FactsError(f"This is no JSON: {error.msg} at {place}.") from error
    except RecursionError as error:
        raise FactsError("This JSON is nested too deeply.") from error


def parse_facts(document: Any, catalogue: Catalogue, *, now: datetime) -> Facts:
    """The facts in a parsed JSON document, normalised by the types of `catalogue`. Raises FactsError.

    Signals that the catalogue doesn't know are kept as they are. The catalogue's signals that a profile may
    hold (email, phone, country and so on) are taken from there where `signals` has none. An age in days that
    is given is true at `now` and counts from there.
    """
    if not isinstance(document, Mapping):
        _refuse("", f"Facts are an object, and this is {_kind(document)}")
    _check_keys(document, KEYS, "")
    customer = document.get("customer")
    if not isinstance(customer, str) or not customer:
        _refuse("customer", "The customer's id is missing or no text")
    at = now if document.get("now") is None else _instant(document["now"], "now")
    profile = _mapping(document, "profile")
    signals = _signals(_mapping(document, "signals"), profile, catalogue)
    return Facts(
        customer=customer,
        now=at,
        signals=signals,
        events=_events(document.get("events")),
        history=_history(_mapping(document, "history"), catalogue),
        ages=_ages(signals, at, catalogue),
        profile={name: value for name, value in profile.items() if value is not None},
        consent=_each(_mapping(document, "consent"), "consent", bool, "true or false"),
        suppressed=_each(_mapping(document, "suppressed"), "suppressed", str, "a text: the reason"),
    )


def _signals(given: Mapping[str, Any], profile: Mapping[str, Any], catalogue: Catalogue) -> dict[str, Value]:
    personal = {name: value for name, value in profile.items() if name in catalogue.signals}
    merged = {**personal, **{name: value for name, value in given.items() if value is not None}}
    typed = {name: _typed(name, value, catalogue) for name, value in merged.items()}
    return {name: value for name, value in typed.items() if value is not None}


def _typed(name: str, value: Any, catalogue: Catalogue) -> Value | None:
    signal = catalogue.signals.get(name)
    return normalise_untyped(value) if signal is None else normalise(value, signal.type)


def _ages(
    signals: Mapping[str, Value], now: datetime, catalogue: Catalogue
) -> dict[str, tuple[datetime, int]]:
    ages: dict[str, tuple[datetime, int]] = {}
    for name, value in signals.items():
        signal = catalogue.signals.get(name)
        if (
            signal is None
            or signal.age_of is None
            or isinstance(value, bool)
            or not isinstance(value, int | float)
        ):
            continue
        try:
            ages[name] = (now - timedelta(days=value), _DAY_SECONDS)
        except OverflowError:
            # Older than the calendar: no passing of time makes a difference.
            continue
    return ages


def _events(given: Any) -> tuple[Event, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        _refuse("events", f"Events are a list, and this is {_kind(given)}")
    return tuple(
        sorted((_event(item, f"events[{i}]") for i, item in enumerate(given)), key=lambda event: event.at)
    )


def _event(given: Any, path: str) -> Event:
    if not isinstance(given, Mapping):
        _refuse(path, f"An event is an object, and this is {_kind(given)}")
    _check_keys(given, EVENT_KEYS, f"{path}.")
    name = given.get("name")
    if not isinstance(name, str) or not name:
        _refuse(f"{path}.name", "The event's name is missing or no text")
    if given.get("at") is None:
        _refuse(f"{path}.at", "The event has no time")
    return Event(name, _instant(given["at"], f"{path}.at"), _mapping(given, "properties", f"{path}."))


def _history(given: Mapping[str, Any], catalogue: Catalogue) -> dict[str, tuple[tuple[date, Value], ...]]:
    history: dict[str, tuple[tuple[date, Value], ...]] = {}
    for name, days in given.items():
        if days is None:
            continue
        if not isinstance(days, list):
            _refuse(f"history.{name}", f"A history is a list of [day, value], and this is {_kind(days)}")
        known: dict[datetime, tuple[date, Value]] = {}
        for index, item in enumerate(days):
            path = f"history.{name}[{index}]"
            if not isinstance(item, list) or len(item) != 2:
                _refuse(path, 'Each entry is a pair such as ["2026-02-27", 52]')
            instant = _instant(item[0], path)
            # Times are kept, so that a caller may tell more than one value a day.
            day = date.fromisoformat(item[0]) if _is_date(item[0]) else instant
            value = _typed(name, item[1], catalogue)
            if value is not None:
                known[instant] = (day, value)
        history[name] = tuple(known[instant] for instant in sorted(known))
    return history


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _instant(value: Any, path: str) -> datetime:
    instant = instant_of(value) if isinstance(value, str) else None
    if instant is None:
        _refuse(path, f"{_shown(value)} is no time; write it as 2026-03-01T10:00:00Z")
    return instant


def _mapping(document: Mapping[str, Any], key: str, prefix: str = "") -> Mapping[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        _refuse(f"{prefix}{key}", f"An object belongs here, and this is {_kind(value)}")
    return cast("Mapping[str, Any]", value)


def _each(given: Mapping[str, Any], path: str, kind: type[T], expected: str) -> dict[str, T]:
    found: dict[str, T] = {}
    for name, value in given.items():
        if value is None:
            continue
        if not isinstance(value, kind):
            _refuse(f"{path}.{name}", f"{_shown(value)} is not {expected}")
        found[name] = value
    return found


def _check_keys(given: Mapping[str, Any], known: tuple[str, ...], prefix: str) -> None:
    unknown = next((key for key in given if key not in known), None)
    if unknown is not None:
        hint = did_you_mean(unknown, known)
        raise FactsError(f"{prefix}{unknown}: `{unknown}` isn't a word of facts. {hint}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise FactsError(f"The key `{repeated}` stands twice in one object.")
    return found


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= _LONGEST_INTEGER else float(text)


def _refuse(path: str, message: str) -> NoReturn:
    raise FactsError(f"{path}: {message}." if path else f"{message}.")


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "true or false"),
        (str, "text"),
        (list, "a list"),
        (dict, "an object"),
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), "a number")
