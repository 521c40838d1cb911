"""The playbook files that a command is to work on: those named, or all of a directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from loops.playbook_files import Files, read_directory, read_paths
from schemas.catalogue import Catalogue
from schemas.errors import SettingError
from schemas.file_selection import HEALTH


def read_named(paths: Sequence[Path], directory: Path, catalogue: Catalogue) -> list[Files]:
    """The files at `paths`, or everything in `directory`; a bare name is that playbook of `directory`, health/NAME that
    model.

    Raises click's UsageError for what isn't there.
    """
    try:
        if not paths:
            return [read_directory(directory, catalogue)]
        return read_paths([_find(path, directory) for path in paths], catalogue)
    except SettingError as error:
        raise click.UsageError(f"{error.message} {error.remedy}") from error


def _find(path: Path, directory: Path) -> Path:
    named = directory / f"{path}.yaml"
    plain = len(path.parts) == 1 or (len(path.parts) == 2 and path.parts[0] == HEALTH)
    return named if not path.exists() and plain and named.exists() else path
