"""Starting a playbook for many customers: first who would enter and who not and why, then the start and its result."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from starlette.requests import Request

from schemas.errors import InputError
from store.audit import record_change
from store.bulk_entries import (
    ENTERED,
    GONE,
    EntryPreview,
    ask_entries,
    count_undecided,
    is_started,
    list_starts,
    name_by_id,
    name_customers,
    read_batch,
)
from store.reading_decisions import list_playbooks
from store.reading_overview import find_matching
from web.bulk_seen import Drift, compare, read_seen, write_seen
from web.edge import Edge, EdgeHere, Poster, Reader
from web.forms import read_form_lists
from web.overview_query import kept_pairs, read_query
from web.rendering import render

router = APIRouter(include_in_schema=False)
MOST_AT_ONCE = 2000
PATIENCE_SECONDS = 8.0
STARTS = 100
# What keeps customers out, in words for whoever asked them in.
REASONS: Mapping[str, str] = {
    "entered": "enter", "held_out": "are held out to measure the effect", "goal_met": "have reached the goal already",
    "already_running": "are in this playbook now", "again_rule": "were in it too lately", "group":
    "are in another playbook of its group", "entries": "entered as many playbooks as the policy allows",
    "waiting": "aren't let in today: as many as may have entered", "no_consent":
    "can't be reached: no consent or address", "paused": "stay out: the playbook is paused", "draft":
    "stay out: the playbook is a draft", "retired": "stay out: the playbook is retired", "shadow":
    "would enter, but the playbook is a shadow", "condition": "don't fulfil its condition",
    GONE: "didn't match any more at the start",
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Whom somebody chose, and what would become of each now; `matching` is whether by a filter."""

    playbook: str
    title: str
    names: Mapping[str, str]
    matching: bool
    previews: Sequence[EntryPreview]
    at: datetime


@router.post("/bulk")
async def preview(request: Request, edge: EdgeHere, me: Poster) -> Response:
    """Who of the chosen would enter, who not, and why; nothing is started."""
    fields = await read_form_lists(request)
    return _show(request, fields, await _look(edge, fields), str(uuid.uuid4()), None, {})


@router.post("/bulk/start")
async def start(request: Request, edge: EdgeHere, me: Poster) -> Response:
    """Ask all of them in, wait a while for what is decided, and tell.

    Where more would be started than the preview showed, nothing is, and the preview as it is now asks once more.
    """
    fields = await read_form_lists(request)
    playbook, reason = _one(fields, "playbook"), _one(fields, "reason").strip()[:200]
    try:
        batch = str(uuid.UUID(_one(fields, "batch")))
    except ValueError:
        raise InputError("The form isn't whole.", remedy="Look at the preview again, then start.") from None
    seen = read_seen(_one(fields, "seen"))
    async with edge.database.transaction() as connection:
        started = await is_started(connection, batch)
    # Whoever posts the form again, or goes back to it, is shown what it came to.
    if started:
        return RedirectResponse(f"/bulk/{batch}", 303)
    look = await _look(edge, fields)
    drift = compare(seen, look.previews)
    if drift.grew or not look.previews:
        async with edge.database.transaction() as connection:
            gone = await name_by_id(connection, drift.gone)
        return _show(request, fields, look, batch, drift, gone)
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        asked = await ask_entries(
            connection, batch, playbook, {one.customer_id: seen[one.customer_id] for one in look.previews},
            reason or f"asked for by {me.name}", me.name, now, gone={id_: seen[id_] for id_ in drift.gone},
        )  # fmt: skip
        if asked:
            await record_change(
                connection, me, "entries.asked", object_kind="playbook", object_id=playbook,
                after={"batch": batch, "customers": asked, "gone": len(drift.gone), "reason_length": len(reason)},
            )  # fmt: skip
    edge.bell.ring()
    await _await_decisions(edge, batch)
    return RedirectResponse(f"/bulk/{batch}", 303)


