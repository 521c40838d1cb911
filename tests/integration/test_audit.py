"""Whatever somebody changes is written down with who, what, before and after; and what isn't says why."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import holdfast
from schemas.access import Principal
from schemas.errors import ConflictError, UnavailableError
from schemas.run import Command
from store.audit import list_changes, record_change
from store.reading_rows import RunRow
from tests.integration.test_access_roles import app as app
from tests.integration.web_edge import RunningWeb, furnish, run_web
from web.application import Application
from web.executions import Executions
from web.permissions import endpoints_of

# What writes nothing down, and why.
SILENT = {
    "POST /v1/": "events have a log of their own",
    "POST /api/messages/{id}/seen": "the customer's own doing, noted at the message",
    "POST /api/push-tokens": "the customer's own devices, noted with their times",
    "POST /api/push-tokens/forget": "the customer's own devices, noted with their times",
    "POST /api/customer-success/health-score/{userId}": "works out what is so; decides nothing",
    "POST /bulk": "a preview, changes nothing",
    "POST /customers/{user_id}/start/preview": "a preview, changes nothing",
    "POST /customers/{user_id}/score": "works out what is so; decides nothing",
    "POST /api/playbooks/check": "changes nothing",
    "POST /api/playbooks/complete": "changes nothing",
    "POST /api/playbooks/{name}/simulate": "changes nothing",
    "POST /api/playbooks/{name}/plan": "changes nothing",
    "POST /playbooks/{name}/try": "changes nothing",
    "POST /playbooks/{home}/{name}/try": "changes nothing",
    "POST /playbooks/{name}/backtest": "changes nothing",
    "POST /outbox/{message_id}/report": "plays a provider, under `holdfast dev` alone",
    "POST /u/{written}": "the customer's own word, in the history of consents",
    "POST /preferences/{written}": "the customer's own word, in the history of consents",
    "POST /book/{written}": "the customer's own booking, an event of theirs",
    "POST /hooks/{source}": "reports of providers, kept as they came",
    "OPTIONS /codec/{verb}": "changes nothing",
    "POST /codec/decode": "changes nothing",
    "POST /codec/encode": "refuses everybody",
}
# What is looked at by the tests of those who built it, with the action that it leaves.
ELSEWHERE = {
    "POST /outbox/{message_id}/look-up", "POST /outbox/{message_id}/mark", "POST /alerts/{alert}/acknowledge",
    "POST /api/alerts/{id}/acknowledge", "POST /alerts/providers/{channel}/{provider}/resume",
    "POST /alerts/channels/{channel}/resume", "POST /log/{key}/retry",
    "PUT /api/playbooks/{name}", "POST /playbooks/{name}/publish", "POST /playbooks/{home}/{name}/publish",
    "POST /api/playbooks/{name}/rollback", "POST /playbooks/{name}/rollback", "POST /api/customers/{userId}/erasure",
    "POST /api/people", "POST /api/people/{id}/role", "POST /api/people/{id}/link", "POST /api/people/{id}/{verb}",
    "POST /api/keys", "DELETE /api/keys/{name}", "POST /sign-in", "POST /sign-out",
    "POST /me/sessions/{key}/end", "POST /people/{person_id}/sign-out", "POST /welcome/{token}", "POST /me/password",
    "POST /people",
    "POST /people/keys", "POST /people/keys/{name}/remove", "POST /people/{person_id}/link",
    "POST /people/{person_id}/role", "POST /people/{person_id}/deactivate", "POST /people/{person_id}/reactivate",
    "POST /me/sessions/end", "POST /bulk/start", "POST /views", "POST /views/{view_id}/delete",
    "POST /views/{view_id}/default", "POST /customers/{user_id}/start", "POST /customers/{user_id}/export",
    "POST /customers/{user_id}/erasure", "POST /customers/{user_id}/suppress", "POST /customers/{user_id}/call",
}  # fmt: skip
CONSENTS = {"source": "form 7", "consents": [{"channel": "email", "granted": True}]}
# Endpoint: where it is posted to, what, and the action that stands in the log then.
LOUD: Mapping[str, tuple[str, Any, str]] = {
    "POST /api/runs/{id}/{verb}": ("/api/runs/OPEN/stop", {"reason": "she rang"}, "run.stopped"),
    "POST /runs/{run_id}/{verb}": ("/runs/OPEN/pause", {"reason": "she rang"}, "run.paused"),
    "POST /runs/{run_id}/tasks/{task_id}": ("/runs/OPEN/tasks/TASK", {"outcome": "reached"}, "task.completed"),
    "POST /api/tasks/{id}/complete": ("/api/tasks/TASK/complete", {"outcome": "reached"}, "task.completed"),
    "POST /api/tasks/{id}/take": ("/api/tasks/TEAM/take", {"by": "anna"}, "task.taken"),
    "POST /api/tasks/{id}/release": ("/api/tasks/TAKEN/release", None, "task.released"),
    "POST /api/tasks/{id}/reassign": ("/api/tasks/TASK/reassign", {"to": "anna"}, "task.reassigned"),
    "POST /api/tasks/{id}/reschedule": (
        "/api/tasks/TASK/reschedule", {"dueAt": "2031-03-03T09:00:00Z"}, "task.rescheduled"),
    "POST /tasks/{task_id}/complete": ("/tasks/TASK/complete", {"outcome": "reached"}, "task.completed"),
    "POST /tasks/{task_id}/{verb}": ("/tasks/TASK/reassign", {"to": "anna"}, "task.reassigned"),
    "PUT /api/customers/{userId}/consents": ("/api/customers/ada%2F1/consents", CONSENTS, "consent.declared"),
    "POST /api/customers/{userId}/consents": ("/api/customers/ada%2F1/consents", CONSENTS, "consent.declared"),
    "POST /customers/{user_id}/consent": (
        "/customers/ada%2F1/consent", {"channel": "email", "word": "no", "source": "phone"}, "consent.declared"),
    "POST /customers/{user_id}/runs/{run_id}/{verb}": (
        "/customers/ada%2F1/runs/OPEN/stop", {"reason": "she rang"}, "run.stopped"),
    "POST /api/events/corrections": (
        "/api/events/corrections", {"source": "api", "messageId": "i1", "reason": "typo", "properties": {}},
        "event.corrected"),
    "POST /customers/{user_id}/correction": (
        "/customers/ada%2F1/correction",
        {"event": "event/api/i1", "what": "never", "reason": "a test"}, "event.corrected"),
    "POST /api/customer-success/interventions/trigger": (
        "/api/customer-success/interventions/trigger",
        {"customerId": "ada/1", "playbook": "rescue-open", "reason": "she rang", "customization": {"message": "Hello"}},
        "intervention.triggered"),
    "POST /api/customer-success/onboarding/milestone": (
        "/api/customer-success/onboarding/milestone", {"userId": "ada/1", "milestoneType": "first_form"},
        "milestone.reached"),
}  # fmt: skip


@pytest.fixture
async def web(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningWeb]:
    async def answer(_: Executions, run: RunRow, verb: str, command: Command) -> str:
        return f"{verb}d"

    # Workflows have tests of their own; here it is about what is written down beside them.
    monkeypatch.setattr(Executions, "command", answer)
    async with run_web(database_url, HOLDFAST_PAGES="open") as running:
        yield running


async def log(web: RunningWeb) -> list[Mapping[str, Any]]:
    return await web.rows("SELECT * FROM audit_log ORDER BY id")


def test_every_endpoint_that_changes_something_is_written_down_or_says_why_not(app: Application) -> None:
    missing = []
    for one in endpoints_of(app):
        name = f"{one.method} {one.path}"
        if one.method == "GET" or name in LOUD or name in ELSEWHERE:
            continue
        if not any(name == silent or (silent.endswith("/") and name.startswith(silent)) for silent in SILENT):
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("endpoint", LOUD, ids=lambda name: name.replace("/", "."))
async def test_it_is_written_down_once_with_who_and_of_what(web: RunningWeb, endpoint: str) -> None:
    ids = await furnish(web)
    [customer] = await web.rows("SELECT id::text AS id FROM customers")
    for state, team, taken in (("TEAM", "cs", None), ("TAKEN", "cs", "anna")):
        made = await web.rows(
            "INSERT INTO tasks SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'step', "
            "CAST(:state AS text), 'assignee', CAST(:team AS text), 'team', CAST(:team AS text), "
            "'taken_by', CAST(:taken AS text)))).* FROM tasks t WHERE step = 'steps[1].call' RETURNING id::text AS id",
            state=state, team=team, taken=taken,
        )  # fmt: skip
        ids[state] = made[0]["id"]
    before = len(await log(web))
    path, body, action = LOUD[endpoint]
    for name, key in (("OPEN", "open"), ("TASK", "task"), ("TEAM", "TEAM"), ("TAKEN", "TAKEN")):
        path = path.replace(name, ids[key])
    deciding = asyncio.create_task(decide(web))
    method = endpoint.partition(" ")[0]
    if path.startswith("/api/"):
        answer = await web.client.request(method, path, json=body, headers={"X-Request-Id": "from-the-test"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-request-id"] == "from-the-test"
    else:
        answer = await web.client.post(
            path, data=body, headers={"Origin": web.address, "X-Request-Id": "from-the-test"}
        )
        assert answer.status_code == 303, answer.text
    deciding.cancel()
    [row] = (await log(web))[before:]
    assert (row["action"], row["request_id"]) == (action, "from-the-test")
    assert row["actor_name"] == ("api" if path.startswith("/api/") else "pages")
    assert row["actor_kind"] == ("key" if path.startswith("/api/") else "open")
    assert row["object_id"] in (customer["id"], *ids.values())
    assert row["after"]
    # No words of people's, only how long they are.
    assert "she rang" not in str(row)
    assert "ada" not in re.sub("[0-9a-f-]{36}", "", str(row).lower())
    if row["object_kind"] in ("run", "task"):
        assert row["before"]


async def decide(web: RunningWeb) -> None:
    """The evaluator's part: whoever is asked for enters."""
    while True:
        await asyncio.sleep(0.05)
        await web.change(
            "UPDATE entry_requests SET decided_at = now(), decision = 'entered', run_id = gen_random_uuid() "
            "WHERE decided_at IS NULL"
        )


