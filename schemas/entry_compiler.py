"""Who enters, what counts as success, what ends a run early, and when messages may leave."""

from __future__ import annotations

from typing import Any, Literal, cast

from schemas.compilation import AGAIN, DAILY, DURATION, PERCENT, WINDOW, Compilation, listed, mapping_at
from schemas.condition import AllOf
from schemas.form import parse_days
from schemas.plan import Again, Enter, EventMatch, Exit, Goal, SendWindow
from schemas.yaml_source import Path


def compile_enter(data: dict[str, Any], compilation: Compilation) -> Enter | None:
    """The playbook's `enter`; None where it has none or its condition can't be read."""
    enter, path = mapping_at(data, "enter"), ("enter",)
    if enter is None:
        return None
    when = compilation.condition(enter, "when", path)
    limits = {
        "again": _again(enter, compilation),
        "at_most_per_day": compilation.form(DAILY, enter, "at_most", path),
        "holdout_percent": compilation.form(PERCENT, enter, "holdout", path) or 0.0,
    }
    signals = tuple(name for name in listed(enter, "signals") if isinstance(name, str))
    key = enter.get("key")
    if when is None:
        return None
    return Enter.model_validate(
        {"when": when, "signals": signals, "key": key if isinstance(key, str) else None, **limits}
    )


def _again(enter: dict[str, Any], compilation: Compilation) -> Again:
    found = compilation.form(AGAIN, enter, "again", ("enter",))
    if found is None:
        return Again()
    kind, times, seconds = found
    return Again(
        kind=cast("Literal['after', 'never', 'always', 'times']", kind), times=times, seconds=seconds
    )


def compile_goal(data: dict[str, Any], compilation: Compilation) -> Goal | None:
    """The playbook's `goal`."""
    goal, path = mapping_at(data, "goal"), ("goal",)
    if goal is None:
        return None
    when, event = _reached(goal, path, compilation)
    if not ("when" in goal or "event" in goal) and not compilation.report.has_fault_within(path):
        hint = "Write `when:` with a condition, `event:` with an event, or both."
        compilation.report.error(path, "PB228", "The goal doesn't say what reaches it.", hint, key=True)
    within = compilation.form(DURATION, goal, "within", path)
    if within is None:
        return None
    return Goal(name=compilation.text(goal, "name", "goal"), when=when, event=event, within_seconds=within)


def compile_exits(data: dict[str, Any], compilation: Compilation) -> tuple[Exit, ...]:
    """The playbook's exits, in order."""
    exits = []
    for index, item in enumerate(listed(data, "exit")):
        path: Path = ("exit", index)
        if not isinstance(item, dict):
            continue
        when, event = _reached(item, path, compilation)
        if ("when" in item) == ("event" in item) and not compilation.report.has_fault_within(path):
            what = (
                "An exit has either `when` or `event`, not both."
                if "when" in item
                else "The exit names no reason."
            )
            hint = "Write two items of the list." if "when" in item else "Write `when:` or `event:`."
            compilation.report.error(path, "PB229", what, hint)
        outcome = item.get("outcome", "stopped")
        if outcome in ("success", "stopped", "lost"):
            exits.append(Exit(when=when, event=event, outcome=outcome))
    return tuple(exits)


def _reached(
    data: dict[str, Any], path: Path, compilation: Compilation
) -> tuple[AllOf | None, EventMatch | None]:
    event = compilation.conditions.parse_event(data["event"], (*path, "event")) if "event" in data else None
    return compilation.condition(data, "when", path), event


def compile_send(data: dict[str, Any], path: Path, compilation: Compilation) -> SendWindow | None:
    """The `send` in `data`, a playbook or a step."""
    send, where = mapping_at(data, "send"), (*path, "send")
    if send is None:
        return None
    days = send.get("days")
    good = days is not None and not compilation.report.has_fault_within((*where, "days"))
    return SendWindow(
        between=compilation.form(WINDOW, send, "between", where),
        weekdays=parse_days(cast("str | list[str]", days)) if good else None,
        at_most_late_seconds=compilation.form(DURATION, send, "at_most_late", where),
        topic=compilation.text(send, "topic") or None,
    )


def merge_send(own: SendWindow | None, around: SendWindow | None) -> SendWindow | None:
    """A step's own rules over those of its playbook."""
    if own is None or around is None:
        return own or around
    given = {name: value for name, value in own.model_dump().items() if value is not None}
    return around.model_copy(update=given)
