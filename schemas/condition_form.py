"""The forms of an expectation that are mappings: ages, presence, membership, crossings, drops and rises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from schemas.condition import Age, Change, Condition, Contains, Crossing, Presence
from schemas.form import FormError, parse_duration
from schemas.problem import Report, did_you_mean, join_words, kind_of
from schemas.yaml_source import Path, format_path

AGES = ("older_than", "within", "due_within", "overdue_by")
CROSSINGS = ("crosses_below", "crosses_above")
CHANGES = ("drops_by", "rises_by")
# Word that names a form -> the words that may stand beside it.
FORMS: Mapping[str, tuple[str, ...]] = {
    "older_than": (), "within": (), "due_within": (), "overdue_by": (),
    "is": (), "contains": (),
    "crosses_below": ("for", "rearm_above"), "crosses_above": ("for", "rearm_below"),
    "drops_by": ("within",), "rises_by": ("within",),
}  # fmt: skip
FORM_KEYS = (*FORMS, "for", "rearm_above", "rearm_below")


def read_duration(value: Any, path: Path, report: Report) -> int | None:
    """Seconds of the duration at `path`; None after a problem was reported."""
    if not isinstance(value, str):
        hint = f"Write the unit too, as in {value}d." if isinstance(value, int) else "Write it as in 7d."
        report.error(path, "PB104", f"A duration is text such as 7d, and this is {kind_of(value)}.", hint)
        return None
    try:
        return parse_duration(value)
    except FormError as error:
        report.form_error(path, "PB104", error)
        return None


def parse_form(
    name: str, type_: str | None, value: dict[str, Any], path: Path, report: Report
) -> Condition | None:
    """The condition that a mapping expresses about `name`; `type_` is None for a property of an event."""
    if not value:
        report.error(
            path,
            "PB206",
            f"Nothing stands in the mapping after `{name}`.",
            "Write {is: missing}, for example.",
        )
        return None
    word = _find_word(name, value, path, report)
    if word is None:
        return None
    place = {"path": format_path(path), "line": report.source.key_place(path)[0]}
    return _READERS[word](_Form(name, type_, word, value, path, report), place)


def _find_word(name: str, value: dict[str, Any], path: Path, report: Report) -> str | None:
    for key in value:
        if key not in FORM_KEYS:
            hint = did_you_mean(key, FORM_KEYS, otherwise=f"Known here: {', '.join(FORMS)}.")
            report.error(
                (*path, key), "PB102", f"`{key}` is not something to expect of a signal.", hint, key=True
            )
            return None
    words = [key for key in value if key in FORMS]
    if len(words) > 1 and "within" in words:
        others = [word for word in words if word != "within"]
        if others[0] in CHANGES:
            words = others
    if not words:
        key = next(iter(value))
        hint = {"for": "crosses_below", "rearm_above": "crosses_below"}.get(key, "crosses_above")
        report.error(path, "PB205", f"`{key}` alone says nothing about `{name}`.", f"It belongs to `{hint}`.")
        return None
    word = words[0]
    for key in value:
        if key != word and key not in FORMS[word]:
            hint = "Put the two into separate lines under `all:`." if key in FORMS else ""
            if key in ("rearm_above", "rearm_below") and word in CROSSINGS:
                hint = f"`{word}` is rearmed on the other side: write `{FORMS[word][1]}`."
            report.error((*path, key), "PB205", f"`{key}` doesn't go together with `{word}`.", hint, key=True)
            return None
    return word


class _Form:
    """One mapping while it is read."""

    def __init__(
        self, name: str, type_: str | None, word: str, value: dict[str, Any], path: Path, report: Report
    ) -> None:
        self.name, self.type, self.word, self.value, self.path, self.report = (
            name,
            type_,
            word,
            value,
            path,
            report,
        )

    def fits(self, types: tuple[str, ...], hint: str) -> bool:
        if self.type in types:
            return True
        what = (
            f"`{self.word}` is for signals of type {join_words(types)}, and `{self.name}` is a `{self.type}`."
        )
        if self.type is None:
            what, hint = f"`{self.word}` can't be asked of a property of an event.", "Compare its value."
        self.report.error((*self.path, self.word), "PB211", what, hint, key=True)
        return False

    def seconds(self, key: str) -> int | None:
        return read_duration(self.value[key], (*self.path, key), self.report)

    def number(self, key: str) -> int | float | None:
        value: Any = self.value[key]
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return value
        hint = "Write the number without quotes and without an operator, as in 40."
        self.report.error(
            (*self.path, key), "PB104", f"`{key}` takes a number, and this is {kind_of(value)}.", hint
        )
        return None


def _read_age(form: _Form, place: dict[str, Any]) -> Condition | None:
    hint = 'A number of days is compared, as in "> 7".' if form.type == "number" else "Compare its value."
    if form.type == "number" and form.word == "within":
        hint = '`within` goes with `drops_by` or `rises_by`; a number is compared, as in "> 7".'
    if not form.fits(("time", "date"), hint):
        return None
    seconds = form.seconds(form.word)
    op: Any = form.word
    return None if seconds is None else Age(**place, signal=form.name, op=op, seconds=seconds)


def _read_presence(form: _Form, place: dict[str, Any]) -> Condition | None:
    value = form.value["is"]
    if value not in ("missing", "present") or not isinstance(value, str):
        what = f"`is` takes missing or present, and this is {kind_of(value)}."
        form.report.error(
            (*form.path, "is"), "PB104", what, "To compare a value, write it alone, as in plan: pro."
        )
        return None
    return Presence(**place, signal=form.name, present=value == "present")


def _read_contains(form: _Form, place: dict[str, Any]) -> Condition | None:
    if form.type is not None and not form.fits(("list", "text"), 'A number is compared, as in "> 7".'):
        return None
    item = form.value["contains"]
    if not isinstance(item, str) or not item:
        what = f"`contains` takes text, and this is {kind_of(item) if item != '' else 'empty'}."
        hint = (
            "For one of several, use one line each under `any:`."
            if isinstance(item, list)
            else "Put it in quotes."
        )
        form.report.error((*form.path, "contains"), "PB104", what, hint)
        return None
    return Contains(**place, signal=form.name, item=item)


def _read_crossing(form: _Form, place: dict[str, Any]) -> Condition | None:
    if not form.fits(("number",), "Only numbers cross a level."):
        return None
    level = form.number(form.word)
    seconds = form.seconds("for") if "for" in form.value else 0
    direction: Literal["below", "above"] = "below" if form.word == "crosses_below" else "above"
    key = FORMS[form.word][1]
    rearm = form.number(key) if key in form.value else None
    if level is None or seconds is None or (rearm is None and key in form.value):
        return None
    if rearm is not None and (rearm < level if direction == "below" else rearm > level):
        side = "below" if direction == "below" else "above"
        what = f"`{key}: {rearm}` lies {side} the level {level}, so that every crossing would count."
        hint = f"Rearm {'above' if direction == 'below' else 'below'} {level}, or leave it out."
        form.report.error((*form.path, key), "PB207", what, hint)
        return None
    return Crossing(
        **place, signal=form.name, direction=direction, level=level, for_seconds=seconds, rearm=rearm
    )


def _read_change(form: _Form, place: dict[str, Any]) -> Condition | None:
    if not form.fits(("number",), "Only numbers drop or rise."):
        return None
    by = form.number(form.word)
    if by is not None and by <= 0:
        hint = "For a fall write `drops_by`, for a rise `rises_by`, each with a number above 0."
        form.report.error((*form.path, form.word), "PB107", f"`{form.word}` is above 0.", hint)
        by = None
    if "within" not in form.value:
        hint = f"Write {{{form.word}: {form.value[form.word]}, within: 7d}}."
        form.report.error((*form.path, "within"), "PB103", f"`{form.word}` needs `within`.", hint, key=True)
        return None
    seconds = form.seconds("within")
    if by is None or seconds is None:
        return None
    direction: Literal["drop", "rise"] = "drop" if form.word == "drops_by" else "rise"
    return Change(**place, signal=form.name, direction=direction, by=by, within_seconds=seconds)


_Reader = Callable[[_Form, dict[str, Any]], Condition | None]
_READERS: dict[str, _Reader] = {
    **dict.fromkeys(AGES, _read_age),
    **dict.fromkeys(CROSSINGS, _read_crossing),
    **dict.fromkeys(CHANGES, _read_change),
    "is": _read_presence,
    "contains": _read_contains,
}
