"""`POST /api/customer-success/interventions/trigger`: somebody enters a customer into a playbook."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import AliasChoices, Field

from store.entry_requests import request_entry
from store.reading_rows import Row
from web.answers import Triggered
from web.api_runs import Text
from web.edge import Caller, EdgeHere, caller_of

router = APIRouter(prefix="/api/customer-success", tags=["interventions"], dependencies=[Depends(caller_of)])


class Trigger(Row):
    """Who, into which playbook, and why."""

    user_id: Annotated[Text, Field(validation_alias=AliasChoices("userId", "customerId"))]
    playbook: Text
    reason: Text = ""


@router.post("/interventions/trigger", summary="Enter a customer into a playbook")
async def trigger(edge: EdgeHere, caller: Caller, asked: Trigger) -> Triggered:
    """The trigger isn't asked, the limits are: 409 says which one stands in the way."""
    reason = asked.reason or f"asked for by {caller}"
    return Triggered(run_id=await request_entry(edge.database, asked.playbook, asked.user_id, reason))
