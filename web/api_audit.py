"""`/api/audit`: who changed what, when, how it was before and how it is since."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from schemas.errors import InputError
from store.audit import AuditRow, list_changes
from web.answers import Answer
from web.api_runs import Customer, Limit, Word
from web.cursors import read_number_cursor, write_cursor
from web.edge import EdgeHere, may
from web.moments import Moment

router = APIRouter(prefix="/api", tags=["audit"], dependencies=[Depends(may("audit"))])


class AuditList(Answer):
    """Changes, the latest first."""

    changes: list[AuditRow]
    next_cursor: str | None


@router.get("/audit", summary="Who changed what")
async def audit(
    edge: EdgeHere,
    customer: Customer,
    actor: Annotated[Word, Query(description="A name or an id: a person's, a key's.")] = None,
    action: Annotated[
        Word, Query(description="Such as run.stopped; its beginning will do, as in run.")
    ] = None,
    object_kind: Annotated[Word, Query(alias="objectKind")] = None,
    object_id: Annotated[Word, Query(alias="objectId", description="Our own id of it.")] = None,
    since: Moment | None = None,
    until: Annotated[Moment | None, Query(description="Not included.")] = None,
    limit: Limit = 50,
    cursor: Word = None,
) -> AuditList:
    """The latest first, with how it was and how it is. Texts and addresses are told by their length or hash only."""
    if since is not None and until is not None and since >= until:
        raise InputError("`since` comes before `until`.", remedy="Swap them, or leave one out.")
    async with edge.database.transaction() as connection:
        rows = await list_changes(
            connection, actor=actor, action=action, object_kind=object_kind, object_id=object_id, customer=customer,
            since=since, until=until, limit=limit + 1, before=read_number_cursor(cursor),
        )  # fmt: skip
    last = rows[limit - 1] if len(rows) > limit else None
    return AuditList(changes=rows[:limit], next_cursor=write_cursor(last.id) if last else None)
