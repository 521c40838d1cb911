"""What integration tests share: an engine with its stand-in providers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from channels.settings import parse_smtp_url
from channels.smtp import SmtpChannel
from channels.twilio import TwilioSmsChannel
from tests.integration.running_engine import House, run_engine
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn


@pytest.fixture
async def house(database_url: str, temporal: str) -> AsyncIterator[House]:
    async with SmtpStandIn() as smtp, TwilioStandIn() as twilio:
        channels = {
            "email": SmtpChannel(parse_smtp_url(smtp.url), sender=("Holdfast", "care@example.com")),
            "sms": TwilioSmsChannel(
                account_sid=twilio.account, auth_token=twilio.token, sender="+15005550006", base_url=twilio.url
            ),
        }
        async with run_engine(database_url, temporal, channels) as engine:
            yield House(engine, smtp, twilio)
