"""The texts of two versions of a playbook beside each other, as `diff -u` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from schemas.plan import CompiledPlaybook


@dataclass(frozen=True)
class Written:
    """One version: its digest, the text of its file, and what it was compiled to, templates included."""

    version: str
    text: str
    playbook: CompiledPlaybook


def diff(old: Written, new: Written) -> list[str]:
    """Lines of a unified diff of the files, then of every part of a template that differs; templates have no versions
    of their own.
    """
    lines = list(_unified(old, new, f"{new.playbook.name}.yaml", old.text, new.text))
    before, after = _parts(old.playbook.templates), _parts(new.playbook.templates)
    for place in sorted(before.keys() | after.keys()):
        lines += _unified(old, new, f"templates/{place}", before.get(place, ""), after.get(place, ""))
    return lines


def diff_texts(name: str, old: tuple[str, str], new: tuple[str, str]) -> list[str]:
    """Lines of a unified diff of one file; old and new are its version and its text."""
    (was, before), (is_now, after) = old, new
    names = (f"{name}\t{was}", f"{name}\t{is_now}")
    return list(unified_diff(before.splitlines(), after.splitlines(), *names, lineterm=""))


def _unified(old: Written, new: Written, name: str, before: str, after: str) -> Iterator[str]:
    """Nothing where both are the same."""
    names = (f"{name}\t{old.version}", f"{name}\t{new.version}")
    return unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")


def _parts(templates: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    """What each part of each template says, by its place."""
    return {
        f"{name}.yaml {channel}.{part}": _text(value)
        for name, channels in templates.items()
        for channel, parts in channels.items()
        for part, value in parts.items()
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(one)}" for key, one in value.items())
    return str(value)