@router.get("/bulk")
async def starts(request: Request, edge: EdgeHere, me: Reader) -> Response:
    """The latest bulk starts."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        found = await list_starts(connection, limit=STARTS)
    return render(request, "bulk_starts.html", starts=found, most=STARTS, at=now)


@router.get("/bulk/{batch}")
async def result(request: Request, edge: EdgeHere, me: Reader, batch: str) -> Response:
    """What became of a bulk start."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        found = await read_batch(connection, batch)
    counts = Counter(entry.decision for entry in found.entries)
    return render(
        request,
        "bulk_result.html",
        result=found,
        counts=[(decision, n) for decision, n in counts.most_common() if decision not in (None, ENTERED)],
        entered=counts[ENTERED],
        previewed=any(entry.expected is not None for entry in found.entries),
        expected=sum(entry.expected == ENTERED for entry in found.entries),
        gone=counts[GONE],
        surprises=sum(entry.is_surprise for entry in found.entries),
        reasons=REASONS,
        at=now,
    )


async def _await_decisions(edge: Edge, batch: str) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    pause = 0.05
    while loop.time() < deadline:
        await asyncio.sleep(pause)
        async with edge.database.transaction() as connection:
            if not await count_undecided(connection, batch):
                return
        pause = min(0.5, pause * 1.5)


async def _look(edge: Edge, fields: Mapping[str, Sequence[str]]) -> Look:
    playbook = _one(fields, "playbook")
    chosen, matching = await _choose(edge, fields)
    # Whoever comes back with a preview may find that nobody of it is left.
    if not playbook or not (chosen or _one(fields, "seen")):
        raise InputError(
            "Nobody is chosen." if playbook else "No playbook is chosen.",
            remedy="Go back, choose customers and a playbook, then look at the preview.",
        )
    if edge.preview is None:
        raise InputError("This process can't look ahead.", remedy="Run `holdfast web`, which can.")
    previews = await edge.preview(playbook, [user_id for user_id, _ in chosen])
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        title = {one.name: one.title for one in await list_playbooks(connection)}.get(playbook, playbook)
    return Look(playbook, title, dict(chosen), matching, previews, now)


async def _choose(edge: Edge, fields: Mapping[str, Sequence[str]]) -> tuple[list[tuple[str, str]], bool]:
    """(id, name) of who is chosen, and whether that is by the filter."""
    if "all" not in fields:
        async with edge.database.transaction() as connection:
            return await name_customers(connection, fields.get("pick", ())), False
    query = read_query(kept_pairs(parse_qs(_one(fields, "query"))))
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        found = await find_matching(connection, query.wanted, now, MOST_AT_ONCE + 1)
    if len(found) > MOST_AT_ONCE:
        raise InputError(
            f"More than {MOST_AT_ONCE:,} customers match: that is too many to start at once.",
            remedy="Narrow the filter, or give the playbook a trigger that finds them by itself.",
        )
    return found, True


def _show(
    request: Request,
    fields: Mapping[str, Sequence[str]],
    look: Look,
    batch: str,
    drift: Drift | None,
    gone: Mapping[str, tuple[str, str]],
) -> Response:
    """The preview; with `drift`, because a start found it otherwise than it was shown.

    `gone` are (the caller's id, name) by our id.
    """
    return render(
        request,
        "bulk_preview.html",
        look=look,
        chosen=len(look.previews),
        entering=[one for one in look.previews if one.enters],
        held_out=sum(one.held_out for one in look.previews),
        groups=_group([one for one in look.previews if not one.enters]),
        drift=drift,
        gone=gone,
        reasons=REASONS,
        fields={name: fields[name] for name in ("pick", "all", "query") if name in fields},
        reason=_one(fields, "reason")[:200],
        seen=write_seen(look.previews),
        back=_one(fields, "query"),
        batch=batch,
    )


def _group(previews: Sequence[EntryPreview]) -> list[tuple[str, list[EntryPreview]]]:
    groups: dict[str, list[EntryPreview]] = {}
    for one in previews:
        groups.setdefault(one.reason, []).append(one)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _one(fields: Mapping[str, Sequence[str]], name: str) -> str:
    return fields[name][-1] if fields.get(name) else ""
