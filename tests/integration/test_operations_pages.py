"""Runs, outbox, alerts, the log and the audit: what they show, what they are narrowed by, and who may do what there."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from schemas.access import Principal
from schemas.plan import EventMatch, Split, Variant, WaitFor
from tests.integration.browsing import signed_in
from tests.integration.open_pages import page
from tests.integration.plans import DAY, playbook
from tests.integration.web_edge import RunningWeb, furnish, run_web

pytestmark = pytest.mark.usefixtures("quick_hashes")

NOW = datetime.now(UTC)


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    asked: list[str] = []

    async def look_up(delivery: str, actor: Principal) -> str:
        asked.append(delivery)
        return f"twilio never heard of it, {actor.name}."

    environ = {"HOLDFAST_PAGES": "open", "HOLDFAST_TEMPORAL_UI": "http://127.0.0.1:8233"}
    async with run_web(database_url, look_up=look_up, **environ) as running:
        yield running


async def post(browser: httpx.AsyncClient, path: str, **fields: str) -> str:
    """What the page tells that a form leads back to."""
    answer = await browser.post(path, data=fields)
    assert answer.status_code == 303, answer.text
    return await page(browser, answer.headers["location"])


async def alert(web: RunningWeb, kind: str, severity: str = "warning", **more: str) -> int:
    await web.change(
        "INSERT INTO alerts (kind, message, severity, at, resolved_at) VALUES (:kind, 'Something <is> wrong.', "
        ":severity, now(), CAST(:over AS timestamptz))",
        kind=kind, severity=severity, over=more.get("over"),
    )  # fmt: skip
    [row] = await web.rows("SELECT max(id) AS id FROM alerts")
    return int(row["id"])


async def test_every_page_opens_on_an_empty_database(browser: httpx.AsyncClient) -> None:
    for path in ("/runs", "/outbox", "/alerts", "/dead-letters", "/log", "/audit"):
        assert "as of" in await page(browser, path)


async def test_runs_are_narrowed_by_outcome_arm_variant_and_day(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    await web.change(
        'UPDATE runs SET variants = \'{"tone": "warm"}\' WHERE id = CAST(:id AS uuid)', id=ids["open"]
    )
    yesterday = (NOW - timedelta(days=2)).date().isoformat()
    for query, found in (
        ("outcome=success", "ended"), ("outcome=lost", None), ("arm=treated&state=open", "open"), ("arm=shadow", None),
        ("variant=tone:warm", "open"), ("variant=warm", "open"), ("variant=tone:cold", None),
        ("variant=other:warm", None),
        (f"since={yesterday}", "open"), ("playbook=rescue-ended&customer=ada%2F1", "ended"), ("customer=nobody", None),
    ):  # fmt: skip
        text = await page(browser, f"/runs?{query}")
        assert re.findall(r'<tr data-key="([^"]+)">', text) == ([ids[found]] if found else []), query
    assert "can&#39;t be read" in await page(browser, "/runs?since=soon", 400)


async def test_a_run_says_who_stopped_it_and_how_its_variant_was_drawn(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    await web.change(
        'UPDATE runs SET variants = \'{"tone": "warm"}\' WHERE id = CAST(:id AS uuid)', id=ids["open"]
    )
    arms = {"warm": Variant(weight=1), "cold": Variant(weight=1)}
    listens = WaitFor(id="steps[4].wait_for", event=EventMatch(name="login"), for_seconds=DAY)
    compiled = playbook(Split(id="split", experiment="tone", variants=arms), listens, name="rescue-open")
    await web.change(
        "INSERT INTO playbook_versions (playbook, version, compiled, source, published_at, author) "
        "VALUES ('rescue-open', 'abc123', CAST(:compiled AS jsonb), '', now(), 'test')",
        compiled=compiled.model_dump_json(),
    )
    await web.change(
        "INSERT INTO audit_log (at, actor_kind, actor_id, actor_name, action, object_kind, object_id, after) VALUES "
        "(now(), 'person', 'p1', 'Grace', 'run.paused', 'run', :run, '{\"by\": \"Grace\", \"reason_length\": 4}')",
        run=ids["open"],
    )
    text = await page(browser, f"/runs/{ids['open']}")
    assert "paused by Grace" in text
    assert "by hash: this customer falls at" in text
    assert "“login” happens, at most 1 day" in text
    assert 'name="outcome"' in text
    assert f'formaction="/runs/{ids["open"]}/snooze"' in text
    assert f'action="/runs/{ids["open"]}/tasks/{ids["task"]}"' in text


async def test_without_temporal_commands_and_the_trace_say_so_on_the_page(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    await web.change("UPDATE runs SET execution_id = 'e1' WHERE ended_at IS NULL")
    shown = await page(browser, f"/runs/{ids['open']}?trace=1")
    assert "couldn&#39;t be asked: Temporal at" in shown
    kept = shown[shown.index("What keeps it from going on") :]
    assert "can&#39;t be reached. Nothing of the run is lost; it goes on once Temporal is back." in kept
    assert "can&#39;t be reached" in await post(browser, f"/runs/{ids['open']}/pause", reason="later")
    assert "Until when" in await post(browser, f"/runs/{ids['open']}/snooze")
    assert "can&#39;t be read" in await post(browser, f"/runs/{ids['open']}/snooze", until="soon")
    assert "has ended" in await post(browser, f"/runs/{ids['ended']}/stop")
    assert "no workflow" in await page(browser, f"/runs/{ids['ended']}?trace=1")


async def test_a_task_is_completed_on_its_runs_page(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    ids = await furnish(web)
    path = f"/runs/{ids['open']}/tasks/{ids['task']}"
    assert "is not an outcome" in await post(browser, path, outcome="bogus")
    assert "reached." in await post(browser, path, outcome="reached", notes="well")
    other = await browser.post(f"/runs/{ids['ended']}/tasks/{ids['task']}", data={"outcome": "reached"})
    assert other.status_code == 404
    [task] = await web.rows("SELECT state, completed_by FROM tasks")
    assert task == {"state": "done", "completed_by": "pages"}


async def test_messages_are_narrowed_and_paged_without_a_gap(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    await web.change("UPDATE deliveries SET status = 'bounced' WHERE channel = 'email'")
    await web.change("UPDATE deliveries SET critical = true WHERE channel = 'in_app'")
    for query, found in (
        ("status=bounced", ["email"]), ("kind=critical", ["note"]), ("playbook=rescue-open&channel=email", ["email"]),
        ("playbook=other", []), ("customer=ada%2F1&state=skipped", ["skipped"]), ("since=2099-01-01", []),
    ):  # fmt: skip
        text = await page(browser, f"/outbox?{query}")
        assert re.findall(r'<tr data-key="([^"]+)">', text) == [ids[name] for name in found], query
    await web.change(
        "INSERT INTO deliveries (id, run_id, customer_id, step, occurrence, channel, state, created_at) SELECT "
        "gen_random_uuid(), run_id, customer_id, 'more', n, 'sms', 'failed', created_at - make_interval(mins => n % 7) "
        "FROM deliveries, generate_series(1, 120) n WHERE id = CAST(:id AS uuid)",
        id=ids["email"],
    )
    seen: list[str] = []
    path: str | None = "/outbox?state=failed"
    while path:
        text = await page(browser, path)
        seen += re.findall(r'<tr data-key="([^"]+)">', text)
        more = re.search(r'rel="next" href="([^"]+)"', text)
        path = more[1].replace("&amp;", "&") if more else None
    assert len(seen) == len(set(seen)) == 120


async def test_an_unknown_message_is_looked_up_or_marked_and_its_history_tells(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    path = f"/outbox/{ids['email']}"
    assert "is accepted, so" in await post(browser, f"{path}/mark", state="failed", reason="x")
    await web.change(
        "UPDATE deliveries SET state = 'unknown', provider = 'smtp', error = 'lost after the dot' "
        "WHERE id = CAST(:id AS uuid)",
        id=ids["email"],
    )
    await web.change(
        "INSERT INTO delivery_reports (provider, report_id, delivery_id, kind, detail, at, received_at) VALUES "
        "('smtp', 'r1', CAST(:id AS uuid), 'bounced', CAST(:detail AS jsonb), now(), now())",
        id=ids["email"],
        detail='{"code": "550", "to": "ada@example.com", "said": "no ada@example.com here, +49 30 1234567"}',
    )
    text = await page(browser, path)
    assert "Nobody knows whether it arrived" in text
    assert "ada@example.com" not in text.split("What its provider said")[1].split("As it looks")[0]
    assert "(an address) here, (a number)" in text
    assert "never heard of it, pages." in await post(browser, f"{path}/look-up")
    assert "Say how you know" in await post(browser, f"{path}/mark", state="accepted")
    text = await post(browser, f"{path}/mark", state="accepted", reason="Ada wrote back")
    assert "Noted: accepted" in text
    assert "found out: accepted" in text
    [row] = await web.rows(
        "SELECT state, reconciled_at IS NOT NULL AS reconciled FROM deliveries WHERE channel = 'email'"
    )
    assert row == {"state": "accepted", "reconciled": True}
    [change] = await web.rows("SELECT action, before, after FROM audit_log WHERE object_kind = 'message'")
    assert (change["action"], change["after"]) == (
        "message.marked",
        {"state": "accepted", "reason_length": 14},
    )


async def test_an_alert_is_acknowledged_once_and_says_by_whom(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    first = await alert(web, "runs:stuck")
    second = await alert(web, "model_critical", "critical")
    over = await alert(web, "comparison", over="2026-01-01")
    text = await page(browser, "/alerts")
    assert (
        text.index("model_critical")
        < text.index("runs:stuck")
        < text.index("Past alerts")
        < text.index("comparison")
    )
    assert "Something &lt;is&gt; wrong." in text
    assert 'href="/runs?state=running"' in text
    assert "Acknowledged" in await post(browser, f"/alerts/{first}/acknowledge")
    assert "has acknowledged it already" in await post(browser, f"/alerts/{first}/acknowledge")
    assert "is over" in await post(browser, f"/alerts/{over}/acknowledge")
    assert (await browser.post("/alerts/999999/acknowledge", data={})).status_code == 404
    answer = await web.client.post(f"/api/alerts/{second}/acknowledge")
    assert answer.json()["alert"]["acknowledgedBy"] == "api"
    listed = (await web.client.get("/api/alerts?state=open&limit=1")).json()
    assert [one["id"] for one in listed["alerts"]] == [second]
    rest = (await web.client.get(f"/api/alerts?state=open&cursor={listed['nextCursor']}")).json()
    assert [one["id"] for one in rest["alerts"]] == [first]
    rows = await web.rows("SELECT object_id FROM audit_log WHERE action = 'alert.acknowledged' ORDER BY id")
    assert [row["object_id"] for row in rows] == [str(first), str(second)]


async def test_an_alert_leads_to_the_runs_it_names_and_says_that_its_webhook_does_not_take_it(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    [run] = await web.rows("SELECT workflow_id FROM runs WHERE id = CAST(:id AS uuid)", id=ids["open"])
    named = {run["workflow_id"]: "WorkflowWorkerUnhandledFailure", "population/2026-03-01": "unknown"}
    stuck = await alert(web, "runs:stuck", "critical")
    await alert(web, "queue:hooks")
    text = await page(browser, "/alerts")
    assert f'href="/runs/{ids["open"]}"' not in text
    assert "hasn't taken" not in text
    assert 'href="/log?direction=out"' in text
    await web.change(
        "UPDATE alerts SET detail = CAST(:detail AS jsonb), tell_attempts = 3, "
        "tell_next_at = now() + interval '20 seconds' WHERE id = :id",
        id=stuck, detail=json.dumps({"workflows": named}),
    )  # fmt: skip
    text = await page(browser, "/alerts")
    assert f'<a href="/runs/{ids["open"]}">rescue-open: &lt;b&gt;Ada &amp; Co&lt;/b&gt;</a>' in text
    assert "WorkflowWorkerUnhandledFailure" in text
    assert "The alert webhook hasn't taken this, tried 3 times; again" in text


async def test_providers_and_parked_marketing_are_resumed_by_whoever_may(database_url: str) -> None:
    async with run_web(database_url) as web:
        await web.change(
            "INSERT INTO providers (channel, provider, state, code, reason, failures, since) "
            "VALUES ('sms', 'twilio', 'parked', '20003', 'wrong credentials', 3, now())"
        )
        await alert(web, "provider:sms/twilio")
        await alert(web, "marketing_parked:email", "critical")
        async with signed_in(web, "csm") as csm:
            text = (await csm.get("/alerts")).text
            assert "wrong credentials" in text
            assert "marketing parked" in text
            assert "ops or admin may resume it" in text
            assert "/resume" not in text
            assert (await csm.send("/alerts/providers/sms/twilio/resume")).status_code == 403
            assert (await csm.get("/audit")).status_code == 403
        async with signed_in(web, "ops") as ops:
            answer = await ops.send("/alerts/providers/sms/twilio/resume")
            assert "is used again" in (await ops.get(answer.headers["location"])).text
            answer = await ops.send("/alerts/providers/sms/twilio/resume")
            assert "nothing is to be resumed" in (await ops.get(answer.headers["location"])).text
            answer = await ops.send("/alerts/channels/email/resume")
            assert "by email again" in (await ops.get(answer.headers["location"])).text
            assert await web.rows("SELECT 1 FROM alerts WHERE resolved_at IS NULL") == []
            text = (await ops.get("/audit?object_kind=provider")).text
            assert "provider.unparked" in text
            assert "<del>parked</del>" in text
            assert "channel.unparked" not in text


async def test_the_audit_is_narrowed_and_exported(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    await web.change(
        "INSERT INTO audit_log (at, actor_kind, actor_id, actor_name, action, object_kind, object_id, before, after) "
        "SELECT now() - make_interval(days => n), 'person', 'p' || n % 2, '=Grace' || n % 2, 'run.stopped', 'run', "
        "n::text, "
        '\'{"a": {"b": 1}, "same": 2}\', \'{"a": {"b": 3}, "same": 2}\' FROM generate_series(1, 60) n'
    )
    text = await page(browser, "/audit?actor=p1&action=run.")
    assert text.count('<th scope="row">run.stopped') == 30
    assert "a.b</span> <del>1</del> <ins>3</ins>" in text
    assert "same</span>" not in text
    day = (NOW - timedelta(days=3)).date().isoformat()
    assert (await page(browser, f"/audit?since={day}&until={day}")).count('<th scope="row">run.stopped') == 1
    answer = await browser.get("/audit.csv?actor=p0")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 30
    assert (rows[0]["actorName"], rows[0]["before"]) == ("'=Grace0", '{"a": {"b": 1}, "same": 2}')


async def test_the_log_has_both_ways_and_tries_given_up_requests_again(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    await web.change(
        "UPDATE deliveries SET channel = 'webhook', state = 'failed', error_code = '503', attempt = 4 "
        "WHERE id = CAST(:id AS uuid)",
        id=ids["email"],
    )
    for name, body, done, error in (
        ("given-up", b"x", True, "no such message"), ("done", b"", True, None), ("new", b"x", False, None),
    ):  # fmt: skip
        await web.change(
            "INSERT INTO hook_requests (source, request_id, body, received_at, attempts, next_at, done_at, error) "
            "VALUES ('sendgrid', :name, :body, now() - interval '1 hour', 8, "
            "CASE WHEN :done THEN NULL ELSE now() + interval '1 h' END, "
            "CASE WHEN :done THEN now() END, :error)",
            name=name, body=body, done=done, error=error,
        )  # fmt: skip
    text = await page(browser, "/log")
    assert text.count("<tr data-key=") == 4
    assert "503" in text
    text = await page(browser, "/log?direction=in&state=failed&source=sendgrid")
    assert text.count("<tr data-key=") == 1
    retried = re.search(r'action="(/log/[^"]+/retry)"', text)
    assert retried
    assert "is taken up again" in await post(browser, retried[1])
    assert "still waits" in await post(browser, retried[1])
    [row] = await web.rows("SELECT attempts, done_at, error FROM hook_requests WHERE request_id = 'given-up'")
    assert row == {"attempts": 0, "done_at": None, "error": None}
    [noted] = await web.rows("SELECT action, before FROM audit_log")
    assert noted["action"] == "hook_request.retried"
    assert noted["before"] == {"source": "sendgrid", "attempts": 8, "given_up": True}
    [done] = await web.rows("SELECT id FROM hook_requests WHERE request_id = 'done'")
    assert "body was dropped" in await post(browser, f"/log/{uuid.UUID(int=done['id'])}/retry")
    assert (await browser.post("/log/x/retry", data={})).status_code == 404


async def test_dead_letters_are_read_with_addresses_masked(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await web.client.post("/v1/track", json={"event": "login", "email": "ada@example.com"})
    text = await page(browser, "/dead-letters")
    assert "(an address)" in text
    assert "ada@example.com" not in text
    health = (await web.client.get("/api/system-health")).json()
    assert health["deadLetters"] == 1
    assert health["deadLetterCodes"][0]["times"] == 1


async def test_system_health_is_one_reading_of_all_parts(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    ids = await furnish(web)
    await web.change(
        "UPDATE deliveries SET state = 'unknown', claimed_at = now() - interval '2 days' WHERE id = CAST(:id AS uuid)",
        id=ids["email"],
    )
    await web.change(
        "INSERT INTO evaluations (customer_id, since, changed) SELECT id, now() - interval '40 s', '{}' FROM customers "
        "ON CONFLICT (customer_id) DO UPDATE SET since = excluded.since"
    )
    await web.change(
        "INSERT INTO population_runs (day, started_at, customers) VALUES (current_date, now(), 400)"
    )
    await web.change(
        "INSERT INTO population_shards (day, shard, scored, failed, requested, seconds, finished_at) "
        "VALUES (current_date, 0, 99, 1, 3, 1, now())"
    )
    await web.change(
        "INSERT INTO model_reports (day, at, report) VALUES (current_date, now(), CAST(:report AS jsonb))",
        report='{"status": "warning", "why": ["Accuracy is 80.0%."], "drift": "none", "matured": {"untreated": '
        '{"accuracy": 0.8, "majority_rate": 0.7, "auc": 0.81, "rows": 5000}}}',
    )
    await web.change(
        "INSERT INTO runs (id, playbook, version, customer_id, arm, state, entered_at, workflow_id, outcome, ended_at) "
        "SELECT gen_random_uuid(), 'many', 'v', c.id, 'treated', 'ended', now() - interval '2 h', 'w' || n, "
        "'success', now() - interval '1 h' FROM customers c, generate_series(1, 10) n"
    )
    await web.change(
        "INSERT INTO intervention_executions (run_id, playbook, version, customer_id, arm, triggered_at, "
        "trigger_reason, completed_at, success_measured, success_achieved, outcome) SELECT id, 'many', 'v', "
        "customer_id, arm, entered_at, 'x', ended_at, true, right(workflow_id, 1) IN ('1', '2', '3', '4', '5'), "
        "outcome FROM runs WHERE playbook = 'many'"
    )
    health = (await web.client.get("/api/system-health")).json()
    parts = {part["name"]: part["status"] for part in health["parts"]}
    assert parts == {
        "database": "healthy", "temporal": "critical", "workers": "unknown", "queues": "critical",
        "model accuracy": "warning", "intervention success, 24 h": "warning", "integrations": "unknown",
        "latency": "unknown", "scoring": "warning",
    }  # fmt: skip
    assert health["status"] == "critical"
    assert health["why"] == (
        "Temporal and queues: critical; what that means stands there. "
        "Not judged yet: workers, integrations and latency."
    )
    queues = {queue["name"]: queue for queue in health["queues"]}
    assert (queues["evaluate"]["waiting"], queues["evaluate"]["status"]) == (1, "warning")
    assert queues["sends_unknown"]["status"] == "critical"
    assert health["population"] | {"startedAt": None, "day": None} == {
        "day": None, "startedAt": None, "finishedAt": None, "customers": 400, "scored": 99, "failed": 1,
        "progress": 0.25, "nextAt": None,
    }  # fmt: skip
    assert (health["model"]["accuracy"], health["model"]["majorityRate"], health["model"]["auc"]) == (
        0.8,
        0.7,
        0.81,
    )
    assert health["interventionSuccess"] == {"measured": 10, "succeeded": 5, "share": 0.5}
    text = await page(browser, "/alerts")
    assert "80.0" in text
    assert "0.810" in text
