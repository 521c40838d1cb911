"""Whether two conditions say the same, wherever they were written."""

from __future__ import annotations

from typing import Any

from schemas.condition import Condition


def without_places(node: Condition) -> str:
    """What a condition says, wherever it was written: two that say the same have the same text."""
    return repr(_stripped(node.model_dump()))


def _stripped(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _stripped(value) for key, value in tree.items() if key not in ("path", "line")}
    return [_stripped(item) for item in tree] if isinstance(tree, list | tuple) else tree
