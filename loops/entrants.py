"""Who would enter playbooks as they are written, if they were live now: the evaluator's own decision, unwritten."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from activities.facts import Known, load_known, load_reachability
from activities.steps import StepOpening
from activities.versions import Version
from loops.entries import Entries
from loops.entry import Entry, consider
from loops.triggers import Trigger, prepare_triggers
from rules.calendar import midnight_before
from rules.needs import Needs, trigger_needs
from rules.workload import Workload, count_work
from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from store import runs
from store.database import Connection
from store.planning import FIRST_ID, count_customers, page_customers, read_only
from store.playbooks import Published
from store.runs import Run

PAGE = 500
# So many of those who would enter are named.
NAMED = 25
NOBODY = "nobody"


@dataclass
class Entrants:
    """What a playbook would come to: `decided` counts customers whose condition holds by what is decided about them,
    `load` is the work of those who enter, `people` their calls and tasks by who would have them; the first of them are
    `named`, each by the caller's id and what they are called.
    """

    decided: Counter[str] = field(default_factory=Counter)
    load: Workload = field(default_factory=Workload)
    people: Counter[str] = field(default_factory=Counter)
    named: list[tuple[str, str]] = field(default_factory=list)


async def find_entrants(
    opening: StepOpening,
    playbooks: Sequence[CompiledPlaybook],
    policy: Policy,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[dict[str, Entrants], int]:
    """What would be decided about every customer, by playbook, and how many customers there are; writes nothing.

    `progress` is told how many customers are done, of how many. Drafts, paused and retired playbooks let nobody in.
    """
    published = Published({playbook.name: playbook for playbook in playbooks}, policy, "")
    triggers = [
        one
        for one in prepare_triggers(published, opening.catalogue).triggers
        if one.playbook.status in ("live", "shadow")
    ]
    found = {trigger.playbook.name: Entrants() for trigger in triggers}
    async with opening.database.transaction() as connection:
        total = await count_customers(connection)
        room = await _room(opening, connection, triggers, policy) if triggers else {}
    after, done = FIRST_ID, 0
    while triggers:
        async with opening.database.transaction() as connection:
            await read_only(connection)
            ids = await page_customers(connection, after, PAGE)
            if not ids:
                break
            for entry, known in await _weigh(opening, connection, ids, triggers, published):
                _count(entry, known, found[entry.playbook.name], room)
        after, done = ids[-1], done + len(ids)
        progress(done, total)
    return found, total


async def _room(
    opening: StepOpening, connection: Connection, triggers: Sequence[Trigger], policy: Policy
) -> dict[str, int]:
    """How many more each playbook with `at_most` admits today."""
    now = await opening.database.clock.read(connection)
    room: dict[str, int] = {}
    for playbook in (trigger.playbook for trigger in triggers):
        limit = playbook.enter.at_most_per_day if playbook.enter else None
        if limit is not None:
            admitted = await runs.count_admitted(
                connection,
                playbook.name,
                midnight_before(now, policy.default_zone),
                shadow=playbook.status == "shadow",
            )
            room[playbook.name] = limit - admitted
    return room


async def _weigh(
    opening: StepOpening,
    connection: Connection,
    ids: Sequence[str],
    triggers: Sequence[Trigger],
    published: Published,
) -> list[tuple[Entry, Known]]:
    """What is decided about those of these customers for whom a trigger holds."""
    now = await opening.database.clock.read(connection)
    needs = reduce(or_, (trigger_needs(trigger.playbook) for trigger in triggers), Needs())
    known = await load_known(connection, ids, now, needs, opening.catalogue, reachability=False)
    matched = [
        consider(id_, customer, trigger.playbook, True)
        for id_, customer in known.items()
        for trigger in triggers
        if trigger.first_failing(customer.facts) is None
    ]
    inside = {entry.customer_id: known[entry.customer_id] for entry in matched}
    known |= await load_reachability(connection, inside)
    open_runs: dict[str, list[tuple[Run, Version]]] = defaultdict(list)
    for run in await runs.load_open_runs(connection, list(inside)):
        version = await opening.versions.load_or_empty(connection, run.playbook, run.version)
        open_runs[run.customer_id].append((run, version))
    decided = await Entries(opening, published, now).weigh(connection, matched, open_runs, known)
    return [(entry, known[entry.customer_id]) for entry in decided]


def _count(entry: Entry, known: Known, found: Entrants, room: dict[str, int]) -> None:
    decision, name = entry.decision, entry.playbook.name
    assert decision is not None
    if not (decision.enters or decision.shadows):
        found.decided[decision.reason] += 1
        return
    if name in room:
        # Each page counts from what the database has admitted; here they are counted together.
        room[name] -= 1
        if room[name] < 0:
            found.decided["waiting"] += 1
            return
    found.decided[decision.reason] += 1
    if len(found.named) < NAMED:
        found.named.append((known.customer.external_id, known.customer.called))
    work = count_work(entry.playbook.steps, entry.run.variants if entry.run else {})
    found.load.add(work)
    for assigned, count in work.assigned.items():
        own = known.customer.profile.get("csm") or NOBODY
        found.people[str(own) if assigned == "csm" else assigned] += count


def landed(counted: Mapping[str, int]) -> dict[str, int]:
    """Counts without zeros, the largest first."""
    return {
        name: count for name, count in sorted(counted.items(), key=lambda item: (-item[1], item[0])) if count
    }
