"""E-mails through aiosmtplib to a server that counts: every class of failure, and never a second message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from channels.mail import build_mail
from channels.outcome import UNANSWERABLE, ChannelError, OutgoingMessage, RecipientError
from channels.settings import parse_smtp_url
from channels.smtp import SmtpChannel
from tests.standins.programme import Programme
from tests.standins.silence import serve_silence
from tests.standins.smtp import SmtpStandIn

SENDER = ("Ada at Holdfast", "ada@holdfast.example")


def make_mail(delivery: str = "d-1", **changes: str | None) -> OutgoingMessage:
    fields = {
        "recipient": "grace@example.com",
        "subject": "Hello",
        "text": "Welcome back.\n.\nA dot above.\n",
    }
    return OutgoingMessage(delivery_id=delivery, **{**fields, **changes})  # type: ignore[arg-type]


@asynccontextmanager
async def connect(
    *script: str, deadline_seconds: float = 10.0
) -> AsyncIterator[tuple[SmtpStandIn, SmtpChannel]]:
    async with SmtpStandIn(Programme(script)) as server:
        channel = SmtpChannel(parse_smtp_url(server.url), sender=SENDER, deadline_seconds=deadline_seconds)
        try:
            yield server, channel
        finally:
            await channel.close()


async def test_a_message_arrives_whole() -> None:
    url = "https://example.com/u/" + "t" * 300
    message = make_mail(subject="Grüße, Zoë", html="<p>Welcome <b>back</b></p>", unsubscribe_url=url)
    async with connect() as (server, channel):
        receipt = await channel.send(message)
        [mail] = server.accepted
    parsed = message_from_bytes(mail.data, policy=policy.default)
    assert receipt.provider_id == mail.message_id == "<d-1@holdfast.example>"
    assert (mail.sender, mail.recipients) == ("ada@holdfast.example", ("grace@example.com",))
    assert (parsed["Subject"], parsed["To"], parsed["X-Holdfast-Delivery"]) == (
        "Grüße, Zoë",
        "grace@example.com",
        "d-1",
    )
    assert f"List-Unsubscribe: <{url}>\r\n".encode() in mail.data
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text = parsed.get_body(("plain",))
    html = parsed.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().replace("\r\n", "\n") == message.text
    assert "<b>back</b>" in html.get_content()
    assert max(len(line) for line in mail.data.split(b"\r\n")) <= 998


@pytest.mark.parametrize(
    ("fault", "klass", "accepted"),
    [
        ("421_at_connect", "transient", 0),
        ("connect:554 5.3.2 no mail here", "account", 0),
        ("mail:451 4.3.0 busy", "transient", 0),
        ("mail:550 5.7.1 sender refused", "account", 0),
        ("451_at_rcpt", "transient", 0),
        ("rcpt:452 4.2.2 mailbox full", "transient", 0),
        ("550_at_rcpt", "recipient", 0),
        ("rcpt:550 no such user", "recipient", 0),
        ("rcpt:550 5.7.1 blocked by policy", "content", 0),
        ("rcpt:530 5.7.0 log in first", "account", 0),
        ("data:451 4.3.0 not now", "transient", 0),
        ("452_after_dot", "transient", 0),
        ("554_after_dot", "content", 0),
        ("dot:550 5.1.1 no such user", "recipient", 0),
        ("cut_before_dot", "unknown", 0),
        ("cut_after_dot", "unknown", 1),
        ("garbled_after_dot", "unknown", 1),
    ],
)
async def test_each_fault_has_its_class(fault: str, klass: str, accepted: int) -> None:
    async with connect(fault) as (server, channel):
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_mail())
        assert raised.value.klass == klass
        assert server.count("d-1") == accepted

        await channel.send(make_mail("d-2"))
        assert server.count("d-2") == 1


async def test_silence_after_the_message_is_unknown_and_ends_at_the_deadline() -> None:
    async with connect("hang_after_dot", deadline_seconds=1.0) as (server, channel):
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_mail())
        assert (raised.value.klass, server.count("d-1")) == ("unknown", 1)
        assert await channel.look_up(make_mail(), datetime.now(UTC)) is UNANSWERABLE


async def test_a_server_that_never_greets_is_surely_not_sent() -> None:
    async with serve_silence() as port:
        channel = SmtpChannel(parse_smtp_url(f"smtp://127.0.0.1:{port}"), sender=SENDER, deadline_seconds=0.3)
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_mail())
    assert raised.value.klass == "transient"


async def test_no_server_is_transient() -> None:
    async with SmtpStandIn() as server:
        url = server.url
    with pytest.raises(ChannelError) as raised:
        await SmtpChannel(parse_smtp_url(url), sender=SENDER).send(make_mail())
    assert raised.value.klass == "transient"


async def test_a_password_is_not_sent_without_tls() -> None:
    async with SmtpStandIn() as server:
        url = f"smtp://me:pass@127.0.0.1:{server.port}?starttls=always"
        with pytest.raises(ChannelError) as raised:
            await SmtpChannel(parse_smtp_url(url), sender=SENDER).send(make_mail())
    assert raised.value.klass == "account"


async def test_a_connection_is_used_again_and_replaced_when_it_went_stale() -> None:
    async with connect() as (server, channel):
        for number in range(3):
            await channel.send(make_mail(f"d-{number}"))
        assert server.connections == 1

        await server.drop_connections()
        await channel.send(make_mail("after a restart".replace(" ", "-")))
        assert server.connections == 2

        server.programme.script.append("mail:421 4.7.0 too many messages")
        await channel.send(make_mail("after-421"))
        assert server.connections == 3
        assert len(server.accepted) == 5


async def test_many_at_once_share_few_connections() -> None:
    async with connect() as (server, channel):
        await asyncio.gather(*(channel.send(make_mail(f"d-{number}")) for number in range(60)))
        assert {mail.delivery for mail in server.accepted} == {f"d-{number}" for number in range(60)}
        assert len(server.accepted) == 60
        assert server.connections <= 8


async def test_a_cancelled_send_leaves_no_half_used_connection() -> None:
    async with connect("hang_after_dot") as (server, channel):
        task = asyncio.create_task(channel.send(make_mail()))
        await server.wait_for_message()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await channel.send(make_mail("d-2"))
        assert server.count("d-2") == 1


@pytest.mark.parametrize(
    "smuggled",
    [
        "x\r\nBcc: evil@example.com",
        "=?utf-8?q?hi=0ABcc:_evil@example.com?=",
        "=?utf-8?b?aGkKQmNjOiBldmlsQGV4YW1wbGUuY29t?=",
        "=?utf-8?q?=3D=3Futf-8=3Fq=3Fhi=3D0ABcc=3A_evil=40example.com=3F=3D?=",
        "hi =?utf-8?q?a=0A?= =?utf-8?q?Bcc:_evil@example.com?=",
        "hi\u2028Bcc: evil@example.com\x00",
    ],
)
async def test_a_subject_or_a_name_smuggles_no_header(smuggled: str) -> None:
    async with SmtpStandIn() as server:
        channel = SmtpChannel(parse_smtp_url(server.url), sender=(smuggled, SENDER[1]))
        await channel.send(make_mail(subject=smuggled))
        await channel.close()
        [mail] = server.accepted
    raw = mail.message
    assert raw.keys() == [
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Holdfast-Delivery",
        "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    ]  # fmt: skip
    assert mail.recipients == ("grace@example.com",)
    decoded = message_from_bytes(mail.data, policy=policy.default)
    assert "\n" not in decoded["Subject"]
    assert "Bcc" not in decoded


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com, evil@example.com", "a@example.com\nBcc: evil@example.com", "A <a@example.com>", "a@",
        "", "zoë@example.com", "a@example.com>", '"a b"@example.com',
    ],
)  # fmt: skip
async def test_only_one_plain_address_is_a_recipient(address: str) -> None:
    async with connect() as (server, channel):
        with pytest.raises(RecipientError):
            await channel.send(make_mail(recipient=address))
        assert server.connections == 0


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://x/\r\nBcc: e@x", "https://x/a>,<https://y"])
def test_an_unsubscribe_link_is_one_url(url: str) -> None:
    with pytest.raises(ChannelError, match="unsubscribe"):
        build_mail(
            make_mail(unsubscribe_url=url), sender=SENDER, recipient="a@example.com", now=datetime.now(UTC),
            provider="smtp",
        )  # fmt: skip


async def test_under_random_faults_no_message_is_accepted_twice(tmp_path: Path) -> None:
    """What a ledger would do: try transient failures again, leave unknown ones alone."""
    log = tmp_path / "accepted.jsonl"
    faults = {"451_at_rcpt": 0.1, "452_after_dot": 0.1, "cut_before_dot": 0.1, "cut_after_dot": 0.1}
    ended: dict[str, str] = {}
    async with SmtpStandIn(Programme(rates=faults, seed=7), log=log) as server:
        channel = SmtpChannel(parse_smtp_url(server.url), sender=SENDER)

        async def deliver(delivery: str) -> None:
            while delivery not in ended:
                try:
                    await channel.send(make_mail(delivery))
                    ended[delivery] = "accepted"
                except ChannelError as error:
                    if error.klass != "transient":
                        ended[delivery] = error.klass

        await asyncio.gather(*(deliver(f"d-{number}") for number in range(100)))
        await channel.close()
    lines = [json.loads(line)["delivery"] for line in log.read_text().splitlines()]
    assert len(lines) == len(set(lines))
    assert {delivery for delivery, end in ended.items() if end == "accepted"} <= set(lines)
    assert set(ended.values()) == {"accepted", "unknown"}
