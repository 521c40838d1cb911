"""Which of the files that somebody named are read as what, by where they lie and how they are called."""

from __future__ import annotations

import os
from pathlib import Path

from schemas.errors import Problem, SettingError
from schemas.problem import nearest
from schemas.yaml_file import unreadable

POLICY_FILE = "policy.yaml"
MILESTONES_FILE = "milestones.yaml"
# Files beside the playbooks that are none.
BESIDE_PLAYBOOKS = (POLICY_FILE, MILESTONES_FILE)
TEMPLATES = "templates"
HEALTH = "health"


class FileSelection:
    """The files of each kind in the order in which they were named, and what was wrong with finding them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        # Dictionaries for their order, as a file may be named twice.
        self.playbooks: dict[Path, None] = {}
        self.templates: dict[Path, None] = {}
        self.policies: dict[Path, None] = {}
        self.health: dict[Path, None] = {}
        self.milestones: dict[Path, None] = {}

    def add(self, path: Path) -> None:
        """One that was named: a file, or a directory with all that is read of it. Raises SettingError."""
        try:
            directory, there = path.is_dir(), path.exists() or path.is_symlink()
        except OSError:
            # It lies where nobody may look; reading it says why.
            directory, there = False, True
        if directory:
            self._add_directory(path)
        elif not there:
            near = nearest(path.name, _names_in(path.parent))
            remedy = (
                f"Did you mean {path.parent / near[0]}?"
                if near
                else "Name a file or a directory of playbooks."
            )
            raise SettingError(f"There is no {path}.", remedy=remedy)
        elif path.parent.name == TEMPLATES:
            self.templates[path] = None
        elif path.parent.name == HEALTH:
            self.health[path] = None
        else:
            self._add_beside(path)

    def _add_directory(self, directory: Path) -> None:
        if directory.name == TEMPLATES:
            self.templates.update(dict.fromkeys(self._yaml_files(directory)))
            return
        if directory.name == HEALTH:
            self.health.update(dict.fromkeys(self._yaml_files(directory)))
            return
        for path in self._yaml_files(directory):
            self._add_beside(path)
        for name, files in ((TEMPLATES, self.templates), (HEALTH, self.health)):
            if os.path.isdir(directory / name):  # noqa: PTH112 - False also where nobody may look
                files.update(dict.fromkeys(self._yaml_files(directory / name)))

    def _add_beside(self, path: Path) -> None:
        own = {POLICY_FILE: self.policies, MILESTONES_FILE: self.milestones}
        own.get(path.name, self.playbooks)[path] = None

    def _yaml_files(self, directory: Path) -> list[Path]:
        try:
            found = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
        except OSError as error:
            self.problems.append(unreadable(directory, (error.strerror or str(error)).lower()))
            return []
        for path in found:
            if path.suffix == ".yml":
                hint = f"Rename it to {path.stem}.yaml."
                what = "This file is not read: its name ends in .yml."
                self.problems.append(Problem(str(path), 1, 1, "PB014", "", what, hint, "warning"))
        return [path for path in found if path.suffix == ".yaml"]


def _names_in(directory: Path) -> list[str]:
    """What lies in a directory; nothing where there is none, or nobody may look."""
    try:
        return [item.name for item in directory.iterdir()]
    except OSError:
        return []


def list_unhidden(directory: Path) -> list[Path]:
    """The YAML files of a directory; none where it can't be looked into."""
    try:
        return [path for path in sorted(directory.glob("*.yaml")) if not path.name.startswith(".")]
    except OSError:
        return []
