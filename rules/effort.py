"""Which of several lines to ask first where the order doesn't matter to the answer."""

from __future__ import annotations

from schemas.condition import (
    Age,
    AllOf,
    AnyOf,
    Change,
    Condition,
    Contains,
    Crossing,
    EventCount,
    NoneOf,
)


def effort(node: Condition) -> int:
    """How much work a line is: 0 for a look at a value, more for groups and times, most for the past and events."""
    match node:
        case AllOf() | AnyOf() | NoneOf():
            return 1 + max(map(effort, node.items), default=0)
        case Age() | Contains():
            return 1
        case Crossing() | Change() | EventCount():
            return 10
    return 0
