"""Starting a playbook for many customers: first who would enter and who not and why, then the start and its result."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from starlette.requests import Request

from schemas.errors import InputError
from store.audit import record_change
from store.bulk_entries import EntryPreview, ask_entries, count_undecided, name_customers, read_batch
from store.reading_decisions import list_playbooks
from store.reading_overview import find_matching
from web.edge import Edge, EdgeHere, Poster, Reader
from web.forms import read_form_lists
from web.overview_query import kept_pairs, read_query
from web.rendering import render

router = APIRouter(include_in_schema=False)
MOST_AT_ONCE = 2000
PATIENCE_SECONDS = 8.0
# What keeps customers out, in words for whoever asked them in.
REASONS: Mapping[str, str] = {
    "entered": "enter", "held_out": "are held out to measure the effect", "goal_met": "have reached the goal already",
    "already_running": "are in this playbook now", "again_rule": "were in it too lately", "group":
    "are in another playbook of its group", "entries": "entered as many playbooks as the policy allows",
    "waiting": "wait: as many as may have entered today", "no_consent": "can't be reached: no consent or address",
    "paused": "stay out: the playbook is paused", "draft": "stay out: the playbook is a draft",
    "retired": "stay out: the playbook is retired", "shadow": "would enter, but the playbook is a shadow",
    "condition": "don't fulfil its condition",
}  # fmt: skip


@router.post("/bulk")
async def preview(request: Request, edge: EdgeHere, me: Poster) -> Response:
    """Who of the chosen would enter, who not, and why; nothing is started."""
    fields = await read_form_lists(request)
    playbook = _one(fields, "playbook")
    chosen, matching = await _choose(edge, fields)
    if not playbook or not chosen:
        raise InputError(
            "Nobody is chosen." if playbook else "No playbook is chosen.",
            remedy="Go back, choose customers and a playbook, then look at the preview.",
        )
    if edge.preview is None:
        raise InputError("This process can't look ahead.", remedy="Run `holdfast web`, which can.")
    previews = await edge.preview(playbook, [user_id for user_id, _ in chosen])
    names = dict(chosen)
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        title = {one.name: one.title for one in await list_playbooks(connection)}.get(playbook, playbook)
    return render(
        request,
        "bulk_preview.html",
        playbook=playbook,
        title=title,
        chosen=len(chosen),
        matching=matching,
        most=MOST_AT_ONCE,
        entering=[(names.get(one.user_id, one.user_id), one) for one in previews if one.enters],
        held_out=sum(one.held_out for one in previews),
        groups=_group([one for one in previews if not one.enters], names),
        reasons=REASONS,
        fields={name: fields[name] for name in ("pick", "all", "query") if name in fields},
        back=_one(fields, "query"),
        batch=str(uuid.uuid4()),
        at=now,
    )


@router.post("/bulk/start")
async def start(request: Request, edge: EdgeHere, me: Poster) -> Response:
    """Ask all of them in, wait a while for what is decided, and tell."""
    fields = await read_form_lists(request)
    playbook, reason = _one(fields, "playbook"), _one(fields, "reason").strip()[:200]
    try:
        batch = str(uuid.UUID(_one(fields, "batch")))
    except ValueError:
        raise InputError("The form isn't whole.", remedy="Look at the preview again, then start.") from None
    chosen, _ = await _choose(edge, fields)
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        asked = await ask_entries(
            connection, batch, playbook, [user_id for user_id, _ in chosen], reason or f"asked for by {me.name}",
            me.name, now,
        )  # fmt: skip
        if asked:
            await record_change(
                connection, me, "entries.asked", object_kind="playbook", object_id=playbook,
                after={"batch": batch, "customers": asked, "reason_length": len(reason)},
            )  # fmt: skip
    edge.bell.ring()
    if not asked and not chosen:
        raise InputError("Nobody is chosen.", remedy="Go back and choose customers.")
    await _await_decisions(edge, batch)
    return RedirectResponse(f"/bulk/{batch}", 303)


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
        counts=[(decision, n) for decision, n in counts.most_common() if decision not in (None, "entered")],
        entered=counts["entered"],
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


async def _choose(edge: Edge, fields: Mapping[str, Sequence[str]]) -> tuple[list[tuple[str, str]], int]:
    """(id, name) of who is chosen, and how many match the filter (0 where rows were picked)."""
    if "all" not in fields:
        async with edge.database.transaction() as connection:
            return await name_customers(connection, fields.get("pick", ())), 0
    query = read_query(kept_pairs(parse_qs(_one(fields, "query"))))
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        found = await find_matching(connection, query.wanted, now, MOST_AT_ONCE + 1)
    if len(found) > MOST_AT_ONCE:
        raise InputError(
            f"More than {MOST_AT_ONCE:,} customers match: that is too many to start at once.",
            remedy="Narrow the filter, or give the playbook a trigger that finds them by itself.",
        )
    return found, len(found)


def _group(
    previews: Sequence[EntryPreview], names: Mapping[str, str]
) -> list[tuple[str, list[tuple[str, EntryPreview]]]]:
    groups: dict[str, list[tuple[str, Any]]] = {}
    for one in previews:
        groups.setdefault(one.reason, []).append((names.get(one.user_id, one.user_id), one))
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _one(fields: Mapping[str, Sequence[str]], name: str) -> str:
    return fields[name][-1] if fields.get(name) else ""
