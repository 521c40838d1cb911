"""Making the past right: customers with late or corrected events, one by one, each under its lock for a moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import cast

from activities.health import load_scorer
from schemas.catalogue import Catalogue
from schemas.condition import Value
from scoring.derivations import TRAIT_EVENTS, compile_derivations
from scoring.health import Scorer
from scoring.rework import SCORE, Belief, PastDays, Reworked, rework_days, rework_profile, rework_signals
from scoring.signals import Tally
from store import repairing, repairs, signals
from store.customer_health import load_midnight_scores
from store.database import Connection, Database
from store.faults import is_away
from store.intake import save_traits
from store.repairs import Repair
from store.rollup import DAILY_DAYS
from store.signals import StoredSignals

log = logging.getLogger(__name__)

# Customers that one call takes, one transaction each.
BATCH = 100
SCORE_DAYS = 31
# What `scoring_failures` calls a repair that failed.
FAILED = "repair"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What one call came to: customers looked at, those of whom something was wrong, and those passed over."""

    customers: int = 0
    changed: int = 0
    failed: int = 0


class Repairing:
    """One process's share of the repairs; any number may run."""

    def __init__(self, database: Database, catalogue: Catalogue, *, daily_days: int = DAILY_DAYS) -> None:
        """`daily_days`: so far back, days that are missing are made good."""
        self._database = database
        self._catalogue = catalogue
        self._daily_days = daily_days
        plan = compile_derivations(catalogue)
        self._names = {*plan.moves, *plan.slots, *TRAIT_EVENTS}

    async def run_once(self, limit: int = BATCH) -> Repaired:
        """Repair up to `limit` customers, those who wait longest first."""
        async with self._database.transaction() as connection:
            today = (await self._database.clock.read(connection)).astimezone(UTC).date()
            await repairs.drop_needless(connection, today, 1000)
        customers = changed = failed = 0
        while customers < limit:
            taken: list[str] = []
            try:
                async with self._database.transaction() as connection:
                    repair = await repairs.take_repair(connection)
                    if repair is None:
                        break
                    taken.append(repair.customer_id)
                    changed += await self._repair(connection, repair)
            except Exception as error:
                # Whatever else is wrong with one customer keeps no other waiting.
                if not taken or is_away(error):
                    raise
                log.exception("the past of customer %s can't be repaired; it is passed over", taken[0])
                await self._pass_over(taken[0], error)
                failed += 1
            customers += 1
        if changed:
            log.info("repaired the past of %d customers", changed)
        return Repaired(customers, changed, failed)

    async def _pass_over(self, customer_id: str, error: Exception) -> None:
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            await repairs.give_up(
                connection,
                customer_id,
                now.astimezone(UTC).date(),
                FAILED,
                f"{type(error).__name__}: {error}",
                now,
            )

    async def _repair(self, connection: Connection, repair: Repair) -> bool:
        """Repair one customer, whose lock is held; whether anything was wrong."""
        id_ = repair.customer_id
        now = await self._database.clock.read(connection)
        row = (await signals.load(connection, [id_])).get(id_) or StoredSignals(id_)
        kept = await repairing.load_kept_events(
            connection, id_, self._names, repair.requested_at if repair.whole else None
        )
        beliefs = [Belief(after, before) for after, before in kept]
        reworked = await asyncio.to_thread(rework_signals, beliefs, row.values, row.stamps, self._catalogue)
        changed = False
        if repair.whole:
            changed = await self._save_signals(connection, row, reworked, beliefs, now)
        return await self._repair_days(connection, repair, beliefs, reworked, now) or changed

    async def _save_signals(
        self,
        connection: Connection,
        row: StoredSignals,
        reworked: Reworked,
        beliefs: list[Belief],
        now: datetime,
    ) -> bool:
        id_ = row.customer_id
        moved = (reworked.signals, reworked.stamps) != (row.values, row.stamps)
        if moved:
            await signals.save(connection, [StoredSignals(id_, reworked.signals, reworked.stamps)], now)
        await repairing.add_tallies(connection, id_, reworked.tallies)
        if traits := rework_profile(beliefs):
            await save_traits(connection, [{"id": id_, "traits": traits}])
        if not (moved or reworked.tallies or traits):
            return False
        await repairs.ask_again(connection, id_, now)
        return True

    async def _repair_days(
        self, connection: Connection, repair: Repair, beliefs: list[Belief], reworked: Reworked, now: datetime
    ) -> bool:
        id_, since = repair.customer_id, repair.since
        recorded = await repairing.load_days(connection, id_, since)
        events = [one.now for one in beliefs if one.now]
        first = min((event.at for event in events), default=None)
        created_at = await repairing.load_created_at(connection, id_)
        missing = (
            repairs.missing_days(since, now, first, created_at, recorded, daily_days=self._daily_days)
            if first
            else []
        )
        if not recorded and not missing:
            return False
        if not reworked.complete:
            log.warning(
                "customer %s has a past from before the events that are kept: what was known then stays, and its days "
                "are repaired as far as events and tallies tell",
                id_,
            )
        oldest = since - timedelta(days=self._catalogue.tally_days)
        tallies = cast("list[Tally]", (await signals.load_tallies(connection, [id_], oldest)).get(id_, []))
        scores = await load_midnight_scores(connection, [id_], since - timedelta(days=SCORE_DAYS), since)
        past = PastDays({day: values for day, (_, values) in recorded.items()}, scores.get(id_, {}), missing)
        scorer = await load_scorer(connection)
        days = await asyncio.to_thread(
            rework_days, events, [Tally(*one) for one in tallies], past, reworked,
            catalogue=self._catalogue, scorer=scorer,
        )  # fmt: skip
        if not days:
            return False
        revisions = {day: revision for day, (revision, _) in recorded.items()}
        await repairing.save_days(connection, id_, days, revisions, now)
        await self._save_scores(connection, id_, days, past, scorer, now)
        await repairs.ask_again(connection, id_, now)
        return True

    async def _save_scores(
        self,
        connection: Connection,
        id_: str,
        days: Mapping[date, Mapping[str, Value]],
        past: PastDays,
        scorer: Scorer,
        now: datetime,
    ) -> None:
        scores: dict[date, tuple[int | None, str | None]] = {}
        for day, values in days.items():
            score, risk = values.get(SCORE), values.get("risk_level")
            if score != past.recorded.get(day, {}).get(SCORE):
                scores[day] = (
                    int(score) if isinstance(score, int | float) else None,
                    risk if isinstance(risk, str) else None,
                )
        await repairing.save_midnight_scores(connection, id_, scores, scorer.model.digest, now)
