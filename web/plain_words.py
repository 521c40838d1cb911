"""What the record has as identifiers, in the words that people read on the pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_LIST = re.compile(r"(\w+)\[(\d+)\]")
_INSERTED = re.compile(r"\{\{-?((?:(?!\{\{|\}\}).)+)\}\}", re.DOTALL)
_NAMED = re.compile(r"[a-z_]+(?:\.[a-z_0-9]+)+")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
_BROWSERS = (
    ("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


def name_step(step: str | None) -> str:
    """A step's own name; one without by its place: `steps[1].variants.b.steps[0].email` is `step 2 › b › 1`."""
    if not step or "[" not in step:
        return step or ""
    parts = step.split(".")
    if not _LIST.fullmatch(parts[-1]):
        # What kind of step it is stands beside it.
        parts.pop()
    told = []
    for part in parts:
        if found := _LIST.fullmatch(part):
            number = int(found[2]) + 1
            told.append(str(number) if found[1] == "steps" else f"{found[1]} {number}")
        elif part != "variants":
            told.append(part)
    return f"step {' › '.join(told)}"


def tell_template(written: str) -> str:
    """`Dear {{ customer.first_name | default('you') }}` as `Dear ⟨first name⟩`."""

    def name(found: re.Match[str]) -> str:
        inserted = _NAMED.search(found[1])
        words = inserted[0].rpartition(".")[2] if inserted else found[1].split("|")[0].strip(" \n\t-")
        return f"⟨{words.replace('_', ' ')}⟩"

    return _INSERTED.sub(name, written)


def tell_properties(properties: Mapping[str, Any], event: str = "") -> str:
    """What an event brought, in a line: moments by the minute, what is empty left out."""
    if event == "milestone_achieved" and {"name", "days"} <= properties.keys():
        target = properties.get("target_days")
        return f"{properties['name']}, on day {properties['days']}{f', target {target}' if target else ''}"
    told = []
    for name, value in properties.items():
        if value is None or value in ("", [], {}):
            continue
        told.append(f"{name.replace('_', ' ')}: {tell_value(value)}")
    return ", ".join(told)


def tell_value(value: Any) -> str:
    """A value of the record as a person would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return f"{datetime.fromisoformat(value).astimezone(UTC):%b %-d, %Y, %H:%M} UTC"
    if isinstance(value, list | tuple):
        return ", ".join(map(tell_value, value))
    if isinstance(value, Mapping):
        return f"({tell_properties(value)})"
    return str(value)


def name_browser(agent: str | None) -> str:
    """`Chrome on Linux`, from what a browser says of itself; that itself where it says neither."""
    written = agent or ""
    browser = next((name for mark, name in _BROWSERS if mark in written), "")
    system = next((name for mark, name in _SYSTEMS if mark in written), "")
    return " on ".join(filter(None, (browser, system))) or written[:60] or "unknown"
