"""`/api/push-tokens`: apps and browsers tell where they get notifications, and that they no longer want any."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import AliasChoices, Field, model_validator

from schemas.access import Principal
from store.push_tokens import PushToken, forget_token, register_token
from store.reading_rows import Row
from web.answers import Answer
from web.api_runs import Text
from web.asked import Asked
from web.edge import EdgeHere
from web.permissions import check_own, own_named

router = APIRouter(prefix="/api/push-tokens", tags=["push tokens"])
Own = Annotated[Principal, Depends(own_named("act"))]
Token = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[!-~]+$")]
Endpoint = Annotated[str, Field(max_length=2000, pattern=r"^https?://[!-~]+$")]
Key = Annotated[str, Field(min_length=16, max_length=200, pattern=r"^[A-Za-z0-9_=-]+$")]


class SubscriptionKeys(Row):
    """The browser's own keys."""

    p256dh: Key
    auth: Key


class Subscription(Row):
    """What a browser's `PushSubscription.toJSON()` gives; more in it is passed over."""

    endpoint: Endpoint
    keys: SubscriptionKeys


class Registration(Asked):
    """Either the `token` that FCM gave an app, or a browser's `subscription`; `device` is a word for people."""

    user_id: Annotated[Text, Field(validation_alias=AliasChoices("userId", "customerId"))]
    token: Token | None = None
    subscription: Subscription | None = None
    device: Text = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> Registration:
        if (self.token is None) == (self.subscription is None):
            raise ValueError("give either `token` or `subscription`")
        return self

    @property
    def push_token(self) -> PushToken:
        """As it is stored."""
        if self.subscription is not None:
            keys = self.subscription.keys.model_dump(by_alias=False)
            return PushToken("web", self.subscription.endpoint, keys, self.device)
        return PushToken("fcm", self.token or "", {}, self.device)


class Forgetting(Asked):
    """The app's `token`, or the `endpoint` of a browser's subscription."""

    user_id: Annotated[Text, Field(validation_alias=AliasChoices("userId", "customerId"))]
    token: Annotated[Token, Field(validation_alias=AliasChoices("token", "endpoint"))]


class Registered(Answer):
    """It gets notifications from now on."""


class Forgotten(Answer):
    """It gets no more; `known` is false where it got none before."""

    known: bool


@router.post("", summary="Register an app or a browser")
async def register(edge: EdgeHere, caller: Own, registration: Registration) -> Registered:
    """Repeating it is harmless, and tells that it is still in use. 404 for a customer whom nobody identified."""
    check_own(caller, registration.user_id, "act")
    async with edge.database.transaction() as connection:
        await register_token(connection, registration.user_id, registration.push_token)
    return Registered()


@router.post("/forget", summary="Forget an app or a browser")
async def forget(edge: EdgeHere, caller: Own, forgetting: Forgetting) -> Forgotten:
    """The customer logged out there, or unsubscribed; other devices go on."""
    check_own(caller, forgetting.user_id, "act")
    async with edge.database.transaction() as connection:
        known = await forget_token(connection, forgetting.user_id, forgetting.token)
    return Forgotten(known=known)
