"""`/api/providers`: whom messages are handed to, and who of them can be used."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from fastapi import APIRouter, Depends

from store.providers import load_providers
from store.reading_rows import Row
from web.answers import Answer
from web.edge import EdgeHere, caller_of

router = APIRouter(prefix="/api/providers", tags=["providers"], dependencies=[Depends(caller_of)])


class ProviderRow(Row):
    """One provider of one channel. `state`: ok, parked (it refuses us; `code` and `reason` are its words), resting (it
    failed too often in a row, or asked to be left alone). `until`: when it is tried again.
    """

    channel: str
    provider: str
    state: str
    code: str
    reason: str
    failures: int
    since: datetime
    until: datetime | None


class ProviderList(Answer):
    """All that workers have used, by channel and name."""

    providers: list[ProviderRow]


@router.get("", summary="List providers")
async def list_(edge: EdgeHere) -> ProviderList:
    """A provider is listed once a worker has had a message for its channel."""
    async with edge.database.transaction() as connection:
        found = await load_providers(connection)
    return ProviderList(providers=[ProviderRow.model_validate(asdict(state)) for state in found])
