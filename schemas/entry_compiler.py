"""Who enters, what counts as success, what ends a run early, and when messages may leave."""

from __future__ import annotations

from typing import Any, Literal, cast

from schemas.compilation import AGAIN, DAILY, DURATION, PERCENT, WINDOW, Compilation, listed, mapping_at
from schemas.condition import AllOf
from schemas.form import parse_days
from schemas.plan import Again, Enter, EventMatch, Exit, Goal, SendWindow
from schemas.problem import did_you_mean
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
    if when is None:
        return None
    key = _key(enter, compilation)
    return Enter.model_validate({"when": when, "signals": signals, "key": key, **limits})


def _key(enter: dict[str, Any], compilation: Compilation) -> str | None:
    """The signal that keeps a customer's runs apart."""
    name, path, report = enter.get("key"), ("enter", "key"), compilation.report
    if not isinstance(name, str) or report.is_faulty(path):
        return None
    signal = compilation.language.catalogue.signals.get(name)
    if signal is None:
        close = did_you_mean(name, compilation.language.catalogue.signals, otherwise=" ").strip()
        hint = f"{close} A property of an event becomes a signal by a line in `schemas/signals.yaml`.".strip()
        report.error(path, "PB237", f"There is no signal `{name}` to keep runs apart.", hint)
    elif signal.personal:
        what = f"`{name}` is personal, and a run's key is shown wherever the run is."
        report.error(path, "PB237", what, "Use an id that means nothing outside.")
    elif signal.type in ("list", "bool") or not signal.playbooks:
        what = f"`{name}` can't keep runs apart."
        report.error(path, "PB237", what, "Use a signal that holds a text, a number, a date or a time.")
    return name


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
    best = send.get("best_time")
    rules = {
        "between": compilation.form(WINDOW, send, "between", where),
        "weekdays": parse_days(cast("str | list[str]", days)) if good else None,
        "at_most_late_seconds": compilation.form(DURATION, send, "at_most_late", where),
        "topic": compilation.text(send, "topic") or None,
        "best_time": best if isinstance(best, bool) else None,
    }
    # Only what was written: the rest may come from the playbook.
    return SendWindow.model_validate({name: rule for name, rule in rules.items() if rule is not None})


def merge_send(own: SendWindow | None, around: SendWindow | None) -> SendWindow | None:
    """A step's own rules over those of its playbook, word by word."""
    if own is None or around is None:
        return own or around
    return around.model_copy(update=own.model_dump(exclude_unset=True))
