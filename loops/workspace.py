"""A directory of playbooks as it would be with one file changed: what is tried out there touches nothing."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from schemas.errors import InputError, Problem
from schemas.file_selection import HEALTH, TEMPLATES

BESIDE = (TEMPLATES, HEALTH)
_FILE = re.compile(r"(?:(?:templates|health)/)?[a-z0-9][a-z0-9_-]{0,63}\.yaml")


def check_file(file: str) -> str:
    """`file` itself, if it names a file of a directory of playbooks: NAME.yaml, templates/NAME.yaml, health/NAME.yaml.

    Raises InputError.
    """
    if not _FILE.fullmatch(file):
        raise InputError(
            f"{file[:100]!r} is no file of a directory of playbooks.",
            remedy="Write NAME.yaml, templates/NAME.yaml or health/NAME.yaml; names are lower-case words with dashes.",
        )
    return file


@contextmanager
def lay_out(directory: Path, file: str, text: str) -> Iterator[Path]:
    """A directory in which `file` says `text`, and everything else is as in `directory`; gone afterwards.

    Raises InputError for what can't be a file's name.
    """
    check_file(file)
    space = Path(tempfile.mkdtemp(prefix="holdfast-draft-"))
    try:
        home, _, _ = file.rpartition("/")
        _link(directory, space, but={file, home})
        if home:
            (space / home).mkdir()
            _link(directory / home, space / home, but={Path(file).name})
        # What can't be text is for the check to say.
        (space / file).write_bytes(text.encode("utf-8", "surrogatepass"))
        yield space
    finally:
        shutil.rmtree(space, ignore_errors=True)


def _link(directory: Path, space: Path, but: set[str]) -> None:
    if not directory.is_dir():
        return
    for path in directory.absolute().iterdir():
        if path.name in but or path.name.startswith("."):
            continue
        if path.suffix in (".yaml", ".yml") or path.name in BESIDE:
            (space / path.name).symlink_to(path)


def as_in(directory: Path, space: Path, problem: Problem) -> Problem:
    """The problem as it is told of `directory` itself."""
    return replace(
        problem,
        file=problem.file.replace(str(space), str(directory)),
        message=problem.message.replace(str(space), str(directory)),
        hint=problem.hint.replace(str(space), str(directory)),
    )
