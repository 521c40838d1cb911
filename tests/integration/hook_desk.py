"""Requests of providers put into a database whose clock is ours, and worked on by hand."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from channels.outcome import Channel
from channels.settings import parse_smtp_url
from channels.smtp import SmtpChannel
from channels.sns import SnsClient
from channels.twilio import TwilioSmsChannel
from loops.hooks import HookProcessing
from store.addresses import hash_address
from store.hooks import store_request
from tests.integration.message_desk import ADDRESSES, MessageDesk, Providers
from tests.integration.step_desk import act, open_desk
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn

SID = "SM" + "a" * 32
PHONE = ADDRESSES["phone"]


@dataclass
class HookDesk:
    """The desk of messages, with what comes back."""

    messages: MessageDesk
    hooks: HookProcessing
    run: str = ""
    _count: int = field(default=0)

    async def post(
        self, source: str, body: bytes, *, query: str = "", content_type: str = "", id_: str = ""
    ) -> None:
        """A verified request, and one look at what there is to do."""
        self._count += 1
        async with self.messages.steps.database.transaction() as connection:
            await store_request(
                connection, source=source, request_id=id_ or f"r{self._count}", body=body,
                content_type=content_type, query=query, now=self.now,
            )  # fmt: skip
        await self.work()

    async def work(self, passed: timedelta = timedelta()) -> None:
        """Time passes, and what is due is done."""
        self.messages.steps.clock.now += passed
        while await self.hooks.run_once():
            pass
        await self.messages.steps.evaluate()

    async def twilio(self, query: str = "", id_: str = "", **form: str) -> None:
        """What Twilio posts."""
        await self.post("twilio", urlencode(form).encode(), query=query, id_=id_)

    async def status(self, status: str, delivery: str | None, sid: str = SID, **more: str) -> None:
        """A status callback of a text message."""
        query = f"d={delivery}&a=1" if delivery else ""
        await self.twilio(query, MessageSid=sid, MessageStatus=status, To=PHONE, From="+15005550006", **more)

    async def text(self, body: str, *, sender: str = PHONE, number: int = 1, **more: str) -> None:
        """What somebody writes."""
        sid = f"SM{number:032x}"
        await self.twilio(
            MessageSid=sid, SmsStatus="received", From=sender, To="+15005550006", Body=body, **more
        )

    async def sendgrid(self, *events: dict[str, Any]) -> None:
        """What SendGrid posts."""
        await self.post("sendgrid", json.dumps(events).encode(), content_type="application/json")

    async def event(self, name: str, delivery: str, id_: str, **more: Any) -> None:
        """One event of SendGrid's, now."""
        at = int(self.now.timestamp())
        await self.sendgrid(
            {"event": name, "sg_event_id": id_, "delivery_id": delivery, "timestamp": at, **more}
        )

    async def send(self, word: str, step: str = "first", name: str = "helping", **args: Any) -> str:
        """Ada is sent a message; its delivery's id."""
        written = {"subject": "Hi", "text": "Hello"} if word == "email" else {"text": "Hello"}
        later = act("email", "next", subject="Hi", text="Hello")
        run = await self.messages.enter(act(word, step, **(args or written)), later, name=name)
        self.run = run
        assert (await self.messages.carry_out(run, step)).outcome == "sent"
        [row] = await self.messages.rows(
            "SELECT id::text AS id FROM deliveries WHERE run_id = :run AND step = :step", run=run, step=step
        )
        self.messages.steps.clock.now += timedelta(minutes=1)
        return str(row["id"])

    async def delivery(self, id_: str) -> dict[str, Any]:
        """Its row."""
        [row] = await self.messages.rows("SELECT * FROM deliveries WHERE id = CAST(:id AS uuid)", id=id_)
        return dict(row)

    async def suppressed(self, channel: str, address: str) -> list[str]:
        """Why this address isn't used."""
        rows = await self.messages.rows(
            "SELECT reason FROM suppressions WHERE channel = :channel AND address_hash = :hash ORDER BY reason",
            channel=channel, hash=hash_address(channel, address),
        )  # fmt: skip
        return [row["reason"] for row in rows]

    async def events(self, customer: str = "ada") -> list[tuple[str, dict[str, Any]]]:
        """What our own messages brought about, in order of time."""
        rows = await self.messages.rows(
            "SELECT e.name, e.properties FROM events e JOIN customers c ON c.id = e.customer_id "
            "WHERE e.source = 'holdfast' AND c.external_id = :customer ORDER BY e.at, e.name DESC",
            customer=customer,
        )
        return [(row["name"], dict(row["properties"])) for row in rows]

    async def letters(self) -> list[tuple[str, str, str]]:
        """The dead letters' sources, codes and reasons."""
        rows = await self.messages.rows("SELECT source, code, reason FROM dead_letters ORDER BY id")
        return [(row["source"], row["code"], row["reason"]) for row in rows]

    @property
    def now(self) -> datetime:
        return self.messages.now


@contextlib.asynccontextmanager
async def open_hook_desk(database_url: str, sns: SnsClient | None = None) -> AsyncIterator[HookDesk]:
    """The desk; closed at the end."""
    async with SmtpStandIn() as smtp, TwilioStandIn() as twilio, open_desk(database_url) as steps:
        account = {"account_sid": twilio.account, "auth_token": twilio.token, "base_url": twilio.url}
        channels: dict[str, Channel] = {
            "email": SmtpChannel(parse_smtp_url(smtp.url), sender=("Holdfast", "care@example.com")),
            "sms": TwilioSmsChannel(**account, sender="+15005550006"),
        }
        await steps.identify(**ADDRESSES)
        # Nothing is pushed here, so that push has nobody who listens.
        messages = MessageDesk(steps, Providers(smtp, twilio, SimpleNamespace(accepted=[])), channels)
        yield HookDesk(messages, HookProcessing(steps.opening, sns))
        for channel in channels.values():
            await channel.close()
