"""What `holdfast doctor` says of the playbooks, and of the webhooks that they send."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from activities.registry import find_step_types
from channels.webhook import WebhookSettings, host_of
from cli.findings import Finding
from schemas.catalogue import load_catalogue
from schemas.compiled_cache import open_cache
from schemas.loader import Loaded, load_playbooks
from schemas.nesting import walk
from schemas.plan import Act
from schemas.settings import Settings


def examine_playbooks(directory: Path) -> Iterator[Finding]:
    """How many there are, and what is wrong with them."""
    if not directory.is_dir():
        yield Finding(
            "playbooks", False, f"{directory} isn't there", "Set HOLDFAST_PLAYBOOKS or pass --playbooks."
        )
        return
    loaded = _load(directory)
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    found = f"{len(loaded.playbooks)} valid in {directory}"
    if errors:
        found += f", {len(errors)} problem(s), the first: {errors[0]}"
    yield Finding("playbooks", not errors, found, "`holdfast validate` lists them all.")


def examine_webhooks(settings: Settings, directory: Path) -> Iterator[Finding]:
    """Whether the webhooks of the playbooks may be sent; nothing where there are none."""
    allowed = WebhookSettings.from_environ(settings.environ)
    playbooks = _load(directory).playbooks if directory.is_dir() else {}
    urls = {
        str(url["text"] if isinstance(url, dict) else url)
        for playbook in playbooks.values()
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


def _load(directory: Path) -> Loaded:
    return load_playbooks(directory, load_catalogue(), find_step_types(), open_cache(os.environ))
