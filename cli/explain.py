"""`holdfast explain`: why a trigger holds for a customer, or why not, line by line."""

from __future__ import annotations

import importlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from activities.registry import find_step_types
from cli.playbooks_option import playbooks_option
from rules.reference import explain, truth_word
from schemas.catalogue import load_catalogue
from schemas.compiled_cache import open_cache
from schemas.errors import SettingError
from schemas.facts import Facts
from schemas.facts_json import FactsError, read_facts
from schemas.loader import load_paths
from schemas.plan import CompiledPlaybook
from schemas.problem import nearest


@click.command()
@click.argument("playbook", metavar="PLAYBOOK")
@click.option(
    "--facts",
    "facts_file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="F.json",
    help="The facts; - is standard input.",
)
@click.option("--customer", metavar="ID", help="A customer of the running system instead.")
@playbooks_option
@click.pass_context
def command(
    context: click.Context, playbook: str, facts_file: str | None, customer: str | None, directory: Path
) -> None:
    """Print every line of a playbook's trigger with what it expected and what it found, as one JSON object.

    PLAYBOOK is a name or a path. Give either --facts or --customer.

    \b
    Example:
      holdfast explain rescue-declining-supplier --facts customer.json
      {"playbook": "rescue-declining-supplier", "version": "…", "result": "false", "checks": [
        {"path": "enter.when.health_score", "line": 14, "expected": "< 40", "actual": 52, "result": "false"}]}
    """
    if (facts_file is None) == (customer is None):
        raise click.UsageError("Give either --facts F.json or --customer ID.")
    if customer is not None:
        # Asks the database, which facts from a file need not have.
        answer = importlib.import_module("cli.customer_explanation").explain_customer(playbook, customer)
        click.echo(json.dumps(answer))
        return
    assert facts_file is not None
    compiled = _find_playbook(context, playbook, directory)
    with click.open_file(facts_file, "rb") as file:
        text = file.read()
    try:
        facts = read_facts(text, load_catalogue(), now=datetime.now(UTC))
    except FactsError as error:
        click.echo(f"{facts_file}: {error.message}", err=True)
        context.exit(1)
    click.echo(json.dumps(explain_trigger(compiled, facts)))


def explain_trigger(playbook: CompiledPlaybook, facts: Facts) -> dict[str, Any]:
    """The object that `explain` prints; without a trigger there are no lines, and the result is false."""
    explanation = explain(playbook.enter.when, facts) if playbook.enter else None
    return {
        "playbook": playbook.name,
        "version": playbook.version,
        "result": truth_word(explanation.result if explanation else False),
        "checks": [check.to_json() for check in explanation.checks] if explanation else [],
    }


def _find_playbook(context: click.Context, name: str, directory: Path) -> CompiledPlaybook:
    """The playbook of that name in the directory, or in the file of that path; leaves with a message where it
    can't.
    """
    path = Path(name)
    if path.suffix != ".yaml" and len(path.parts) == 1:
        path = directory / f"{name}.yaml"
    if not path.is_file():
        near = nearest(path.stem, [item.stem for item in path.parent.glob("*.yaml") if item.stem != "policy"])
        hint = f" Did you mean {near[0]}?" if near else ""
        raise click.UsageError(f"There is no playbook {path}.{hint}")
    try:
        loaded = load_paths([path], load_catalogue(), find_step_types(), open_cache(os.environ))
    except SettingError as error:
        raise click.UsageError(f"{error.message} {error.remedy}") from error
    compiled = loaded.playbooks.get(path.stem)
    if compiled is None:
        for problem in loaded.problems:
            click.echo(str(problem), err=True)
        context.exit(1)
    if compiled.enter is None:
        click.echo(
            f"{compiled.name} has no trigger: it is started only by hand, by the API or by `start`.", err=True
        )
    return compiled
