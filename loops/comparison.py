"""Once a day the batch path and the live path answer about the same customers, and any difference is an alert."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from activities.facts import load_known
from activities.steps import StepOpening
from loops.triggers import Triggers, prepare_triggers
from schemas.facts import Facts
from store.alerts import raise_alert, resolve_alerts
from store.comparisons import Comparison, record_comparison, sample_customers
from store.evaluations import mark_upkeep
from store.playbooks import load_published

log = logging.getLogger(__name__)

ALERT = "evaluators_differ"
CUSTOMERS = 1000
# UTC; the daily look at everybody begins at midnight and is over by then.
HOUR = 3
_AT_ONCE = 100
_MOST_TOLD = 100
_MOST_LOGGED = 10

# Per customer and playbook: the path of the first line of its trigger that isn't true, or HOLDS.
HOLDS = "holds"
Judge = Callable[[Triggers, Sequence[Facts]], list[Mapping[str, str]]]


def judge_live(triggers: Triggers, customers: Sequence[Facts]) -> list[Mapping[str, str]]:
    """As the evaluator of the live path answers."""
    return [
        {trigger.playbook.name: failing[0] if failing else HOLDS for trigger, failing in triggers.look(facts)}
        for facts in customers
    ]


def judge_by_columns(triggers: Triggers, customers: Sequence[Facts]) -> list[Mapping[str, str]]:
    """As the batch path answers, line by line over all customers at once."""
    # A worker needs NumPy for this only, once a day.
    from rules.column_building import columns_of
    from rules.columns import match_columns

    lines = {
        f"{trigger.place}:{at}": line
        for trigger in triggers.triggers
        for at, (line, _, _) in enumerate(trigger.lines)
    }
    answers = match_columns(lines, columns_of(customers, triggers.needs))
    told: list[dict[str, str]] = [{} for _ in customers]
    for trigger in triggers.triggers:
        truths = [answers[f"{trigger.place}:{at}"] for at in range(len(trigger.lines))]
        for row, verdicts in enumerate(told):
            failing = next((at for at, truth in enumerate(truths) if truth[row] != 1), None)
            path = HOLDS if failing is None else trigger.lines[failing][0].path
            verdicts[trigger.playbook.name] = path
    return list(told)


class NightlyComparison:
    """One process's share of the comparison; any number may run, and one does it."""

    def __init__(
        self,
        opening: StepOpening,
        *,
        live: Judge = judge_live,
        batch: Judge = judge_by_columns,
        hour: int = HOUR,
        customers: int = CUSTOMERS,
    ) -> None:
        self._opening = opening
        self._database = opening.database
        self._live, self._batch = live, batch
        self._hour, self._customers = hour, customers

    async def run_once(self) -> Comparison | None:
        """Compare, if it is time and nobody else has today; None if not."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            begins = now.astimezone(UTC).replace(hour=self._hour, minute=0, second=0, microsecond=0)
            if now < begins or not await mark_upkeep(connection, "comparison", now, begins):
                return None
            triggers = prepare_triggers(await load_published(connection), self._opening.catalogue)
            ids = await sample_customers(connection, self._customers, begins.date().toordinal())
        differences: list[dict[str, str]] = []
        looked_at = 0
        for start in range(0, len(ids), _AT_ONCE):
            customers = await self._load(ids[start : start + _AT_ONCE], triggers)
            looked_at += len(customers)
            # Beside the loops that have customers waiting.
            differences += await asyncio.to_thread(self._compare, triggers, customers)
        comparison = Comparison(now, looked_at, looked_at * len(triggers.triggers), differences[:_MOST_TOLD])
        await self._record(comparison, len(differences))
        return comparison

    async def _load(self, ids: Sequence[str], triggers: Triggers) -> list[Facts]:
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            known = await load_known(
                connection, ids, now, triggers.needs, self._opening.catalogue, reachability=False
            )
        return [one.facts for one in known.values()]

    def _compare(self, triggers: Triggers, customers: Sequence[Facts]) -> list[dict[str, str]]:
        differences = []
        judged = zip(
            customers, self._live(triggers, customers), self._batch(triggers, customers), strict=True
        )
        for facts, live, batch in judged:
            for playbook in sorted(live.keys() | batch.keys()):
                answers = live.get(playbook, "not asked"), batch.get(playbook, "not asked")
                if answers[0] != answers[1]:
                    differences.append(_difference(facts, playbook, *answers))
        return differences

    async def _record(self, comparison: Comparison, differing: int) -> None:
        async with self._database.transaction() as connection:
            await record_comparison(connection, comparison)
            await resolve_alerts(connection, ALERT, comparison.at)
            if differing:
                message = (
                    f"{differing} of {comparison.answers} answers differ; {_told(comparison.differences[0])}"
                )
                detail = {"differing": differing, "differences": comparison.differences}
                await raise_alert(connection, ALERT, message, detail, comparison.at)
        for difference in comparison.differences[:_MOST_LOGGED]:
            log.error("the evaluators differ: %s", _told(difference))
        log.info(
            "compared the evaluators on %d customers: %d of %d answers differ",
            comparison.customers, differing, comparison.answers,
        )  # fmt: skip


def _difference(facts: Facts, playbook: str, live: str, batch: str) -> dict[str, str]:
    at = _iso(facts.now)
    return {"customer": facts.customer, "playbook": playbook, "live": live, "batch": batch, "now": at}


def _told(difference: Mapping[str, str]) -> str:
    def words(answer: str) -> str:
        return answer if answer in (HOLDS, "not asked") else f"fails at {answer}"

    return (
        f"customer {difference['customer']}, playbook {difference['playbook']}: the live path says that it "
        f"{words(difference['live'])}, the batch that it {words(difference['batch'])}"
    )


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
