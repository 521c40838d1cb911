"""Push to everywhere: tokens of apps and browsers are collected, used together, and forgotten when they are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from channels.pool import Provider, ProviderPool
from channels.web_push import WebPushChannel
from channels.web_push_encryption import read_vapid_key
from schemas.plan import Act
from store.push_tokens import PushToken, forget_token, load_tokens, register_token
from tests.integration.message_desk import MessageDesk, open_message_desk
from tests.integration.provider_desk import PRIVATE, PUBLIC
from tests.integration.step_desk import act
from tests.integration.web_edge import RunningWeb, run_web
from tests.standins.web_push import Browser, WebPushStandIn

KEYS = {"p256dh": "A" * 87, "auth": "A" * 22}


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[MessageDesk]:
    async with open_message_desk(database_url, tmp_path) as messages:
        yield messages


@pytest.fixture
async def service(desk: MessageDesk) -> AsyncIterator[WebPushStandIn]:
    """A push service; from now on push goes by FCM, then by it."""
    async with WebPushStandIn(sender=PUBLIC) as server:
        key = read_vapid_key("VAPID_PRIVATE_KEY", PRIVATE, "mailto:push@holdfast.example")
        web = WebPushChannel(key, hosts=[server.host])
        desk.channels["push"] = ProviderPool("push", [Provider(desk.channels["push"]), Provider(web)])
        yield server
        await web.close()


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        yield running


async def register(desk: MessageDesk, browser: Browser, customer: str = "ada") -> None:
    async with desk.steps.database.transaction() as connection:
        await register_token(connection, customer, PushToken("web", browser.endpoint, browser.keys))


async def tokens(desk: MessageDesk) -> set[str]:
    """Ada's, those in use."""
    [row] = await desk.rows("SELECT id FROM customers WHERE external_id = 'ada'")
    async with desk.steps.database.transaction() as connection:
        return {token.token for token in await load_tokens(connection, str(row["id"]))}


async def profile_token(desk: MessageDesk) -> str:
    [row] = await desk.rows(
        "SELECT traits ->> 'push_token' AS token FROM customers WHERE external_id = 'ada'"
    )
    return str(row["token"])


def nudge(step: str = "push") -> Act:
    return act("push", step, template="nudge")


async def test_every_token_that_an_app_ever_told_gets_the_notification(desk: MessageDesk) -> None:
    await desk.steps.identify(push_token="Device:Two")
    await desk.steps.identify(pushToken="Device:Three")
    run = await desk.enter(nudge())
    assert (await desk.carry_out(run, "push")).outcome == "sent"
    taken = sorted(message["token"] for message in desk.providers.fcm.accepted)
    assert taken == ["Device:One", "Device:Three", "Device:Two"]
    assert await desk.ledger("state, provider, attempt") == [("accepted", "fcm", 1)]


async def test_pushtoken_alone_makes_a_customer_reachable(desk: MessageDesk) -> None:
    await desk.steps.identify(push_token=None)
    await desk.steps.identify(pushToken="Device:Three")
    run = await desk.enter(nudge())
    assert (await desk.carry_out(run, "push")).outcome == "sent"


async def test_a_token_that_is_gone_is_not_used_again_and_the_profile_names_another(
    desk: MessageDesk,
) -> None:
    await desk.steps.identify(push_token="Device:Two")
    run = await desk.enter(nudge("one"), nudge("two"))
    desk.providers.fcm.programme.script.extend(["404/UNREGISTERED", "ok"])
    assert (await desk.carry_out(run, "one")).outcome == "sent"
    [left] = await tokens(desk)
    assert await profile_token(desk) == left
    before = len(desk.providers.fcm.accepted)
    assert (await desk.carry_out(run, "two")).outcome == "sent"
    assert [message["token"] for message in desk.providers.fcm.accepted[before:]] == [left]


async def test_an_app_that_says_it_has_no_token_any_more_is_left_alone(desk: MessageDesk) -> None:
    run = await desk.enter(nudge())
    await desk.steps.identify(push_token=None)
    assert await tokens(desk) == set()
    assert (await desk.carry_out(run, "push")).outcome == "unreachable"


