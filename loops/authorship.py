"""Who wrote what lies in a directory: whoever committed it last, whoever works on it here, or whoever runs this."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

_PATIENCE_SECONDS = 5
_AUTHOR = "author: "
Key = TypeVar("Key")


def find_authors(directory: Path, files: Mapping[Key, Sequence[Path]]) -> dict[Key, str]:
    """The author of the latest change to any of the `files` of each key; they lie in `directory` or below it.

    From git where that knows them: the author of the last commit, or the git user where something isn't committed yet;
    else the name of the system's user. Asks git the same few questions however many files there are.
    """
    user = system_user()
    uncommitted = _list(directory, "diff", "--name-only", "--relative", "HEAD", "--", ".")
    untracked = _list(directory, "ls-files", "--others", "--", ".")
    if untracked is None:
        return dict.fromkeys(files, user)
    mine = {*(uncommitted or ()), *untracked}
    me = next(iter(_list(directory, "config", "user.name") or ()), user)
    committed = _read_log(directory)
    found: dict[Key, str] = {}
    for key, paths in files.items():
        names = [_name(directory, path) for path in paths]
        last = min((committed[name] for name in names if name in committed), default=None)
        found[key] = me if mine & set(names) else last[1] if last else user
    return found


def system_user() -> str:
    """The name of the user that this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _name(directory: Path, path: Path) -> str:
    try:
        return path.absolute().relative_to(directory.absolute()).as_posix()
    except ValueError:
        return str(path)


def _read_log(directory: Path) -> dict[str, tuple[int, str]]:
    """How many commits ago each file was committed last, and by whom."""
    found: dict[str, tuple[int, str]] = {}
    number, author = 0, ""
    for line in (
        _list(directory, "log", f"--format={_AUTHOR}%an", "--name-only", "--relative", "--", ".") or ()
    ):
        if line.startswith(_AUTHOR):
            number, author = number + 1, line.removeprefix(_AUTHOR)
        else:
            found.setdefault(line, (number, author))
    return found


def _list(directory: Path, *arguments: str) -> list[str] | None:
    """The lines that git answers; None where there is no git, no repository, or no answer in time."""
    command = ["git", "--no-optional-locks", "-c", "core.quotepath=off", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return [line for line in done.stdout.splitlines() if line] if done.returncode == 0 else None
