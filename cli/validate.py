"""`holdfast validate`: every problem of playbooks, policy, health models and templates, each at its line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.compiled_cache import open_cache
from schemas.errors import Problem, SettingError
from schemas.loader import Loaded, load_paths


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json prints one object per problem and line.",
)
@click.option(
    "--playbooks",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("playbooks"),
    show_default=True,
    metavar="DIR",
    help="What is checked where no PATH is given.",
)
@click.option("--no-cache", is_flag=True, help="Check every file anew, also those that were checked before.")
@click.pass_context
def command(
    context: click.Context, paths: tuple[Path, ...], form: str, directory: Path, no_cache: bool
) -> None:
    """Tell all problems of playbooks, policy, health models and templates in one pass.

    A PATH is a file, a directory, or the name of a playbook. Exits with 1 where there are errors;
    warnings are fine.

    \b
    Examples:
      holdfast validate
      holdfast validate playbooks/rescue-declining-supplier.yaml
      holdfast validate --format json | jq .message
    """
    try:
        cache = None if no_cache else open_cache(os.environ)
        loaded = load_paths(_find(paths, directory), load_catalogue(), find_step_types(), cache)
    except SettingError as error:
        click.echo(f"holdfast validate: {error.message} {error.remedy}", err=True)
        context.exit(2)
    for problem in loaded.problems:
        told = json.dumps(problem.to_json(), ensure_ascii=False) if form == "json" else _describe(problem)
        # A file's name needn't be UTF-8, but what is printed is.
        click.echo(told.encode("utf-8", "backslashreplace").decode())
    click.echo(_summarise(loaded), err=True)
    context.exit(1 if loaded.failed else 0)


def _find(paths: tuple[Path, ...], directory: Path) -> list[Path]:
    """The paths; a bare name that is no path is that playbook of the directory."""
    found = []
    for path in paths or (directory,):
        named = directory / f"{path}.yaml"
        found.append(named if not path.exists() and len(path.parts) == 1 and named.exists() else path)
    return found


def _describe(problem: Problem) -> str:
    where = f"{problem.file}:{problem.line}:{problem.column}"
    path = f" at {problem.path}" if problem.path else ""
    hint = f"\n    {problem.hint}" if problem.hint else ""
    return f"{where}: {problem.severity} {problem.code}{path}\n    {problem.message}{hint}"


def _summarise(loaded: Loaded) -> str:
    errors = sum(problem.severity == "error" for problem in loaded.problems)
    warnings = len(loaded.problems) - errors
    checked = _count(loaded.files, "file")
    if not loaded.problems:
        return f"{checked} checked: all good." if loaded.files else "There is no YAML file here."
    found = f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"
    return f"{checked} checked: {found}. docs/problems/README.md explains the codes."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
