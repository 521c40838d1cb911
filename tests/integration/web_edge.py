"""A web process's application on a real port, inside the test's process, and a client to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy import text

from schemas.catalogue import load_catalogue
from schemas.errors import Problem
from schemas.settings import Settings
from scoring.moving import make_mover
from store.database import Database
from web.application import build_application
from web.serving import WebServer, bind

KEY = "test-key-0123456789abcdef"


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
    database_url: str, temporal: str = "127.0.0.1:9", *, problems: Sequence[Problem] = (), **environ: str
) -> AsyncIterator[RunningWeb]:
    """Serve on a free port; everything is closed at the end. Without `temporal` there is none."""
    given = {"HOLDFAST_DATABASE_URL": database_url, "HOLDFAST_API_KEY": KEY, "TEMPORAL_ADDRESS": temporal, **environ}
    database, other = Database(database_url), Database(database_url, connections=2)
    app = build_application(
        Settings.read(given), database, move=make_mover(load_catalogue()), find_problems=lambda: problems
    )
    listening = asyncio.Event()
    addresses: list[str] = []

    def tell(address: str) -> None:
        addresses.append(address)
        listening.set()

    server = WebServer(app, listening=tell)
    serving = asyncio.create_task(server.serve([bind("127.0.0.1", 0)]))
    await asyncio.wait([serving, asyncio.ensure_future(listening.wait())], return_when=asyncio.FIRST_COMPLETED)
    try:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=addresses[0], headers=headers, timeout=30, trust_env=False) as client:
            yield RunningWeb(addresses[0], client, other, server)
    finally:
        server.should_exit = True
        await serving
        await database.close()
        await other.close()


async def furnish(web: RunningWeb) -> dict[str, str]:
    """A customer with a run that is under way, one that ended, messages, a task, a decision; returns their ids."""
    ids = {name: str(uuid.uuid4()) for name in ("open", "ended", "email", "note", "skipped", "task")}
    await web.client.post(
        "/v1/identify",
        json={
            "userId": "ada/1",
            "messageId": "i1",
            "traits": {"firstName": "Ada", "businessName": "<b>Ada & Co</b>", "email": "ada@example.com", "plan": "pro"},
        },
    )
    [customer] = await web.rows("SELECT id::text AS id FROM customers")
    who = customer["id"]
    await web.change("UPDATE signals SET health_score = 31, risk_level = 'critical', churn_probability = 0.73")
    for run, days, outcome in (("open", 1, None), ("ended", 9, "success")):
        await web.change(
            "INSERT INTO runs (id, playbook, version, customer_id, arm, state, trigger, entered_at, goal_by, workflow_id, "
            "step, outcome, reason, ended_at) VALUES (:id, :playbook, 'abc123', :who, 'treated', "
            "CASE WHEN CAST(:outcome AS text) IS NULL THEN 'running' ELSE 'ended' END, CAST(:trigger AS jsonb), "
            "now() - make_interval(days => :days), now() + interval '5 days', 'playbook/x/' || :who, 'steps[1].call', "
            ":outcome, CASE WHEN CAST(:outcome AS text) IS NULL THEN NULL ELSE 'goal imported' END, "
            "CASE WHEN CAST(:outcome AS text) IS NULL THEN NULL ELSE now() END)",
            id=ids[run], playbook=f"rescue-{run}", who=who, days=days, outcome=outcome,
            trigger='{"reason": "health_score < 40"}',
        )  # fmt: skip
    content = {"subject": "We <miss> you", "text": "Hello Ada", "html": "<p onclick=x()>Hello <script>x()</script>Ada</p>"}
    note = {"title": "Tip", "text": "Import your clients"}
    for name, channel, state, step, body in (
        ("email", "email", "accepted", "steps[0].email", content),
        ("note", "in_app", "accepted", "steps[2].in_app", note),
        ("skipped", "sms", "skipped", "steps[3].sms", {}),
    ):
        await web.change(
            "INSERT INTO deliveries (id, run_id, customer_id, step, occurrence, channel, state, content, created_at, "
            "claimed_at, settled_at, error) VALUES (:id, :run, :who, :step, 0, :channel, :state, CAST(:body AS jsonb), "
            "now(), now(), now(), CASE WHEN :state = 'skipped' THEN 'no phone' END)",
            id=ids[name], run=ids["open"], who=who, step=step, channel=channel, state=state, body=json.dumps(body),
        )  # fmt: skip
    await web.change(
        "INSERT INTO tasks (id, run_id, customer_id, step, occurrence, kind, title, about, assignee, outcomes, state, "
        "created_at, due_at, give_up_at) VALUES (:id, :run, :who, 'steps[1].call', 0, 'call', 'Call <i>Ada</i>', "
        "'Usage is down', 'grace', '{reached,no_answer,declined}', 'open', now(), now() + interval '1 day', "
        "now() + interval '8 days')",
        id=ids["task"], run=ids["open"], who=who,
    )  # fmt: skip
    await web.change(
        "INSERT INTO run_steps (run_id, step, occurrence, word, outcome, detail, at) "
        "VALUES (:run, 'steps[0].email', 0, 'email', 'sent', '', now())",
        run=ids["open"],
    )
    await web.change(
        "INSERT INTO waits (run_id, step, occurrence, customer_id, since, until) "
        "VALUES (:run, 'steps[4].wait_for', 0, :who, now(), now() + interval '3 days')",
        run=ids["open"], who=who,
    )  # fmt: skip
    await web.change(
        "INSERT INTO decisions (at, customer_id, playbook, version, reason, detail, run_id, checks) "
        "VALUES (now(), :who, 'rescue-open', 'abc123', 'entered', 'all lines hold', :run, CAST(:checks AS jsonb))",
        who=who, run=ids["open"],
        checks='[{"path": "enter.when.health_score", "line": 9, "expected": "< 40", "actual": 31, "result": "true"}]',
    )  # fmt: skip
    await web.change(
        "INSERT INTO standings (customer_id, playbook, reason, at) VALUES (:who, 'rescue-open', 'entered', now())", who=who
    )
    await web.change(
        "INSERT INTO playbooks (name, version, status, compiled, file, updated_at) VALUES ('rescue-open', 'abc123', 'live', "
        '\'{"title": "Rescue", "owner": "cs-ops", "priority": 80, "group": "retention"}\', \'rescue-open.yaml\', now())'
    )
    return ids