async def test_consent_is_written_down_as_it_was_and_as_it_is(web: RunningWeb) -> None:
    await furnish(web)
    path = "/api/customers/ada%2F1/consents"
    for granted in (True, False):
        said = {"consents": [{"channel": "email", "topic": "tips", "granted": granted}]}
        assert (await web.client.put(path, json=said)).status_code == 200
    page = {"channel": "email", "topic": "tips", "word": "yes", "source": "phone"}
    form = await web.client.post(
        "/customers/ada%2F1/consent", data=page, headers={"Origin": web.address, "Authorization": ""}
    )
    assert form.status_code == 303
    rows = [row for row in await log(web) if row["action"] == "consent.declared"]
    told = [(row["before"]["consents"][0], row["after"]["consents"][0]["granted"]) for row in rows]
    assert [(was["granted"], granted) for was, granted in told] == [
        (None, True),
        (True, False),
        (False, True),
    ]
    assert {(was["channel"], was["topic"]) for was, _ in told} == {("email", "tips")}


async def test_what_is_refused_leaves_no_trace_in_the_log(web: RunningWeb) -> None:
    ids = await furnish(web)
    before = len(await log(web))
    for path, body in (
        (f"/api/tasks/{ids['task']}/complete", {"outcome": "ate_lunch"}),
        (f"/api/tasks/{ids['task']}/release", None),
        ("/api/events/corrections", {"source": "api", "messageId": "none", "reason": "x", "retract": True}),
    ):
        assert (await web.client.post(path, json=body)).status_code in (422, 404, 409)
    assert len(await log(web)) == before


