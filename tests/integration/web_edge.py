"""A web process's application on a real port, inside the test's process, and a client to it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
from sqlalchemy import Table, insert, text

from cli.workbench import make_workbench
from loops.assessing import assess_customer
from loops.explaining import explain_entries
from loops.previewing import preview_entries
from schemas.catalogue import load_catalogue
from schemas.errors import Problem
from schemas.settings import Settings
from scoring.moving import make_mover
from store import tables
from store.database import Clock, Database, Waker
from tests.deadlines import end
from web.application import BELL, build_application
from web.edge import LookUp, RollBack
from web.serving import WebServer, bind

# As the engine of tests has it (running_engine.SECRET).
SECRET = "s" * 32
KEY = "test-key-0123456789abcdef"
START_SECONDS = 30.0
# All is plain HTTP here, and to load the certificates of all authorities for each client takes its time.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class RunningWeb:
    """Handles of one web application; `other` is a connection pool that the application knows nothing of."""

    address: str
    client: httpx.AsyncClient
    other: Database
    server: WebServer

    async def rows(self, sql: str, **parameters: Any) -> list[Mapping[str, Any]]:
        """What another connection sees."""
        async with self.other.transaction() as connection:
            return [dict(row._mapping) for row in await connection.execute(text(sql), parameters)]

    async def change(self, sql: str, **parameters: Any) -> None:
        """Change something from another connection."""
        async with self.other.transaction() as connection:
            await connection.execute(text(sql), parameters)

    async def count(self, table: str) -> int:
        """How many rows another connection sees in `table`."""
        [row] = await self.rows(f"SELECT count(*) AS n FROM {table}")
        return int(row["n"])


@contextlib.asynccontextmanager
async def run_web(
    database_url: str,
    temporal: str = "127.0.0.1:9",
    *,
    problems: Sequence[Problem] = (),
    roll_back: RollBack | None = None,
    look_up: LookUp | None = None,
    clock: Clock | None = None,
    **environ: str,
) -> AsyncIterator[RunningWeb]:
    """Serve on a free port; all is closed at the end. Without `temporal` there is none; `clock` tells the time."""
    given = {
        "HOLDFAST_DATABASE_URL": database_url,
        "HOLDFAST_API_KEY": KEY,
        "HOLDFAST_SECRET_KEY": SECRET,
        "TEMPORAL_ADDRESS": temporal,
        **environ,
    }
    database, other = Database(database_url, clock=clock), Database(database_url, connections=2)
    settings, catalogue = Settings.read(given), load_catalogue()
    app = build_application(
        settings,
        database,
        move=make_mover(load_catalogue()),
        find_problems=lambda: problems,
        roll_back=roll_back,
        look_up=look_up,
        workbench=make_workbench(settings, database, catalogue),
        preview=lambda playbook, names: preview_entries(database, playbook, names),
        explain=lambda name: explain_entries(database, name),
        assess=lambda name, record: assess_customer(
            database, load_catalogue(), name, bell=Waker(database, BELL) if record else None
        ),
    )
    listening = asyncio.Event()
    addresses: list[str] = []

    def tell(address: str) -> None:
        addresses.append(address)
        listening.set()

    server = WebServer(app, listening=tell)
    serving = asyncio.create_task(server.serve([bind("127.0.0.1", 0)]))
    try:
        waiting = asyncio.create_task(listening.wait())
        await asyncio.wait([serving, waiting], timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert addresses, f"the application doesn't listen: {serving}"
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(
            base_url=addresses[0], headers=headers, timeout=30, trust_env=False, verify=NO_CERTIFICATES
        ) as client:
            yield RunningWeb(addresses[0], client, other, server)
    finally:
        await end(serving, ask=partial(setattr, server, "should_exit", True))
        await database.close()
        await other.close()


async def furnish(web: RunningWeb) -> dict[str, str]:
    """A customer with a run under way, one that ended, messages, a task, a decision; returns their ids."""
    ids = {name: str(uuid.uuid4()) for name in ("open", "ended", "email", "note", "skipped", "task")}
    await web.client.post(
        "/v1/identify",
        json={
            "userId": "ada/1",
            "messageId": "i1",
            "traits": {
                "firstName": "Ada",
                "businessName": "<b>Ada & Co</b>",
                "email": "ada@example.com",
                "plan": "pro",
            },
        },
    )
    [customer] = await web.rows("SELECT id::text AS id FROM customers")
    who, now = {"customer_id": customer["id"]}, datetime.now(UTC)
    day = timedelta(days=1)
    await web.change(
        "UPDATE signals SET health_score = 31, risk_level = 'critical', churn_probability = 0.73"
    )
    run = who | {
        "version": "abc123", "arm": "treated", "trigger": {"reason": "health_score < 40"},
        "goal_by": now + 5 * day,
        "workflow_id": f"playbook/x/{customer['id']}", "step": "steps[1].call",
    }  # fmt: skip
    under_way = {"id": ids["open"], "playbook": "rescue-open", "state": "running", "entered_at": now - day}
    over = {"id": ids["ended"], "playbook": "rescue-ended", "state": "ended", "entered_at": now - 9 * day}
    ended = {"outcome": "success", "reason": "goal imported", "ended_at": now}
    here = who | {"run_id": ids["open"], "occurrence": 0}
    html = "<p onclick=x()>Hello <script>x()</script>Ada</p>"
    email = {"subject": "We <miss> you", "text": "Hello Ada", "html": html}
    sent = here | {"created_at": now, "claimed_at": now, "settled_at": now}
    check = {"path": "enter.when.health_score", "line": 9, "expected": "< 40", "actual": 31, "result": "true"}
    entered = {"playbook": "rescue-open", "version": "abc123", "reason": "entered", "at": now}
    compiled = {"title": "Rescue", "owner": "cs-ops", "priority": 80, "group": "retention"}
    rows: list[tuple[Table, dict[str, Any]]] = [
        (tables.runs, run | under_way),
        (tables.runs, run | over | ended),
        (tables.deliveries, sent | {
            "id": ids["email"], "step": "steps[0].email", "channel": "email", "state": "accepted",
            "content": email}),
        (tables.deliveries, sent | {
            "id": ids["note"], "step": "steps[2].in_app", "channel": "in_app", "state": "accepted",
            "content": {"title": "Tip", "text": "Import your clients"}}),
        (tables.deliveries, sent | {
            "id": ids["skipped"], "step": "steps[3].sms", "channel": "sms", "state": "skipped",
            "error": "no phone"}),
        (tables.tasks, here | {
            "id": ids["task"], "step": "steps[1].call", "kind": "call", "title": "Call <i>Ada</i>",
            "about": "Usage is down", "assignee": "grace", "outcomes": ["reached", "no_answer", "declined"],
            "state": "open", "created_at": now, "due_at": now + day, "give_up_at": now + 8 * day}),
        (tables.run_steps, {
            "run_id": ids["open"], "step": "steps[0].email", "occurrence": 0, "word": "email",
            "outcome": "sent",
            "at": now}),
        (tables.waits, here | {"step": "steps[4].wait_for", "since": now, "until": now + 3 * day}),
        (tables.decisions, who | entered | {
            "detail": "all lines hold", "run_id": ids["open"], "checks": [check]}),
        (tables.standings, who | {"playbook": "rescue-open", "reason": "entered", "at": now}),
        (tables.playbooks, {
            "name": "rescue-open", "version": "abc123", "status": "live", "compiled": compiled,
            "file": "rescue-open.yaml", "updated_at": now}),
    ]  # fmt: skip
    async with web.other.transaction() as connection:
        for table, row in rows:
            await connection.execute(insert(table).values(row))
    return ids
