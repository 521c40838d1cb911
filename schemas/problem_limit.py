"""How many problems of one file are told, and how long each may be: a file may be hostile, or simply not ours."""

from __future__ import annotations

import re
from dataclasses import replace

from schemas.errors import Problem

# In one file. Who corrects these sees the next ones; finding a hint for each of thousands would take minutes.
MOST_PROBLEMS = 200
# In one message, path or hint; what is quoted from a file may be as long as the file.
MOST_CHARACTERS = 1000
_QUOTED = re.compile('([`"])([^`"]{60})[^`"]{20,}([`"])')
_SHORT = 80


def shorten(text: str) -> str:
    """`text` with long quotations cut short, and no longer than MOST_CHARACTERS."""
    if len(text) <= _SHORT:
        return text
    short = _QUOTED.sub(r"\1\2…\3", text)
    return short if len(short) <= MOST_CHARACTERS else short[:MOST_CHARACTERS] + "…"


def shorten_problem(problem: Problem) -> Problem:
    """`problem` with nothing in it that is longer than a reader, or a terminal, can bear."""
    return replace(
        problem, path=shorten(problem.path), message=shorten(problem.message), hint=shorten(problem.hint)
    )


def too_many(file: str, line: int, column: int) -> Problem:
    """The problem that stands for all after the first MOST_PROBLEMS; the place is that of the next one."""
    what = f"There are more than {MOST_PROBLEMS} problems in this file."
    return Problem(file, line, column, "PB015", "", what, "Correct those before; the others are told then.")