async def test_doing_it_again_without_changing_anything_isnt_written_down_again(web: RunningWeb) -> None:
    ids = await furnish(web)
    for _ in range(2):
        path = f"/api/tasks/{ids['task']}/complete"
        assert (await web.client.post(path, json={"outcome": "reached"})).status_code == 200
    rows = [row for row in await log(web) if row["action"] == "task.completed"]
    assert len(rows) == 1
    assert rows[0]["before"]["state"] == "open"
    assert rows[0]["after"]["state"] == "done"
    assert rows[0]["after"]["outcome"] == "reached"


async def test_the_log_is_filtered_and_paged(web: RunningWeb) -> None:
    await furnish(web)
    [customer] = await web.rows("SELECT id::text AS id FROM customers")
    grace = Principal(kind="person", id="p1", name="Grace", role="ops")
    robot = Principal(kind="key", id="robot", name="robot", role="service")
    async with web.other.transaction() as connection:
        for number in range(5):
            actor = grace if number % 2 else robot
            await record_change(
                connection,
                actor,
                "run.stopped",
                object_kind="run",
                object_id=f"r{number}",
                after={"n": number},
            )
        await record_change(
            connection,
            grace,
            "consent.declared",
            object_kind="customer",
            object_id=customer["id"],
            request_id="q1",
        )

    async def ids(**query: Any) -> list[str]:
        answer = (await web.client.get("/api/audit", params=query)).json()
        assert answer["success"], answer
        return [one["objectId"] for one in answer["changes"]]

    assert await ids(actor="Grace") == [customer["id"], "r3", "r1"]
    assert await ids(actor="robot") == ["r4", "r2", "r0"]
    assert await ids(action="run.") == ["r4", "r3", "r2", "r1", "r0"]
    assert await ids(objectKind="run", objectId="r2") == ["r2"]
    assert await ids(userId="ada/1") == [customer["id"]]
    assert await ids(since="2100-01-01T00:00:00Z") == []
    assert await ids(until="2000-01-01T00:00:00Z") == []
    page = (await web.client.get("/api/audit", params={"limit": 4, "action": "run."})).json()
    rest = (
        await web.client.get(
            "/api/audit", params={"limit": 4, "action": "run.", "cursor": page["nextCursor"]}
        )
    ).json()
    assert [one["objectId"] for one in page["changes"] + rest["changes"]] == ["r4", "r3", "r2", "r1", "r0"]
    assert rest["nextCursor"] is None
    [declared] = (await web.client.get("/api/audit", params={"userId": "ada/1"})).json()["changes"]
    assert (declared["userId"], declared["actorKind"], declared["requestId"]) == ("ada/1", "person", "q1")
    assert (declared["before"], declared["after"]) == (None, None)


