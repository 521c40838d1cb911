"""Builds plain data and the places of its values from a YAML parser's events, with an explicit stack.

Depth, aliases and size are bounded as the events come, before anything is built of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from schemas.errors import Problem
from schemas.problem_limit import MOST_PROBLEMS, shorten_problem, too_many
from schemas.yaml_place import Path, Place, format_path
from schemas.yaml_scalar import ScalarError, read_plain

MAX_LEVELS = 50
MAX_NODES = 100_000
MAX_KEY = 200

# libyaml where PyYAML was built with it: ten times faster, and the same events.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unreadable(Exception):  # noqa: N818 - it carries a problem, it isn't one
    """Nothing after this point can be read."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being filled; `key` is the mapping key that waits for its value."""

    data: Any
    place: Place
    path: Path
    anchor: str | None
    key: str | None = None
    key_place: tuple[int, int] = (1, 1)
    key_due: bool = False
    dropped: bool = False


class Builder:
    """Builds data and places from parser events, with an explicit stack."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.problems: list[Problem] = []
        self.data: Any = None
        self.places: Place | None = None
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, Place] | None] = {}
        self._nodes = 0
        self._documents = 0

    def build(self) -> None:
        handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._begin,
        }
        loader = _LOADER(self.text)
        try:
            while True:
                event = loader.get_event()
                kind = type(event)
                if kind in handlers:
                    handlers[kind](event)
                elif kind is yaml.StreamEndEvent:
                    return
        finally:
            loader.dispose()

    def _begin(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            line, column = _position(event)
            what, hint = "A second document begins here.", "One file holds one document: remove `---`."
            self._stop(line, column, "PB012", what, hint)

    def _scalar(self, event: Any) -> None:
        line, column = _position(event)
        style = event.style or ""
        value: Any = event.value
        self._check_tag(event, line, column)
        plain = not style and event.tag is None
        if self._stack and self._stack[-1].key_due:
            self._take_key(value, plain, line, column)
            return
        if plain:
            try:
                value = read_plain(value)
            except ScalarError as fault:
                self._report(line, column, "PB007", self._path(), fault.message, fault.hint)
                value = fault.meant
        place = Place(line, column, style)
        if event.anchor:
            self._anchors[event.anchor] = (value, place)
        self._put(value, place)

    def _take_key(self, key: str, plain: bool, line: int, column: int) -> None:
        top = self._stack[-1]
        top.key, top.key_place, top.key_due, top.dropped = key, (line, column), False, False
        if len(key) > MAX_KEY:
            what = f"A key of {len(key):,} characters stands here, and {MAX_KEY} are the most."
            self._report(line, column, "PB107", top.path, what, "Shorten it.")
            top.key, top.dropped = key[:MAX_KEY], True
            return
        path = (*top.path, key)
        if plain and key == "<<":
            self._report(
                line,
                column,
                "PB008",
                path,
                "Merge keys (`<<`) are not part of YAML 1.2.",
                "Write the keys out.",
            )
            top.dropped = True
        elif plain and not _is_text(key):
            written = f"`{key}`" if key else "An empty key"
            self._report(
                line,
                column,
                "PB011",
                path,
                f"{written} is not text, and a key has to be.",
                f'Put it in quotes: "{key}".',
            )
        if key in top.data and not top.dropped:
            first = top.place.children[key][0][0]
            what = f"`{key}` is repeated; it stands on line {first} already."
            self._report(
                line,
                column,
                "PB006",
                path,
                what,
                "Keep one of the two; in a condition, `all:` joins two lines about one signal.",
            )
            top.dropped = True

    def _open(self, event: Any) -> None:
        line, column = _position(event)
        self._check_tag(event, line, column)
        if self._stack and self._stack[-1].key_due:
            hint = 'Text that begins with { or [ needs quotes, as in "{{ customer.first_name }}".'
            self._stop(line, column, "PB011", "A mapping or list stands where a key is expected.", hint)
        if len(self._stack) >= MAX_LEVELS:
            self._stop(
                line, column, "PB003", f"This is nested more than {MAX_LEVELS} levels deep.", "Divide it up."
            )
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.anchor:
            self._anchors[event.anchor] = None
        place = Place(line, column)
        self._stack.append(_Open({} if mapping else [], place, self._path(), event.anchor, key_due=mapping))

    def _close(self, _: Any) -> None:
        done = self._stack.pop()
        if done.anchor:
            self._anchors[done.anchor] = (done.data, done.place)
        # What is inside was counted as it came.
        self._put(done.data, done.place, 1)

    def _alias(self, event: Any) -> None:
        line, column = _position(event)
        if self._stack and self._stack[-1].key_due:
            self._stop(line, column, "PB009", "An alias can't be a key.", "Write the key out.")
        if event.anchor not in self._anchors:
            hint = (
                f"Text that begins with * needs quotes; an alias needs an anchor (&{event.anchor}) before it."
            )
            self._report(
                line,
                column,
                "PB009",
                self._path(),
                f"There is no anchor `&{event.anchor}` before this.",
                hint,
            )
            self._put(None, Place(line, column))
            return
        target = self._anchors[event.anchor]
        if target is None:
            self._stop(
                line, column, "PB009", f"`*{event.anchor}` contains itself.", "Write out what is meant."
            )
            return
        data, place = target
        if len(self._stack) + place.levels > MAX_LEVELS + 1:
            self._stop(
                line,
                column,
                "PB003",
                f"With this alias the file is more than {MAX_LEVELS} levels deep.",
                "Divide it up.",
            )
        copied = Place(line, column, place.style, place.children, place.nodes, place.levels)
        self._put(data, copied, place.nodes)

    def _put(self, value: Any, place: Place, nodes: int = 1) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES and nodes > 1:
            what = f"With its aliases written out the file has more than {MAX_NODES:,} values."
            self._stop(place.line, place.column, "PB009", what, "Use fewer aliases.")
        if self._nodes > MAX_NODES:
            what = f"The file has more than {MAX_NODES:,} values."
            self._stop(place.line, place.column, "PB002", what, "Divide it into several files.")
        if not self._stack:
            self.data, self.places = value, place
            return
        top = self._stack[-1]
        if top.key is not None:
            if not top.dropped:
                top.data[top.key] = value
                top.place.children[top.key] = (top.key_place, place)
            top.key, top.key_due = None, True
        else:
            top.place.children[len(top.data)] = ((place.line, place.column), place)
            top.data.append(value)
        top.place.nodes += place.nodes
        top.place.levels = max(top.place.levels, place.levels + 1)

    def _path(self) -> Path:
        if not self._stack:
            return ()
        top = self._stack[-1]
        return (*top.path, top.key if top.key is not None else len(top.data))

    def _check_tag(self, event: Any, line: int, column: int) -> None:
        if event.tag is None or event.tag == "tag:yaml.org,2002:str":
            return
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        hint = (
            f'A value that begins with ! needs quotes, as in "{tag} free".'
            if tag in ("!", "!=")
            else "Leave the tag out."
        )
        self._stop(line, column, "PB010", f"`{tag}` is read as a YAML tag, and tags are not supported.", hint)

    def _report(self, line: int, column: int, code: str, path: Path, message: str, hint: str) -> None:
        if len(self.problems) >= MOST_PROBLEMS:
            raise Unreadable(too_many(self.file, line, column))
        problem = Problem(self.file, line, column, code, format_path(path), message, hint)
        self.problems.append(shorten_problem(problem))

    def _stop(self, line: int, column: int, code: str, message: str, hint: str) -> None:
        path = "" if code == "PB003" else format_path(self._path())
        raise Unreadable(shorten_problem(Problem(self.file, line, column, code, path, message, hint)))


def _position(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _is_text(key: str) -> bool:
    try:
        return isinstance(read_plain(key), str)
    except ScalarError:
        # `True:` as a key can only be meant as a word; `010:` can't be told.
        return bool(re.fullmatch(r"[A-Za-z]+", key))
