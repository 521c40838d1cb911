"""`/api/outbox`, `/api/decisions`, `/api/dead-letters`: what was sent, decided and refused."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Depends

from store.dead_letters import list_dead_letters
from store.reading_decisions import list_decisions
from store.reading_messages import list_messages
from web.answers import DeadLetterList, DecisionList, MessageList
from web.api_runs import Customer, Limit, Word
from web.cursors import read_moment_cursor, read_number_cursor, write_cursor
from web.edge import EdgeHere, caller_of

router = APIRouter(prefix="/api", tags=["records"], dependencies=[Depends(caller_of)])
MessageState = Literal["claimed", "retrying", "accepted", "failed", "unknown", "skipped"]


@router.get("/outbox", summary="Messages of every channel")
async def outbox(
    edge: EdgeHere,
    customer: Customer,
    channel: Word = None,
    state: MessageState | None = None,
    limit: Limit = 50,
    cursor: Word = None,
) -> MessageList:
    """The delivery ledger, newest first, with what was rendered and what became of it."""
    async with edge.database.transaction() as connection:
        rows = await list_messages(
            connection,
            customer=customer,
            channel=channel,
            state=state,
            limit=limit + 1,
            before=read_moment_cursor(cursor),
        )
    last = rows[limit - 1] if len(rows) > limit else None
    return MessageList(
        messages=rows[:limit], next_cursor=write_cursor(last.created_at, last.id) if last else None
    )


@router.get("/decisions", summary="Decisions about entries")
async def decisions(
    edge: EdgeHere,
    customer: Customer,
    playbook: Word = None,
    limit: Limit = 50,
    cursor: Word = None,
) -> DecisionList:
    """Newest first, each with its reason and the condition's lines; only conditions that held are logged."""
    async with edge.database.transaction() as connection:
        rows = await list_decisions(
            connection,
            customer=customer,
            playbook=playbook,
            limit=limit + 1,
            before=read_number_cursor(cursor),
        )
    last = rows[limit - 1] if len(rows) > limit else None
    return DecisionList(decisions=rows[:limit], next_cursor=write_cursor(last.id) if last else None)


@router.get("/dead-letters", summary="Events that could not be taken")
async def dead_letters(edge: EdgeHere, limit: Limit = 50, cursor: Word = None) -> DeadLetterList:
    """The latest first, each with its reason and its text; one row however often it came."""
    async with edge.database.transaction() as connection:
        rows = await list_dead_letters(connection, limit=limit + 1, before=read_number_cursor(cursor))
    last = rows[limit - 1] if len(rows) > limit else None
    return DeadLetterList(dead_letters=rows[:limit], next_cursor=write_cursor(last.id) if last else None)
