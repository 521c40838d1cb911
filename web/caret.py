"""Where in a YAML text somebody is writing, by indentation: the text needn't be readable, as it is being typed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# A step into a mapping by its key, or into a list.
Part = str | Literal[0]
ITEM: Literal[0] = 0

# Nobody writes more between braces that are still open.
LONGEST_FLOW = 2_000
_KEY = re.compile(r"""(?P<key>"[^"]*"|'[^']*'|[A-Za-z_][\w./-]*)\s*:(?=\s|$)""")
_DASH = re.compile(r"-(?:\s+|$)")
_SCALAR = re.compile(r"[|>][+-]?[0-9]?[+-]?\s*(?:#.*)?$")


@dataclass(frozen=True)
class Caret:
    """What is being written: a `key` of the mapping at `path`, or a `value` there; `word` is the part before the caret,
    beginning at `column` (from 1). `present` are the keys that the mapping has already.
    """

    path: Sequence[Part]
    where: Literal["key", "value"]
    word: str
    column: int
    present: frozenset[str] = frozenset()


@dataclass
class _Frame:
    indent: int
    part: Part


def find_caret(text: str, line: int, column: int) -> Caret | None:
    """The place at this line and column (from 1); None inside a comment, a block of text or a quoted word."""
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        return None
    frames: list[_Frame] = []
    flow = ""
    block: int | None = None
    for number, written in enumerate(lines[:line], start=1):
        content = written[: column - 1] if number == line else written
        indent = len(content) - len(content.lstrip(" "))
        stripped = content.strip()
        if block is not None:
            if not stripped or indent > block:
                if number == line and (indent > block or len(content) > block):
                    return None
                continue
            block = None
        if number == line:
            return _here(lines, line, column, content, frames, flow)
        if flow:
            flow = _unclosed(f"{flow} {stripped}")
            # It is read again with every line.
            if len(flow) > LONGEST_FLOW:
                return None
            continue
        if not stripped or stripped.startswith("#"):
            continue
        rest, indent = _enter_items(content, indent, frames)
        key = _KEY.match(rest)
        if key is None:
            flow = _unclosed(rest)
            continue
        _leave(frames, indent)
        frames.append(_Frame(indent, key["key"].strip("\"'")))
        value = rest[key.end() :].strip()
        if _SCALAR.match(value):
            block = indent
        flow = _unclosed(value)
    return None


def _enter_items(content: str, indent: int, frames: list[_Frame]) -> tuple[str, int]:
    """What follows the dashes of a line, and at which column it stands; the lists are entered."""
    while dash := _DASH.match(content, indent):
        # A list may stand under its key without being indented.
        while frames and (
            frames[-1].indent > indent or (frames[-1].indent == indent and frames[-1].part == ITEM)
        ):
            frames.pop()
        frames.append(_Frame(indent, ITEM))
        indent = dash.end()
    return content[indent:], indent


def _leave(frames: list[_Frame], indent: int) -> None:
    while frames and frames[-1].indent >= indent:
        frames.pop()


def _here(
    lines: Sequence[str], line: int, column: int, content: str, frames: list[_Frame], flow: str
) -> Caret | None:
    if flow:
        return _in_flow([frame.part for frame in frames], f"{flow} {content.strip()}", content, column)
    if content.lstrip().startswith("#") or " #" in content:
        return None
    indent = len(content) - len(content.lstrip(" "))
    rest, indent = _enter_items(content, indent, frames)
    key = _KEY.match(rest)
    _leave(frames, indent)
    path = [frame.part for frame in frames]
    if key is None:
        if _unclosed(rest):
            return _in_flow(path, rest, content, column)
        if not re.fullmatch(r"[\w./-]*", rest):
            return None
        return Caret(path, "key", rest, column - len(rest), _present(lines, line, indent))
    path = [*path, key["key"].strip("\"'")]
    value = rest[key.end() :].lstrip()
    if rest.endswith(":"):
        return None
    if _unclosed(value):
        return _in_flow(path, value, content, column)
    if not re.fullmatch(r"[\w./-]*", value):
        return None
    return Caret(path, "value", value, column - len(value))


def _unclosed(text: str) -> str:
    """The part of a text in braces and brackets that are still open; empty where none is."""
    opened: list[int] = []
    quote = ""
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and (place == 0 or text[place - 1] in " ,:{[("):
            quote = char
        elif char == "#" and (place == 0 or text[place - 1] == " "):
            break
        elif char in "{[":
            opened.append(place)
        elif char in "}]" and opened:
            opened.pop()
    return text[opened[0] :] if opened else ""


def _in_flow(path: Sequence[Part], text: str, content: str, column: int) -> Caret | None:
    """The place at the end of an open `{…` or `[…`."""
    parts: list[Part] = list(path)
    # For each open bracket: what it is, the keys that it has, and the key that its value belongs to.
    open_: list[tuple[str, set[str], str]] = []
    word, quote = "", ""
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
            continue
        if char in "\"'" and text[place - 1 : place] in ("", " ", ",", ":", "{", "["):
            quote = char
        elif char in "{[":
            if open_ and open_[-1][2]:
                parts.append(open_[-1][2])
            elif open_ and open_[-1][0] == "[":
                parts.append(ITEM)
            open_.append((char, set(), ""))
            word = ""
        elif char in "}]" and open_:
            open_.pop()
            if open_:
                parts.pop()
                open_[-1] = (open_[-1][0], open_[-1][1], "")
            word = ""
        elif char == "," and open_:
            open_[-1] = (open_[-1][0], open_[-1][1], "")
            word = ""
        elif char == ":" and open_ and open_[-1][0] == "{" and not open_[-1][2]:
            open_[-1][1].add(word.strip())
            open_[-1] = ("{", open_[-1][1], word.strip())
            word = ""
        else:
            word += char
    if quote or not open_:
        return None
    kind, keys, key = open_[-1]
    word = word.lstrip()
    if not re.fullmatch(r"[\w./-]*", word) or not content.endswith(word):
        return None
    begins = column - len(word)
    if kind == "[":
        return Caret([*parts, ITEM], "value", word, begins)
    if key:
        return Caret([*parts, key], "value", word, begins) if text[-1] != ":" else None
    return Caret(parts, "key", word, begins, frozenset(keys))


def _present(lines: Sequence[str], line: int, indent: int) -> frozenset[str]:
    """The keys of the mapping that has a key on this line at this indentation, the line itself left out."""
    found: set[str] = set()
    own = lines[line - 1]
    begins = len(own) - len(own.lstrip(" ")) != indent
    for step in (-1, 1):
        number = line - 1
        while True:
            if step < 0 and begins and number == line - 1:
                break
            number += step
            if not 0 <= number < len(lines):
                break
            written = lines[number]
            if not written.strip() or written.lstrip().startswith("#"):
                continue
            depth = len(written) - len(written.lstrip(" "))
            if depth > indent:
                continue
            at = depth
            while dash := _DASH.match(written, at):
                at = dash.end()
            if at == indent and (at == depth or step < 0) and (key := _KEY.match(written, at)):
                found.add(key["key"].strip("\"'"))
            if depth < indent or (at != depth and at <= indent):
                break
    return frozenset(found)
