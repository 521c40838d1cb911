"""Why a customer of the running system enters a playbook now, or why not: the evaluator's own decision, unwritten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from activities.facts import load_known
from activities.steps import StepOpening
from activities.versions import Versions
from loops.entries import Entries
from loops.entry import consider
from loops.triggers import prepare_triggers
from rules.entry import EntryDecision, draw_arm, list_objections
from rules.needs import Needs, trigger_needs
from rules.reference import explain, truth_word
from schemas.catalogue import load_catalogue
from schemas.entry_outlook import EntryOutlook, Objection
from schemas.errors import NotFoundError
from store import runs
from store.customers import need_customer
from store.database import Database
from store.playbooks import load_published


async def explain_customer(database: Database, playbook: str, external_id: str) -> dict[str, Any]:
    """The object that `explain --customer` prints. Raises NotFoundError for an unknown customer or playbook."""
    opening = StepOpening(database, load_catalogue(), Versions())
    async with database.transaction() as connection:
        customer = await need_customer(connection, external_id)
        published = await load_published(connection)
        found = published.playbooks.get(playbook)
        if found is None:
            raise NotFoundError(
                f"There is no published playbook {playbook!r}.",
                remedy=f"Published are: {', '.join(published.playbooks) or 'none'}.",
            )
        now = await database.clock.read(connection)
        # A draft lets nobody in, so what it looks at isn't among what the engine looks at.
        needs = prepare_triggers(published, opening.catalogue).needs | trigger_needs(found)
        known = await load_known(connection, [customer.id], now, needs, opening.catalogue)
        theirs = [
            (run, await opening.versions.load_or_empty(connection, run.playbook, run.version))
            for run in await runs.load_open_runs(connection, [customer.id])
        ]
        explanation = explain(found.enter.when, known[customer.id].facts) if found.enter else None
        truth = explanation.result if explanation else False
        entry = consider(customer.id, known[customer.id], found, truth)
        [decided] = await Entries(opening, published, now).weigh(
            connection, [entry], {customer.id: theirs}, known
        )
        decision = decided.decision
        assert decision is not None
        return {
            "playbook": playbook,
            "version": found.version,
            "result": truth_word(truth),
            "checks": [check.to_json() for check in explanation.checks] if explanation else [],
            "entry": {
                "allowed": decision.enters,
                "reason": decision.reason,
                "detail": decision.detail,
                "until": decision.until.isoformat() if decision.until else None,
            },
        }


async def explain_entries(database: Database, external_id: str) -> list[EntryOutlook]:
    """This customer before the door of every published playbook that isn't retired, each for itself, by title.

    Nothing is written or locked. Raises NotFoundError for an unknown customer.
    """
    opening = StepOpening(database, load_catalogue(), Versions())
    async with database.transaction() as connection:
        customer = await need_customer(connection, external_id)
        published = await load_published(connection)
        playbooks = [one for one in published.playbooks.values() if one.status != "retired"]
        now = await database.clock.read(connection)
        needs = Needs()
        for one in playbooks:
            needs |= trigger_needs(one)
        known = await load_known(connection, [customer.id], now, needs, opening.catalogue)
        theirs = [
            (run, await opening.versions.load_or_empty(connection, run.playbook, run.version))
            for run in await runs.load_open_runs(connection, [customer.id])
        ]
        explained = {
            one.name: explain(one.enter.when, known[customer.id].facts) for one in playbooks if one.enter
        }
        entries = [
            consider(
                customer.id,
                known[customer.id],
                one,
                explained[one.name].result if one.name in explained else False,
            )
            for one in playbooks
        ]
        candidates = await Entries(opening, published, now).describe(
            connection, entries, {customer.id: theirs}, known
        )
    outlooks = []
    for one, candidate in zip(playbooks, candidates, strict=True):
        drawn, found = draw_arm(candidate, now=now), explained.get(one.name)
        outlooks.append(
            EntryOutlook(
                playbook=one.name,
                title=one.title or one.name,
                status=one.status,
                result=truth_word(found.result) if found else "",
                checks=[check.to_json() for check in found.checks] if found else [],
                objections=_objections(list_objections(candidate, now=now)),
                by_hand=_objections(list_objections(replace(candidate, condition=True), now=now)),
                outcome=drawn.reason,
                outcome_detail=drawn.detail,
            )
        )
    return sorted(outlooks, key=lambda one: (one.title.lower(), one.playbook))


def _objections(decisions: list[EntryDecision]) -> list[Objection]:
    return [Objection(one.reason, one.detail, one.until) for one in decisions]
