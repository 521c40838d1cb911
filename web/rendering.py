"""Pages from templates: what a page may call, and how moments and numbers are written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).parent
STATIC = HERE / "static"
_UNITS = (("d", 86400), ("h", 3600), ("min", 60))

# What each word on a badge means for its colour.
TONES: Mapping[str, str] = {
    word: tone
    for tone, words in {
        "good": "on_time healthy success accepted sent live done reached converted seen entered true granted set asked",
        "warn": "due_soon at_risk starting retrying unknown held_quiet_hours capped paused shadow observed held_out "
        "overdue expired rescheduled no_answer warning",
        "bad": "critical failed lost declined late unreachable suppressed no_consent error",
        "busy": "running open claimed waiting",
    }.items()
    for word in words.split()
}


def distance(at: datetime, now: datetime) -> str:
    """How far `at` is from `now`, in its largest whole unit: `3 min ago`, `in 2 d`."""
    seconds = (at - now).total_seconds()
    for unit, size in _UNITS:
        if abs(seconds) >= size:
            told = f"{int(abs(seconds) // size)} {unit}"
            return f"in {told}" if seconds > 0 else f"{told} ago"
    return "in a moment" if seconds > 5 else "just now"


def _moment(value: datetime | None) -> Markup | str:
    if value is None:
        return "–"
    at = value.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), f"{at:%Y-%m-%d %H:%M:%S} UTC", distance(at, datetime.now(UTC))
    )


def _stamp(value: datetime | None) -> Markup | str:
    if value is None:
        return "–"
    at = value.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), f"{at:%b %d, %H:%M:%S}"
    )


def _plain(value: object) -> str:
    """A value as a person would write it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return ", ".join(_plain(part) for part in value) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(part)}" for key, part in value.items()) or "–"
    return str(value)


def _badge(word: object) -> Markup:
    told = _plain(word)
    return Markup('<span class="badge {}">{}</span>').format(TONES.get(told, "plain"), told.replace("_", " "))


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(moment=_moment, stamp=_stamp, plain=_plain, badge=_badge)
    return environment


_templates = _environment()


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """One page. Everything in `values` is escaped."""
    page = _templates.get_template(template).render(path=request.url.path, **values)
    return HTMLResponse(page, status)
