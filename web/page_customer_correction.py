"""What a customer's page posts about an event: what it was really like, or that it never happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.requests import Request

from schemas.correction import Correction
from schemas.errors import HoldfastError, InputError, NotFoundError
from store.corrections import record_correction
from store.customer_events import find_event
from store.playbooks import load_policy
from web.customer_answers import answer_done, find_posted
from web.edge import EdgeHere, EditorPoster
from web.forms import answer_form, read_form, read_local
from web.page_customer import path_of

router = APIRouter(include_in_schema=False)


@router.post("/customers/{user_id:path}/correction")
async def correct(request: Request, edge: EdgeHere, me: EditorPoster, user_id: str) -> Response:
    """Somebody says what an event of the customer's was like; it stays as it was sent."""
    fields = await read_form(request)
    found = await find_posted(edge, user_id)
    key = fields.get("event", "")
    try:
        async with edge.database.transaction() as connection:
            policy = await load_policy(connection)
            event = await find_event(connection, found.id, key)
        if event is None:
            raise NotFoundError("There is no such event.", remedy="Open the page of the customer anew.")
        retract = fields.get("what") == "never"
        properties = None if retract else _read_object(fields.get("properties", ""), event.believed)
        at = None if retract else read_local(fields.get("at", ""), policy.default_zone)
        if not retract and properties is None and at is None:
            # A retracted event comes back by saying again what it was like.
            if not event.is_retracted:
                raise InputError(
                    "Nothing is otherwise than it is believed already.",
                    remedy="Change a property or the time, or say that it never happened.",
                )
            properties = dict(event.believed)
        correction = Correction(
            event.source, event.message_id, fields.get("reason", "").strip(), properties, at, retract
        )
        await record_correction(edge.database, correction, me.name, actor=me)
    except HoldfastError as error:
        told = f"{error.message} {error.remedy}"
        return answer_form(path_of(found), told, refused=True, query={"tab": "correct", "event": key})
    name = event.name.replace("_", " ")
    return answer_done(
        found,
        f"Noted: “{name}” {'never happened' if retract else 'is corrected'}. "
        "Signals and history follow within seconds.",
    )


def _read_object(written: str, believed: Mapping[str, Any]) -> dict[str, Any] | None:
    """None where it says what is believed already."""
    try:
        found = json.loads(written or "{}")
    except ValueError:
        raise InputError(
            "The properties can't be read.", remedy='Write them as JSON, like {"amount": 49}.'
        ) from None
    if not isinstance(found, dict):
        raise InputError("The properties are no object.", remedy='Write them like {"amount": 49}.')
    return None if found == believed else found
