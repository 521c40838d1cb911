"""The forms of `wait`."""

from __future__ import annotations

from typing import Any

from schemas.compilation import CLOCK, DURATION, Compilation
from schemas.form import DAY, FormError, parse_duration, parse_weekday
from schemas.plan import BeforeDate, CalendarDays, Elapsed, UntilWeekday, WaitSpec
from schemas.problem import join_words
from schemas.yaml_source import Path

KINDS = ("days", "until", "business_days", "before")


def compile_wait(value: Any, path: Path, compilation: Compilation) -> WaitSpec | None:
    """The moment that `value` describes; None after a problem was reported."""
    if isinstance(value, str):
        if compilation.report.is_faulty(path):
            return None
        try:
            return Elapsed(seconds=parse_duration(value))
        except FormError as error:
            compilation.report.form_error(path, "PB104", error)
            return None
    if not isinstance(value, dict) or compilation.report.is_faulty(path):
        return None
    kinds = [key for key in KINDS if key in value]
    if not kinds:
        if not compilation.report.has_fault_within(path):
            what = f"This wait has no end: {join_words(value)} alone says nothing."
            compilation.report.error(
                path, "PB230", what, "Write {days: 3}, {until: friday} or {before: renewal_date}."
            )
        return None
    if len(kinds) > 1:
        what = f"A wait has one end, and this has {join_words(kinds, 'and')}."
        compilation.report.error((*path, kinds[1]), "PB230", what, "Keep one of them.", key=True)
        return None
    if "by" in value and kinds[0] != "before":
        hint = "It says how long before a date: {before: renewal_date, by: 14d}."
        compilation.report.error(
            (*path, "by"), "PB230", f"`by` doesn't go with `{kinds[0]}`.", hint, key=True
        )
        return None
    at_minute = compilation.form(CLOCK, value, "at", path)
    return _spec(kinds[0], value, at_minute, path, compilation)


def _spec(
    kind: str, value: dict[str, Any], at_minute: int | None, path: Path, compilation: Compilation
) -> WaitSpec | None:
    if compilation.report.is_faulty((*path, kind)):
        return None
    if kind in ("days", "business_days"):
        return CalendarDays(
            days=compilation.whole(value, kind, 1), business=kind == "business_days", at_minute=at_minute
        )
    if kind == "until":
        return UntilWeekday(weekday=parse_weekday(value["until"]), at_minute=at_minute)
    seconds = compilation.form(DURATION, value, "by", path) if "by" in value else 0
    return (
        BeforeDate(signal=value["before"], seconds=seconds, at_minute=at_minute)
        if seconds is not None
        else None
    )


def earliest_seconds(spec: WaitSpec) -> int:
    """The least that a wait can take, for warnings about what comes too late."""
    if isinstance(spec, Elapsed):
        return spec.seconds
    if isinstance(spec, CalendarDays):
        # Up to a day less where a time of day is given, and an hour for the change of the clocks.
        return max(0, (spec.days - (1 if spec.at_minute is not None else 0)) * DAY - 3600)
    return 0
