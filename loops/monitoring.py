"""Once a day predictions get their outcomes, are held against them, and what is wrong becomes an alert."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING

from activities.steps import StepOpening
from store import monitoring
from store.alerts import raise_alert, resolve_alerts
from store.database import Connection
from store.evaluations import mark_upkeep
from store.playbooks import load_policy

if TYPE_CHECKING:
    from scoring.model_report import ModelReport

log = logging.getLogger(__name__)

KINDS = ("model_drift", "model_stale", "scoring_stale", "model_critical")
# UTC; the population run begins at midnight, the comparison of the evaluators at three.
HOUR = 4


class ModelMonitor:
    """One process's share of the monitoring; any number may run, and one does it."""

    def __init__(self, opening: StepOpening, *, hour: int = HOUR, customers: int | None = None) -> None:
        """`customers`: look at no more than so many (None: as many as `loops.observing` does by itself)."""
        self._database = opening.database
        self._catalogue = opening.catalogue
        self._hour, self._customers = hour, customers

    async def run_once(self) -> ModelReport | None:
        """Fill in outcomes, judge, keep the report and raise or resolve alerts, if it is time and nobody else has
        today; None if not.
        """
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            begins = now.astimezone(UTC).replace(hour=self._hour, minute=0, second=0, microsecond=0)
            if now < begins or not await mark_upkeep(connection, "monitoring", now, begins):
                return None
            policy = await load_policy(connection)
        # What this alone needs takes a second to import: beside the loops that have customers waiting.
        maturing, observing = await asyncio.to_thread(_import_parts)
        matured = await maturing.mature(self._database, self._catalogue, policy.churn.horizon_days, now)
        customers = self._customers or observing.CUSTOMERS
        report: ModelReport = await observing.observe(
            self._database, self._catalogue, policy, now, customers=customers
        )
        async with self._database.transaction() as connection:
            await monitoring.save_report(connection, report.day, report.at, report.model_dump_json())
            await _tell(connection, report, now)
        log.info(
            "monitored the churn model: %s, drift %s, %d outcomes filled in",
            report.status,
            report.drift,
            matured,
        )
        return report


def _import_parts() -> tuple[ModuleType, ModuleType]:
    from loops import maturing, observing

    return maturing, observing


async def _tell(connection: Connection, report: ModelReport, now: datetime) -> None:
    """Raise what is wrong and isn't open yet, resolve what is over."""
    wrong = {alarm.kind: alarm.message for alarm in report.alarms}
    open_kinds = await monitoring.list_open_kinds(connection, KINDS)
    for kind in KINDS:
        if kind in wrong and kind not in open_kinds:
            await raise_alert(connection, kind, wrong[kind], {"day": report.day.isoformat()}, now)
            log.error("%s: %s", kind, wrong[kind])
        elif kind not in wrong and kind in open_kinds:
            await resolve_alerts(connection, kind, now)
