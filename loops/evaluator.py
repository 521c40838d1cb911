"""The one place where it is decided who enters, whose run ends early, and whose wait is over.

One transaction looks at a batch of customers, each locked, and writes everything that follows: signals, run rows,
marks on open runs, inbox entries, decisions with their reasons, and when time alone makes another look necessary.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from operator import or_

from activities.facts import Known, load_known, load_reachability
from activities.health import load_predictors, load_scorer
from activities.past_scores import PastScores
from activities.scores import save_scores
from activities.steps import StepOpening
from activities.versions import Version
from loops.batch import Batch
from loops.entries import Entries
from loops.entry import Entry, ask, hold
from loops.milestones import MilestoneWatch
from loops.newcomers import Newcomers
from loops.open_runs import attend_runs
from loops.score_telling import ScoreTelling
from loops.triggers import Triggers, prepare_triggers
from rules.needs import Needs
from schemas import tracing
from schemas.metrics import EVALUATED, EVALUATION_LAG, EVALUATION_SECONDS, RUNS_STARTED, bound_playbook
from scoring.health import Scorer
from scoring.predictors import Predictors
from store import decisions, entry_requests, evaluations, runs, signals
from store.database import Connection
from store.evaluations import Request
from store.faults import is_away
from store.live_milestones import load_milestones
from store.playbooks import Published, load_published, read_stamp
from store.repairs import REPAIRED
from store.runs import Run

log = logging.getLogger(__name__)

BATCH = 200


@dataclass(frozen=True)
class Evaluated:
    """What one batch came to."""

    customers: int = 0
    entered: int = 0
    rung: int = 0


class Evaluator:
    """Looks at the customers who wait to be looked at."""

    def __init__(self, opening: StepOpening) -> None:
        self._opening = opening
        self._database = opening.database
        self._triggers: Triggers | None = None
        self._milestones: MilestoneWatch | None = None
        self._scorer: Scorer | None = None
        self._predictors: Predictors | None = None
        # What is live and was not yet compared with what customers have been looked at for.
        self._uncompared: Published | None = None
        self._newcomers = Newcomers(opening.database)
        self._past = PastScores()
        self._telling = ScoreTelling(opening.database)

    async def run_once(self, limit: int = BATCH) -> Evaluated:
        """Look at up to `limit` customers in one transaction; while few wait, ask for those whom an edit concerns.

        Where something about one of them can't be looked at, the others are all the same; then it raises that error.
        """
        try:
            done = await self._look(limit)
        except Exception as error:
            if not is_away(error):
                await self._look_one_by_one(limit)
            raise
        if published := self._uncompared:
            await self._newcomers.compare(published)
            if self._uncompared is published:
                self._uncompared = None
        if done.customers < limit and self._newcomers.pending:
            await self._newcomers.ask()
            more = await self._look(limit)
            done = Evaluated(
                done.customers + more.customers, done.entered + more.entered, done.rung + more.rung
            )
        return done

    async def _look_one_by_one(self, limit: int) -> None:
        """Whoever can't be looked at is put behind all others, and stays in the queue: it may be mended."""
        failed: set[str] = set()
        for _ in range(limit):
            taken: list[str] = []
            try:
                if not (await self._look(1, taken)).customers:
                    return
            except Exception as error:
                if is_away(error) or not taken or taken[0] in failed:
                    raise
                failed.add(taken[0])
                log.error("customer %s can't be looked at: %s", taken[0], type(error).__name__)  # noqa: TRY400
                async with self._database.transaction() as connection:
                    now = await self._database.clock.read(connection)
                    await evaluations.put_behind(connection, taken[0], now)

    async def _look(self, limit: int, taken: list[str] | None = None) -> Evaluated:
        known: dict[str, Known] = {}
        begun = time.perf_counter()
        async with self._database.transaction() as connection:
            requests = await evaluations.take_requests(connection, limit)
            triggers = await self._refresh(connection)
            if not requests:
                return Evaluated()
            requests, looks = _begin_spans(requests)
            # Read after the locks: nothing that happened to these customers before is missed.
            batch = Batch(await self._database.clock.read(connection))
            ids = [request.customer_id for request in requests]
            if taken is not None:
                taken += ids
            self._past.forget(r.customer_id for r in requests if REPAIRED in r.changed)
            open_runs: dict[str, list[tuple[Run, Version]]] = defaultdict(list)
            for run in await runs.load_open_runs(connection, ids):
                version = await self._opening.versions.load_or_empty(connection, run.playbook, run.version)
                open_runs[run.customer_id].append((run, version))
            known = await self._know(connection, ids, triggers, open_runs, batch.now)
            await attend_runs(connection, self._opening, batch, open_runs, known, triggers.published.policy)
            matched = self._match(batch, triggers, requests, known)
            asked_for: set[tuple[str, str]] = set()
            for asked in await entry_requests.load_requests(connection, ids):
                playbook = triggers.published.playbooks.get(asked.playbook)
                if (asked.customer_id, asked.playbook) in asked_for:
                    # Whoever asks for the same is answered at the next look, by what came of the first.
                    await evaluations.request_one(connection, batch.now, asked.customer_id)
                elif playbook is not None:
                    asked_for.add((asked.customer_id, asked.playbook))
                    matched = [
                        m for m in matched if (m.customer_id, m.playbook) != (asked.customer_id, playbook)
                    ]
                    matched.append(ask(asked, known[asked.customer_id], playbook))
            inside = {entry.customer_id: known[entry.customer_id] for entry in matched}
            known |= await load_reachability(connection, inside)
            standing = await decisions.load_standings(connection, ids)
            batch.cleared = [gone for gone in batch.cleared if gone in standing]
            entered = await Entries(self._opening, triggers.published, batch.now).decide(
                connection, matched, open_runs, known, standing
            )
            for entry in entered:
                assert entry.decision is not None
                batch.counts[(entry.playbook.name, entry.decision.reason, "")] += 1
                if entry.run is not None and entry.run.arm == "treated":
                    batch.treated.add(entry.customer_id)
                if entry.until is not None:
                    batch.look_again(entry.customer_id, entry.until)
            await self._write(connection, batch, requests, known, triggers)
            done = Evaluated(len(requests), sum(entry.run is not None for entry in entered), batch.rung)
        self._telling.tell(known.values())
        for look in looks:
            look.end()
        _measure(requests, entered, batch.now, time.perf_counter() - begun)
        return done

    async def _know(
        self,
        connection: Connection,
        ids: Sequence[str],
        triggers: Triggers,
        open_runs: Mapping[str, Sequence[tuple[Run, Version]]],
        now: datetime,
    ) -> dict[str, Known]:
        """What is known of these customers: what triggers look at, and of those in a run what the run looks at, too."""
        inside = {
            id_: reduce(or_, (version.needs for _, version in theirs))
            for id_, theirs in open_runs.items()
            if theirs
        }
        return await load_known(
            connection,
            ids,
            now,
            triggers.needs | (self._milestones.needs if self._milestones else Needs()),
            self._opening.catalogue,
            more=inside,
            past=self._past,
            reachability=False,
            scorer=self._scorer,
            predictors=self._predictors,
        )

    async def _refresh(self, connection: Connection) -> Triggers:
        stamp = await read_stamp(connection)
        self._predictors = await load_predictors(connection, self._opening.catalogue)
        if self._triggers is None or self._triggers.published.stamp != stamp:
            self._uncompared = await load_published(connection)
            self._scorer = await load_scorer(connection)
            self._milestones = MilestoneWatch(await load_milestones(connection))
            self._triggers = prepare_triggers(self._uncompared, self._opening.catalogue)
        return self._triggers

    def _match(
        self, batch: Batch, triggers: Triggers, requests: list[Request], known: dict[str, Known]
    ) -> list[Entry]:
        """Every (customer, playbook) whose trigger holds; the others are counted by their first failing line."""
        matched = []
        for request in requests:
            customer = known.get(request.customer_id)
            if customer is None:
                continue
            batch.look_again(request.customer_id, None)
            changed = None if request.everything else request.changed | customer.changed
            asked = 0
            for trigger, failing in triggers.look(customer.facts, changed):
                asked += 1
                if failing is None:
                    matched.append(hold(request, customer, trigger))
                    continue
                line, again = failing
                batch.counts[(trigger.playbook.name, "condition", line)] += 1
                batch.cleared.append((request.customer_id, trigger.playbook.name))
                batch.look_again(request.customer_id, again)
            if asked < len(triggers.triggers):
                batch.partly.add(request.customer_id)
        return matched

    async def _write(
        self,
        connection: Connection,
        batch: Batch,
        requests: list[Request],
        known: dict[str, Known],
        triggers: Triggers,
    ) -> None:
        await signals.save(connection, [k.stored for k in known.values() if k.moved], batch.now)
        whole = {r.customer_id for r in requests if r.everything and r.customer_id in known}
        if whole:
            day = batch.now.date()
            values = {id_: known[id_].stored.values for id_ in whole}
            await signals.record_day(connection, day, values, batch.now)
        holdout = triggers.published.policy.holdout_percent
        await save_scores(
            connection, known, self._scorer, holdout_percent=holdout, whole=whole, treated=batch.treated
        )
        standing = await decisions.load_standings(
            connection, [customer_id for customer_id, _ in batch.cleared]
        )
        await decisions.clear_standings(connection, [gone for gone in batch.cleared if gone in standing])
        await decisions.count_decisions(connection, batch.now.date(), batch.counts)
        await evaluations.set_due(connection, batch.due, partly=batch.partly)
        if self._milestones is not None:
            # Their events move signals on from what was saved above.
            await self._milestones.attend(connection, requests, known, batch.now, move=self._opening.move)


def _begin_spans(requests: list[Request]) -> tuple[list[Request], list[tracing.Spot]]:
    """The requests under spans of their own, where their changes have traces; what is never ended isn't sent."""
    if not tracing.is_on():
        return requests, []
    looks = [tracing.begin("evaluate", parent=request.traceparent) for request in requests]
    return [replace(r, traceparent=s.traceparent) for r, s in zip(requests, looks, strict=True)], looks


def _measure(requests: Sequence[Request], entered: Sequence[Entry], now: datetime, seconds: float) -> None:
    EVALUATION_SECONDS.observe(seconds)
    EVALUATED.inc(len(requests))
    for request in requests:
        EVALUATION_LAG.observe(max(0.0, (now - request.since).total_seconds()))
    for entry in entered:
        if entry.run is not None:
            RUNS_STARTED.labels(bound_playbook(entry.run.playbook)).inc()
