"""The sinks that are shipped for testing playbooks: they take, fail, delay, cut, double, swap and report on request."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import smtplib
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from channels.outcome import Channel, ChannelError, OutgoingMessage, Receipt
from channels.registry import close_channels, make_channels
from channels.settings import ChannelSettings
from loops.pytest_sinks import sinks as sinks
from loops.sinks import Sinks, open_sinks
from schemas.errors import SettingError
from schemas.settings import Settings
from tests.integration.message_desk import MessageDesk, Providers
from tests.integration.step_desk import act, open_desk
from tests.integration.web_edge import RunningWeb, run_web
from web.settings import WebSettings

# (channel of the sinks, providers of mail, our channel)
WAYS = [
    ("email", "smtp", "email"), ("email", "sendgrid", "email"), ("email", "resend", "email"), ("email", "ses", "email"),
    ("sms", "smtp", "sms"), ("whatsapp", "smtp", "whatsapp"), ("voice", "smtp", "voice"), ("push", "smtp", "push"),
]  # fmt: skip
# Fault -> what the channel makes of it, and how many messages were taken.
COURSE = {
    "busy": ("transient", 0), "refuse": ("recipient", 0), "account": ("account", 0), "cut_after": ("unknown", 1),
    "duplicate": ("", 2), "delay": ("", 1), "ok": ("", 1),
}  # fmt: skip


def message(channel: str, delivery: str = "6b1f0a52-41f3-4dfb-8a51-9b0f6b6f4c11") -> OutgoingMessage:
    to = {"email": "ada@example.com", "push": "device:1"}.get(channel, "+4915112345678")
    more: dict[str, Any] = (
        {"content_sid": "HX" + "1" * 32, "variables": {"1": "Zoë"}} if channel == "whatsapp" else {}
    )
    return OutgoingMessage(delivery, to, "Two days left", subject="Grüße", **more)


def make(sinks: Sinks, email: str = "smtp") -> dict[str, Channel]:
    return make_channels(ChannelSettings.from_environ(sinks.environ(email=email)))


@pytest.mark.parametrize(("kind", "email", "channel"), WAYS, ids=[f"{a}-{b}" for a, b, _ in WAYS])
async def test_every_channel_meets_every_fault_that_its_sink_is_told(
    kind: str, email: str, channel: str, sinks: Sinks
) -> None:
    channels = make(sinks, email)
    sinks.conduct.tell(kind, delay_seconds=0.05)
    # SES takes any address, and tells of bad ones later.
    course = COURSE | ({"refuse": ("content", 0)} if email == "ses" else {})
    for number, (fault, (klass, taken)) in enumerate(course.items()):
        before = len(sinks.messages(kind))
        sinks.fail(kind, fault)
        sending = channels[channel].send(message(channel, f"6b1f0a52-41f3-4dfb-8a51-{number:012d}"))
        if klass:
            with pytest.raises(ChannelError) as caught:
                await sending
            assert (fault, caught.value.klass) == (fault, klass)
        else:
            receipt = await sending
            newest = sinks.messages(kind)[-1]
            if fault != "duplicate":
                assert str(receipt.provider_id).strip("<>") == str(newest.provider_id).strip("<>")
        assert (fault, len(sinks.messages(kind)) - before) == (fault, taken)
    found = sinks.messages(kind)[-1]
    assert found.to.removeprefix("whatsapp:") == message(channel).recipient
    assert kind in ("voice", "whatsapp") or "Two days left" in found.text
    await close_channels(channels)


async def test_one_that_is_to_be_swapped_arrives_after_the_next_and_errors_are_not_taken(
    sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loops.conduct.TURN_SECONDS", 60.0)
    channels = make(sinks)
    sinks.fail("sms", "reorder", "ok", "error", "cut_before")
    first = asyncio.create_task(channels["sms"].send(OutgoingMessage("d-1", "+4915112345678", "first")))
    # Each meets its fault in the order in which they are taken.
    while len(sinks.conduct.channels["sms"].next) == 4:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)
    await channels["sms"].send(OutgoingMessage("d-2", "+4915112345678", "second"))
    await first
    for _ in range(2):
        with pytest.raises(ChannelError) as caught:
            await channels["sms"].send(OutgoingMessage("d-3", "+4915112345678", "third"))
        assert caught.value.klass == "unknown"
    assert [one.text for one in sinks.messages("sms")] == ["second", "first"]
    await close_channels(channels)


async def test_chance_comes_from_a_seed_and_a_lost_message_is_found_by_the_look_up(tmp_path: Path) -> None:
    met: list[list[str]] = []
    for _ in range(2):
        async with open_sinks(tmp_path, seed=7) as sinks:
            sinks.conduct.tell("sms", rates={"busy": 0.5, "cut_after": 0.2})
            met.append([sinks.conduct.draw("sms") for _ in range(200)])
    assert met[0] == met[1]
    assert 70 < met[0].count("busy") < 130
    async with open_sinks(tmp_path) as sinks:
        channels = make(sinks)
        for kind, channel in (("sms", "sms"), ("voice", "voice")):
            since = datetime.now(UTC) - timedelta(minutes=1)
            sinks.fail(kind, "cut_after")
            with pytest.raises(ChannelError):
                await channels[channel].send(message(channel))
            assert isinstance(await channels[channel].look_up(message(channel), since), Receipt)
        await close_channels(channels)


async def test_they_are_told_over_http_from_this_machine_and_from_no_page(sinks: Sinks) -> None:
    async with httpx.AsyncClient(base_url=sinks.url, trust_env=False) as client:
        told = await client.put("/control/sms", json={"next": ["busy"], "rates": {"delay": 0.5}, "seed": 1})
        assert told.json()["channels"]["sms"]["next"] == ["busy"]
        for path, body in (
            ("/control/telegraph", {}), ("/control/sms", {"next": ["explode"]}),
            ("/control/sms", {"rates": {"busy": 2}}), ("/control/sms", {"nxt": []}),
        ):  # fmt: skip
            assert (await client.put(path, json=body)).status_code == 400
        assert (await client.put("/control/sms", content=b"{")).status_code == 400
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            assert (await client.put("/control/sms", json={}, headers=headers)).status_code == 403
        assert (await client.delete("/control")).json()["channels"]["sms"]["next"] == []
        channels = make(sinks)
        await channels["email"].send(message("email"))
        await close_channels(channels)
        [kept] = (await client.get("/control/messages", params={"channel": "email"})).json()["messages"]
        assert (kept["to"], kept["subject"], kept["text"].strip()) == (
            "ada@example.com",
            "Grüße",
            "Two days left",
        )
        for one in (kept["id"], "none"):
            refused = await client.post(f"/control/messages/{one}/reports", json={"kind": "delivered"})
            assert refused.status_code == (404 if one == "none" else 502), refused.text
        assert (await client.delete("/control/messages")).json() == {"messages": []}
        assert sinks.messages() == []


@pytest.fixture
async def wired(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Sinks, MessageDesk, RunningWeb]]:
    """A web process and a desk of steps, both over one database and one set of sinks."""
    async with (
        open_sinks(tmp_path / "sinks", public_url="https://holdfast.example") as sinks,
        run_web(database_url, **sinks.environ(), HOLDFAST_SINKS_URL=sinks.url) as web,  # type: ignore[arg-type]
        open_desk(database_url) as steps,
    ):
        # The reports go to where the web process really listens.
        sinks.reporter.hooks_url = web.address
        await steps.identify(email="ada@example.com", phone="+15005550009", push_token="device:1")
        channels = make(sinks)
        yield sinks, MessageDesk(steps, Providers.__new__(Providers), channels), web
        await close_channels(channels)


async def test_reports_and_replies_are_signed_as_hooks_wants_them(
    wired: tuple[Sinks, MessageDesk, RunningWeb],
) -> None:
    sinks, desk, web = wired
    run = await desk.enter(
        act("sms", "text", text="Hi"),
        act("email", "mail", subject="Hi", text="Hi"),
        act("push", "ping", title="Hi", text="Hi"),
    )
    for step in ("text", "mail", "ping"):
        assert (await desk.carry_out(run, step)).outcome == "sent"
    [text], [mail], [ping] = sinks.messages("sms"), sinks.messages("email"), sinks.messages("push")
    deliveries = {row["id"] for row in await desk.rows("SELECT id::text FROM deliveries")}
    assert {text.delivery_id, mail.delivery_id, ping.delivery_id} == deliveries
    assert [await sinks.report(one, "delivered", times=3) for one in (text, mail, ping)] == [200, 200, 200]
    assert await sinks.report(mail, "opened") == await sinks.report(mail, "bounced") == 200
    assert (
        await sinks.report(text, "reply", text="STOP")
        == await sinks.report(mail, "reply", text="no more")
        == 200
    )
    counts = await web.rows("SELECT source, count(*) AS n FROM hook_requests GROUP BY source ORDER BY source")
    # Of what came three times one was kept.
    assert [tuple(row.values()) for row in counts] == [("sinks", 5), ("twilio", 2)]

    sinks.reporter.auth_token, sinks.reporter.secret = "f" * 32, "whsec_" + "A" * 32
    assert [await sinks.report(one, "delivered") for one in (text, mail)] == [403, 401]


async def test_the_outbox_page_shows_what_came_back_and_lets_one_play_the_provider(
    wired: tuple[Sinks, MessageDesk, RunningWeb],
) -> None:
    _, desk, web = wired
    ours = {"Origin": web.address}
    run = await desk.enter(act("sms", "text", text="Hi"))
    await desk.carry_out(run, "text")
    [delivery] = [row["id"] for row in await desk.rows("SELECT id::text FROM deliveries")]
    await web.change("UPDATE deliveries SET status = 'delivered', status_at = now(), delivered_at = now()")
    page = (await web.client.get(f"/outbox/{delivery}")).text
    assert "by twilio" in page
    assert "delivered" in page
    assert "What became of it" in page
    assert 'value="reply"' in page
    assert 'value="complained"' not in page
    assert "Play the provider" in (await web.client.get("/outbox")).text

    for kind, source in (("delivered", 1), ("reply", 2)):
        answer = await web.client.post(
            f"/outbox/{delivery}/report", data={"kind": kind, "text": "STOP", "back": "list"}, headers=ours
        )
        assert (answer.status_code, answer.headers["location"]) == (303, f"/outbox?told=Reported%3A+{kind}.")
        assert await web.count("hook_requests") == source
    assert (
        await web.client.post(f"/outbox/{delivery}/report", data={"kind": "complained"}, headers=ours)
    ).status_code == 400
    await web.change("UPDATE deliveries SET id = gen_random_uuid()")
    [other] = [row["id"] for row in await desk.rows("SELECT id::text FROM deliveries")]
    answer = await web.client.post(f"/outbox/{other}/report", data={"kind": "delivered"}, headers=ours)
    assert "no+such+message" in answer.headers["location"]


async def test_where_there_are_no_sinks_nobody_plays_a_provider(database_url: str) -> None:
    async with run_web(database_url) as web:
        assert "Play the provider" not in (await web.client.get("/outbox")).text
        ours = {"Origin": web.address}
        assert (await web.client.post("/outbox/x/report", headers=ours)).status_code == 404
    with pytest.raises(SettingError):
        WebSettings.read(Settings.read({"HOLDFAST_SINKS_URL": "http://elsewhere.example"}))


def test_the_command_prints_where_to_send_and_takes_messages_until_it_is_ended(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "cli.main", "sinks", "--directory", str(tmp_path), "--smtp-port", "0",
            "--http-port", "0", "--format", "json", "--email", "smtp,resend"]  # fmt: skip
    environ = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        port = int(told["SMTP_URL"].rpartition(":")[2])
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            client.sendmail("a@b.example", ["ada@example.com"], b"Subject: Hi\r\n\r\nHello\r\n")
        answer = httpx.get(f"{told['HOLDFAST_SINKS_URL']}/control/messages", trust_env=False)
        assert [one["to"] for one in answer.json()["messages"]] == ["ada@example.com"]
        assert {"RESEND_API_KEY", "TWILIO_AUTH_TOKEN", "HOLDFAST_HOOK_SECRET_SINKS"} <= told.keys()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
