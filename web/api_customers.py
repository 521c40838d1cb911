"""`/api/customers`: one customer as the engine knows it, and its in-app messages and rewards."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from schemas.access import Principal
from schemas.catalogue import load_catalogue
from scoring.adoption import FEATURE_EVENT, UseDay, adopt_features
from store.feature_use import load_feature_use
from store.reading import read_customer
from store.reading_messages import list_in_app, mark_seen, read_message
from store.reading_rewards import list_rewards
from store.reading_rows import MessageRow
from store.reading_runs import list_runs
from web.answers import CustomerDetail, FeatureList, FeatureRow, InAppList, InAppMessage, RewardList, Seen
from web.api_runs import MOST_AT_ONCE, Limit, Word
from web.cursors import cut, read_offset_cursor, write_cursor
from web.edge import EdgeHere, own_or
from web.permissions import check_own, own_named

router = APIRouter(prefix="/api", tags=["customers"])
Own = Depends(own_or("read"))
# Customers' own ids may hold anything, slashes too: so the longer path comes first.
UserId = Annotated[
    str,
    Path(
        alias="userId",
        max_length=200,
        pattern=r"^[^\x00]+$",
        description="The customer's id, as in its events.",
    ),
]


@router.get("/customers/{userId:path}/messages", summary="A customer's in-app messages", dependencies=[Own])
async def messages(edge: EdgeHere, user_id: UserId, limit: Limit = 50, cursor: Word = None) -> InAppList:
    """Unseen ones first, then newest first. Post to `/api/messages/{id}/seen` when one was shown."""
    told = read_offset_cursor(cursor)
    async with edge.database.transaction() as connection:
        await read_customer(connection, user_id, events=0)
        rows = await list_in_app(connection, user_id, told + limit + 1)
    return InAppList(
        user_id=user_id,
        messages=[_in_app(row) for row in rows[told : told + limit]],
        next_cursor=write_cursor(told + limit) if len(rows) > told + limit else None,
    )


@router.get(
    "/customers/{userId:path}/rewards", summary="What playbooks unlocked for a customer", dependencies=[Own]
)
async def rewards(edge: EdgeHere, user_id: UserId, limit: Limit = 50, cursor: Word = None) -> RewardList:
    """Newest first. A feature is unlocked while one of its grants is `active`."""
    told = read_offset_cursor(cursor)
    async with edge.database.transaction() as connection:
        await read_customer(connection, user_id, events=0)
        now = await edge.database.clock.read(connection)
        rows = await list_rewards(connection, user_id, now, told + limit + 1)
    return RewardList(
        user_id=user_id,
        rewards=rows[told : told + limit],
        next_cursor=write_cursor(told + limit) if len(rows) > told + limit else None,
    )


@router.get(
    "/customers/{userId:path}/features", summary="Which features a customer has adopted", dependencies=[Own]
)
async def features(
    edge: EdgeHere, user_id: UserId, limit: Limit = MOST_AT_ONCE, cursor: Word = None
) -> FeatureList:
    """First and last use, frequency, stage, value and the risk of being given up, of every feature as of today."""
    async with edge.database.transaction() as connection:
        await read_customer(connection, user_id, events=0)
        now = await edge.database.clock.read(connection)
        used = await load_feature_use(connection, user_id, FEATURE_EVENT)
    adopted = adopt_features([UseDay(*one) for one in used], load_catalogue().core_features, now.date())
    found, further = cut(adopted, read_offset_cursor(cursor), limit)
    return FeatureList(
        user_id=user_id,
        features=[FeatureRow.model_validate(one, from_attributes=True) for one in found],
        next_cursor=further,
    )


@router.get("/customers/{userId:path}", summary="One customer")
async def read(edge: EdgeHere, user_id: UserId, caller: Annotated[Principal, Own]) -> CustomerDetail:
    """Profile, current signals but those that a model learns from, consents, open runs, and where it stands with
    playbooks; of open runs at most the 100 latest (`/api/runs` has all). Customers are told neither of runs and
    standings nor of churn, which are the operators'.
    """
    staff = caller.may("read")
    async with edge.database.reading() as source:
        found = await read_customer(source, user_id)
        return CustomerDetail(
            user_id=found.user_id,
            profile=found.profile,
            signals={name: value for name, value in found.signals.items() if _is_told(name, staff=staff)},
            consents=found.consents,
            open_runs=await list_runs(source, customer=user_id, state="open", limit=100) if staff else [],
            standings=found.standings if staff else [],
            recent_events=found.events,
        )


@router.post("/messages/{id}/seen", summary="An in-app message was shown")
async def seen(edge: EdgeHere, caller: Annotated[Principal, Depends(own_named("act"))], id: str) -> Seen:  # noqa: A002
    """The first time counts; repeating it changes nothing."""
    async with edge.database.transaction() as connection:
        found = await read_message(connection, id)
    check_own(caller, found.user_id, "act")
    row = await mark_seen(edge.database, id)
    return Seen(id=row.id, seen_at=row.seen_at)


def _is_told(name: str, *, staff: bool) -> bool:
    """What a model learns from stays inside (C5); what models say of the customer is told: of churn to staff alone."""
    signal = load_catalogue().signals.get(name)
    told = ("health", "churn") if staff else ("health",)
    if signal is not None and signal.group in ("health", "churn"):
        return signal.group in told
    return signal is None or not signal.learning


def _in_app(row: MessageRow) -> InAppMessage:
    return InAppMessage(
        id=row.id,
        title=row.content.get("title"),
        text=row.content.get("text"),
        created_at=row.created_at,
        seen_at=row.seen_at,
    )