async def test_an_app_that_comes_back_is_used_again(desk: MessageDesk) -> None:
    run = await desk.enter(nudge())
    async with desk.steps.database.transaction() as connection:
        assert await forget_token(connection, "ada", "Device:One") is True
        assert await forget_token(connection, "ada", "Device:One") is False
    assert await tokens(desk) == set()
    await desk.steps.identify(push_token="Device:One")
    assert (await desk.carry_out(run, "push")).outcome == "sent"


async def test_where_every_app_is_gone_the_browser_gets_it_in_the_same_attempt(
    desk: MessageDesk, service: WebPushStandIn
) -> None:
    await register(desk, service.subscribe())
    run = await desk.enter(nudge())
    desk.providers.fcm.programme.script.append("404/UNREGISTERED")
    assert (await desk.carry_out(run, "push")).outcome == "sent"
    [taken] = service.accepted
    assert taken.content["body"] == "On the phone"
    assert await desk.ledger("state, provider, attempt") == [("accepted", "webpush", 1)]
    assert (await profile_token(desk)).startswith("web:")


async def test_an_app_that_got_it_is_enough_so_the_browser_stays_quiet(
    desk: MessageDesk, service: WebPushStandIn
) -> None:
    await register(desk, service.subscribe())
    run = await desk.enter(nudge())
    await desk.carry_out(run, "push")
    assert (len(desk.providers.fcm.accepted), service.accepted) == (1, [])


async def test_a_customer_with_nothing_but_a_browser_is_reached_and_those_with_apps_dont_wait_for_it(
    desk: MessageDesk, service: WebPushStandIn
) -> None:
    await desk.steps.identify(push_token=None)
    browser = service.subscribe()
    await register(desk, browser)
    run = await desk.enter(nudge("one"), nudge("two"))
    assert (await desk.carry_out(run, "one")).outcome == "sent"
    assert desk.providers.fcm.requests == []
    service.unsubscribe(browser)
    assert (await desk.carry_out(run, "two")).outcome == "failed"
    assert await tokens(desk) == set()


async def test_apps_and_browsers_are_registered_over_http(web: RunningWeb) -> None:
    await web.client.post(
        "/v1/identify", json={"userId": "ada", "messageId": "i", "traits": {"first_name": "Ada"}}
    )
    browser = Browser("https://updates.push.services.mozilla.com/wpush/v2/abc")
    subscription = {"endpoint": browser.endpoint, "expirationTime": None, "keys": browser.keys}
    for body in ({"userId": "ada", "token": "App:1", "device": "iPhone"},
                 {"customerId": "ada", "subscription": subscription}):  # fmt: skip
        for _ in range(2):
            answer = await web.client.post("/api/push-tokens", json=body)
            assert (answer.status_code, answer.json()) == (200, {"success": True})
    rows = await web.rows("SELECT kind, token, device, keys FROM push_tokens ORDER BY kind")
    assert [tuple(row.values()) for row in rows] == [
        ("fcm", "App:1", "iPhone", {}), ("web", browser.endpoint, "", browser.keys),
    ]  # fmt: skip
    for known in (True, False):
        answer = await web.client.post(
            "/api/push-tokens/forget", json={"userId": "ada", "endpoint": browser.endpoint}
        )
        assert answer.json() == {"success": True, "known": known}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"userId": "nobody", "token": "App:1"}, 404),
        ({"userId": "ada"}, 422),
        ({"userId": "ada", "token": "two tokens"}, 422),
        (
            {"userId": "ada", "token": "a", "subscription": {"endpoint": "https://x.example", "keys": KEYS}},
            422,
        ),
        ({"userId": "ada", "subscription": {"endpoint": "file:///etc/passwd", "keys": KEYS}}, 422),
        ({"userId": "ada", "subscription": {"endpoint": "https://x.example", "keys": {}}}, 422),
    ],
)
async def test_what_is_no_token_is_refused(body: dict[str, object], status: int, web: RunningWeb) -> None:
    answer = await web.client.post("/api/push-tokens", json=body)
    assert answer.status_code == status
    assert await web.count("push_tokens") == 0


async def test_a_key_is_needed(web: RunningWeb) -> None:
    for path in ("/api/push-tokens", "/api/push-tokens/forget"):
        answer = await web.client.post(path, json={}, headers={"Authorization": ""})
        assert answer.status_code == 401
    assert (await web.client.get("/api/providers", headers={"Authorization": ""})).status_code == 401
