"""Whether another playbook would be entered by its own entry rules."""

from __future__ import annotations

from datetime import datetime

from loops.simulation.run import SimulatedRun
from rules.entry import Candidate, EntryDecision, OpenRun, decide_entry
from rules.reference import explain
from rules.sending import CONSENT_CHANNELS, consented
from schemas.facts import Facts
from schemas.plan import CompiledPlaybook
from store.contact import address_of


def ask_entry(run: SimulatedRun, name: str, now: datetime) -> EntryDecision | None:
    """What is decided at `now` when `run` asks for the playbook `name`: by all its entry rules but the trigger.

    None: there is no such playbook here.
    """
    playbook = run.setting.playbooks.get(name)
    if playbook is None:
        return None
    facts, policy = run.customer.facts(now), run.setting.policy
    goal = playbook.goal.when if playbook.goal else None
    return decide_entry(
        Candidate(
            playbook=playbook,
            customer=facts.customer,
            policy=policy,
            condition=True,
            goal=explain(goal, facts).result if goal else None,
            open_runs=[OpenRun(run.playbook.name, None, run.playbook.group)],
            recent_entries=[run.start],
            key=_key(playbook, facts),
            channels={
                channel: address_of(channel, facts.profile) is not None
                and channel not in facts.suppressed
                and consented(policy, facts.consent, channel)[0]
                for channel in CONSENT_CHANNELS
            },
        ),
        now=now,
    )


def _key(playbook: CompiledPlaybook, facts: Facts) -> str | None:
    value = facts.signals.get(playbook.enter.key) if playbook.enter and playbook.enter.key else None
    return None if value is None else str(value)
