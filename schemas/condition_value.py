"""What stands after a signal as a plain value: `pro`, `40`, `"< 40"`, `"40..60"`, `[pro, business]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from schemas.catalogue import Signal
from schemas.condition import Between, Compare, Condition, OneOf, Scalar
from schemas.condition_form import parse_form
from schemas.problem import Report, did_you_mean, kind_of, nearest
from schemas.yaml_source import Path, format_path

Operator = Literal["eq", "ne", "lt", "le", "gt", "ge"]
OPERATORS: Mapping[str, Operator] = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "!=": "ne"}

# No longer than a number can be exact.
_NUMBER = r"[-+]?(?:[0-9]{1,16}(?:\.[0-9]{1,16})?|\.[0-9]{1,16})"
_COMPARISON = re.compile(r"(<=|>=|!=|<|>)\s*(.*)", re.DOTALL)
_MISSPELT = {"=>": ">=", "=<": "<=", "≥": ">=", "≤": "<=", "≠": "!=", "<>": "!=", "==": "", "=": ""}
_RANGE = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*")
_TYPE_WORDS = {
    "number": "a number", "text": "text", "bool": "true or false",
    "time": "a time", "date": "a date", "list": "a list",
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What an expectation is about: a signal, or (`signal` is None) a property of an event."""

    name: str
    signal: Signal | None

    @property
    def type(self) -> str | None:
        """The catalogue's type; None for a property, which may hold anything."""
        return self.signal.type if self.signal else None


def parse_expectation(subject: Subject, value: Any, path: Path, report: Report) -> Condition | None:
    """The condition that `value` expresses about `subject`; None after a problem was reported."""
    if isinstance(value, dict):
        return parse_form(subject.name, subject.type, value, path, report)
    if value is None:
        hint = "Write {is: missing} for no value, or what you expect."
        report.error(path, "PB103", f"Nothing stands after `{subject.name}:`.", hint)
        return None
    if subject.signal and subject.signal.personal:
        what = f"`{subject.name}` is personal: conditions may ask only whether it is there."
        report.error(path, "PB202", what, "Write {is: present} or {is: missing}.")
        return None
    if subject.type in ("list", "time", "date"):
        _refuse_plain(subject, value, path, report)
        return None
    if isinstance(value, list):
        return _one_of(subject, value, path, report)
    if isinstance(value, str):
        return _text(subject, value, path, report)
    return _equal(subject, value, path, report)


def _place(path: Path, report: Report) -> dict[str, Any]:
    return {"path": format_path(path), "line": report.source.key_place(path)[0]}


def _refuse_plain(subject: Subject, value: Any, path: Path, report: Report) -> None:
    what = f"`{subject.name}` is {_TYPE_WORDS[subject.type or '']}"
    if subject.type == "list":
        item = value[0] if isinstance(value, list) and value else value
        many = isinstance(value, list) and len(value) > 1
        hint = f"Write {{contains: {item}}}" + (", one for each under `any:`." if many else ".")
        report.error(path, "PB204", f"{what}, which can't be compared with {kind_of(value)}.", hint)
        return
    hint = "Write {older_than: 7d}, {within: 7d}, {due_within: 14d}, {overdue_by: 3d} or {is: missing}."
    report.error(path, "PB203", f"{what}: its distance from now is compared, not the value.", hint)


def _one_of(subject: Subject, value: list[Any], path: Path, report: Report) -> Condition | None:
    if not value:
        report.error(
            path, "PB206", "This list is empty, so that nothing fits it.", "Write at least one value."
        )
        return None
    good = True
    for index, item in enumerate(value):
        where = (*path, index)
        if isinstance(item, str) and _COMPARISON.fullmatch(item.strip()):
            hint = "Put comparisons under `any:`, each in a line of its own."
            report.error(where, "PB205", "A list holds values, not comparisons.", hint)
            good = False
        else:
            good = _check_value(subject, item, where, report) and good
    return OneOf(**_place(path, report), signal=subject.name, values=tuple(value)) if good else None


def _equal(subject: Subject, value: Scalar, path: Path, report: Report) -> Condition | None:
    if not _check_value(subject, value, path, report):
        return None
    return Compare(**_place(path, report), signal=subject.name, op="eq", value=value)


def _text(subject: Subject, value: str, path: Path, report: Report) -> Condition | None:
    text = value.strip()
    for wrong, right in _MISSPELT.items():
        if text.startswith(wrong):
            rest = text[len(wrong) :].strip()
            hint = (
                f'Write "{right} {rest}".'
                if right
                else f"Write {rest} alone: equal is what no operator means."
            )
            report.error(path, "PB205", f"`{wrong}` is no operator here.", hint)
            return None
    found = _COMPARISON.fullmatch(text)
    if found:
        return _comparison(subject, found[1], found[2].strip(), path, report)
    if ".." in text and subject.type != "text":
        return _between(subject, text, path, report)
    return _equal(subject, value, path, report)


