"""`holdfast apply`: makes playbook files live."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.settings import Settings

if TYPE_CHECKING:
    from loops.playbook_files import Files
    from loops.publishing import Applied


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--playbooks",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="What is published where no PATH is given [playbooks].",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would change, as `holdfast plan` does.")
@click.option("--allow-empty", is_flag=True, help="Retire everything where DIR has no playbook at all.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def command(
    context: click.Context,
    paths: tuple[Path, ...],
    directory: Path | None,
    dry_run: bool,
    allow_empty: bool,
    form: str,
) -> None:
    """Publish playbooks, policy and templates to the database of HOLDFAST_DATABASE_URL, or of the running `dev`.

    Without PATHs all of DIR: a playbook whose file is gone is retired, and its runs finish. With PATHs (files,
    directories, names of playbooks) only those. A file with errors changes nothing, and stops no other; exit 1 then.

    \b
    Examples:
      holdfast apply
      holdfast apply playbooks/rescue-declining-supplier.yaml
    """
    from cli.named_files import read_named
    from cli.plan import show_plan
    from schemas.catalogue import load_catalogue

    settings = Settings.read(os.environ)
    url = settings.require_database_url()
    files = read_named(paths, directory or settings.playbooks, load_catalogue())
    if dry_run:
        context.exit(show_plan(url, files, form))
    for part in files:
        if not allow_empty and part.gone is None and not part.playbooks and not part.invalid:
            raise click.UsageError(
                f"There is no playbook in {part.directory}; publishing that would retire all. "
                "Say --allow-empty if that is meant."
            )
    failed = False
    for part, applied in zip(files, asyncio.run(_apply(url, files)), strict=True):
        failed = failed or bool(applied.errors)
        for line in _lines(part, applied):
            click.echo(json.dumps(line, ensure_ascii=False) if form == "json" else _describe(line))
    context.exit(1 if failed else 0)


async def _apply(url: str, files: Sequence[Files]) -> list[Applied]:
    from loops.publishing import publish_files
    from store.database import Database

    async with Database(url, connections=2) as database:
        return [await publish_files(database, part) for part in files]


def _lines(files: Files, applied: Applied) -> list[dict[str, Any]]:
    """One object per file: what became of it."""
    lines: list[dict[str, Any]] = []
    for change in applied.changes:
        file = str(files.directory / f"{change.name}.yaml")
        line = {"file": file, "name": change.name, "change": change.kind, "told": change.describe()}
        if change.after:
            line |= {"version": change.after.version, "status": change.after.status}
        lines.append(line)
    changed = {change.name for change in applied.changes}
    lines += [
        {
            "file": str(files.directory / f"{name}.yaml"),
            "name": name,
            "change": "unchanged",
            "told": "unchanged",
        }
        for name in sorted(files.playbooks)
        if name not in changed
    ]
    refused: dict[str, list[Any]] = {}
    for problem in applied.errors:
        refused.setdefault(problem.file, []).append(problem)
    for file, problems in refused.items():
        told = "refused: what was live stays live" + "".join(f"\n  {problem}" for problem in problems)
        found = [problem.to_json() for problem in problems]
        lines.append(
            {"file": file, "name": Path(file).stem, "change": "refused", "told": told, "problems": found}
        )
    told_of = {Path(file).stem for file in refused}
    lines += [
        {
            "file": str(files.directory / f"{name}.yaml"), "name": name, "change": "refused",
            "told": "refused for its template: what was live stays live",
        }
        for name in sorted(set(files.invalid) - told_of)
    ]  # fmt: skip
    return lines


def _describe(line: dict[str, Any]) -> str:
    return f"{line['file']}: {line['told']}"
