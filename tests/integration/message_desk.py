"""Messages of one customer's runs, step by step: real database, providers' stand-ins, a clock that is ours."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.exceptions import ApplicationError

from activities.delivery import MessageDelivery
from channels.fcm import FcmChannel
from channels.google_account import read_service_account
from channels.outcome import Channel
from channels.settings import parse_smtp_url
from channels.smtp import SmtpChannel
from channels.twilio import TwilioSmsChannel
from channels.twilio_voice import TwilioVoiceChannel
from channels.twilio_whatsapp import TwilioWhatsappChannel
from schemas.incoming import IncomingEvent
from schemas.plan import Act, CompiledPlaybook
from schemas.policy import Policy
from schemas.run import StepResult
from store.contact import record_consent
from store.intake import take_in
from store.publishing import publish
from tests.integration.plans import trigger
from tests.integration.step_desk import StepDesk, open_desk
from tests.standins.fcm import FcmStandIn
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn

NUDGE = "HX" + "1" * 32
OPEN = Policy(consent=dict.fromkeys(("email", "sms", "whatsapp", "push", "voice"), "assumed"))
# One template with a part for every channel.
TEMPLATES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "nudge": {
        "in_app": {"title": "Hello {{ customer.first_name }}", "text": "In the app"},
        "push": {"title": "Hello {{ customer.first_name }}", "text": "On the phone"},
        "email": {"subject": "Hello {{ customer.first_name }}", "text": "By mail"},
        "whatsapp": {"content_sid": NUDGE, "variables": {"1": "{{ customer.first_name }}"}},
        "sms": {"text": "Hello {{ customer.first_name }}"},
    }
}
ADDRESSES = {"email": "ada@example.com", "phone": "+15005550009", "push_token": "Device:One"}


@dataclass
class Providers:
    """Everybody that messages are handed to."""

    smtp: SmtpStandIn
    twilio: TwilioStandIn
    fcm: FcmStandIn

    def sent(self) -> dict[str, int]:
        """How many messages each has taken, those with none left out."""
        whatsapp = sum(message.to.startswith("whatsapp:") for message in self.twilio.accepted)
        calls = sum(message.sid.startswith("CA") for message in self.twilio.accepted)
        counts = {
            "email": len(self.smtp.accepted), "whatsapp": whatsapp, "voice": calls,
            "sms": len(self.twilio.accepted) - whatsapp - calls, "push": len(self.fcm.accepted),
        }  # fmt: skip
        return {channel: count for channel, count in counts.items() if count}


@dataclass
class MessageDesk:
    """The steps desk, with channels; `ada` has every address."""

    steps: StepDesk
    providers: Providers
    channels: dict[str, Channel]
    # The runs' steps that are shown in the product, which nobody carries there.
    shown: set[tuple[str, str]] = field(default_factory=set)

    async def enter(
        self, *steps: Act, name: str = "helping", policy: Policy = OPEN, shadow: bool = False, **more: Any
    ) -> str:
        """Publish a playbook of these steps and let Ada into it; the run's id."""
        more = {"enter": trigger(f"{name}_wanted"), "templates": TEMPLATES, **more}
        status = "shadow" if shadow else "live"
        playbook = CompiledPlaybook(
            name=name, title="Helping", owner="cs", status=status, steps=steps, **more
        )
        async with self.steps.database.transaction() as connection:
            await publish(connection, {name: playbook}, {}, policy, author="test", now=self.now, gone=())
        await self.steps.send("ada", f"{name}_wanted")
        await self.steps.evaluate()
        [run] = await self.rows("SELECT id FROM runs WHERE playbook = :name", name=name)
        self.shown |= {(str(run["id"]), step.id) for step in steps if step.activity == "Delivery.show"}
        return str(run["id"])

    async def carry_out(self, run: str, step: str, *, due_at: datetime | None = None) -> StepResult:
        """What one request for this step comes to; ApplicationError where it is to be repeated."""
        call = self.steps.call(run, step)
        delivery = MessageDelivery(self.steps.opening, self.channels)
        carry_out = delivery.show if (run, step) in self.shown else delivery.send
        return await carry_out(call.model_copy(update={"due_at": due_at or call.due_at}))

    async def carry_through(self, run: str, step: str) -> StepResult:
        """The same, repeated as Temporal would: the clock goes on as long as each error asks."""
        for _ in range(20):
            try:
                return await self.carry_out(run, step)
            except ApplicationError as error:
                self.steps.clock.now += (error.next_retry_delay or timedelta()) + timedelta(seconds=11)
        raise AssertionError("it never ends")

    async def consent(self, channel: str, *, granted: bool, topic: str = "") -> None:
        """Ada says yes or no."""
        [row] = await self.rows("SELECT id FROM customers WHERE external_id = 'ada'")
        async with self.steps.database.transaction() as connection:
            await record_consent(
                connection, str(row["id"]), channel, topic, granted=granted, source="test", at=self.now
            )

    async def there(self, *moments: datetime) -> None:
        """Ada logged in at these times."""
        events = [
            IncomingEvent("test", str(uuid.uuid4()), "ada", "login", at, at, at.date(), {}, {})
            for at in moments
        ]
        await take_in(self.steps.database, events, move=self.steps.opening.move)

    async def rows(self, sql: str, **parameters: Any) -> list[Mapping[str, Any]]:
        """What a query gives."""
        return await self.steps.rows(sql, **parameters)

    async def ledger(self, columns: str = "channel, state, error_code") -> list[tuple[Any, ...]]:
        """These columns of all deliveries, oldest first."""
        rows = await self.rows(f"SELECT {columns} FROM deliveries ORDER BY created_at, step")
        return [tuple(row.values()) for row in rows]

    @property
    def now(self) -> datetime:
        return self.steps.clock.now


@contextlib.asynccontextmanager
async def open_providers() -> AsyncIterator[Providers]:
    """Providers that nobody has told to fail."""
    contents = {NUDGE: "Hello {{1}}, we kept your place."}
    async with SmtpStandIn() as smtp, TwilioStandIn(contents=contents) as twilio, FcmStandIn() as fcm:
        yield Providers(smtp, twilio, fcm)


def make_all_channels(providers: Providers, directory: Path) -> dict[str, Channel]:
    """A channel for each of them."""
    twilio, fcm = providers.twilio, providers.fcm
    account = {"account_sid": twilio.account, "auth_token": twilio.token, "base_url": twilio.url}
    key = read_service_account(
        "GOOGLE_APPLICATION_CREDENTIALS", str(fcm.write_account(directory / "key.json"))
    )
    return {
        "email": SmtpChannel(parse_smtp_url(providers.smtp.url), sender=("Holdfast", "care@example.com")),
        "sms": TwilioSmsChannel(**account, sender="+15005550006"),
        "whatsapp": TwilioWhatsappChannel(**account, sender="+15005550006"),
        "voice": TwilioVoiceChannel(**account, sender="+15005550006", language="en-GB"),
        "push": FcmChannel(key, base_url=fcm.url),
    }


@contextlib.asynccontextmanager
async def open_message_desk(database_url: str, directory: Path) -> AsyncIterator[MessageDesk]:
    """The desk; its channels are closed at the end."""
    async with open_providers() as providers, open_desk(database_url) as steps:
        channels = make_all_channels(providers, directory)
        await steps.identify(**ADDRESSES)
        yield MessageDesk(steps, providers, channels)
        for channel in channels.values():
            await channel.close()
