"""The textual forms of the language: what a word such as `3d`, `21:00-08:00` or `3 per 7d` means.

Each form knows its pattern (for editors), its description (for messages and hover text) and how to read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

MINUTE, HOUR, DAY, WEEK = 60, 3600, 86400, 604800
UNITS = {"m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
LONGEST_DAYS = 3660  # ten years: nobody means more, and every date arithmetic still holds

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY_GROUPS = {"weekdays": (1, 2, 3, 4, 5), "weekend": (6, 7), "daily": (1, 2, 3, 4, 5, 6, 7)}


class FormError(ValueError):
    """A text isn't in the form that stands here; `hint` says what to write."""

    def __init__(self, message: str, hint: str) -> None:
        self.message, self.hint = message, hint
        super().__init__(f"{message} {hint}".strip())


@dataclass(frozen=True)
class Form(Generic[T]):
    """One textual form; `parse` raises FormError."""

    expects: str
    pattern: str
    parse: Callable[[str], T]
    # How a bare number was probably meant.
    of_number: str = ""

    def json_schema(self, about: str = "") -> dict[str, Any]:
        """What an editor needs to know of it."""
        schema: dict[str, Any] = {"type": "string", "pattern": self.pattern, "x-expects": self.expects}
        return {"description": about, **schema} if about else schema


def parse_duration(text: str) -> int:
    """Seconds of `3d`: whole minutes `m`, hours `h`, days `d` (24 h) or weeks `w`, above 0."""
    found = re.fullmatch(r"([0-9]{1,7})([mhdw])", text)
    if not found:
        raise FormError(f"`{text}` is not a duration.", _duration_hint(text))
    seconds = int(found[1]) * UNITS[found[2]]
    if seconds == 0:
        raise FormError(f"`{text}` is no time at all.", "A duration is above 0.")
    if seconds > LONGEST_DAYS * DAY:
        raise FormError(f"`{text}` is longer than ten years.", f"The longest duration is {LONGEST_DAYS}d.")
    return seconds


def format_duration(seconds: int) -> str:
    """The shortest way to write so many seconds, in whole units: 259200 is `3d`."""
    for unit, length in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds // MINUTE}m"


def _duration_hint(text: str) -> str:
    loose = re.fullmatch(r"\s*([0-9]{1,9})(?:\.0)?\s*(m|h|d|w)[a-z]*\.?\s*", text.lower())
    if loose and "month" not in text.lower():
        return f"Write {int(loose[1])}{loose[2]}."
    return "Write a whole number and m (minutes), h, d (24 h) or w, as in 30m, 12h, 3d, 2w."


def parse_clock(text: str) -> int:
    """Minutes of the day of `09:30`."""
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if not found:
        raise FormError(
            f"`{text}` is not a time of day.", 'Write hours and minutes of 24 hours, as in "09:30".'
        )
    return int(found[1]) * 60 + int(found[2])


def parse_window(text: str) -> tuple[int, int]:
    """Minutes of the day at which `21:00-08:00` begins and ends; it may cross midnight."""
    first, dash, last = text.partition("-")
    if not dash:
        raise FormError(f"`{text}` is not a window of the day.", 'Write two times, as in "09:00-18:00".')
    begin, end = parse_clock(first.strip()), parse_clock(last.strip())
    if begin == end:
        raise FormError(f"`{text}` begins and ends at the same minute.", "Leave it out for the whole day.")
    return begin, end


def parse_rate(text: str) -> tuple[int, int]:
    """Times and seconds of `3 per 7d` (or `200 per day`)."""
    found = re.fullmatch(r"([0-9]{1,9}) per (day|week|[0-9]+[a-z])", text)
    if not found:
        raise FormError(f"`{text}` is not a limit.", "Write a number, `per` and a duration, as in 3 per 7d.")
    if int(found[1]) == 0:
        raise FormError(
            f"`{text}` allows nothing.", "The number is at least 1; to stop it all, use `status: paused`."
        )
    period = {"day": DAY, "week": WEEK}.get(found[2]) or parse_duration(found[2])
    return int(found[1]), period


def parse_daily(text: str) -> int:
    """The number in `200 per day`."""
    found = re.fullmatch(r"([0-9]{1,9}) per (day|1d|24h)", text)
    if not found:
        raise FormError(
            f"`{text}` is not a limit per day.", "Write a number and `per day`, as in 200 per day."
        )
    if int(found[1]) == 0:
        raise FormError(
            f"`{text}` lets nobody in.", "The number is at least 1; to stop it all, use `status: paused`."
        )
    return int(found[1])


def parse_percent(text: str) -> float:
    """The number in `10%`, from 0 to below 100."""
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", text)
    if not found:
        raise FormError(f"`{text}` is not a percentage.", "Write a number and %, as in 10%.")
    percent = float(found[1])
    if percent >= 100:
        raise FormError(f"`{text}` would leave nobody.", "Write a percentage below 100%.")
    return percent


def parse_again(text: str) -> tuple[str, int, int]:
    """Kind, times and seconds of `after 30d`, `never`, `always` or `3 per 365d`."""
    if text in ("never", "always"):
        return text, 1, 0
    if text.startswith("after "):
        return "after", 1, parse_duration(text.removeprefix("after "))
    if " per " in text:
        return ("times", *parse_rate(text))
    hint = "Write after 30d, never, always, or 3 per 365d."
    if re.fullmatch(r"[0-9]+[mhdw]", text):
        hint = f"Write after {text}."
    raise FormError(f"`{text}` doesn't say when a customer may enter again.", hint)


def parse_weekday(text: str) -> int:
    """ISO number of a weekday's English name; 1 is Monday."""
    if text not in WEEKDAYS:
        raise FormError(f"`{text}` is not a weekday.", f"Write one of {', '.join(WEEKDAYS)}.")
    return WEEKDAYS.index(text) + 1


def parse_days(value: str | list[str]) -> tuple[int, ...]:
    """ISO weekdays of `weekdays`, `weekend`, `daily`, one weekday, or a list of weekdays."""
    if isinstance(value, str):
        return DAY_GROUPS.get(value) or (parse_weekday(value),)
    return tuple(sorted({parse_weekday(day) for day in value}))


_LENGTH = "[0-9]+[mhdw]"
_CLOCK = "([01]?[0-9]|2[0-3]):[0-5][0-9]"

DURATION = Form(
    "a duration such as 3d (m minutes, h hours, d days, w weeks)", f"^{_LENGTH}$", parse_duration, "{}d"
)
CLOCK = Form('a time of day such as "09:30"', f"^{_CLOCK}$", parse_clock)
WINDOW = Form('a window of the day such as "09:00-18:00"', f"^{_CLOCK} ?- ?{_CLOCK}$", parse_window)
RATE = Form("a limit such as 3 per 7d", f"^[0-9]+ per (day|week|{_LENGTH})$", parse_rate, "{} per 7d")
DAILY = Form("a limit such as 200 per day", "^[0-9]+ per (day|1d|24h)$", parse_daily, "{} per day")
PERCENT = Form("a percentage such as 10%", r"^[0-9]{1,3}(\.[0-9]+)? ?%$", parse_percent, "{}%")
AGAIN = Form(
    "after 30d, never, always, or 3 per 365d",
    f"^(never|always|after {_LENGTH}|[0-9]+ per (day|week|{_LENGTH}))$",
    parse_again,
)

# By pattern, so that who finds a pattern broken can say why.
FORMS: dict[str, Form[Any]] = {
    form.pattern: form for form in (DURATION, CLOCK, WINDOW, RATE, DAILY, PERCENT, AGAIN)
}
