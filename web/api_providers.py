"""`/api/providers`: whom messages are handed to, and who of them can be used."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Depends

from store.providers import load_providers
from web.answers import Answer
from web.api_runs import MOST_AT_ONCE, Limit, Word
from web.cursors import cut, read_offset_cursor
from web.edge import EdgeHere, caller_of
from web.system_answers import ProviderRow

router = APIRouter(prefix="/api/providers", tags=["providers"], dependencies=[Depends(caller_of)])


class ProviderList(Answer):
    """All that workers have used, by channel and name."""

    providers: list[ProviderRow]
    next_cursor: str | None


@router.get("", summary="List providers")
async def list_(edge: EdgeHere, limit: Limit = MOST_AT_ONCE, cursor: Word = None) -> ProviderList:
    """A provider is listed once a worker has had a message for its channel."""
    async with edge.database.transaction() as connection:
        found, further = cut(await load_providers(connection), read_offset_cursor(cursor), limit)
    providers = [ProviderRow.model_validate(asdict(state)) for state in found]
    return ProviderList(providers=providers, next_cursor=further)