def _comparison(subject: Subject, sign: str, operand: str, path: Path, report: Report) -> Condition | None:
    operator = OPERATORS[sign]
    ordered = operator != "ne"
    if subject.type in ("text", "bool") and ordered:
        hint = 'Text can be equal (pro), unequal ("!= pro") or one of a list ([pro, business]).'
        if subject.type == "bool":
            hint = "Write true or false."
        kind = _TYPE_WORDS[subject.type]
        what = f"`{subject.name}` is {kind}, which has no order: `{sign}` means nothing here."
        report.error(path, "PB203", what, hint)
        return None
    if not operand:
        report.error(
            path,
            "PB205",
            f"Nothing stands after `{sign}`.",
            f'Write what to compare with, as in "{sign} 40".',
        )
        return None
    value = _operand(subject.type, operand)
    if ordered and (isinstance(value, bool) or not isinstance(value, (int, float))):
        _refuse_operand(subject, sign, operand, path, report)
        return None
    if not ordered and not _check_value(subject, value, path, report, sign=sign):
        return None
    return Compare(**_place(path, report), signal=subject.name, op=operator, value=value)


def _operand(type_: str | None, operand: str) -> Scalar:
    """What stands after an operator: a number or true/false where one can be meant, else the text."""
    if type_ != "text" and re.fullmatch(_NUMBER, operand):
        return _number(operand)
    if type_ != "text" and operand in ("true", "false"):
        return operand == "true"
    return operand


def _refuse_operand(subject: Subject, sign: str, operand: str, path: Path, report: Report) -> None:
    unit = subject.signal.unit if subject.signal and subject.signal.unit else ""
    digits = re.match(_NUMBER, operand)
    hint = f'Write a number alone, as in "{sign} {digits.group() if digits else 40}".'
    if unit and digits:
        hint = f"{hint[:-1]}; the unit is {unit}."
    report.error(path, "PB205", f"`{operand}` is no number to compare `{subject.name}` with.", hint)


def _between(subject: Subject, text: str, path: Path, report: Report) -> Condition | None:
    found = _RANGE.fullmatch(text)
    if not found:
        if subject.signal is None:
            return _equal(subject, text, path, report)
        hint = 'Write two numbers with two dots between, as in "40..60".'
        report.error(path, "PB205", f"`{text}` is no range.", hint)
        return None
    if subject.type == "bool":
        report.error(
            path, "PB203", f"`{subject.name}` is true or false and has no range.", "Write true or false."
        )
        return None
    low, high = _number(found[1]), _number(found[2])
    if low > high:
        hint = f'Write "{found[2]}..{found[1]}".'
        report.error(path, "PB207", f"The range `{text}` is reversed, so that nothing lies in it.", hint)
        return None
    return Between(**_place(path, report), signal=subject.name, low=low, high=high)


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _check_value(subject: Subject, value: Any, path: Path, report: Report, *, sign: str = "") -> bool:
    """Whether `value` can be what the subject holds; reports where it can't."""
    if isinstance(value, (dict, list)) or value is None:
        report.error(path, "PB101", f"A plain value belongs here, and this is {kind_of(value)}.", "")
        return False
    match subject.type:
        case "number":
            return _check_number(subject, value, path, report, sign)
        case "bool":
            if isinstance(value, bool):
                return True
            truth = "false" if str(value).lower() in ("no", "false", "off", "0", "n") else "true"
            what = f"`{subject.name}` is true or false, and this is {kind_of(value)}."
            report.error(path, "PB202", what, f"Write {truth}, without quotes.")
            return False
        case "text":
            return _check_text(subject, value, path, report)
    return True


def _check_number(subject: Subject, value: Any, path: Path, report: Report, sign: str) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return True
    if isinstance(value, str) and re.fullmatch(_NUMBER, value.strip()) and not sign:
        number = value.strip()
        what = f'"{value}" in quotes is text, and `{subject.name}` is a number.'
        hint = f'Write {number} for exactly that, or a comparison: "< {number}", ">= {number}".'
        report.error(path, "PB205", what, hint)
        return False
    what = f"`{subject.name}` is a number, and this is {kind_of(value)}."
    report.error(path, "PB202", what, 'Write a number (40), a comparison ("< 40") or a range ("40..60").')
    return False


def _check_text(subject: Subject, value: Any, path: Path, report: Report) -> bool:
    if not isinstance(value, str):
        what = f"`{subject.name}` is text, and this is {kind_of(value)}."
        shown = str(value).lower() if isinstance(value, bool) else value
        report.error(path, "PB202", what, f'Write "{shown}" in quotes if that text is meant.')
        return False
    if not value.strip():
        report.error(path, "PB205", "This text is empty.", "Write {is: missing} for no value.")
        return False
    values = subject.signal.values if subject.signal else None
    if values and value not in values:
        what = f"`{subject.name}` is never `{value}` as far as the catalogue knows."
        if nearest(value, values):
            report.error(path, "PB209", what, did_you_mean(value, values))
            return False
        report.warn(path, "PB209", what, did_you_mean(value, values))
    return True
