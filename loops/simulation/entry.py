"""Whether another playbook would be entered by its own entry rules."""

from __future__ import annotations

from datetime import datetime

from activities.routing import open_channels
from loops.simulation.run import SimulatedRun
from rules.entry import Candidate, EntryDecision, OpenRun, decide_entry, key_of_run
from rules.reference import explain


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
            key=key_of_run(playbook, facts),
            channels=open_channels(facts, policy),
        ),
        now=now,
    )
