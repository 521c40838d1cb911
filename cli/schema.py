"""`holdfast schema`: the JSON Schemas that editors use, from the catalogue and the registered steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import schemas.catalogue
from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.editor_schema import adapt_for_editors
from schemas.health_schema import build_health_schema
from schemas.milestones_schema import build_milestones_schema
from schemas.playbook_schema import build_playbook_schema
from schemas.playbook_test_schema import build_playbook_test_schema
from schemas.policy_schema import build_policy_schema
from schemas.template_schema import build_template_schema


def build_schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema, for every kind of file."""
    step_types = find_step_types()
    outcomes = {outcome for step_type in step_types.values() for outcome in step_type.outcomes}
    return {
        "playbook.schema.json": adapt_for_editors(
            build_playbook_schema(load_catalogue(), step_types), outcomes
        ),
        "playbook-test.schema.json": adapt_for_editors(
            build_playbook_test_schema(load_catalogue(), step_types)
        ),
        "health.schema.json": adapt_for_editors(build_health_schema(load_catalogue())),
        "milestones.schema.json": adapt_for_editors(build_milestones_schema(load_catalogue())),
        "policy.schema.json": adapt_for_editors(build_policy_schema()),
        "template.schema.json": adapt_for_editors(build_template_schema()),
    }


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 where a file isn't up to date.")
@click.option(
    "--out",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    default=Path(schemas.catalogue.__file__).parent,
    help="Where to; schemas/ where left out.",
)
@click.pass_context
def command(context: click.Context, check: bool, directory: Path) -> None:
    """Write the JSON Schemas of playbooks, their tests, policy, milestones, health models and templates.

    An editor completes and checks a playbook whose first line is
    `# yaml-language-server: $schema=../schemas/playbook.schema.json`.

    \b
    Examples:
      holdfast schema
      holdfast schema --check
    """
    stale = 0
    for name, schema in build_schemas().items():
        path = directory / name
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if check:
            click.echo(f"{path} is not up to date: run `holdfast schema`.", err=True)
            continue
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"{path} written.", err=True)
    if not stale:
        click.echo("The schemas are up to date.", err=True)
    context.exit(1 if check and stale else 0)
