"""Reads a file that somebody else wrote: only ordinary files, never more of one than it may have."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from schemas.errors import Problem
from schemas.yaml_source import MAX_BYTES, Source, read_bytes

# Without this flag, where the system has it, opening a pipe waits until somebody writes to it.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_CHECK = "Check that it is a file, and its permissions."


def read_content(path: Path) -> bytes | Problem:
    """The bytes of a file, at most one more than `read_bytes` accepts, or why it can't be read (PB014).

    What isn't an ordinary file (a directory, a pipe, a device) is never waited for.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _AT_ONCE)
        with open(handle, "rb", closefd=True) as file:  # noqa: PTH123 - of a handle, not a path
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return unreadable(path, "it is not an ordinary file")
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        if error.errno == errno.EISDIR:
            return unreadable(path, "it is a directory")
        return unreadable(path, (error.strerror or str(error)).lower())
    except ValueError as error:
        return unreadable(path, str(error))


def read_file(path: Path) -> tuple[Source | None, list[Problem]]:
    """What could be read of the YAML file at `path`, and all problems; no Source where it can't be read at all."""
    content = read_content(path)
    return (None, [content]) if isinstance(content, Problem) else read_bytes(content, str(path))


def unreadable(path: Path, why: str) -> Problem:
    """The problem of a file that can't be read."""
    return Problem(str(path), 1, 1, "PB014", "", f"The file can't be read: {why}.", _CHECK)
