"""`holdfast plan`: what publishing edited files would change."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.settings import Settings

if TYPE_CHECKING:
    from loops.planning import Plan, Planned
    from loops.playbook_files import Files

# Whoever would enter, and as what.
_ENTERING = ("entered", "shadow")


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--playbooks",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="What is planned where no PATH is given [playbooks].",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def command(context: click.Context, paths: tuple[Path, ...], directory: Path | None, form: str) -> None:
    """Tell what `holdfast apply` with the same arguments would change now, and change nothing.

    Per file: unchanged, limits, a new version and what is another in it, retired, or what is wrong. Then where each
    run inside goes on, who would enter at once, and what those mean for channels and CSMs, at most. Exit 1 where files
    have errors.

    \b
    Examples:
      holdfast plan
      holdfast plan rescue-declining-supplier --format json | jq .changes[0].entrants
    """
    from cli.named_files import read_named
    from schemas.catalogue import load_catalogue

    settings = Settings.read(os.environ)
    url = settings.require_database_url()
    context.exit(show_plan(url, read_named(paths, directory or settings.playbooks, load_catalogue()), form))


def show_plan(url: str, files: Sequence[Files], form: str) -> int:
    """Print the plan for these files; returns the exit status."""
    plan = asyncio.run(_plan(url, files))
    if form == "json":
        click.echo(json.dumps(plan.to_json(), ensure_ascii=False))
    else:
        for line in _describe(plan):
            click.echo(line)
    return 1 if any(part.errors for part in files) else 0


async def _plan(url: str, files: Sequence[Files]) -> Plan:
    from activities.steps import StepOpening
    from activities.versions import Versions
    from loops.planning import plan_files
    from schemas.catalogue import load_catalogue
    from store.database import Database

    def progress(done: int, of: int) -> None:
        if sys.stderr.isatty() or done >= of or done % 50_000 == 0:
            end = "\r" if sys.stderr.isatty() and done < of else "\n"
            click.echo(f"customers looked at: {done} of {of}{end}", err=True, nl=False)

    async with Database(url, connections=2) as database:
        return await plan_files(StepOpening(database, load_catalogue(), Versions()), files, progress)


def _describe(plan: Plan) -> Iterator[str]:
    for one in plan.planned:
        yield f"{one.file}: {one.change.describe()}"
        yield from (f"  {line}" for line in _details(one))
    for part in plan.files:
        yield from (f"{problem}" for problem in part.errors)
        for name in sorted(part.invalid):
            yield f"{part.directory / name}.yaml: refused: what is live stays live"
    unchanged = len(plan.unchanged)
    if unchanged or not plan.planned:
        yield f"{unchanged} {'playbook' if unchanged == 1 else 'playbooks'} unchanged"


def _details(one: Planned) -> Iterator[str]:
    yield from (f"{difference.what}: {difference.told}" for difference in one.differences)
    for landing in one.landings:
        at = f"{landing.count} {_runs(landing.count)} at {landing.step}"
        why = f" ({landing.reason})" if landing.reason else ""
        yield f"inside: {at} (version {landing.version}): {_tell(landing.lands, landing.step)}{why}"
    if one.entrants is None:
        return
    decided = one.entrants.decided
    entering = sum(decided[reason] for reason in _ENTERING)
    others = {reason: count for reason, count in decided.items() if reason not in _ENTERING and count}
    yield f"enter at once: {entering}" + (f"; held back: {_counts(others)}" if others else "")
    load = one.entrants.load
    if entering:
        more = entering - len(one.entrants.named)
        yield f"who: {', '.join(id_ for id_, _ in one.entrants.named)}" + (
            f" and {more:,} more" if more else ""
        )
        yield f"load, at most: first day {_counts(load.first_day)}; whole run {_counts(load.whole)}"
    if one.entrants.people:
        yield f"calls and tasks: {_counts(one.entrants.people)}"


def _tell(lands: str, step: str) -> str:
    return (
        lands
        if " " in lands or lands == "stops"
        else f"goes on at {lands}"
        if lands != step
        else "goes on there"
    )


def _runs(count: int) -> str:
    return "run" if count == 1 else "runs"


def _counts(counted: Mapping[str, int]) -> str:
    found = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in found if count) or "nothing"
