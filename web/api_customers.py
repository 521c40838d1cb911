"""`/api/customers`: one customer as the engine knows it, and its in-app messages and rewards."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from schemas.catalogue import load_catalogue
from scoring.adoption import FEATURE_EVENT, UseDay, adopt_features
from store.feature_use import load_feature_use
from store.reading import read_customer
from store.reading_messages import list_in_app, mark_seen
from store.reading_rewards import list_rewards
from store.reading_rows import MessageRow
from store.reading_runs import list_runs
from web.answers import CustomerDetail, FeatureList, FeatureRow, InAppList, InAppMessage, RewardList, Seen
from web.api_runs import Limit
from web.edge import EdgeHere, caller_of

router = APIRouter(prefix="/api", tags=["customers"], dependencies=[Depends(caller_of)])
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


@router.get("/customers/{userId:path}/messages", summary="A customer's in-app messages")
async def messages(edge: EdgeHere, user_id: UserId, limit: Limit = 50) -> InAppList:
    """Unseen ones first, then newest first. Post to `/api/messages/{id}/seen` when one was shown."""
    async with edge.database.transaction() as connection:
        await read_customer(connection, user_id, events=0)
        rows = await list_in_app(connection, user_id, limit)
    return InAppList(user_id=user_id, messages=[_in_app(row) for row in rows])


@router.get("/customers/{userId:path}/rewards", summary="What playbooks unlocked for a customer")
async def rewards(edge: EdgeHere, user_id: UserId, limit: Limit = 50) -> RewardList:
    """Newest first. A feature is unlocked while one of its grants is `active`."""
    async with edge.database.transaction() as connection:
        await read_customer(connection, user_id, events=0)
        now = await edge.database.clock.read(connection)
        rows = await list_rewards(connection, user_id, now, limit)
    return RewardList(user_id=user_id, rewards=rows)


@router.get("/customers/{userId:path}/features", summary="Which features a customer has adopted")
async def features(edge: EdgeHere, user_id: UserId) -> FeatureList:
    """First and last use, frequency, stage, value and the risk of being given up, of every feature as of today."""
    async with edge.database.transaction() as connection:
        await read_customer(connection, user_id, events=0)
        now = await edge.database.clock.read(connection)
        used = await load_feature_use(connection, user_id, FEATURE_EVENT)
    found = adopt_features([UseDay(*one) for one in used], load_catalogue().core_features, now.date())
    return FeatureList(
        user_id=user_id, features=[FeatureRow.model_validate(one, from_attributes=True) for one in found]
    )


@router.get("/customers/{userId:path}", summary="One customer")
async def read(edge: EdgeHere, user_id: UserId) -> CustomerDetail:
    """Profile, current signals but those that a model learns from, consents, open runs, and where it stands with
    playbooks.
    """
    async with edge.database.transaction() as connection:
        found = await read_customer(connection, user_id)
        return CustomerDetail(
            user_id=found.user_id,
            profile=found.profile,
            signals={name: value for name, value in found.signals.items() if _is_told(name)},
            consents=found.consents,
            open_runs=await list_runs(connection, customer=user_id, state="open", limit=100),
            standings=found.standings,
            recent_events=found.events,
        )


@router.post("/messages/{id}/seen", summary="An in-app message was shown")
async def seen(edge: EdgeHere, id: str) -> Seen:  # noqa: A002
    """The first time counts; repeating it changes nothing."""
    row = await mark_seen(edge.database, id)
    return Seen(id=row.id, seen_at=row.seen_at)


def _is_told(name: str) -> bool:
    """What a model learns from stays inside (C5); what models say of the customer is told."""
    signal = load_catalogue().signals.get(name)
    return signal is None or not signal.learning or signal.group in ("health", "churn")


def _in_app(row: MessageRow) -> InAppMessage:
    return InAppMessage(
        id=row.id,
        title=row.content.get("title"),
        text=row.content.get("text"),
        created_at=row.created_at,
        seen_at=row.seen_at,
    )
