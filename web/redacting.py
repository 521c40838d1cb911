"""What other systems sent us, with what is personal in it taken out, for people who look after the system."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# From the beginning of a word alone: looked for at each of its letters, the @ of a long one would take minutes.
_ADDRESS = re.compile(r"(?<![^\s<>\"',;:])[^\s<>\"',;:]+@[^\s<>\"',;:]+")
_NUMBER = re.compile(r"(?<![\w-])\+\d[\d ()./-]{5,}\d")
# What holds somebody's words or address under any of these names, in any spelling.
_PERSONAL = re.compile(
    r"^(to|from|recipients?|address|e?mail|phone|msisdn|text|body|subject|name|ip|token|useragent|agent)$"
)


def redact(value: Any, key: str = "") -> Any:
    """The same with addresses and numbers masked, and texts told by their length."""
    if isinstance(value, Mapping):
        return {str(name): redact(one, str(name)) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [redact(one, key) for one in value]
    if not isinstance(value, str):
        return value
    if value and _PERSONAL.match(re.sub(r"[^a-z]", "", key.lower())):
        return f"({len(value)} characters)"
    return redact_text(value)


def redact_text(text: str) -> str:
    """A text with the addresses and numbers in it masked."""
    return _NUMBER.sub("(a number)", _ADDRESS.sub("(an address)", text))
