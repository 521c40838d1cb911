"""What a command line means that names something published: a playbook, or a health model as health/NAME."""

from __future__ import annotations

from pathlib import PurePath

from schemas.file_selection import HEALTH


def read_name(named: str) -> tuple[str, bool]:
    """The name, and whether it is a health model's; paths to files will do."""
    path = PurePath(named.removesuffix(".yaml").removesuffix(".yml"))
    return path.name, path.parent.name == HEALTH
