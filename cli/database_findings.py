"""What `holdfast doctor` says of the database, and of what is noted there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

from cli.findings import Finding
from schemas.settings import Settings
from store.alerts import load_open_alerts
from store.comparisons import load_last_comparison
from store.database import Database
from store.migrating import pending


def examine_database(settings: Settings) -> Iterator[Finding]:
    """Does it answer, has it this version's tables, and what is wrong by what is noted there."""
    url = settings.require_database_url()
    parts = urlsplit(url)
    has, newest = pending(url)
    yield Finding(
        "database", True, f"{parts.path.lstrip('/')} at {parts.hostname}:{parts.port or 5432} answers"
    )
    if has == newest:
        yield Finding("migrations", True, f"at {newest}")
        yield asyncio.run(_examine_comparison(url))
    else:
        yield Finding(
            "migrations", False, f"at {has or 'none'}, this version needs {newest}", "Run `holdfast migrate`."
        )


async def _examine_comparison(url: str) -> Finding:
    """The nightly comparison of the evaluators, and every alert that is open."""
    async with Database(url, connections=1) as database:
        async with database.transaction() as connection:
            last, alerts = await load_last_comparison(connection), await load_open_alerts(connection)
        # Those about providers are told with the providers.
        alerts = [alert for alert in alerts if not alert.kind.startswith("provider:")]
    found = "none made yet"
    if last:
        found = (
            f"{last.customers} customers on {last.at:%Y-%m-%d}, {len(last.differences)} of {last.answers} "
            "answers differ"
        )
    found += "".join(f"; open alert of {alert.at:%Y-%m-%d}: {alert.message}" for alert in alerts)
    remedy = "Report it with the customer's facts; HOLDFAST_RULES_ENGINE=reference decides by the contract meanwhile."
    return Finding("comparison", not alerts, found, remedy)
