"""What happens to a simulated customer, as it comes in JSON: one happening per line, in any order.

{"at": "2026-03-04T10:00:00Z", "name": "login", "properties": {…}, "signals": {"health_score": 62}}
{"at": "2026-03-05T08:00:00Z", "consent": {"email": false}, "suppressed": {"sms": "opted_out"}}
{"at": "2026-03-06T09:00:00Z", "do": "complete", "step": "call", "outcome": "reached"}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NoReturn, cast, get_args

from schemas.facts_json import FactsError, read_json
from schemas.problem import did_you_mean
from schemas.signal_value import instant_of

Deed = Literal["pause", "resume", "stop", "complete"]
DEEDS: tuple[Deed, ...] = get_args(Deed)
KEYS = ("at", "name", "properties", "signals", "consent", "suppressed", "do", "step", "outcome", "reason")


@dataclass(frozen=True)
class Happening:
    """Something at a moment: an event, new values (None: missing from then on), or what a person does to the run."""

    at: datetime
    name: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    signals: Mapping[str, Any] = field(default_factory=dict)
    consent: Mapping[str, bool | None] = field(default_factory=dict)
    suppressed: Mapping[str, str | None] = field(default_factory=dict)
    do: Deed | None = None
    step: str | None = None
    outcome: str | None = None
    reason: str = ""


class HappeningError(FactsError):
    """This can't happen."""

    code = "HF143"
    remedy = "Correct the line; `holdfast simulate --help` shows the forms."


def read_happenings(lines: Iterable[bytes | str], file: str) -> list[Happening]:
    """The happenings of a file, one JSON object per line; raises HappeningError naming the first bad line."""
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(parse_happening(read_json(line)))
        except FactsError as error:
            raise HappeningError(f"{file}:{number}: {error.message}") from error
    return found


def parse_happening(document: Any) -> Happening:
    """One happening; raises HappeningError."""
    if not isinstance(document, Mapping):
        _refuse("", "A happening is an object")
    for key in document:
        if key not in KEYS:
            raise HappeningError(
                f"{key}: `{key}` isn't a word of events. {did_you_mean(str(key), KEYS)}".strip()
            )
    at = instant_of(document.get("at")) if isinstance(document.get("at"), str) else None
    if at is None:
        what = "is missing" if document.get("at") is None else "is no time"
        _refuse("at", f"The time {what}; write it as 2026-03-01T10:00:00Z")
    do = document.get("do")
    if do is not None and do not in DEEDS:
        raise HappeningError(
            f"do: `{do}` isn't anything a person can do. {did_you_mean(str(do), DEEDS)}".strip()
        )
    if do is None and not any(document.get(key) for key in ("name", "signals", "consent", "suppressed")):
        _refuse("", "Nothing happens here: give `name`, `signals`, `consent`, `suppressed` or `do`")
    for key in ("step", "outcome", "reason"):
        if do is None and document.get(key) is not None:
            _refuse(key, f"`{key}` goes with `do`")
    if do == "complete" and not document.get("outcome"):
        _refuse("outcome", "Say what came of it, such as reached or no_answer")
    if do == "stop" and document.get("outcome") not in (None, "success", "stopped", "lost"):
        _refuse("outcome", "A run is stopped as success, stopped or lost")
    return Happening(
        at=at,
        name=_text(document, "name"),
        properties=_mapping(document, "properties"),
        signals=_mapping(document, "signals"),
        consent=_values(document, "consent", bool, "true, false or null"),
        suppressed=_values(document, "suppressed", str, "a text: the reason, or null"),
        do=cast("Deed | None", do),
        step=_text(document, "step"),
        outcome=_text(document, "outcome"),
        reason=_text(document, "reason") or "",
    )


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        _refuse(key, "A text belongs here")
    return value


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    if value is not None and not isinstance(value, Mapping):
        _refuse(key, "An object belongs here")
    return value or {}


def _values(document: Mapping[str, Any], key: str, kind: type, expected: str) -> Mapping[str, Any]:
    found = _mapping(document, key)
    for name, value in found.items():
        if value is not None and not isinstance(value, kind):
            _refuse(f"{key}.{name}", f"This is not {expected}")
    return found


def _refuse(path: str, message: str) -> NoReturn:
    raise HappeningError(f"{path}: {message}." if path else f"{message}.")
