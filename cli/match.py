"""`holdfast match`: which triggers hold for given facts, without a database and without entry rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from activities.registry import find_step_types
from cli.facts_lines import FactsLines
from cli.playbooks_option import playbooks_option
from rules.engines import MatchAll, match_with
from schemas.catalogue import load_catalogue
from schemas.errors import SettingError
from schemas.facts import Facts
from schemas.loader import load_playbooks
from schemas.settings import RULES_ENGINES, RulesEngine

# Columns are worked out for many customers at once; the others answer line by line, as lines come.
_AT_ONCE = {"columns": 1000}


@click.command()
@click.option(
    "--facts",
    "facts_file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    required=True,
    metavar="F.jsonl",
    help="One customer's facts per line; - is standard input.",
)
@playbooks_option
@click.option(
    "--engine",
    type=click.Choice(RULES_ENGINES),
    default="generated",
    show_default=True,
    help="What evaluates the conditions; all answer alike.",
)
@click.pass_context
def command(context: click.Context, facts_file: str, directory: Path, engine: RulesEngine) -> None:
    """Say which playbooks' triggers hold for each line of facts, and which can't be decided.

    Looks at every playbook whatever its status, at its enter.when alone. Files and lines with errors are
    named on standard error and left out; the exit status is then 1.

    \b
    Example:
      echo '{"customer": "c1", "signals": {"health_score": 35}}' | holdfast match --facts -
      {"customer": "c1", "matches": ["rescue"], "unknown": []}
    """
    catalogue = load_catalogue()
    try:
        loaded = load_playbooks(directory, catalogue, find_step_types())
    except SettingError as error:
        raise click.UsageError(f"{error.message} {error.remedy}") from error
    for problem in loaded.problems:
        if problem.severity == "error":
            click.echo(str(problem), err=True)
    triggers = {name: playbook.enter.when for name, playbook in loaded.playbooks.items() if playbook.enter}
    try:
        match = match_with(engine, triggers)
    except SettingError as error:
        raise click.UsageError(f"{error.message} {error.remedy}") from error
    at_once = _AT_ONCE.get(engine, 1)
    waiting: list[Facts] = []
    lines = FactsLines(facts_file, catalogue)
    for facts in lines:
        waiting.append(facts)
        if len(waiting) >= at_once:
            _tell(waiting, match)
            waiting.clear()
    _tell(waiting, match)
    context.exit(1 if loaded.failed or lines.failed else 0)


def _tell(customers: Sequence[Facts], match: MatchAll) -> None:
    for facts, (matches, unknown) in zip(customers, match(customers), strict=True):
        click.echo(json.dumps({"customer": facts.customer, "matches": matches, "unknown": unknown}))
