"""`holdfast new`: commented starting points that are valid and tested from the first minute."""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Mapping
from pathlib import Path

import click

from cli import drafts
from schemas.errors import InputError

STEP_WORD = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
LONGEST_NAME = 64


@click.group(invoke_without_command=False)
def command() -> None:
    """Write a commented starting point that already validates and passes its test.

    \b
    Examples:
      holdfast new playbook win-back
      holdfast new step send_gift
    """


@command.command("playbook")
@click.argument("name")
@click.option(
    "--playbooks", "directory", type=click.Path(path_type=Path, file_okay=False), default=Path("playbooks"),
    show_default=True, metavar="DIR", help="Where it is written.",
)  # fmt: skip
def new_playbook(name: str, directory: Path) -> None:
    """Write playbooks/NAME.yaml, and its test into playbooks/tests/.

    NAME is of lower-case words with dashes.

    \b
    Example:
      holdfast new playbook win-back
    """
    _check_playbook_name(name)
    file, test = directory / f"{name}.yaml", directory / "tests" / f"{name}.yaml"
    _write(
        {
            file: drafts.fill(drafts.PLAYBOOK, name=name, tests=str(test), schemas=_schemas(directory)),
            test: drafts.fill(drafts.PLAYBOOK_TEST, name=name, schemas=_schemas(test.parent)),
        }
    )
    click.echo(f"Next: holdfast validate {file}; holdfast test {name}", err=True)


@command.command("step")
@click.argument("name")
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path(), metavar="DIR",
    help="The checkout, with activities/ and tests/; this directory where left out.",
)  # fmt: skip
def new_step(name: str, root: Path) -> None:
    """Write activities/NAME.py, a step type, and tests/unit/test_step_NAME.py.

    NAME is the word that playbooks will say: lower-case letters, digits and underscores.

    \b
    Example:
      holdfast new step send_gift
    """
    _check_step_word(name, root)
    file, test = root / "activities" / f"{name}.py", root / "tests" / "unit" / f"test_step_{name}.py"
    named = "".join(part.capitalize() for part in name.split("_"))
    imports = sorted(
        [
            f"from activities.{name} import STEP, {named}Arguments, carry_out",
            "from activities.registry import find_step_types",
        ]
    )
    chosen = {
        "word": name,
        "class": named,
        "dashed": name.replace("_", "-"),
        "imports": "\n".join(imports),
    }
    _write({file: drafts.fill(drafts.STEP, **chosen), test: drafts.fill(drafts.STEP_TEST, **chosen)})
    click.echo(f"Next: pytest {test}; holdfast schema, so that editors know the word.", err=True)


def _check_playbook_name(name: str) -> None:
    from schemas.file_selection import BESIDE_PLAYBOOKS
    from schemas.message_part import NAME_PATTERN

    if not re.fullmatch(NAME_PATTERN, name) or len(name) > LONGEST_NAME:
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST_NAME]
        raise InputError(
            f"{name!r} can't be the name of a playbook.",
            remedy=f"Names are lower-case words with dashes{f', such as {near}' if near else ''}.",
        )
    if f"{name}.yaml" in BESIDE_PLAYBOOKS:
        told = "what governs all playbooks" if name == "policy" else "what customers are to reach"
        raise InputError(f"{name}.yaml is {told}.", remedy="Choose another name.")


def _check_step_word(name: str, root: Path) -> None:
    from activities.registry import RESERVED, find_step_types

    if not (root / "activities" / "registry.py").is_file():
        raise InputError(
            f"There is no activities/ in {root.resolve()}.",
            remedy="Run this in a checkout of Holdfast, or name one with --root.",
        )
    if not re.fullmatch(STEP_WORD, name) or len(name) > LONGEST_NAME or keyword.iskeyword(name):
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:LONGEST_NAME]
        usable = near if near and near != name and not keyword.iskeyword(near) else "send_gift"
        raise InputError(
            f"{name!r} can't be the word of a step.",
            remedy=f"Use lower-case letters, digits and underscores, as in {usable}.",
        )
    if name in RESERVED:
        raise InputError(f"`{name}` is a word of the language itself.", remedy="Choose another word.")
    if name in find_step_types():
        raise InputError(f"There is a step `{name}` already.", remedy="Choose another word.")


def _schemas(directory: Path) -> str:
    """The way from `directory` to the JSON Schemas that come with this version."""
    here = Path(__file__).resolve().parent.parent / "schemas"
    return Path(os.path.relpath(here, directory.resolve())).as_posix()


def _write(files: Mapping[Path, str]) -> None:
    """Write all of them, or none where one is there already."""
    for path in files:
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} is there already.", remedy="Choose another name, or edit that file.")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"{path} written.")
