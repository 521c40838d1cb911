"""What integration tests share: an engine with its stand-in providers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher

from channels.settings import parse_smtp_url
from channels.smtp import SmtpChannel
from channels.twilio import TwilioSmsChannel
from tests.integration.open_pages import browser_of
from tests.integration.running_engine import House, RunningEngine, run_engine
from tests.integration.web_edge import RunningWeb, run_web
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn

# `make histories` sets this: where the histories of these runs are written.
RECORD_TO = os.environ.get("HOLDFAST_RECORD_HISTORIES")


_HASHER = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
_NOBODY = _HASHER.hash("nobody has this password")


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords hashed cheaply, where somebody signs in and how they are hashed isn't looked at."""
    monkeypatch.setattr("web.passwords._hasher", _HASHER)
    monkeypatch.setattr("web.passwords._NOBODY", _NOBODY)


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    """A web process whose pages are open to this machine."""
    async with run_web(database_url, HOLDFAST_PAGES="open") as running:
        yield running


@pytest.fixture
async def browser(web: RunningWeb) -> AsyncIterator[httpx.AsyncClient]:
    """What stands in front of the pages of `web`, whichever that is."""
    async with browser_of(web) as client:
        yield client


@pytest.fixture
async def house(request: pytest.FixtureRequest, database_url: str, temporal: str) -> AsyncIterator[House]:
    async with SmtpStandIn() as smtp, TwilioStandIn() as twilio:
        channels = {
            "email": SmtpChannel(parse_smtp_url(smtp.url), sender=("Holdfast", "care@example.com")),
            "sms": TwilioSmsChannel(
                account_sid=twilio.account,
                auth_token=twilio.token,
                sender="+15005550006",
                base_url=twilio.url,
            ),
        }
        async with run_engine(database_url, temporal, channels) as engine:
            yield House(engine, smtp, twilio)
            if RECORD_TO:
                await _record(engine, Path(RECORD_TO), request.node.name)


async def _record(engine: RunningEngine, directory: Path, name: str) -> None:
    """Write the history of each run of this test, to be replayed by every later version of the workflow."""
    rows = await engine.rows(
        "SELECT workflow_id, execution_id FROM runs WHERE execution_id IS NOT NULL ORDER BY playbook"
    )
    for number, row in enumerate(rows):
        handle = engine.client.get_workflow_handle(row["workflow_id"], run_id=row["execution_id"])
        # Who recorded it is nobody's business.
        text = re.sub(r"\d+@[\w.-]+", "worker", (await handle.fetch_history()).to_json())
        history = json.loads(text)
        path = directory / f"{name.removeprefix('test_')}-{number}.json"
        path.write_text(json.dumps({"workflow_id": row["workflow_id"], "history": history}, indent=1) + "\n")
