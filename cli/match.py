"""`holdfast match`: which triggers hold for given facts, without a database and without entry rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from activities.registry import find_step_types
from rules.generated import Matcher, compile_many
from rules.reference import explain
from schemas.catalogue import load_catalogue
from schemas.condition import Condition
from schemas.errors import SettingError
from schemas.facts import Facts
from schemas.facts_json import FactsError, read_facts
from schemas.loader import load_playbooks


def match_by_reference(named: Mapping[str, Condition]) -> Matcher:
    """As `rules.generated.compile_many`, by the reference evaluator."""

    def match(facts: Facts) -> tuple[list[str], list[str]]:
        results = {name: explain(condition, facts).result for name, condition in sorted(named.items())}
        return [name for name, result in results.items() if result], [
            name for name, result in results.items() if result is None
        ]

    return match


ENGINES: Mapping[str, Callable[[Mapping[str, Condition]], Matcher]] = {
    "reference": match_by_reference,
    "generated": compile_many,
}
# Named by the contract, so that scripts may ask for them.
COMING_ENGINES = ("columns", "durable_rules")


@click.command()
@click.option(
    "--facts",
    "facts_file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    required=True,
    metavar="F.jsonl",
    help="One customer's facts per line; - is standard input.",
)
@click.option(
    "--playbooks",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("playbooks"),
    show_default=True,
    metavar="DIR",
    help="The directory of the playbooks.",
)
@click.option(
    "--engine",
    type=click.Choice([*ENGINES, *COMING_ENGINES]),
    default="generated",
    show_default=True,
    help="What evaluates the conditions; all answer alike.",
)
@click.pass_context
def command(context: click.Context, facts_file: str, directory: Path, engine: str) -> None:
    """Say which playbooks' triggers hold for each line of facts, and which can't be decided.

    Looks at every playbook whatever its status, at its enter.when alone. Files and lines with errors are
    named on standard error and left out; the exit status is then 1.

    \b
    Example:
      echo '{"customer": "c1", "signals": {"health_score": 35}}' | holdfast match --facts -
      {"customer": "c1", "matches": ["rescue"], "unknown": []}
    """
    if engine in COMING_ENGINES:
        raise click.UsageError(
            f"The engine {engine} is not available in this version; use {' or '.join(ENGINES)}."
        )
    catalogue = load_catalogue()
    try:
        loaded = load_playbooks(directory, catalogue, find_step_types())
    except SettingError as error:
        raise click.UsageError(f"{error.message} {error.remedy}") from error
    for problem in loaded.problems:
        if problem.severity == "error":
            click.echo(str(problem), err=True)
    match = ENGINES[engine](
        {name: playbook.enter.when for name, playbook in loaded.playbooks.items() if playbook.enter}
    )
    # One moment for all lines that name none.
    now = datetime.now(UTC)
    failed = loaded.failed
    with click.open_file(facts_file, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                facts = read_facts(line, catalogue, now=now)
            except FactsError as error:
                failed = True
                click.echo(f"{facts_file}:{number}: {error.message}", err=True)
                continue
            matches, unknown = match(facts)
            click.echo(json.dumps({"customer": facts.customer, "matches": matches, "unknown": unknown}))
    context.exit(1 if failed else 0)
