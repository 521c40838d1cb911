"""`holdfast simulate`: one customer played through one playbook, on a virtual clock and without a database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from cli.playbooks_option import playbooks_option
from loops.simulation.happening import Happening, HappeningError, read_happenings
from loops.simulation.run import Line
from loops.simulation.stage import Stage, find_file, set_stage
from loops.simulation.wording import plain_line
from schemas.catalogue import load_catalogue
from schemas.errors import PlaybookError, SettingError
from schemas.facts import Facts
from schemas.facts_json import FactsError, read_facts
from schemas.signal_value import instant_of


class Instant(click.ParamType[datetime]):
    """A time such as 2026-03-02T09:00:00Z."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The instant, in UTC."""
        instant = instant_of(value)
        if instant is None:
            self.fail(f"{value!r} is no time; write it as 2026-03-02T09:00:00Z.", param, ctx)
        return instant


@click.command()
@click.argument("playbook", metavar="PLAYBOOK")
@click.option(
    "--facts", "facts_file", required=True, metavar="F.json",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="What is known of the customer; - is standard input.",
)  # fmt: skip
@click.option(
    "--events", "events_file", metavar="E.jsonl", type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="What happens to them, one object per line.",
)  # fmt: skip
@click.option(
    "--start", type=Instant(), metavar="T", help="When the run starts; the facts' `now` where left out."
)
@playbooks_option
@click.pass_context
def command(
    context: click.Context,
    playbook: str,
    facts_file: str,
    events_file: str | None,
    start: datetime | None,
    directory: Path,
) -> None:
    """Play one customer through a playbook and print what happens, one JSON object per line, in order of time.

    PLAYBOOK is a name or a path. Nothing leaves this machine; trigger, status and holdout don't matter. Events are
    {"at", "name", "properties", "signals"}, {"at", "consent", "suppressed"} or {"at", "do", "step", "outcome"} with
    pause, resume, stop or complete.

    \b
    Example:
      holdfast simulate rescue-declining-supplier --facts customer.json --events what-happens.jsonl
      {"at": "2026-03-02T09:00:00Z", "step": "success-call", "kind": "call", "outcome": "open", …}
      …
      {"at": "2026-03-18T09:00:00Z", "run": "ended", "outcome": "success", "reason": "goal back-on-track"}
    """
    if facts_file == events_file == "-":
        raise click.UsageError("Only one of --facts and --events can be standard input.")
    stage = open_stage(context, playbook, directory)
    with click.open_file(facts_file, "rb") as file:
        text = file.read()
    try:
        now = datetime.now(UTC).replace(microsecond=0)
        facts = read_facts(text, load_catalogue(), now=now)
    except FactsError as error:
        click.echo(f"{facts_file}: {error.message}", err=True)
        context.exit(1)
    try:
        happenings = _read_events(events_file) if events_file else []
    except HappeningError as error:
        click.echo(error.message, err=True)
        context.exit(1)
    for line in asyncio.run(_play(stage, facts, happenings, start)):
        click.echo(json.dumps(plain_line(line), ensure_ascii=False))


def open_stage(context: click.Context, playbook: str, directory: Path) -> Stage:
    """The playbook of that name or path, ready to be played; ends the command where there is none, or it has errors."""
    try:
        return set_stage(find_file(playbook, directory), load_catalogue())
    except SettingError as error:
        raise click.UsageError(f"{error.message} {error.remedy}") from error
    except PlaybookError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        context.exit(1)


def _read_events(file: str) -> list[Happening]:
    with click.open_file(file, "rb") as lines:
        return read_happenings(lines, file)


async def _play(
    stage: Stage, facts: Facts, happenings: Sequence[Happening], start: datetime | None
) -> list[Line]:
    # What belongs to Temporal is only read once everything else is found in order.
    from loops.simulation.simulator import Simulator

    async with Simulator(
        policy=stage.policy, step_types=stage.step_types, playbooks=stage.others
    ) as simulator:
        return await simulator.play(stage.playbook, facts, happenings, start)
