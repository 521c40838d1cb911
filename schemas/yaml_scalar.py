"""What an unquoted YAML scalar means here: the core schema of YAML 1.2 without what is easily misread."""

from __future__ import annotations

import math
import re
from typing import Any

# Above this JSON readers, and our comparisons, lose digits.
MAX_INTEGER = 2**53

_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+(\..*)?")
_OTHER_BASE = re.compile(r"[-+]?0[xob][0-9a-fA-F]+")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MISSPELT = {"True": True, "TRUE": True, "False": False, "FALSE": False, "Null": None, "NULL": None}


class ScalarError(ValueError):
    """An unquoted value that can't be taken as it stands; `meant` is the best guess, to go on with."""

    def __init__(self, message: str, hint: str, meant: Any) -> None:
        self.message, self.hint, self.meant = message, hint, meant
        super().__init__(message)


def read_plain(text: str) -> Any:
    """The value of an unquoted scalar: None, bool, int, float or the text itself; raises ScalarError."""
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if text in _MISSPELT:
        raise ScalarError(
            f"`{text}` is not a YAML word.", f'Write {text.lower()}, or "{text}" for text.', _MISSPELT[text]
        )
    if text[0] not in "+-.0123456789":
        return text
    return _read_number(text)


def _read_number(text: str) -> Any:
    quoted = f'"{text}"'
    if _NOT_FINITE.fullmatch(text):
        raise ScalarError(f"`{text}` is not a number that can be compared.", "Write a finite number.", text)
    if _OTHER_BASE.fullmatch(text):
        raise ScalarError(
            f"`{text}` is a number in another base.", f"Write it in decimal, or {quoted} for text.", text
        )
    if _LEADING_ZERO.fullmatch(text):
        bare = text.lstrip("+-0") or "0"
        bare = f"0{bare}" if bare.startswith(".") else bare
        raise ScalarError(
            f"`{text}` begins with a zero, which some read as octal.",
            f"Write {bare} for the number, or {quoted} for text.",
            text,
        )
    if _INTEGER.fullmatch(text):
        if len(text) > 20 or abs(int(text)) > MAX_INTEGER:
            raise ScalarError(
                f"`{text[:40]}` is too big to be exact.",
                f'Put it in quotes if it is an id: "{text[:40]}".',
                text,
            )
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ScalarError(f"`{text[:40]}` is too big for a number.", "Write a finite number.", text)
        return number
    return text
