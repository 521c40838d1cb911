"""Webhooks: signed, to listed hosts only, once per step as far as the receiver can tell."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.carrying import StepCarrying
from channels.outcome import AccountError, ChannelError, ContentError, TransientError, UnknownOutcomeError
from channels.webhook import Reply, WebhookSettings, call_webhook, sign
from schemas.errors import SettingError
from tests.integration.step_desk import act, open_desk
from tests.standins.http import respond
from tests.standins.receiver import CUT, HANG, ReceiverStandIn, verify

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLDER = "whsec_" + base64.b64encode(b"x" * 24).decode()


@pytest.fixture
async def receiver() -> AsyncIterator[ReceiverStandIn]:
    async with ReceiverStandIn() as receiver:
        yield receiver


def settings(hosts: str, secret: str = SECRET) -> WebhookSettings:
    return WebhookSettings.from_environ({"HOLDFAST_WEBHOOK_HOSTS": hosts, "HOLDFAST_WEBHOOK_SECRET": secret})


async def post(receiver: ReceiverStandIn, body: Any = None, path: str = "/hook", **more: Any) -> Reply:
    more.setdefault("settings", settings(receiver.host))
    return await call_webhook("POST", receiver.url + path, body or {"a": 1}, key="msg_1", **more)


def test_the_signature_is_the_one_of_the_specification() -> None:
    # The example of the Standard Webhooks specification.
    key = WebhookSettings.from_environ(
        {"HOLDFAST_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    ).keys
    headers = sign(b'{"test": 2432232314}', "msg_p5jXN8AQM9LWM0D4loKWxJek", key, at=1614265330)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


async def test_a_request_is_json_signed_with_every_key_and_its_answer_read(receiver: ReceiverStandIn) -> None:
    receiver.script.append(respond(201, b'{"tier": "gold"}'))
    reply = await post(
        receiver, {"name": "Zoë"}, "/hook?a=1", settings=settings(receiver.host, f"{SECRET} {OLDER}"),
        headers={"X-Team": "cs"},
    )  # fmt: skip
    assert reply == Reply(201, {"tier": "gold"})
    [request] = receiver.requests
    assert (request.method, request.path, request.query) == ("POST", "/hook", {"a": "1"})
    assert receiver.bodies == [{"name": "Zoë"}]
    assert request.headers["host"] == receiver.host
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-team"] == "cs"
    assert request.headers["webhook-id"] == "msg_1"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
    assert verify(request, SECRET)
    assert verify(request, OLDER)
    assert not verify(request, "whsec_" + base64.b64encode(b"y" * 24).decode())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (respond(200, b"fine", kind="text/plain"), Reply(200, "fine")),
        (respond(204, b""), Reply(204, "")),
        (respond(200, b"[" * 100_000), Reply(200, None)),
        (respond(200, b"[" * 60_000), Reply(200, "[" * 60_000)),
        (respond(200, b"{" + b" " * 70_000 + b"}"), Reply(200, None)),
    ],
)
async def test_any_answer_can_be_kept(receiver: ReceiverStandIn, answer: bytes, expected: Reply) -> None:
    receiver.script.append(answer)
    assert await post(receiver) == expected


@pytest.mark.parametrize(
    ("answer", "kind", "code", "retry_after"),
    [
        (respond(500, b"oops"), TransientError, "500", None),
        (respond(503, b"", **{"Retry-After": "17"}), TransientError, "503", 17.0),
        (respond(429, b"", **{"Retry-After": "5"}), TransientError, "429", 5.0),
        (respond(503, b"", **{"Retry-After": "9" * 400}), TransientError, "503", 3600.0),
        (respond(404, b"{}"), ContentError, "404", None),
        (respond(410, b"{}"), ContentError, "410", None),
        (respond(302, b"", Location="http://169.254.169.254/"), ContentError, "302", None),
        (CUT, UnknownOutcomeError, "no_answer", None),
        (HANG, UnknownOutcomeError, "no_answer", None),
    ],
)
async def test_what_an_answer_means(
    receiver: ReceiverStandIn, answer: bytes, kind: type[ChannelError], code: str, retry_after: float | None
) -> None:
    receiver.script.append(answer)
    with pytest.raises(kind) as caught:
        await post(receiver, deadline_seconds=1.0 if answer is HANG else 30.0)
    assert type(caught.value) is kind
    assert (caught.value.provider_code, caught.value.retry_after_seconds) == (code, retry_after)
    assert len(receiver.requests) == 1


async def test_where_nobody_listens_nothing_was_sent(receiver: ReceiverStandIn) -> None:
    async with ReceiverStandIn() as gone:
        host, url = gone.host, gone.url
    with pytest.raises(TransientError) as caught:
        await call_webhook("POST", url, {}, key="k", settings=settings(host))
    assert caught.value.provider_code == "no_answer"


@pytest.mark.parametrize(
    ("url", "hosts", "code"),
    [
        ("http://{host}/x", "", "host_not_allowed"),
        ("http://{host}/x", "127.0.0.1", "host_not_allowed"),
        ("http://{host}@evil.example/x", "{host}", "bad_url"),
        ("http://{host}.evil.example/x", "{host}", None),
        ("ftp://{host}/x", "{host}", "bad_url"),
        ("file:///etc/passwd", "{host}", "bad_url"),
        ("http://localhost:{port}/x", "{host}", "host_not_allowed"),
        ("http://[::ffff:127.0.0.1]:{port}/x", "{host}", "host_not_allowed"),
        ("http://169.254.169.254/latest", "169.254.169.254,169.254.169.254:80", "private_address"),
        ("http://0.0.0.0:{port}/x", "0.0.0.0:{port}", "private_address"),
        ("http://127.0.0.1/x", "127.0.0.1", "private_address"),
        # Translated, tunnelled and old ways to write an address of IPv4 as one of IPv6.
        ("http://[64:ff9b::a9fe:a9fe]/latest", "[64:ff9b::a9fe:a9fe]", "private_address"),
        ("http://[2002:a9fe:a9fe::1]/latest", "[2002:a9fe:a9fe::1]", "private_address"),
        ("http://[::169.254.169.254]/latest", "[::169.254.169.254],[::a9fe:a9fe]", "private_address"),
        ("http://[64:ff9b::7f00:1]:{port}/x", "[64:ff9b::7f00:1]", "host_not_allowed"),
        ("https://10.0.0.1/x", "10.0.0.1", "private_address"),
    ],
)
async def test_nothing_goes_to_a_host_that_is_not_listed_or_that_hides_in_a_network(
    receiver: ReceiverStandIn, url: str, hosts: str, code: str | None
) -> None:
    known = {"host": receiver.host, "port": receiver.port}
    with pytest.raises((AccountError, ContentError)) as caught:
        await call_webhook(
            "POST",
            url.format(**known),
            {},
            key="k",
            settings=settings(hosts.format(**known)),
            deadline_seconds=2,
        )
    assert code in (None, caught.value.provider_code)
    assert receiver.requests == []


@pytest.mark.parametrize(
    "headers", [{"Host": "a"}, {"webhook-id": "a"}, {"X": "a\r\nB: c"}, {"X Y": "a"}, {"X": "é"}]
)
async def test_headers_cannot_be_smuggled(receiver: ReceiverStandIn, headers: dict[str, str]) -> None:
    with pytest.raises(ContentError):
        await post(receiver, headers=headers)
    assert receiver.requests == []


async def test_without_a_secret_nothing_is_sent(receiver: ReceiverStandIn) -> None:
    with pytest.raises(AccountError, match="HOLDFAST_WEBHOOK_SECRET"):
        await post(receiver, settings=settings(receiver.host, ""))
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOLDFAST_WEBHOOK_SECRET", "whsec_short"),
        ("HOLDFAST_WEBHOOK_SECRET", "not base64 at all!"),
        ("HOLDFAST_WEBHOOK_HOSTS", "https://api.example.com"),
        ("HOLDFAST_WEBHOOK_HOSTS", "api.example.com/path"),
        ("HOLDFAST_WEBHOOK_HOSTS", "*"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        WebhookSettings.from_environ({name: value})
    assert name in caught.value.message
    assert caught.value.remedy


async def test_the_step_sends_who_it_is_about_and_keeps_the_answer(
    database_url: str, receiver: ReceiverStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_WEBHOOK_HOSTS", receiver.host)
    monkeypatch.setenv("HOLDFAST_WEBHOOK_SECRET", SECRET)
    receiver.script.extend([CUT, respond(200, b'{"tier": "gold"}')])
    async with open_desk(database_url) as desk:
        ask = act("webhook", "ask", url=receiver.url + "/rescues")
        tell = act(
            "webhook", "tell", url=receiver.url + "/{{ steps.ask.body.tier }}", method="PUT",
            body={"to": "{{ customer.email }}", "deep": ["{{ steps.ask.status }}", 3, True]},
        )  # fmt: skip
        run = await desk.enter(ask, tell)
        steps = StepCarrying(desk.opening)
        with pytest.raises(Exception, match="couldn't be done now"):
            await steps.carry_out(desk.call(run, "ask"))
        assert (await steps.carry_out(desk.call(run, "ask"))).outcome == "done"
        assert (await steps.carry_out(desk.call(run, "tell"))).outcome == "done"
        assert await desk.record(run) == [("ask", "done", "answered 200"), ("tell", "done", "answered 200")]
        [row] = await desk.rows("SELECT output FROM run_steps WHERE step = 'ask'")
        assert row["output"] == {"status": 200, "body": {"tier": "gold"}}
    first, again, told = receiver.requests
    assert first.headers["webhook-id"] == again.headers["webhook-id"] != told.headers["webhook-id"]
    assert all(verify(request, SECRET) for request in receiver.requests)
    assert receiver.bodies[0] == receiver.bodies[1]
    assert receiver.bodies[0]["data"] == {
        "supplierId": "ada",
        "playbook": "helping",
        "runId": run,
        "step": "ask",
    }
    assert (told.method, told.path) == ("PUT", "/gold")
    assert receiver.bodies[2] == {"to": "ada@example.com", "deep": ["200", 3, True]}
