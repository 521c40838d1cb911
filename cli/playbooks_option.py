"""The option `--playbooks`, as every command has it that reads a directory of playbooks."""

from __future__ import annotations

from pathlib import Path

import click

playbooks_option = click.option(
    "--playbooks",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("playbooks"),
    show_default=True,
    metavar="DIR",
    help="The directory of the playbooks.",
)
