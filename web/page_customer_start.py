"""What a customer's page posts about playbooks: looking ahead, starting one, and commanding runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.requests import Request

from rules.entry import EntryReason
from schemas.errors import ConflictError, HoldfastError, InputError, NotFoundError, UnavailableError
from schemas.run import Command
from store.audit import record_change
from store.database import Connection
from store.entry_requests import EntryRequest, request_entry
from store.reading_playbooks import list_startable
from store.reading_runs import read_run
from web.api_interventions import Customization
from web.commands import command_run
from web.customer_answers import answer_done, answer_refused, find_posted, read_short
from web.edge import EdgeHere, Poster
from web.forms import read_form
from web.page_customer import path_of
from web.rendering import render

router = APIRouter(include_in_schema=False)
PRIORITIES = ("low", "medium", "high", "critical")
# The evaluator's words that aren't a person's.
_REASON = re.compile(rf"\b({'|'.join(one for one in get_args(EntryReason) if '_' in one)})\b")
DONE = {"pause": "Paused.", "resume": "It goes on.", "stop": "Stopped."}


@router.post("/customers/{user_id:path}/start/preview")
async def preview(request: Request, edge: EdgeHere, me: Poster, user_id: str) -> Response:
    """What would stop this customer from entering a playbook now, and what would be said; nothing is started."""
    fields = await read_form(request)
    playbook = fields.get("playbook", "")
    if not playbook:
        raise InputError("No playbook is chosen.", remedy="Go back and choose one.")
    wishes = _read_wishes(fields)
    if edge.explain is None:
        raise UnavailableError("This process can't look ahead.", remedy="Run `holdfast web`, which can.")
    found = await find_posted(edge, user_id)
    outlooks = {one.playbook: one for one in await edge.explain(found.external_id)}
    if playbook not in outlooks:
        raise NotFoundError(
            f"There is no published playbook {playbook[:200]!r}.",
            remedy="Go back and choose one of the list.",
        )
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
    return render(
        request, "customer_start.html", customer=found, here=path_of(found), name=found.called,
        outlook=outlooks[playbook], reason=read_short(fields, "reason"), priority=_priority(fields), wishes=wishes,
        at=now,
    )  # fmt: skip


@router.post("/customers/{user_id:path}/start")
async def start(request: Request, edge: EdgeHere, me: Poster, user_id: str) -> Response:
    """Somebody starts a playbook for this customer; its entry rules are asked, its trigger isn't."""
    fields = await read_form(request)
    playbook, reason, priority = fields.get("playbook", ""), read_short(fields, "reason"), _priority(fields)
    found = await find_posted(edge, user_id)
    try:
        wishes = _read_wishes(fields)

        async def note(connection: Connection, asked: EntryRequest) -> None:
            await record_change(
                connection, me, "intervention.triggered", object_kind="customer", object_id=asked.customer_id,
                after={"request_id": asked.id, "playbook": playbook, "priority": priority,
                       "reason_length": len(reason), "customized": sorted(wishes)},
            )  # fmt: skip

        await request_entry(
            edge.database, playbook, found.external_id, reason or f"asked for by {me.name}", priority=priority,
            customization=wishes, asked_by=me.name, note=note,
        )  # fmt: skip
    except ConflictError as error:
        told = _REASON.sub(lambda found: found[0].replace("_", " "), error.message)
        return answer_refused(found, ConflictError(told, remedy="The tab “Playbooks” says more."))
    except HoldfastError as error:
        return answer_refused(found, error)
    async with edge.database.transaction() as connection:
        titles = {name: title for name, title, _ in await list_startable(connection)}
    return answer_done(found, f"{titles.get(playbook, playbook)} was started.")


@router.post("/customers/{user_id:path}/runs/{run_id}/{verb}")
async def command(
    request: Request,
    edge: EdgeHere,
    me: Poster,
    user_id: str,
    run_id: str,
    verb: Literal["pause", "resume", "stop"],
) -> Response:
    """Somebody pauses, resumes or stops one of the customer's runs."""
    fields = await read_form(request)
    found = await find_posted(edge, user_id)
    try:
        async with edge.database.transaction() as connection:
            run = await read_run(connection, run_id)
        if run.user_id != found.external_id:
            raise NotFoundError("That run is another customer's.", remedy="Open the page anew.")
        asked = Command(by=me.name, reason=read_short(fields, "reason"))
        _, answer = await command_run(edge, me, run_id, verb, asked)
    except HoldfastError as error:
        return answer_refused(found, error)
    return answer_done(found, f"{run.playbook}: {answer or DONE[verb]}")


def _read_wishes(fields: Mapping[str, str]) -> dict[str, object]:
    try:
        asked = Customization(message=fields.get("message", "").strip().replace("\r\n", "\n"))
    except ValidationError:
        raise InputError(
            "The message can't be used.",
            remedy="At most 1,000 characters, line breaks but no other control characters.",
        ) from None
    return {name: value for name, value in asked.model_dump(by_alias=False).items() if value}


def _priority(fields: Mapping[str, str]) -> str:
    return priority if (priority := fields.get("priority", "")) in PRIORITIES else "medium"
