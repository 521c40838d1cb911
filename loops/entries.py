"""From triggers that hold to entries: every customer's candidates decided together, and written with their reasons."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from activities.facts import Known
from activities.routing import open_channels
from activities.steps import StepOpening
from activities.versions import Version
from loops.entry import Entry
from rules.assignment import arms
from rules.calendar import midnight_before
from rules.entry import Candidate, EntryDecision, OpenRun, decide_entries
from rules.reference import explain
from rules.wording import sentence
from schemas.nesting import walk
from schemas.plan import CompiledPlaybook, Split
from store import decisions, entry_requests, runs
from store.database import Connection
from store.decisions import Decision
from store.exposures import load_exposures
from store.playbooks import Published
from store.runs import NewRun, PastEntry, Run

# A held-out customer without a goal's window is observed for so long.
OBSERVED = timedelta(days=30)


def _still_there(shown: Mapping[str, str], playbook: CompiledPlaybook) -> dict[str, str]:
    """Of the arms that a customer was shown, those that the playbook still has."""
    arms_now = {
        (step.experiment, arm)
        for step in walk(playbook.steps)
        if isinstance(step, Split)
        for arm in step.variants
    }
    return {name: arm for name, arm in shown.items() if (name, arm) in arms_now}


def _is_limited(entry: Entry) -> bool:
    """Whether this entry would happen, and takes one of the places of a day."""
    enter = entry.playbook.enter
    entering = entry.decision is not None and (entry.decision.enters or entry.decision.shadows)
    return entering and enter is not None and enter.at_most_per_day is not None


class Entries:
    """Decides and writes the entries of one evaluation."""

    def __init__(self, opening: StepOpening, published: Published, now: datetime) -> None:
        self._opening = opening
        self._policy = published.policy
        self._now = now

    async def decide(
        self,
        connection: Connection,
        matched: Sequence[Entry],
        open_runs: Mapping[str, Sequence[tuple[Run, Version]]],
        known: Mapping[str, Known],
        standing: Mapping[tuple[str, str], str],
    ) -> list[Entry]:
        """Decide on all of `matched`, write runs and decisions that are news, and return them decided.

        `standing` is what was decided last by (customer id, playbook): the same answer once more isn't news.
        """
        if not matched:
            return []
        decided = await self.weigh(connection, matched, open_runs, known)
        await runs.insert_runs(connection, [entry.run for entry in decided if entry.run])
        await self._record(connection, decided, known, standing)
        return decided

    async def weigh(
        self,
        connection: Connection,
        matched: Sequence[Entry],
        open_runs: Mapping[str, Sequence[tuple[Run, Version]]],
        known: Mapping[str, Known],
    ) -> list[Entry]:
        """Decide on all of `matched` and write nothing: what `decide` would come to now."""
        by_customer: dict[str, list[Entry]] = defaultdict(list)
        for entry in matched:
            by_customer[entry.customer_id].append(entry)
        past: dict[str, list[PastEntry]] = defaultdict(list)
        for earlier in await runs.load_entries(connection, list(by_customer)):
            past[earlier.customer_id].append(earlier)

        def decide_all(admitted: defaultdict[str, int]) -> list[Entry]:
            decided: list[Entry] = []
            for customer_id, entries in by_customer.items():
                theirs, before = open_runs.get(customer_id, ()), past[customer_id]
                candidates = [
                    self._candidate(entry, known[customer_id], theirs, before, admitted) for entry in entries
                ]
                for entry, decision in zip(entries, decide_entries(candidates, now=self._now), strict=True):
                    admitted[entry.playbook.name] += decision.enters or decision.shadows
                    decided.append(replace(entry, decision=decision))
            return decided

        decided = decide_all(defaultdict(int))
        # The limit is the last thing that keeps anybody out: whoever is kept out by anything else needn't queue for it.
        limited = {entry.playbook.name: entry.playbook for entry in decided if _is_limited(entry)}
        if limited:
            decided = decide_all(await self._admitted(connection, limited))
        entering = {
            entry.customer_id
            for entry in decided
            if entry.decision and (entry.decision.occupies or entry.decision.shadows)
        }
        # Whoever was shown an arm once keeps it, whatever the weights are now.
        shown = await load_exposures(connection, sorted(entering)) if entering else {}
        return [
            replace(
                entry,
                run=self._run(
                    entry,
                    entry.decision,
                    known[entry.customer_id],
                    shown.get((entry.customer_id, entry.playbook.name), {}),
                ),
            )
            if entry.decision and (entry.decision.occupies or entry.decision.shadows)
            else entry
            for entry in decided
        ]

    async def describe(
        self,
        connection: Connection,
        considered: Sequence[Entry],
        open_runs: Mapping[str, Sequence[tuple[Run, Version]]],
        known: Mapping[str, Known],
    ) -> list[Candidate]:
        """Each of these before its playbook's door, for itself; nothing is locked, so counts may change."""
        past: dict[str, list[PastEntry]] = defaultdict(list)
        for earlier in await runs.load_entries(connection, list({entry.customer_id for entry in considered})):
            past[earlier.customer_id].append(earlier)
        midnight = midnight_before(self._now, self._policy.default_zone)
        admitted: dict[str, int] = {}
        for playbook in {entry.playbook.name: entry.playbook for entry in considered}.values():
            if playbook.enter is not None and playbook.enter.at_most_per_day is not None:
                admitted[playbook.name] = await runs.count_admitted(
                    connection, playbook.name, midnight, shadow=playbook.status == "shadow"
                )
        return [
            self._candidate(
                entry, known[entry.customer_id], open_runs.get(entry.customer_id, ()), past[entry.customer_id],
                admitted,
            )
            for entry in considered
        ]  # fmt: skip

    async def _admitted(
        self, connection: Connection, limited: Mapping[str, CompiledPlaybook]
    ) -> defaultdict[str, int]:
        """How many each of these playbooks admitted today; we are their only admitter from here on."""
        admitted: defaultdict[str, int] = defaultdict(int)
        midnight = midnight_before(self._now, self._policy.default_zone)
        for name, playbook in sorted(limited.items()):
            await runs.lock_admission(connection, name)
            admitted[name] = await runs.count_admitted(
                connection, name, midnight, shadow=playbook.status == "shadow"
            )
        return admitted

    def _candidate(
        self,
        entry: Entry,
        known: Known,
        open_runs: Sequence[tuple[Run, Version]],
        past: Sequence[PastEntry],
        admitted: Mapping[str, int],
    ) -> Candidate:
        facts, playbook = known.facts, entry.playbook
        # A shadow lives beside what really happens: it sees that, and its own playbook's shadows; nobody sees it.
        before = [
            one
            for one in past
            if one.arm != "shadow" or (playbook.status == "shadow" and one.playbook == playbook.name)
        ]
        return Candidate(
            playbook=playbook,
            customer=facts.customer,
            policy=self._policy,
            condition=entry.condition,
            goal=entry.goal,
            condition_detail=entry.shortfall,
            open_runs=[
                OpenRun(run.playbook, run.key or None, run.run_group, run.arm == "shadow")
                for run, _ in open_runs
            ],
            entries=[
                one.entered_at for one in before if (one.playbook, one.key) == (playbook.name, entry.key)
            ],
            recent_entries=[one.entered_at for one in before],
            admitted_today=admitted.get(entry.playbook.name, 0),
            channels=open_channels(facts, self._policy),
            key=entry.key or None,
        )

    def _run(self, entry: Entry, decision: EntryDecision, known: Known, shown: Mapping[str, str]) -> NewRun:
        playbook, signals = entry.playbook, known.facts.signals
        window = timedelta(seconds=playbook.goal.within_seconds) if playbook.goal else None
        if decision.held_out and window is None:
            window = OBSERVED
        health, churn = signals.get("health_score"), signals.get("churn_probability")
        why = entry.asked or "; ".join(
            sentence(line) for line in (playbook.enter.when.items if playbook.enter else ())
        )
        return NewRun(
            id=str(uuid.uuid4()),
            playbook=playbook.name,
            version=playbook.version,
            customer_id=entry.customer_id,
            key=entry.key,
            run_group=playbook.group,
            arm="held_out" if decision.held_out else "shadow" if decision.shadows else "treated",
            trigger={"reason": why, "changed": sorted(entry.changed)[:20], **entry.wishes},
            variants=arms(playbook.steps, known.facts.customer, _still_there(shown, playbook)),
            health_at_entry=float(health) if isinstance(health, int | float) else None,
            churn_at_entry=float(churn) if isinstance(churn, int | float) else None,
            entered_at=self._now,
            goal_by=self._now + window if window else None,
            traceparent=entry.traceparent,
        )

    async def _record(
        self,
        connection: Connection,
        decided: Sequence[Entry],
        known: Mapping[str, Known],
        standing: Mapping[tuple[str, str], str],
    ) -> None:
        news = []
        answers: list[tuple[str, str, str, str | None]] = []
        for entry in decided:
            decision = entry.decision
            assert decision is not None
            if entry.request:
                answers.append(
                    (entry.request, decision.reason, decision.detail, entry.run.id if entry.run else None)
                )
            elif (
                standing.get((entry.customer_id, entry.playbook.name)) == decision.reason
                and entry.run is None
            ):
                continue
            enter, facts = entry.playbook.enter, known[entry.customer_id].facts
            checks = explain(enter.when, facts).checks if enter else ()
            news.append(
                Decision(
                    at=self._now,
                    customer_id=entry.customer_id,
                    playbook=entry.playbook.name,
                    version=entry.playbook.version,
                    reason=decision.reason,
                    detail=decision.detail,
                    until=decision.until,
                    run_id=entry.run.id if entry.run else None,
                    checks=[check.to_json() for check in checks],
                )
            )
        await decisions.record_decisions(connection, news)
        if answers:
            await entry_requests.answer_requests(connection, answers, self._now)
