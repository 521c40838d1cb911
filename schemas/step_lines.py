"""At which line of its file each step stands, so that a picture of a playbook can lead there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.yaml_source import Path, Source, format_path, read_yaml


def find_lines(text: str) -> dict[str, int]:
    """Line (from 1) by the id of a step, its path where none was chosen; `enter`, `goal` and `exit[0]` as well.

    Of a text that can't be read nothing is found.
    """
    source, _ = read_yaml(text, "")
    if source is None or not isinstance(source.data, dict):
        return {}
    found = {key: source.key_place((key,))[0] for key in ("enter", "goal", "steps") if key in source.data}
    exits = source.data.get("exit")
    for index in range(len(exits) if isinstance(exits, list) else 0):
        found[format_path(("exit", index))] = source.key_place(("exit", index))[0]
    for step, path in _mappings(source.data.get("steps"), ("steps",)):
        given = step.get("id")
        found.setdefault(given if isinstance(given, str) else format_path(path), _line(source, path))
    return found


def _line(source: Source, path: Path) -> int:
    return source.key_place(path)[0]


def _mappings(data: Any, path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """Every mapping that is an item of a list, at any depth, with its path: steps are among these."""
    waiting: list[tuple[Any, Path]] = [(data, path)]
    while waiting:
        value, where = waiting.pop()
        if isinstance(value, list):
            waiting += [(item, (*where, index)) for index, item in enumerate(value)]
            yield from ((item, (*where, index)) for index, item in enumerate(value) if isinstance(item, dict))
        elif isinstance(value, dict):
            waiting += [(item, (*where, str(key))) for key, item in value.items()]
