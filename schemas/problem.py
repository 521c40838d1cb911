"""Gathering the problems of one file, so that one fault is told once and at the word at fault."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Literal

from schemas.errors import Problem
from schemas.form import FormError
from schemas.problem_limit import MOST_PROBLEMS, shorten, too_many
from schemas.yaml_source import Path, Source, format_path

# A longer word is a slip of nothing, and measuring how near it is takes as long as it is.
_LONGEST_WORD = 100


class TooManyProblems(Exception):  # noqa: N818 - it carries problems, it isn't one
    """A file has more than MOST_PROBLEMS problems; the last of `problems` says so."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__(f"{len(problems)} problems")


class Report:
    """The problems of one source.

    An error at a path that lies at or inside an erroneous one isn't told: it follows from the first.
    Raises TooManyProblems instead of taking one more than MOST_PROBLEMS.
    """

    def __init__(self, source: Source, problems: Iterable[Problem] = ()) -> None:
        self.source = source
        self.problems = list(problems)
        # What reading the YAML found is known by its path alone.
        self._read = [problem.path for problem in self.problems if problem.path]
        self._faulty: set[str] = set(self._read)
        self._paths: list[Path] = []

    @property
    def failed(self) -> bool:
        """Whether there is an error among the problems (warnings don't count)."""
        return any(problem.severity == "error" for problem in self.problems)

    def error(self, path: Path, code: str, message: str, hint: str = "", *, key: bool = False) -> None:
        """Add an error at the value at `path`, or at its key."""
        if not self.is_faulty(path):
            self._mark(path)
            self._add(path, code, message, hint, key, "error")

    def warn(self, path: Path, code: str, message: str, hint: str = "", *, key: bool = False) -> None:
        """Add a warning; warnings stand beside errors and hide none."""
        self._add(path, code, message, hint, key, "warning")

    def form_error(self, path: Path, code: str, error: FormError) -> None:
        """Add what was wrong with a textual form."""
        self.error(path, code, error.message, error.hint)

    def at(self, line: int, column: int, path: Path, code: str, message: str, hint: str = "") -> None:
        """Add an error at a place of its own, as inside a text; several may share a path."""
        self._append(line, column, path, code, message, hint, "error")
        self._mark(path)

    def is_faulty(self, path: Path) -> bool:
        """Whether an error was reported at `path` or around it."""
        if not self._faulty:
            return False
        return any(format_path(path[:end]) in self._faulty for end in range(1, len(path) + 1))

    def has_fault_within(self, path: Path) -> bool:
        """Whether an error was reported at `path`, around it, or inside it."""
        if self.is_faulty(path) or any(found[: len(path)] == path for found in self._paths):
            return True
        inside = (f"{format_path(path)}.", f"{format_path(path)}[")
        return any(found.startswith(inside) for found in self._read)

    def _mark(self, path: Path) -> None:
        self._faulty.add(format_path(path))
        self._paths.append(path)

    def _add(
        self, path: Path, code: str, message: str, hint: str, key: bool, severity: Literal["error", "warning"]
    ) -> None:
        line, column = self.source.key_place(path) if key else self.source.place(path)
        self._append(line, column, path, code, message, hint, severity)

    def _append(
        self,
        line: int,
        column: int,
        path: Path,
        code: str,
        message: str,
        hint: str,
        severity: Literal["error", "warning"],
    ) -> None:
        if len(self.problems) >= MOST_PROBLEMS:
            raise TooManyProblems([*self.problems, too_many(self.source.file, line, column)])
        told = (shorten(format_path(path)), shorten(message), shorten(hint))
        self.problems.append(Problem(self.source.file, line, column, code, *told, severity))


def nearest(word: str, known: Collection[str]) -> list[str]:
    """The known words that `word` may be a slip of, most likely first."""
    if len(word) > _LONGEST_WORD:
        return []
    lowered = {name.lower(): name for name in known}
    plain = word.lower().replace("-", "_").replace(" ", "_")
    found = [lowered[name] for name in get_close_matches(plain, lowered, 3, 0.7)]
    return found or [lowered[name] for name in get_close_matches(word.lower(), lowered, 2, 0.6)]


def did_you_mean(word: str, known: Collection[str], *, otherwise: str = "") -> str:
    """A hint that names the nearest known words, or all of them where there are few."""
    close = nearest(word, known)
    if close:
        return f"Did you mean {join_words(close)}?"
    if otherwise:
        return otherwise
    return f"Known here: {', '.join(known)}." if 0 < len(known) <= 20 else ""


def join_words(words: Iterable[str], last: str = "or") -> str:
    """`a, b or c`, each as code; `last` is the word before the last."""
    coded = [f"`{word}`" for word in words]
    return coded[0] if len(coded) == 1 else f"{', '.join(coded[:-1])} {last} {coded[-1]}"


def kind_of(value: object) -> str:
    """What a value from a file is called in messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if value == "":
        return "an empty text"
    if isinstance(value, str):
        return f"the text `{value if len(value) <= 40 else value[:40] + '…'}`"
    return "a list" if isinstance(value, list) else "a mapping"
