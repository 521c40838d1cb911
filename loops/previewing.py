"""What would become of many customers who were asked into a playbook now: the evaluator's own decisions, unwritten."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from activities.facts import Known, load_known
from activities.steps import StepOpening
from activities.versions import Version, Versions
from loops.entries import Entries
from loops.entry import ask
from loops.triggers import prepare_triggers
from rules.needs import trigger_needs
from schemas.catalogue import load_catalogue
from schemas.errors import NotFoundError
from store import runs
from store.bulk_entries import EntryPreview
from store.customers import find_ids
from store.database import Database
from store.entry_requests import EntryRequest
from store.playbooks import load_published

# Facts are put together so many customers at a time, and whoever else waits for this process comes in between.
AT_ONCE = 50


async def preview_entries(
    database: Database, playbook: str, external_ids: Sequence[str]
) -> list[EntryPreview]:
    """The decision on each of these customers, in their order, if somebody asked for all of them at once now.

    As for any entry that is asked for, the trigger isn't looked at, all else is. Unknown customers are left out.
    Nothing is written. Raises NotFoundError for an unknown playbook.
    """
    opening = StepOpening(database, load_catalogue(), Versions())
    async with database.transaction() as connection:
        published = await load_published(connection)
        found = published.playbooks.get(playbook)
        if found is None:
            raise NotFoundError(
                f"There is no published playbook {playbook[:200]!r}.",
                remedy=f"Published are: {', '.join(published.playbooks) or 'none'}.",
            )
        ids = await find_ids(connection, external_ids)
        now = await database.clock.read(connection)
        needs = prepare_triggers(published, opening.catalogue).needs | trigger_needs(found)
        asked = [ids[name] for name in dict.fromkeys(external_ids) if name in ids]
        known: dict[str, Known] = {}
        for start in range(0, len(asked), AT_ONCE):
            part = asked[start : start + AT_ONCE]
            known |= await load_known(connection, part, now, needs, opening.catalogue)
            await asyncio.sleep(0)
        theirs: dict[str, list[tuple[runs.Run, Version]]] = {id_: [] for id_ in asked}
        for run in await runs.load_open_runs(connection, asked):
            version = await opening.versions.load_or_empty(connection, run.playbook, run.version)
            theirs[run.customer_id].append((run, version))
        entries = [
            ask(EntryRequest("", id_, playbook, ""), known[id_], found) for id_ in asked if id_ in known
        ]
        decided = await Entries(opening, published, now).weigh(connection, entries, theirs, known)
    names = {id_: name for name, id_ in ids.items()}
    previews = []
    for entry in decided:
        decision = entry.decision
        assert decision is not None
        previews.append(
            EntryPreview(
                entry.customer_id,
                names[entry.customer_id],
                decision.enters,
                decision.held_out,
                decision.reason,
                decision.detail,
            )
        )
    return previews
