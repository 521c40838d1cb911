"""The other forms of a customer's page: a call, scoring now, the export of what is known, erasure."""

from __future__ import annotations

import json
import uuid

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.requests import Request

from schemas.errors import HoldfastError, InputError
from store.erasing import request_erasure
from store.exporting import export_and_record
from store.playbooks import load_policy
from web.customer_answers import answer_done, answer_refused, find_posted, read_short
from web.customer_score import assess
from web.edge import EdgeHere, ManagerPoster, Poster
from web.formats import percent
from web.forms import read_form, read_local
from web.scheduling import CallWish, schedule_call

router = APIRouter(include_in_schema=False)
LONGEST_SUBJECT = 2000


@router.post("/customers/{user_id:path}/call")
async def call(request: Request, edge: EdgeHere, me: Poster, user_id: str) -> Response:
    """Somebody puts a call on a list."""
    fields = await read_form(request)
    found = await find_posted(edge, user_id)
    try:
        id_ = str(uuid.UUID(fields.get("id", "")))
    except ValueError:
        id_ = str(uuid.uuid4())
    try:
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            policy = await load_policy(connection)
            wish = CallWish(
                id_,
                read_short(fields, "who"),
                fields.get("about", "").strip()[:LONGEST_SUBJECT],
                read_local(fields.get("at", ""), policy.default_zone),
            )
            task = await schedule_call(connection, found, wish, policy, me, now)
    except HoldfastError as error:
        return answer_refused(found, error)
    edge.bell.ring()
    return answer_done(found, f"{task.title} is on the list of {task.holder}.")


@router.post("/customers/{user_id:path}/score")
async def score(request: Request, edge: EdgeHere, me: Poster, user_id: str) -> Response:
    """Score the customer now, and write it down as the day's latest; playbooks hear of what changed."""
    await read_form(request)
    found = await find_posted(edge, user_id)
    try:
        assessed = await assess(edge, found.external_id, record=True)
    except HoldfastError as error:
        return answer_refused(found, error)
    health = assessed.health.score if assessed.health.score is not None else "not known"
    risk = assessed.prediction
    told = f", churn probability {percent(risk.probability)} ({risk.level})" if risk else ""
    return answer_done(found, f"Scored: health {health}{told}.")


@router.post("/customers/{user_id:path}/export")
async def export(request: Request, edge: EdgeHere, me: ManagerPoster, user_id: str) -> Response:
    """Everything known of the customer, as a file."""
    await read_form(request)
    found = await find_posted(edge, user_id)
    document = await export_and_record(edge.database, found.external_id, me)
    return Response(
        json.dumps(document, indent=2, ensure_ascii=False, default=str),
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="customer.json"', "Cache-Control": "no-store"},
    )


@router.post("/customers/{user_id:path}/erasure")
async def erase(request: Request, edge: EdgeHere, me: ManagerPoster, user_id: str) -> Response:
    """Forget the customer for good, once their id was typed."""
    fields = await read_form(request)
    found = await find_posted(edge, user_id)
    try:
        if fields.get("confirm", "").strip() != found.external_id:
            raise InputError(
                "The id that was typed isn't this customer's: nothing was erased.",
                remedy="Type it exactly as it is shown.",
            )
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            await request_erasure(
                connection, found.external_id, me, reason=fields.get("reason", "")[:1000], now=now
            )
    except HoldfastError as error:
        return answer_refused(found, error)
    edge.bell.ring()
    return answer_done(
        found, "The erasure has begun: nothing is taken in or sent any more, the rest goes within minutes."
    )
