"""Where the values of a parsed file stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Path = tuple[str | int, ...]


@dataclass(slots=True)
class Place:
    """Where a node stands, from line 1 and column 1.

    `children` maps a key or index to the place of the key and the place of its value.
    """

    line: int
    column: int
    style: str = ""
    children: dict[str | int, tuple[tuple[int, int], Place]] = field(default_factory=dict)
    nodes: int = 1
    levels: int = 1


def format_path(path: Sequence[str | int]) -> str:
    """A path as users read it: `steps[1].email`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
