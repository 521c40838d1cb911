"""How pages write moments, days, numbers, amounts and words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from markupsafe import Markup

from rules.zones import zone_or_default

_UNITS = (("d", 86400), ("h", 3600), ("min", 60))
NOTHING = "–"

# What each word on a badge means for its colour.
TONES: Mapping[str, str] = {
    word: tone
    for tone, words in {
        "good": "on_time healthy success accepted sent live done reached converted seen entered true granted set asked "
        "improving achieved celebrated active low resolved ready paid delivered",
        "warn": "due_soon at_risk starting retrying unknown held_quiet_hours capped paused shadow observed held_out "
        "overdue expired rescheduled no_answer warning medium declining past_due stale waiting_for_worker bounced "
        "abandoned trialing acknowledged",
        "bad": "critical failed lost declined late unreachable suppressed no_consent error high cancelled immediate "
        "urgent blocked call_required email_bounce billing_issue",
        "busy": "running open claimed waiting trial info new_user draft monitor feature_abandonment",
    }.items()
    for word in words.split()
}

# Words of the record that say too little where they stand alone.
_SAID: Mapping[str, str] = {
    "condition": "trigger doesn't hold", "again_rule": "too soon again", "group": "another of its group",
    "entries": "entry limit", "no_match": "no longer matches",
}  # fmt: skip


def distance(at: datetime, now: datetime) -> str:
    """How far `at` is from `now`, in its largest whole unit: `3 min ago`, `in 2 d`."""
    seconds = (at - now).total_seconds()
    for unit, size in _UNITS:
        if abs(seconds) >= size:
            told = f"{int(abs(seconds) // size)} {unit}"
            return f"in {told}" if seconds > 0 else f"{told} ago"
    return "in a moment" if seconds > 5 else "just now"


def write_moment(value: datetime | None) -> Markup | str:
    """How long ago it was, which pages keep up to date, with the moment itself where one points at it."""
    if value is None:
        return NOTHING
    at = value.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        at.isoformat(timespec="seconds"), f"{at:%Y-%m-%d %H:%M:%S} UTC", distance(at, datetime.now(UTC))
    )


def write_stamp(value: datetime | None, seconds: bool = False) -> Markup | str:
    """Nov 25, 06:04 (UTC, which is told once beside many): where the order of things matters, `seconds` too."""
    if value is None:
        return NOTHING
    at = value.astimezone(UTC)
    year = "" if at.year == datetime.now(UTC).year else f", {at:%Y}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="seconds"),
        f"{at:%Y-%m-%d %H:%M:%S} UTC",
        f"{at:%b} {at.day}{year}, {at:%H:%M:%S}" if seconds else f"{at:%b} {at.day}{year}, {at:%H:%M}",
    )


def write_clock(value: datetime | None, zone: str) -> Markup | str:
    """Tue Nov 24, 10:00 Europe/Berlin: an appointment by somebody's own clock."""
    if value is None:
        return NOTHING
    at = value.astimezone(zone_or_default(zone, "UTC"))
    year = "" if at.year == datetime.now(UTC).year else f", {at:%Y}"
    return Markup('<time datetime="{}" title="{}">{}</time> <span class="small">{}</span>').format(
        at.isoformat(timespec="seconds"),
        f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        f"{at:%a %b} {at.day}{year}, {at:%H:%M}",
        str(at.tzinfo).replace("_", " "),
    )


def write_day(value: date | datetime | None) -> Markup | str:
    """Nov 25, with the year where it isn't this one."""
    if value is None:
        return NOTHING
    year = "" if value.year == datetime.now(UTC).year else f", {value:%Y}"
    return Markup('<time datetime="{}">{}</time>').format(
        f"{value:%Y-%m-%d}", f"{value:%b} {value.day}{year}"
    )


def count(value: float | None) -> str:
    """12,345; a number that isn't whole keeps at most one digit after the point; – for None."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:,.1f}"


def money(value: float | None) -> str:
    """$1,234; below 1,000 with cents where there are any; – for None."""
    if value is None:
        return NOTHING
    cents = abs(value) < 1000 and round(value, 2) != round(value)
    sign = "−" if round(value, 2) < 0 else ""
    return f"{sign}${abs(value):,.2f}" if cents else f"{sign}${abs(value):,.0f}"


def dollars(value: float | None) -> str:
    """$750: an amount that is estimated, to the dollar; below ten with cents; – for None."""
    return money(value if value is None or abs(value) < 10 else round(value))


def money_short(value: float | None) -> str:
    """$21.5M, $340k: an amount to be taken in at a glance; below 10,000 in full."""
    if value is None or abs(value) < 10_000:
        return dollars(value)
    sizes = ((1_000_000_000, "B"), (1_000_000, "M"), (1000, "k"))
    size, unit = next(one for one in sizes if abs(value) >= one[0] * 0.9995)
    told = (
        f"{abs(value) / size:,.1f}".removesuffix(".0")
        if abs(value) < 100 * size
        else f"{abs(value) / size:,.0f}"
    )
    return f"{'−' if value < 0 else ''}${told}{unit}"


def percent(value: float | None, digits: int = 0) -> str:
    """A share (0–1) as 73 %; – for None."""
    if value is None:
        return NOTHING
    told = f"{100 * value:,.{digits}f}"
    return f"{told.replace('-', '−')}\N{NO-BREAK SPACE}%"


def signed(value: float | None) -> str:
    """+5, −3, ±0: a change; – for None."""
    if value is None:
        return NOTHING
    told = count(abs(value))
    return f"±{told}" if told == "0" else f"+{told}" if value > 0 else f"−{told}"


def write_plain(value: object) -> str:
    """A value as a person would write it."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return ", ".join(write_plain(part) for part in value) or NOTHING
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {write_plain(part)}" for key, part in value.items()) or NOTHING
    return str(value)


def say(word: str) -> str:
    """A word of the record as people say it."""
    return _SAID.get(word) or word.replace("_", " ")


def write_badge(word: object, tone: str | None = None) -> Markup:
    """A word in the colour of what it means, or in that of `tone`."""
    told = write_plain(word)
    return Markup('<span class="badge {}">{}</span>').format(tone or TONES.get(told, "plain"), say(told))


def write_ticked(written: str) -> Markup:
    """What stands between backticks as code."""
    parts = written.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts)
    )


def write_breakable(written: str) -> Markup:
    """An address that may go on in the next line before its @."""
    name, at, host = written.partition("@")
    return Markup("{}<wbr>{}").format(name, at + host) if at else Markup.escape(name)


# As templates call them.
FILTERS: Mapping[str, Callable[..., Any]] = {
    "moment": write_moment, "ago": write_moment, "stamp": write_stamp, "clock": write_clock, "day": write_day,
    "count": count, "money": money, "dollars": dollars, "money_short": money_short, "percent": percent,
    "signed": signed, "plain": write_plain, "said": say, "badge": write_badge, "ticked": write_ticked,
    "breakable": write_breakable,
}  # fmt: skip
