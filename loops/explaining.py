"""Why a customer of the running system enters a playbook now, or why not: the evaluator's own decision, unwritten."""

from __future__ import annotations

from typing import Any

from activities.facts import load_known
from activities.steps import StepOpening
from activities.versions import Versions
from loops.entries import Entries, consider
from loops.triggers import prepare_triggers
from rules.needs import trigger_needs
from rules.reference import explain, truth_word
from schemas.catalogue import load_catalogue
from schemas.errors import NotFoundError
from store import runs
from store.customers import find_customer
from store.database import Database
from store.playbooks import load_published


async def explain_customer(database: Database, playbook: str, external_id: str) -> dict[str, Any]:
    """The object that `explain --customer` prints. Raises NotFoundError for an unknown customer or playbook."""
    opening = StepOpening(database, load_catalogue(), Versions())
    async with database.transaction() as connection:
        customer = await find_customer(connection, external_id)
        if customer is None:
            raise NotFoundError(
                f"There is no customer {external_id!r}.", remedy="Give the id that your events carry."
            )
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
            (run, await opening.versions.load(connection, run.playbook, run.version))
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
