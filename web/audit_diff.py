"""What a change changed: the fields that differ between before and after, for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldChange:
    """One field; None where it wasn't there before, or isn't any more."""

    name: str
    before: Any
    after: Any


def differ(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[FieldChange]:
    """The fields that aren't the same in both, in the order of their names; nested ones by their path."""
    old, new = _flat(before or {}), _flat(after or {})
    return [
        FieldChange(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _flat(value: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in value.items():
        if isinstance(one, Mapping) and one:
            found |= _flat(one, f"{within}{name}.")
        else:
            found[f"{within}{name}"] = one
    return found
