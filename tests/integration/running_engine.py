"""A whole engine in the test's process: real PostgreSQL, real Temporal, real loops; channels as given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from temporalio.client import Client

from activities.links import LinkMaker
from activities.steps import StepOpening
from activities.versions import Versions
from channels.outcome import Channel
from loops.dispatcher import Dispatcher
from loops.engine import Engine
from loops.temporal_workers import make_workers
from loops.tracing import make_interceptors
from schemas.catalogue import load_catalogue
from schemas.incoming import IncomingEvent, TakenIn
from schemas.link_token import LinkKey
from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from schemas.settings import Settings
from scoring.moving import make_mover
from store.database import Database, Waker
from store.intake import take_in
from store.publishing import publish
from tests.deadlines import end
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn
from workflows.payloads import make_data_converter

# What signs the links in messages, and where those lead.
SECRET = "s" * 32
LINKS = LinkMaker(LinkKey(SECRET), "https://holdfast.example")
# Histories that are recorded to be replayed are to be read by people, too.
SEALS = "off" if os.environ.get("HOLDFAST_RECORD_HISTORIES") else "on"
CONVERTER = make_data_converter(
    Settings.read({"HOLDFAST_SECRET_KEY": SECRET, "HOLDFAST_SEAL_PAYLOADS": SEALS})
)
# What takes a second may take many where every processor is busy with other tests.
PATIENCE_SECONDS = 60.0
# Consent is assumed, as most playbooks are tested for something else.
OPEN = Policy(consent={"email": "assumed", "sms": "assumed"})


@dataclass
class RunningEngine:
    """Handles of one engine."""

    database: Database
    client: Client
    dispatcher: Dispatcher

    async def publish(self, *playbooks: CompiledPlaybook, policy: Policy | None = None) -> None:
        """Make these playbooks live."""
        async with self.database.transaction() as connection:
            now = await self.database.clock.read(connection)
            await publish(
                connection, {p.name: p for p in playbooks}, {}, policy or OPEN, author="test", now=now
            )

    async def send(self, customer: str, name: str, **properties: Any) -> TakenIn:
        """An event that happens now."""
        now = datetime.now(UTC)
        event = IncomingEvent("test", str(uuid.uuid4()), customer, name, now, now, now.date(), properties)
        return await self.take(event)

    async def identify(self, customer: str, **traits: Any) -> TakenIn:
        """What is said of a customer now."""
        now = datetime.now(UTC)
        event = IncomingEvent(
            "test", str(uuid.uuid4()), customer, "identify", now, now, now.date(), {}, traits
        )
        return await self.take(event)

    async def take(self, *events: IncomingEvent) -> TakenIn:
        """Take events in and wake the evaluator."""
        taken = await take_in(self.database, events, move=make_mover(load_catalogue()))
        Waker(self.database, "holdfast_evaluate").ring()
        return taken

    async def rows(self, sql: str, **parameters: Any) -> list[Mapping[str, Any]]:
        """What a query gives."""
        async with self.database.transaction() as connection:
            return [dict(row._mapping) for row in await connection.execute(text(sql), parameters)]

    async def until(
        self,
        sql: str,
        *,
        holds: Callable[[list[Mapping[str, Any]]], bool] = bool,
        seconds: float = PATIENCE_SECONDS,
        **parameters: Any,
    ) -> list[Mapping[str, Any]]:
        """Wait until a query gives what is expected; fails with what it gave last."""
        return await eventually(lambda: self.rows(sql, **parameters), holds, seconds)


class House:
    """The engine with its stand-in providers."""

    def __init__(self, engine: RunningEngine, smtp: SmtpStandIn, twilio: TwilioStandIn) -> None:
        self.engine, self.smtp, self.twilio = engine, smtp, twilio


async def eventually(
    look: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool] = bool, seconds: float = PATIENCE_SECONDS
) -> Any:
    """Look until it holds; fails with what was seen last."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            seen = await look()
        except OperationalError:  # a test that cuts connections may cut the one that looks, too
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
            continue
        if holds(seen):
            return seen
        assert time.monotonic() < deadline, f"not in {seconds} s; last seen: {seen}"
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def run_engine(
    database_url: str, temporal: str, channels: Mapping[str, Channel], *, settle_seconds: float = 0.5
) -> AsyncIterator[RunningEngine]:
    """Start loops and workers; stops them at the end."""
    database = Database(database_url, connections=15)
    client = await Client.connect(temporal, data_converter=CONVERTER, interceptors=make_interceptors())
    versions = Versions()
    opening = StepOpening(database, load_catalogue(), versions, LINKS)
    dispatcher = Dispatcher(database, client, versions)
    engine = Engine(database, opening, dispatcher)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        for channel in channels.values():
            stack.push_async_callback(channel.close)
        for worker in make_workers(client, opening, channels, settle_seconds=settle_seconds):
            await stack.enter_async_context(worker)
        stack.push_async_callback(end, asyncio.create_task(engine.run()))
        yield RunningEngine(database, client, dispatcher)
