"""The REST API: every endpoint on real parts, and what it says when it can't."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from schemas import log_context
from schemas.plan import Act, CompiledPlaybook, Elapsed, Step, Wait
from tests.integration.running_engine import RunningEngine, run_engine
from tests.integration.web_edge import RunningWeb, furnish, run_web

DAY = 86400


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url, HOLDFAST_TEMPORAL_UI="http://127.0.0.1:8233/") as running:
        yield running


async def get(web: RunningWeb, path: str, status: int = 200, **query: Any) -> Any:
    answer = await web.client.get(path, params=query or None)
    assert answer.status_code == status, answer.text
    assert answer.json()["success"] is (status == 200)
    kind = "application/json" if status == 200 else "application/problem+json"
    assert answer.headers["content-type"] == kind
    return answer.json()


async def post(web: RunningWeb, path: str, status: int = 200, body: Any = None) -> Any:
    answer = await web.client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["success"] is (status == 200)
    return answer.json()


async def test_runs_are_listed_filtered_and_paged(web: RunningWeb) -> None:
    ids = await furnish(web)
    answer = await get(web, "/api/runs")
    assert [run["id"] for run in answer["runs"]] == [ids["open"], ids["ended"]]
    assert answer["nextCursor"] is None
    first = answer["runs"][0]
    assert (first["userId"], first["state"], first["goalBy"] > first["enteredAt"]) == (
        "ada/1",
        "running",
        True,
    )
    for query, found in (
        ({"state": "open"}, ["open"]),
        ({"state": "ended"}, ["ended"]),
        ({"state": "observed"}, []),
        ({"playbook": "rescue-ended"}, ["ended"]),
        ({"userId": "ada/1"}, ["open", "ended"]),
        ({"customerId": "ada/1", "state": "open"}, ["open"]),
        ({"customer": "nobody"}, []),
    ):
        assert [run["id"] for run in (await get(web, "/api/runs", **query))["runs"]] == [
            ids[name] for name in found
        ]
    page = await get(web, "/api/runs", limit=1)
    rest = await get(web, "/api/runs", limit=1, cursor=page["nextCursor"])
    assert [run["id"] for run in page["runs"] + rest["runs"]] == [ids["open"], ids["ended"]]
    assert rest["nextCursor"] is None


async def test_one_run_comes_with_its_trace_messages_tasks_and_waits(web: RunningWeb) -> None:
    ids = await furnish(web)
    answer = await get(web, f"/api/runs/{ids['open']}")
    assert answer["run"]["trigger"] == {"reason": "health_score < 40"}
    assert [(step["step"], step["word"], step["outcome"]) for step in answer["trace"]] == [
        ("steps[0].email", "email", "sent")
    ]
    assert {message["id"] for message in answer["deliveries"]} == {ids["email"], ids["note"], ids["skipped"]}
    assert [task["id"] for task in answer["tasks"]] == [ids["task"]]
    assert [wait["step"] for wait in answer["waits"]] == ["steps[4].wait_for"]
    assert answer["temporalUrl"].startswith(
        "http://127.0.0.1:8233/namespaces/default/workflows/playbook%2Fx%2F"
    )


async def test_a_customer_comes_with_profile_runs_standings_and_nothing_that_a_model_learns_from(
    web: RunningWeb,
) -> None:
    ids = await furnish(web)
    answer = await get(web, "/api/customers/ada%2F1")
    assert answer["profile"]["first_name"] == "Ada"
    assert answer["signals"] == {
        "churn_probability": 0.73,
        "health_score": 31,
        "risk_level": "critical",
    }
    assert [run["id"] for run in answer["openRuns"]] == [ids["open"]]
    assert [(standing["playbook"], standing["reason"]) for standing in answer["standings"]] == [
        ("rescue-open", "entered")
    ]
    assert answer["recentEvents"][0]["name"] == "identify"


async def test_in_app_messages_are_read_and_marked_as_seen_once(web: RunningWeb) -> None:
    ids = await furnish(web)
    [message] = (await get(web, "/api/customers/ada%2F1/messages"))["messages"]
    assert (message["id"], message["title"], message["seenAt"]) == (ids["note"], "Tip", None)
    first = await post(web, f"/api/messages/{ids['note']}/seen")
    again = await post(web, f"/api/messages/{ids['note']}/seen")
    assert first["seenAt"] == again["seenAt"] is not None
    await web.change(
        "INSERT INTO deliveries (id, run_id, customer_id, step, occurrence, channel, state, content, "
        "created_at) "
        "SELECT gen_random_uuid(), run_id, customer_id, 'later', 0, 'in_app', 'accepted', '{}', "
        "created_at - interval '1 day' FROM deliveries WHERE channel = 'in_app'"
    )
    listed = (await get(web, "/api/customers/ada%2F1/messages"))["messages"]
    assert [message["seenAt"] is None for message in listed] == [True, False]
    await post(web, f"/api/messages/{ids['email']}/seen", 404)


async def test_a_task_is_completed_and_its_run_hears_of_it(web: RunningWeb) -> None:
    ids = await furnish(web)
    [task] = (await get(web, "/api/tasks", assignee="grace"))["tasks"]
    assert (task["id"], task["outcomes"], task["userId"]) == (
        ids["task"],
        ["reached", "no_answer", "declined"],
        "ada/1",
    )
    assert (await get(web, "/api/tasks", assignee="nobody"))["tasks"] == []
    wrong = await post(web, f"/api/tasks/{ids['task']}/complete", 422, {"outcome": "ate_lunch"})
    assert "reached, no_answer, declined" in wrong["remedy"]
    body = {"outcome": "reached", "notes": "She comes back.", "by": "grace"}
    for _ in range(2):
        done = await post(web, f"/api/tasks/{ids['task']}/complete", 200, body)
        assert (done["state"], done["outcome"]) == ("done", "reached")
    [heard] = await web.rows("SELECT run_id::text AS run, kind, step, outcome FROM run_inbox")
    assert heard == {"run": ids["open"], "kind": "task", "step": "steps[1].call", "outcome": "reached"}
    await post(web, f"/api/tasks/{ids['task']}/complete", 409, {"outcome": "declined"})
    [row] = await web.rows("SELECT notes, completed_by FROM tasks")
    assert row == {"notes": "She comes back.", "completed_by": "grace"}


async def test_outbox_decisions_and_dead_letters_are_listed_newest_first(web: RunningWeb) -> None:
    ids = await furnish(web)
    messages = (await get(web, "/api/outbox"))["messages"]
    assert {message["id"] for message in messages} == {ids["email"], ids["note"], ids["skipped"]}
    [skipped] = (await get(web, "/api/outbox", state="skipped"))["messages"]
    assert (skipped["id"], skipped["error"]) == (ids["skipped"], "no phone")
    [email] = (await get(web, "/api/outbox", channel="email", userId="ada/1"))["messages"]
    assert email["content"]["subject"] == "We <miss> you"
    page = await get(web, "/api/outbox", limit=2)
    rest = await get(web, "/api/outbox", limit=2, cursor=page["nextCursor"])
    assert len({message["id"] for message in page["messages"] + rest["messages"]}) == 3
    for query in ({}, {"customer": "ada/1"}, {"playbook": "rescue-open"}):
        [decision] = (await get(web, "/api/decisions", **query))["decisions"]
        assert (decision["reason"], decision["runId"], decision["checks"][0]["actual"]) == (
            "entered",
            ids["open"],
            31,
        )
    assert (await get(web, "/api/decisions", playbook="other"))["decisions"] == []
    await web.client.post(
        "/v1/batch", json={"batch": [{"type": "alias", "userId": str(n)} for n in range(3)]}
    )
    page = await get(web, "/api/dead-letters", limit=2)
    rest = await get(web, "/api/dead-letters", limit=2, cursor=page["nextCursor"])
    bodies = [json.loads(letter["body"])["userId"] for letter in page["deadLetters"] + rest["deadLetters"]]
    assert sorted(bodies) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/runs/none", 404),
        ("/api/runs/00000000-0000-0000-0000-000000000000", 404),
        ("/api/customers/nobody", 404),
        ("/api/customers/nobody/messages", 404),
        ("/api/nothing", 404),
        ("/v1/nothing", 404),
        ("/v1/track", 405),
        ("/api/runs?limit=0", 422),
        ("/api/runs?limit=many", 422),
        ("/api/runs?state=asleep", 422),
        ("/api/runs?cursor=!!!", 422),
        ("/api/runs?cursor=YWJj", 422),
        ("/api/runs?playbook=%00", 422),
        ("/api/decisions?cursor=MXwy", 422),
        ("/api/dead-letters?cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk", 422),
    ],
)
async def test_what_cant_be_answered_is_a_problem_with_a_remedy(
    web: RunningWeb, path: str, status: int
) -> None:
    problem = await get(web, path, status)
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["code"].startswith("HF")
    assert problem["remedy"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/tasks/00000000-0000-0000-0000-000000000000/complete", {}),
        ("/api/tasks/00000000-0000-0000-0000-000000000000/complete", {"outcome": 5}),
        ("/api/customer-success/interventions/trigger", {"playbook": "x"}),
        ("/api/customer-success/interventions/trigger", {"userId": "a\0b", "playbook": "x"}),
        ("/api/customer-success/interventions/trigger", []),
    ],
)
async def test_a_wrong_body_is_a_problem_that_points_at_the_field(
    web: RunningWeb, path: str, body: Any
) -> None:
    problem = await post(web, path, 422, body)
    assert problem["errors"]
    assert all(error["pointer"].startswith("/body") for error in problem["errors"])


async def test_nothing_under_api_is_told_without_a_key(web: RunningWeb) -> None:
    document = (await web.client.get("/openapi.json")).json()
    web.client.headers.pop("Authorization")
    asked = 0
    for path, methods in document["paths"].items():
        for method in methods:
            if path in ("/healthz", "/livez", "/readyz"):
                continue
            url = path.replace("{verb}", "pause").replace("{id}", "x").replace("{userId}", "x")
            answer = await web.client.request(method, url, json={})
            assert (answer.status_code, answer.headers["content-type"]) == (
                401,
                "application/problem+json",
            ), path
            assert "WWW-Authenticate" in answer.headers
            asked += 1
    assert asked > 15


async def test_the_description_is_openapi_3_1_and_knows_every_endpoint(web: RunningWeb) -> None:
    document = (await web.client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert {
        "/v1/batch", "/v1/track", "/v1/identify", "/v1/group", "/v1/page", "/api/runs", "/api/runs/{id}",
        "/api/runs/{id}/{verb}", "/api/customer-success/interventions/trigger", "/api/tasks",
        "/api/tasks/{id}/complete",
        "/api/customers/{userId}", "/api/customers/{userId}/messages", "/api/messages/{id}/seen",
        "/api/dead-letters",
        "/api/outbox", "/api/decisions", "/api/stream", "/healthz",
    } <= set(document["paths"])  # fmt: skip
    schema = document["components"]["schemas"]["RunRow"]["properties"]
    assert {"userId", "enteredAt", "goalBy"} <= set(schema)
    for methods in document["paths"].values():
        for operation in methods.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]


async def test_without_temporal_health_says_so_and_commands_are_refused(web: RunningWeb) -> None:
    ids = await furnish(web)
    answer = await web.client.get("/healthz")
    health = answer.json()
    assert (answer.status_code, health["success"], health["temporal"]["ok"]) == (503, False, False)
    assert (health["database"]["ok"], health["migrations"]["ok"]) == (True, True)
    await post(web, f"/api/runs/{ids['ended']}/pause", 409)
    refused = await web.client.post(f"/api/runs/{ids['open']}/pause")
    assert (refused.status_code, refused.json()["code"]) == (503, "HF400")


async def test_health_names_a_database_that_isnt_migrated(postgres_url: str, temporal: str) -> None:
    async with run_web(postgres_url, temporal) as web:
        answer = await web.client.get("/healthz")
        assert answer.status_code == 503
        assert answer.json()["database"]["ok"] is True
        assert "holdfast migrate" in answer.json()["migrations"]["detail"]
        assert answer.json()["temporal"]["ok"] is True


def playbook(*steps: Step) -> CompiledPlaybook:
    return CompiledPlaybook(name="helping", title="Helping", owner="cs", status="live", steps=steps)


@pytest.fixture
async def engine(database_url: str, temporal: str) -> AsyncIterator[RunningEngine]:
    async with run_engine(database_url, temporal, {}) as running:
        yield running


async def test_a_person_enters_pauses_resumes_and_stops_a_run_and_completes_its_call(
    engine: RunningEngine, database_url: str, temporal: str
) -> None:
    args = {
        "title": "Call",
        "assign": "csm",
        "due_seconds": DAY,
        "give_up_seconds": 7 * DAY,
        "escalate": None,
    }
    call = Act(id="call", word="call", activity="Tasks.assign", human=True, args=args)
    await engine.publish(playbook(call, Wait(id="rest", spec=Elapsed(seconds=DAY))))
    await engine.identify("ada", first_name="Ada", csm="grace")
    async with run_web(database_url, temporal) as web:
        assert (await get(web, "/healthz"))["temporal"]["ok"] is True
        url = "/api/customer-success/interventions/trigger"
        entered = await post(
            web, url, 200, {"customerId": "ada", "playbook": "helping", "reason": "she rang"}
        )
        again = await post(web, url, 409, {"userId": "ada", "playbook": "helping"})
        assert "already_running" in again["detail"]
        await post(web, url, 404, {"userId": "nobody", "playbook": "helping"})
        await post(web, url, 404, {"userId": "ada", "playbook": "nothing"})
        await engine.until("SELECT 1 FROM tasks WHERE state = 'open'")
        run = f"/api/runs/{entered['runId']}"
        assert (await post(web, f"{run}/pause", 200, {"by": "grace"}))["answer"] == "paused"
        assert "paused already" in (await post(web, f"{run}/pause", 409))["detail"]
        assert (await post(web, f"{run}/resume"))["answer"] == "resumed"
        [task] = (await get(web, "/api/tasks", state="open"))["tasks"]
        await post(web, f"/api/tasks/{task['id']}/complete", 200, {"outcome": "reached", "by": "grace"})
        await engine.until("SELECT 1 FROM run_steps WHERE step = 'call' AND outcome = 'reached'")
        await post(web, f"{run}/stop", 200, {"by": "grace", "reason": "all is well", "outcome": "success"})
        await engine.until("SELECT 1 FROM runs WHERE outcome = 'success'")
        detail = await get(web, run)
        assert detail["run"]["state"] == "ended"
        assert [step["outcome"] for step in detail["trace"] if step["step"] == "call"] == ["reached"]
        await post(web, f"{run}/stop", 409)


async def test_an_event_over_http_starts_a_run_without_waiting_for_a_poll(
    engine: RunningEngine, database_url: str, temporal: str
) -> None:
    await engine.publish(playbook(Wait(id="rest", spec=Elapsed(seconds=1))))
    async with run_web(database_url, temporal) as web:
        await asyncio.gather(
            *(web.client.post("/v1/track", json={"userId": f"u{n}", "event": "login"}) for n in range(5))
        )
        await engine.until("SELECT 1 FROM customers", holds=lambda rows: len(rows) == 5)
        await engine.until("SELECT count(*) AS n FROM evaluations", holds=lambda rows: rows[0]["n"] == 0)


async def test_what_playbooks_unlocked_is_listed_with_whether_it_still_is(web: RunningWeb) -> None:
    ids = await furnish(web)
    for feature, granted, until, revoked in (
        ("premium", "8 days", "-6 days", None),
        ("premium", "9 days", "2 days", "2 days"),
        ("analytics", "10 days", None, None),
    ):
        await web.change(
            "INSERT INTO rewards (id, run_id, customer_id, step, occurrence, feature, granted_at, until, revoked_at) "
            "SELECT gen_random_uuid(), id, customer_id, CAST(:step AS text), 0, :feature, "
            "now() - CAST(:granted AS interval), now() - CAST(:until AS interval), "
            "now() - CAST(:revoked AS interval) FROM runs WHERE id = :run",
            run=ids["open"], step=granted, feature=feature, granted=granted, until=until, revoked=revoked,
        )  # fmt: skip
    answer = await get(web, "/api/customers/ada/1/rewards")
    assert [(one["feature"], one["active"], one["revokedAt"] is None) for one in answer["rewards"]] == [
        ("premium", True, True), ("premium", False, False), ("analytics", True, True),
    ]  # fmt: skip
    assert answer["userId"] == "ada/1"
    assert answer["rewards"][0]["grantedAt"] < answer["rewards"][0]["until"]
    assert {"runId", "playbook", "step"} <= answer["rewards"][0].keys()
    await get(web, "/api/customers/nobody/rewards", 404)


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_what_nobody_foresaw_is_answered_like_everything_else(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("nobody foresaw this of ada@example.com")

    names: list[object] = []

    class Names(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            names.append(log_context.read_context().get("request_id"))

    monkeypatch.setattr("web.api_providers.load_providers", fail)
    monkeypatch.setattr("web.page_me.render", fail)
    logger, handler = logging.getLogger("holdfast.web"), Names(logging.ERROR)
    logger.addHandler(handler)
    try:
        path = "/api/providers" if accept == "application/json" else "/me"
        answer = await web.client.get(path, headers={"Accept": accept, "X-Request-Id": "order-17"})
    finally:
        logger.removeHandler(handler)
    assert answer.status_code == 500, answer.text
    assert "ada@example.com" not in answer.text
    # By the name of the request it is found in the log.
    assert answer.headers["x-request-id"] == "order-17"
    assert names == ["order-17"]
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
