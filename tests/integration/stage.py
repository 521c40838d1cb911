"""The three suppliers of the stories on a whole system whose time is moved by hand: engine, web process, providers."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from activities.links import LinkMaker
from channels.registry import close_channels, make_channels
from channels.settings import ChannelSettings
from loops.demo.loading import load_population
from loops.played_time import PlayedTime
from loops.publishing import publish_directory
from loops.simulation.server import run_test_server
from loops.temporal_workers import make_workers
from schemas.catalogue import load_catalogue
from schemas.settings import Settings
from store.database import Database, PlayedClock
from store.shared_time import SharedTime
from tests.integration.web_edge import SECRET, RunningWeb, run_web
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
MONDAY, MORNING_HOUR = 0, 6
# What follows at once needs a moment of the server's time.
MOMENT = timedelta(minutes=2)


@dataclass
class Stage:
    """Handles of it all; it is Monday morning at the start, and the shipped playbooks are live."""

    time: PlayedTime
    web: RunningWeb
    smtp: SmtpStandIn
    twilio: TwilioStandIn

    async def pass_(self, **times: float) -> None:
        """Let time pass, given as a timedelta's words, with all that happens in it."""
        await self.time.advance(self.time.now + timedelta(**times))

    async def tell(self, customer: str, *events: tuple[str, Mapping[str, Any]]) -> None:
        """Events of a customer, by HTTP as from the product, and what follows at once."""
        for name, properties in events:
            body = {
                "userId": customer, "event": name, "properties": properties, "messageId": str(uuid.uuid4()),
                "timestamp": self.time.now.isoformat(),
            }  # fmt: skip
            answer = await self.web.client.post("/v1/track", json=body)
            assert answer.status_code == 200, answer.text
        await self.follow()

    async def follow(self) -> None:
        """Let happen what follows at once from what somebody did."""
        await self.time.settle(rung=True)
        await self.time.advance(self.time.now + MOMENT)

    def mails_to(self, address: str) -> list[Message]:
        """What reached this address so far, oldest first."""
        return [mail.message for mail in self.smtp.accepted if address in str(mail.message["To"])]

    async def runs_of(self, customer: str) -> list[Mapping[str, Any]]:
        """Playbook, state, outcome, reason, id and when, oldest first."""
        return await self.web.rows(
            "SELECT r.id::text AS id, playbook, state, outcome, reason, entered_at, ended_at FROM runs r "
            "JOIN customers c ON c.id = r.customer_id WHERE c.external_id = :name ORDER BY entered_at",
            name=customer,
        )


def text_of(mail: Message) -> str:
    """What a mail says to whoever reads its plain text."""
    [part] = [one for one in mail.walk() if one.get_content_type() == "text/plain"]
    written = part.get_payload(decode=True)
    assert isinstance(written, bytes)
    return written.decode(part.get_content_charset() or "utf-8")


@contextlib.asynccontextmanager
async def set_stage(
    database_url: str, monkeypatch: pytest.MonkeyPatch, *, customers: int = 3, pages: str = "open"
) -> AsyncIterator[Stage]:
    """Start everything; all of it is stopped at the end. The first three customers are those of the stories."""
    # The time that events come at is the played one, at each of them.
    monkeypatch.setattr(SharedTime, "REFRESH_SECONDS", 0.0)
    async with contextlib.AsyncExitStack() as stack:
        smtp = await stack.enter_async_context(SmtpStandIn())
        twilio = await stack.enter_async_context(TwilioStandIn())
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")},
            "HOLDFAST_DATABASE_URL": database_url,
            "HOLDFAST_SECRET_KEY": SECRET,
            "HOLDFAST_PUBLIC_URL": "https://holdfast.example",
            "HOLDFAST_MAIL_FROM": "Holdfast <care@holdfast.example>",
            "SMTP_URL": smtp.url,
            "TWILIO_ACCOUNT_SID": twilio.account,
            "TWILIO_AUTH_TOKEN": twilio.token,
            "TWILIO_FROM": "+15005550006",
            "TWILIO_BASE_URL": twilio.url,
        }
        settings = Settings.read(environ)
        temporal = await stack.enter_async_context(run_test_server())
        clock = PlayedClock(await temporal.get_current_time())
        database = Database(database_url, connections=15, clock=clock, durable=False)
        stack.push_async_callback(database.close)
        time = PlayedTime(database, clock, temporal, LinkMaker.of(settings))
        await time.go_to(_morning(clock.now))
        await load_population(database, lambda _: None, customers=customers)
        await publish_directory(database, PLAYBOOKS, load_catalogue())
        channels = make_channels(ChannelSettings.from_environ(settings.environ))
        stack.push_async_callback(close_channels, channels)
        for worker in make_workers(temporal.client, time.opening, channels, sandboxed=False):
            await stack.enter_async_context(worker)
        web = await stack.enter_async_context(run_web(database_url, clock=clock, HOLDFAST_PAGES=pages))
        yield Stage(time, web, smtp, twilio)


def _morning(now: datetime) -> datetime:
    """Early on the next Monday."""
    day = now.astimezone(UTC) + timedelta(days=(MONDAY - now.weekday()) % 7 or 7)
    return day.replace(hour=MORNING_HOUR, minute=0, second=0, microsecond=0)
