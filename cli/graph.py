"""`holdfast graph`: a playbook as a picture, in Mermaid."""

from __future__ import annotations

import os
from pathlib import Path

import click

from activities.registry import find_step_types
from cli.playbooks_option import playbooks_option
from rules.wording import sentence
from schemas.catalogue import load_catalogue
from schemas.compiled_cache import open_cache
from schemas.errors import SettingError
from schemas.graph import draw_graph
from schemas.loader import load_paths
from schemas.plan import CompiledPlaybook
from schemas.problem import nearest


@click.command()
@click.argument("playbook", metavar="PLAYBOOK")
@playbooks_option
@click.pass_context
def command(context: click.Context, playbook: str, directory: Path) -> None:
    """Print a playbook as a Mermaid flowchart.

    PLAYBOOK is a name or a path. GitHub, GitLab and many editors draw it between ```mermaid and ```; so does
    https://mermaid.live.

    \b
    Examples:
      holdfast graph rescue-declining-supplier
      holdfast graph playbooks/come-back.yaml > come-back.mmd
    """
    try:
        click.echo(draw_graph(_load(playbook, directory), sentence), nl=False)
    except SettingError as error:
        raise click.UsageError(f"{error.message} {error.remedy}") from error


def _load(playbook: str, directory: Path) -> CompiledPlaybook:
    """The playbook of that name or path; what is wrong with its file goes to standard error."""
    path = Path(playbook)
    if not path.is_file():
        path = directory / f"{playbook}.yaml"
    if not path.is_file():
        known = [item.stem for item in directory.glob("*.yaml")] if directory.is_dir() else []
        near = nearest(playbook, known)
        hint = f"Did you mean {near[0]}?" if near else "Name a playbook or its file."
        raise SettingError(f"There is no playbook {playbook} in {directory}.", remedy=hint)
    loaded = load_paths([path], load_catalogue(), find_step_types(), open_cache(os.environ))
    for problem in loaded.problems:
        if problem.severity == "error":
            click.echo(str(problem), err=True)
    if path.stem not in loaded.playbooks:
        click.get_current_context().exit(1)
    return loaded.playbooks[path.stem]
