"""The facts that a playbook is tried out with: a customer's own, as they are now, or those of a sample customer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from activities.facts import load_known
from loops.simulation.wording import plain
from rules.needs import Needs, run_needs, trigger_needs
from schemas.catalogue import Catalogue
from schemas.plan import CompiledPlaybook
from schemas.signal_value import WrongType
from schemas.yaml_file import read_file
from store.customers import need_customer
from store.database import Database

# What tests of a playbook give, and a trial can take over as it stands.
_GIVEN = ("signals", "profile", "consent", "suppressed")
_SAMPLE: dict[str, Any] = {
    "signals": {
        "health_score": 35,
        "days_since_last_login": 9,
        "plan": "pro",
        "subscription_status": "active",
    },
    "profile": {"first_name": "Ada", "email": "ada@example.com", "timezone": "Europe/Berlin"},
    "consent": {"email": True},
}


def sample_facts(directory: Path, playbook: str) -> dict[str, Any]:
    """Facts of nobody: those that the playbook's tests give, else ordinary ones."""
    source, _ = read_file(directory / "tests" / f"{playbook}.yaml")
    given = source.data.get("given") if source is not None and isinstance(source.data, dict) else None
    taken = {key: given[key] for key in _GIVEN if key in given} if isinstance(given, dict) else {}
    return {"customer": "sample-1", **(taken or _SAMPLE)}


async def customer_facts(
    database: Database, catalogue: Catalogue, external_id: str, playbook: CompiledPlaybook | None
) -> dict[str, Any]:
    """What is known of this customer now, as `holdfast simulate --facts` reads it, with the events and the history that
    the playbook asks for. Raises NotFoundError.
    """
    needs = trigger_needs(playbook) | run_needs(playbook) if playbook else Needs()
    async with database.transaction() as connection:
        customer = await need_customer(connection, external_id)
        now = await database.clock.read(connection)
        facts = (await load_known(connection, [customer.id], now, needs, catalogue))[customer.id].facts
    signals = {
        name: value.raw if isinstance(value, WrongType) else value for name, value in facts.signals.items()
    }
    told: dict[str, Any] = plain(
        {
            "customer": facts.customer,
            "now": facts.now,
            "signals": signals,
            "profile": dict(facts.profile),
            "consent": dict(facts.consent),
            "suppressed": dict(facts.suppressed),
            "events": [
                {"name": event.name, "at": event.at, "properties": dict(event.properties)}
                for event in facts.events
            ],
            "history": {name: list(days) for name, days in facts.history.items()},
        }
    )
    return told


def write_facts(facts: dict[str, Any]) -> str:
    """Facts as people read and change them."""
    return json.dumps(facts, indent=2, ensure_ascii=False)