async def test_who_is_gone_leaves_an_id_that_is_nobodys(web: RunningWeb) -> None:
    await furnish(web)
    [customer] = await web.rows("SELECT id::text AS id FROM customers")
    grace = Principal(kind="person", id="p1", name="Grace", role="ops")
    async with web.other.transaction() as connection:
        await record_change(
            connection, grace, "consent.declared", object_kind="customer", object_id=customer["id"]
        )
        # What isn't an id of ours, though it stands for a customer, is told as it is.
        await record_change(connection, grace, "customer.odd", object_kind="customer", object_id="not a uuid")
    await web.change("DELETE FROM runs")
    await web.change("DELETE FROM customers")
    async with web.other.transaction() as connection:
        rows = await list_changes(connection, actor="Grace")
    assert [(row.object_id, row.user_id) for row in rows] == [("not a uuid", None), (customer["id"], None)]


async def test_the_command_line_is_written_down_by_the_name_of_who_is_logged_in(
    web: RunningWeb, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await furnish(web)
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    monkeypatch.setattr("getpass.getuser", lambda: "grace")
    for words in (
        ["suppress", "--channel", "email", "--address", "ada@example.com"],
        ["suppress", "--channel", "email", "--address", "ada@example.com", "--lift"],
        ["correct", "--source", "api", "--message-id", "i1", "--properties", "{}", "--reason", "typo"],
        ["stop", ids["open"], "--reason", "she rang"],
    ):
        done = await asyncio.to_thread(CliRunner().invoke, holdfast, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    rows = await log(web)
    assert [row["action"] for row in rows] == [
        "address.suppressed", "address.suppression_lifted", "event.corrected", "run.stopped",
    ]  # fmt: skip
    assert {(row["actor_kind"], row["actor_id"], row["actor_name"]) for row in rows} == {
        ("system", "system:grace", "grace")
    }
    assert "ada@example.com" not in str(rows)


async def test_an_order_at_the_command_line_that_nobody_answers_is_written_down_too(
    web: RunningWeb, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await furnish(web)
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    monkeypatch.setattr("getpass.getuser", lambda: "grace")

    async def hear_nothing(*_: object) -> str:
        raise UnavailableError("No worker answered in time.")

    async def interrupted(*_: object) -> str:
        # As Ctrl-C has it.
        raise asyncio.CancelledError

    async def refuse(*_: object) -> str:
        raise ConflictError("It is paused already.")

    for answer, verb in ((hear_nothing, "stop"), (interrupted, "pause"), (refuse, "resume")):
        monkeypatch.setattr(Executions, "command", answer)
        words = [verb, ids["open"], "--reason", "she rang"]
        with contextlib.suppress(asyncio.CancelledError):
            done = await asyncio.to_thread(CliRunner().invoke, holdfast, words)
            assert done.exit_code != 0, done.output
    rows = await log(web)
    assert [(row["action"], row["object_id"], row["actor_id"]) for row in rows] == [
        ("run.stopped", ids["open"], "system:grace"), ("run.paused", ids["open"], "system:grace"),
    ]  # fmt: skip
    assert all(row["after"]["answered"] is False for row in rows)
    assert rows[0]["after"]["outcome"] == "stopped"
    assert rows[0]["before"]["state"] == "running"
