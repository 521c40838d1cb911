"""Runs that can't go on, made known: a workflow whose code fails is tried for ever, and stays `running` meanwhile.

That is as it should be (mended code goes on where it stood, nothing is lost), as long as somebody gets to know of it. A
run whose version of the playbook somebody deleted from the database is left as it is, and made known in the same way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from store.alerts import load_open_alerts, raise_alert, resolve_alerts
from store.database import DATABASE_AWAY, Connection, Database
from store.evaluations import mark_upkeep
from store.runs import count_without_version

log = logging.getLogger(__name__)

ALERT = "runs:stuck"
VERSION_GONE = "runs:version_gone"
LOOK_EVERY = timedelta(minutes=5)
# The server says so itself, after five failures in a row (half a minute).
PROBLEMS = "TemporalReportedProblems"
_QUERY = f"{PROBLEMS} IS NOT NULL AND ExecutionStatus = 'Running'"
MOST = 100
_NAMED = 5
AWAY = (*DATABASE_AWAY, OSError, RPCError)


@dataclass(frozen=True)
class Stuck:
    """A workflow that can't go on, and the server's word for why, such as `WorkflowWorkerUnhandledFailure`."""

    workflow_id: str
    cause: str


async def find_stuck(client: Client) -> Sequence[Stuck]:
    """At most 100 of them; none where the server is too old to say. Raises RPCError."""
    found: list[Stuck] = []
    try:
        async for one in client.list_workflows(_QUERY, limit=MOST):
            said = one.search_attributes.get(PROBLEMS) or ()
            causes = [str(word).partition("=")[2] for word in said if str(word).startswith("cause=")]
            found.append(Stuck(one.id, ", ".join(causes).replace("WorkflowTaskFailedCause", "") or "unknown"))
    except RPCError as error:
        if error.status not in (RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.UNIMPLEMENTED):
            raise
    return sorted(found, key=lambda one: one.workflow_id)


class StuckRuns:
    """One process's share of looking for them; any number may run, and one looks at a time."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    async def run(self) -> None:
        """Look every five minutes, for ever."""
        while True:
            try:
                await self.run_once()
            except AWAY as error:
                log.warning("stuck runs: %s; trying again", type(error).__name__)
            except Exception:
                log.exception("stuck runs: met something that it didn't expect; trying again")
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    async def run_once(self) -> Sequence[Stuck]:
        """Keep one alert of each kind open that names them, for as long as there are any."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            if not await mark_upkeep(connection, "stuck_runs", now, now - LOOK_EVERY / 2):
                return ()
            gone = await count_without_version(connection)
            await _keep(
                connection,
                VERSION_GONE,
                tell_gone(gone),
                {"runs": {f"{name} {v}": n for name, v, n in gone}},
                now,
            )
        found = await find_stuck(self._client)
        told = {one.workflow_id: one.cause for one in found}
        async with self._database.transaction() as connection:
            await _keep(connection, ALERT, tell(told), {"workflows": told}, now)
        return found


async def _keep(
    connection: Connection, kind: str, message: str, detail: Mapping[str, Mapping[str, Any]], now: datetime
) -> None:
    """Have one alert of the kind say this, and be open since it does; none where the detail is empty."""
    there = any(detail.values())
    alerts = [alert for alert in await load_open_alerts(connection) if alert.kind == kind]
    if [alert.detail for alert in alerts] == ([detail] if there else []):
        return
    await resolve_alerts(connection, kind, now)
    if there:
        await raise_alert(connection, kind, message, detail, now)
        log.error("%s", message)


def tell_gone(gone: Sequence[tuple[str, str, int]]) -> str:
    """Whose versions are gone, how many runs that are, and what to do, in a sentence."""
    named = [f"{count} of {playbook} {version}" for playbook, version, count in gone[:_NAMED]]
    more = f" and {len(gone) - _NAMED} more versions" if len(gone) > _NAMED else ""
    return (
        f"Runs whose version of the playbook is gone from the database are left as they are: {', '.join(named)}{more}. "
        "Bring the version back from a backup, or stop them."
    )


def tell(stuck: Mapping[str, str]) -> str:
    """The first of them and how many there are, in a sentence."""
    named = [f"{workflow_id} ({cause})" for workflow_id, cause in list(stuck.items())[:_NAMED]]
    more = f" and {len(stuck) - _NAMED} more" if len(stuck) > _NAMED else ""
    return f"{len(stuck)} workflow(s) can't go on: {', '.join(named)}{more}; a worker's log says why"
