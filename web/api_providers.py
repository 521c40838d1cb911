"""`/api/providers`: whom messages are handed to, and who of them can be used."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Depends

from store.providers import load_providers
from web.answers import Answer
from web.edge import EdgeHere, caller_of
from web.system_answers import ProviderRow

router = APIRouter(prefix="/api/providers", tags=["providers"], dependencies=[Depends(caller_of)])


class ProviderList(Answer):
    """All that workers have used, by channel and name."""

    providers: list[ProviderRow]


@router.get("", summary="List providers")
async def list_(edge: EdgeHere) -> ProviderList:
    """A provider is listed once a worker has had a message for its channel."""
    async with edge.database.transaction() as connection:
        found = await load_providers(connection)
    return ProviderList(providers=[ProviderRow.model_validate(asdict(state)) for state in found])
