"""What two versions of a playbook differ in, in words for the person who is about to publish one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from rules.likeness import without_places
from rules.wording import sentence
from schemas.condition import AllOf
from schemas.form import format_duration
from schemas.nesting import conditions, inner
from schemas.plan import Act, Again, CompiledPlaybook, EventMatch, Step, Steps

# What of a step stands inside it, or says where it stands.
_APART = {"id", "then", "otherwise", "cases", "steps", "branches", "variants", "outcomes", "path", "line"}


@dataclass(frozen=True)
class Difference:
    """One thing that is another: `what` kind of thing (steps, trigger, goal, exits, …), and how."""

    what: str
    told: str


def differences(old: CompiledPlaybook, new: CompiledPlaybook) -> list[Difference]:
    """Everything that the second has otherwise than the first, the weightiest first."""
    return [Difference(what, told) for what, tellings in _parts(old, new) for told in tellings]


def _parts(old: CompiledPlaybook, new: CompiledPlaybook) -> Iterator[tuple[str, Iterable[str]]]:
    if old.status != new.status:
        yield "status", [f"{old.status} is now {new.status}"]
    yield "trigger", _conditions(_lines(old), _lines(new))
    yield "goal", _conditions(_goal(old), _goal(new))
    yield "exits", _conditions(_exits(old), _exits(new))
    yield "steps", _steps(list(_walk(old.steps)), list(_walk(new.steps)))
    if old.send != new.send:
        yield "send", ["the playbook's sending rules are others"]
    yield "templates", _templates(old, new)
    yield "limits", _limits(old, new)


def _conditions(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    yield from (f"gone: {line}" for line in old if line not in new)
    yield from (f"added: {line}" for line in new if line not in old)


def _lines(playbook: CompiledPlaybook) -> list[str]:
    return [sentence(item) for item in playbook.enter.when.items] if playbook.enter else []


def _goal(playbook: CompiledPlaybook) -> list[str]:
    goal = playbook.goal
    if goal is None:
        return []
    return [f"{goal.name}: {_awaited(goal.when, goal.event)} within {format_duration(goal.within_seconds)}"]


def _exits(playbook: CompiledPlaybook) -> list[str]:
    return [f"{_awaited(one.when, one.event)} counts as {one.outcome}" for one in playbook.exits]


def _awaited(when: AllOf | None, event: EventMatch | None) -> str:
    told = [sentence(when)] if when else []
    if event:
        told.append(f"event {event.name}" + (f" where {sentence(event.where)}" if event.where else ""))
    return " or ".join(told)


def _walk(steps: Steps) -> Iterator[Step]:
    """Every step in the order of the file, arms and outcomes by name: the store keeps no order of those."""
    for step in steps:
        yield step
        by_name = {
            field: dict(sorted(getattr(step, field).items()))
            for field in ("variants", "outcomes")
            if hasattr(step, field)
        }
        for nested in inner(step.model_copy(update=by_name)):
            yield from _walk(nested)


def _steps(old: Sequence[Step], new: Sequence[Step]) -> Iterator[str]:
    """Steps that are gone, added or changed: by their ids where those say anything, else by what they do."""
    before, after = [_content(step) for step in old], [_content(step) for step in new]
    stood, stands = {step.id for step in old}, {step.id for step in new}
    for tag, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        gone, come = list(old[i:j]), list(new[k:m])
        for step in [step for step in gone if step.id in {other.id for other in come}]:
            other = next(one for one in come if one.id == step.id)
            gone.remove(step)
            come.remove(other)
            yield f"{_name(step)}: {', '.join(_changed(step, other))}"
        for step in gone:
            # A step that merely moved is told where it comes.
            if step.id not in stands or _is_path(step.id):
                yield f"{_name(step)} is gone"
        for step in come:
            if step.id in stood and not _is_path(step.id):
                yield f"{_name(step)} stands elsewhere"
            else:
                yield f"{_name(step)} is added"
    yield from _reactions(old, new)


def _reactions(old: Sequence[Step], new: Sequence[Step]) -> Iterator[str]:
    there = {step.id: step for step in new}
    for step in old:
        if not _is_path(step.id) and step.id in there and type(there[step.id]) is type(step):
            before, after = (_follows(one) for one in (step, there[step.id]))
            for outcome in sorted(before.keys() | after.keys()):
                if before.get(outcome) != after.get(outcome):
                    yield f"{_name(step)}: after {outcome} {after.get(outcome, 'next')}"


def _follows(step: Step) -> dict[str, str]:
    return {
        outcome: f"{reaction.do} {reaction.goto}" if reaction.goto else reaction.do
        for outcome, reaction in getattr(step, "outcomes", {}).items()
    }


def _changed(old: Step, new: Step) -> list[str]:
    """Which words of a step are others."""
    if _word(old) != _word(new):
        return [f"is {_word(new)} now"]
    before, after = _own(old), _own(new)
    fields = [name for name in after if before.get(name) != after[name]]
    names: list[str] = []
    for name in fields:
        if name == "args":
            names += [key for key in after["args"] if before["args"].get(key) != after["args"][key]]
        else:
            names.append({"guard": "if", "when": "condition", "spec": "length"}.get(name, name))
    asked = (
        [f"if {sentence(condition)}" for condition in conditions(new)]
        if {"guard", "when"} & {*fields}
        else []
    )
    return [f"{' and '.join(names) or 'its conditions'} changed", *asked]


def _content(step: Step) -> str:
    asked = [without_places(condition) for condition in conditions(step)]
    name = "" if _is_path(step.id) else step.id
    return json.dumps((name, _word(step), _own(step), asked), sort_keys=True)


def _own(step: Step) -> dict[str, Any]:
    """What the step itself says, without the steps inside it and without where it stands."""
    own: dict[str, Any] = _stripped(step.model_dump(mode="json", exclude=_APART))
    return own


def _stripped(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _stripped(value) for key, value in tree.items() if key not in ("path", "line")}
    return [_stripped(value) for value in tree] if isinstance(tree, list) else tree


def _word(step: Step) -> str:
    return step.word if isinstance(step, Act) else {"elapsed": "wait"}.get(step.kind, step.kind)


def _name(step: Step) -> str:
    return f"{step.id} ({_word(step)})"


def _is_path(step_id: str) -> bool:
    """Whether nobody chose the id: it says where the step stands, and so is another after every insertion."""
    return "[" in step_id


def _templates(old: CompiledPlaybook, new: CompiledPlaybook) -> Iterator[str]:
    for name in sorted(old.templates.keys() & new.templates.keys()):
        before, after = old.templates[name], new.templates[name]
        parts = [
            f"{channel}.{part}"
            for channel in sorted(before.keys() | after.keys())
            for part in sorted(before.get(channel, {}).keys() | after.get(channel, {}).keys())
            if before.get(channel, {}).get(part) != after.get(channel, {}).get(part)
        ]
        if parts:
            yield f"{name}: {', '.join(parts)} changed"
    yield from (f"{name} is used no more" for name in sorted(old.templates.keys() - new.templates.keys()))
    yield from (f"{name} is used" for name in sorted(new.templates.keys() - old.templates.keys()))


def _limits(old: CompiledPlaybook, new: CompiledPlaybook) -> Iterator[str]:
    before, after = _read_limits(old), _read_limits(new)
    for name, value in after.items():
        if before[name] != value:
            yield f"{name}: {before[name]} is now {value}"


def _read_limits(playbook: CompiledPlaybook) -> dict[str, str]:
    enter = playbook.enter
    return {
        "title": playbook.title,
        "owner": playbook.owner,
        "about": playbook.about[:60],
        "group": playbook.group or "none",
        "priority": str(playbook.priority),
        "again": _again(enter.again) if enter else "",
        "at_most": f"{enter.at_most_per_day} per day"
        if enter and enter.at_most_per_day is not None
        else "any number",
        "holdout": f"{enter.holdout_percent:g}%" if enter else "",
        "key": (enter.key or "none") if enter else "",
        "signals": ", ".join(enter.signals) if enter else "",
        "on_change": playbook.on_change,
        "max_overdue": format_duration(playbook.max_overdue_seconds),
    }


def _again(again: Again) -> str:
    match again.kind:
        case "after":
            return f"after {format_duration(again.seconds)}"
        case "times":
            return f"{again.times} per {format_duration(again.seconds)}"
    return again.kind
