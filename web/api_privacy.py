"""`/api/customers/{userId}/erasure` and `/export`: forgetting a customer, and telling everything known of one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import Field

from schemas.errors import NotFoundError
from store.erasing import Erasure, State, find_erasure, request_erasure
from store.exporting import export_and_record
from web.access import Manager, may
from web.answers import Answer
from web.api_customers import UserId
from web.asked import Asked
from web.edge import EdgeHere

router = APIRouter(prefix="/api/customers", tags=["privacy"], dependencies=[Depends(may("manage"))])


class ErasureRequest(Asked):
    """Why; it is kept for good, so that it should name nobody."""

    reason: Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")] = ""


class ErasureState(Answer):
    """How far an erasure is: fenced, cancelling (runs and their executions), erasing (what is stored), done.

    `rows`: how many went, by table; `executions`: how many Temporal had.
    """

    id: str
    state: State
    requested_at: datetime
    finished_at: datetime | None
    rows: dict[str, int]
    executions: int


@router.post("/{userId:path}/erasure", summary="Erase a customer", status_code=202)
async def erase(
    edge: EdgeHere, user_id: UserId, manager: Manager, asked: ErasureRequest | None = None
) -> ErasureState:
    """From the answer on nothing is taken in, begun or sent for them; a worker does the rest within minutes.

    It can't be undone. Asking again tells how far it is.
    """
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        reason = asked.reason if asked else ""
        return _state(await request_erasure(connection, user_id, manager, reason=reason, now=now))


@router.get("/{userId:path}/erasure", summary="How far an erasure is")
async def read(edge: EdgeHere, user_id: UserId) -> ErasureState:
    """The last erasure of whom the caller calls so; 404 where there was none."""
    async with edge.database.transaction() as connection:
        found = await find_erasure(connection, user_id)
    if found is None:
        raise NotFoundError("There was no erasure of this customer.", remedy="Post here to ask for one.")
    return _state(found)


@router.get(
    "/{userId:path}/export",
    summary="Everything known of a customer",
    response_class=JSONResponse,
    response_model=None,
)
async def export(edge: EdgeHere, user_id: UserId, manager: Manager) -> JSONResponse:
    """One document, with a section for each kind of record; `about` says what each is. The audit log has who asked."""
    document: dict[str, Any] = await export_and_record(edge.database, user_id, manager)
    return JSONResponse(
        {"success": True, **document},
        headers={"Content-Disposition": 'attachment; filename="customer.json"', "Cache-Control": "no-store"},
    )


def _state(erasure: Erasure) -> ErasureState:
    return ErasureState(
        id=erasure.id,
        state=erasure.state,
        requested_at=erasure.requested_at,
        finished_at=erasure.finished_at,
        rows=erasure.detail.get("rows", {}),
        executions=int(erasure.detail.get("executions", 0)),
    )
