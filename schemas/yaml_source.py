"""Strict YAML: text in, plain Python data and the place of every key and value out.

The core schema of YAML 1.2, narrowed to what can't be misread: only `true` and `false` are booleans, `on` and
`10:30` and dates are text, a repeated key is an error. The tree is built from the parser's events, not by
recursion, so that depth, aliases and size are bounded before anything is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from schemas.errors import PlaybookError, Problem
from schemas.problem_limit import shorten_problem
from schemas.yaml_builder import MAX_LEVELS, MAX_NODES, Builder, Unreadable
from schemas.yaml_fault import explain_syntax_error, find_unreadable
from schemas.yaml_place import Path, Place, format_path

__all__ = [
    "MAX_BYTES", "MAX_LEVELS", "MAX_NODES", "Path", "Place", "Source",
    "format_path", "load_bytes", "load_yaml", "read_bytes", "read_yaml",
]  # fmt: skip

MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed file: `data` is plain Python (dict, list, str, int, float, bool, None)."""

    data: Any
    file: str
    places: Place
    text: str = ""

    def place(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the value at `path`, or of the nearest thing around it that exists."""
        found, _ = self._walk(path)
        return found.line, found.column

    def key_place(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the key (or list item) at the end of `path`, or of the nearest around it."""
        return self._walk(path)[1]

    def text_place(self, path: Sequence[str | int], line: int, column: int) -> tuple[int, int]:
        """Line and column in the file of a position (both from 1) inside the text that stands at `path`."""
        value: Any = self.data
        for part in path:
            value = value[part]
        place, _ = self._walk(path)
        if not isinstance(value, str):
            return place.line, place.column
        before = "\n".join(
            [*value.split("\n")[: line - 1], value.split("\n")[min(line, value.count("\n") + 1) - 1]]
        )
        last = before.rfind("\n") + 1
        offset = min(last + column - 1, max(len(value) - 1, 0))
        # The parser folds, indents and unescapes; what survives all three are the visible characters.
        wanted = [char for char in value[: offset + 1] if not char.isspace()]
        lines = _split(self.text)
        row, col = place.line - 1, place.column - 1
        if place.style in ("|", ">"):
            row, col = row + 1, 0
        elif place.style in ("'", '"'):
            col += 1
        answer = (place.line, place.column)
        position = 0
        while row < len(lines) and position < len(wanted):
            if col >= len(lines[row]):
                row, col = row + 1, 0
                continue
            if lines[row][col] == wanted[position]:
                answer = (row + 1, col + 1)
                position += 1
            col += 1
        return answer

    def _walk(self, path: Sequence[str | int]) -> tuple[Place, tuple[int, int]]:
        place, key = self.places, (self.places.line, self.places.column)
        for part in path:
            if part not in place.children:
                break
            key, place = place.children[part]
        return place, key


@lru_cache(maxsize=4)
def _split(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def load_yaml(text: str, file: str) -> Source:
    """Parse `text`; raises PlaybookError with every problem, each with its line and column."""
    source, problems = read_yaml(text, file)
    if problems or source is None:
        raise PlaybookError(problems)
    return source


def load_bytes(content: bytes, file: str) -> Source:
    """Like `load_yaml`, for the bytes of a file."""
    source, problems = read_bytes(content, file)
    if problems or source is None:
        raise PlaybookError(problems)
    return source


def read_bytes(content: bytes, file: str) -> tuple[Source | None, list[Problem]]:
    """Like `read_yaml`, for the bytes of a file; what isn't UTF-8 is a problem at its place."""
    if len(content) > MAX_BYTES:
        return None, [_too_big(file)]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        what = "This isn't text: the file is not UTF-8."
        return None, [
            Problem(
                file, line, column, "PB004", "", what, "Save the file as UTF-8 without a byte order mark."
            )
        ]
    return read_yaml(text, file)


def read_yaml(text: str, file: str) -> tuple[Source | None, list[Problem]]:
    """What could be read of `text`, and all problems; no Source where the text isn't YAML at all."""
    # A character takes at least a byte, so that only texts near the limit are encoded to be measured.
    if len(text) > MAX_BYTES or len(text) * 4 > MAX_BYTES < len(text.encode("utf-8", "surrogatepass")):
        return None, [_too_big(file)]
    if unreadable := find_unreadable(text, file):
        return None, [unreadable]
    builder = Builder(file, text)
    try:
        builder.build()
    except Unreadable as stop:
        return None, [*builder.problems, stop.problem]
    except yaml.YAMLError as error:
        return None, [*builder.problems, shorten_problem(explain_syntax_error(error, text, file))]
    if builder.places is None:
        hint = "Write something into it, or delete it."
        return None, [*builder.problems, Problem(file, 1, 1, "PB013", "", "The file is empty.", hint)]
    return Source(builder.data, file, builder.places, text), builder.problems


def _too_big(file: str) -> Problem:
    what = f"The file is bigger than {MAX_BYTES // 1_000_000} MB."
    return Problem(file, 1, 1, "PB002", "", what, "Divide it into several files.")
