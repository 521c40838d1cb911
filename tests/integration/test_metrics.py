"""Metrics: what is counted, by which labels, to whom it is told, and that the documents and the dashboard know them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from loops.metrics import Readiness, WorkerPort
from schemas.metrics import DESCRIBED, MOST_PLAYBOOKS, OTHER, bound_playbook
from store import tables
from store.database import Database
from store.metrics import Figures, expose
from tests.integration.running_engine import eventually
from tests.integration.web_edge import RunningWeb, furnish, run_web

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(body: str) -> Samples:
    """Every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def one(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, tuple(sorted(labels.items()))), 0.0)


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        yield running


async def told_by(web: RunningWeb) -> Samples:
    answer = await web.client.get("/metrics", headers={"Authorization": ""})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return read(answer.text)


class TestWeb:
    async def test_requests_are_timed_by_the_template_of_their_route(self, web: RunningWeb) -> None:
        route = {"method": "GET", "route": "/api/customers/{userId}", "status": "404"}
        unmatched = {"method": "GET", "route": "unmatched", "status": "404"}
        name = "holdfast_http_request_duration_seconds_count"
        before = await told_by(web)
        for number in range(3):
            assert (await web.client.get(f"/api/customers/nobody-{number}")).status_code == 404
            assert (await web.client.get(f"/nowhere/{number}")).status_code == 404
        assert (await web.client.get("/static/holdfast.css")).status_code == 200
        after = await told_by(web)
        for labels in (route, unmatched):
            assert one(after, name, **labels) - one(before, name, **labels) == 3
        assert one(after, name, method="GET", route="/static", status="200") >= 1
        routes = {value for _, labels in after for label, value in labels if label == "route"}
        assert not [
            path for path in routes if "nobody" in path or "nowhere" in path or path.startswith("/static/")
        ]

    async def test_calls_that_are_taken_in_and_refused_are_counted(self, web: RunningWeb) -> None:
        before = await told_by(web)
        batch = [
            {"type": "track", "userId": "a", "event": "login", "messageId": "1"},
            {"type": "track", "event": "login", "messageId": "2"},
        ]
        assert (await web.client.post("/v1/batch", json={"batch": batch})).status_code == 200
        after = await told_by(web)
        for result in ("accepted", "rejected"):
            name = "holdfast_ingest_calls_total"
            assert one(after, name, result=result) - one(before, name, result=result) == 1
        timed = {"method": "POST", "route": "/v1/batch", "status": "200"}
        assert one(after, "holdfast_http_request_duration_seconds_count", **timed) >= 1

    async def test_what_the_database_knows_is_told(self, web: RunningWeb) -> None:
        await furnish(web)
        long_ago = datetime.now(UTC) - timedelta(minutes=5)
        await web.change("DELETE FROM evaluations")
        await web.change(
            "INSERT INTO evaluations (customer_id, since, changed) SELECT id, :at, '{}' FROM customers",
            at=long_ago,
        )
        await web.change("UPDATE tasks SET due_at = :at", at=long_ago)
        async with web.other.transaction() as connection:
            providers = tables.providers
            for name, state in (("smtp", "ok"), ("ses", "parked")):
                row = {"channel": "email", "provider": name, "state": state, "since": long_ago}
                await connection.execute(insert(providers).values(row))
            alert = {"kind": "marketing_parked:email", "message": "x", "at": long_ago, "severity": "critical"}
            await connection.execute(insert(tables.alerts).values(alert))
            report = {
                "status": "warning", "matured": {"untreated": {"accuracy": 0.9, "majority_rate": 0.91, "auc": 0.7}},
                "early": {"overall": {"ratio": 1.2}},
            }  # fmt: skip
            row = {"day": long_ago.date(), "at": long_ago, "report": report}
            await connection.execute(insert(tables.model_reports).values(row))
        samples = await told_by(web)
        assert one(samples, "holdfast_database_up") == 1
        assert 300 <= one(samples, "holdfast_queue_oldest_age_seconds", queue="evaluate") < 400
        assert one(samples, "holdfast_queue_entries", queue="evaluate") == 1
        assert one(samples, "holdfast_runs_open", playbook="rescue-open", arm="treated") == 1
        assert (one(samples, "holdfast_tasks_open"), one(samples, "holdfast_tasks_overdue")) == (1, 1)
        assert one(samples, "holdfast_provider_usable", channel="email", provider="smtp") == 1
        assert samples[("holdfast_provider_usable", (("channel", "email"), ("provider", "ses")))] == 0
        assert one(samples, "holdfast_marketing_parked", channel="email") == 1
        assert one(samples, "holdfast_alerts_open", severity="critical") == 1
        assert one(samples, "holdfast_model_status", status="warning") == 1
        assert one(samples, "holdfast_model_accuracy_ratio") == 0.9
        assert one(samples, "holdfast_model_majority_ratio") == 0.91
        assert one(samples, "holdfast_model_observed_expected_ratio") == 1.2
        assert one(samples, "holdfast_database_pool_connections", state="free") > 0

    async def test_whoever_comes_through_a_proxy_needs_a_key(self, web: RunningWeb) -> None:
        for more in ({"X-Forwarded-For": "203.0.113.9"}, {"Host": "holdfast.example"}):
            asked = {"Authorization": "", **more}
            assert (await web.client.get("/metrics", headers=asked)).status_code == 401
            assert (await web.client.get("/metrics", headers=more)).status_code == 200

    async def test_metrics_can_be_opened_and_shut(self, database_url: str) -> None:
        nobody = {"Authorization": ""}
        async with run_web(database_url, HOLDFAST_METRICS="key") as web:
            assert (await web.client.get("/metrics", headers=nobody)).status_code == 401
        async with run_web(database_url, HOLDFAST_METRICS="open") as web:
            proxied = {**nobody, "X-Forwarded-For": "203.0.113.9"}
            assert (await web.client.get("/metrics", headers=proxied)).status_code == 200

    async def test_alive_and_ready_are_two_things(self, web: RunningWeb) -> None:
        assert (await web.client.get("/livez")).json() == {"success": True}
        assert (await web.client.get("/readyz")).json() == {"success": True, "detail": "ready"}
        # Many who watch sites ask by HEAD. There is no Temporal here.
        asked = [await web.client.head(path) for path in ("/livez", "/readyz", "/healthz")]
        assert [(answer.status_code, answer.content) for answer in asked] == [
            (200, b""),
            (200, b""),
            (503, b""),
        ]
        await web.change("UPDATE alembic_version SET version_num = '0001'")
        answer = await web.client.get("/readyz")
        assert (answer.status_code, answer.json()["success"]) == (503, False)
        assert "holdfast migrate" in answer.json()["detail"]
        assert (await web.client.get("/livez")).status_code == 200

    async def test_who_stops_is_not_ready_and_answers_still(self, web: RunningWeb) -> None:
        web.server._drain_seconds = 1.0
        web.server.should_exit = True
        await eventually(lambda: web.client.get("/readyz"), lambda answer: answer.status_code == 503, 10)
        assert (await web.client.get("/livez")).status_code == 200


class TestFigures:
    async def test_one_statement_serves_all_who_ask_within_ten_seconds(self, database_url: str) -> None:
        database = Database(database_url)
        figures = Figures(database)
        told = await asyncio.gather(*(expose(figures, "worker") for _ in range(5)))
        assert figures.readings == 1
        assert all(one(read(body.decode()), "holdfast_database_up") == 1 for body in told)
        await database.close()

    async def test_a_database_that_is_away_is_told_and_ends_nothing(self) -> None:
        database = Database("postgresql://nobody:x@127.0.0.1:9/none")
        samples = read((await expose(Figures(database), "web")).decode())
        assert samples[("holdfast_database_up", ())] == 0
        assert not [name for name, _ in samples if name == "holdfast_queue_entries"]
        await database.close()

    def test_playbooks_beyond_a_number_are_counted_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("schemas.metrics._playbooks", set())
        named = [bound_playbook(f"p{number}") for number in range(MOST_PLAYBOOKS + 50)]
        assert len(set(named)) == MOST_PLAYBOOKS + 1
        assert named[-1] == OTHER

    async def test_every_metric_that_is_exported_is_described(self, database_url: str) -> None:
        database = Database(database_url)
        described = {one.name for one in DESCRIBED}
        for by in ("web", "worker"):
            body = (await expose(Figures(database), by)).decode()
            told = {line.split()[2] for line in body.splitlines() if line.startswith("# TYPE holdfast_")}
            named = {name.removesuffix("_created") for name in told}
            assert named <= described | {name.removesuffix("_total") for name in described}
        await database.close()


class TestWorkerPort:
    async def test_it_tells_metrics_life_and_readiness(self, database_url: str) -> None:
        database, begun, stopping = Database(database_url), asyncio.Event(), asyncio.Event()
        async with (
            WorkerPort(Readiness(database, begun, stopping)).listen("127.0.0.1", 0) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        ):
            assert (await client.get("/livez")).status_code == 200
            early = await client.get("/readyz")
            assert (early.status_code, early.json()["detail"]) == (503, "it hasn't begun yet")
            begun.set()
            assert (await client.get("/readyz")).json() == {"success": True, "detail": "ready"}
            samples = read((await client.get("/metrics")).text)
            assert one(samples, "holdfast_database_up") == 1
            assert ("holdfast_evaluations_total", ()) in samples
            assert (await client.post("/metrics")).status_code == 405
            assert (await client.get("/etc/passwd")).status_code == 404
            stopping.set()
            late = await client.get("/readyz")
            assert (late.status_code, late.json()["detail"]) == (503, "it is stopping")
        await database.close()

    async def test_a_port_that_is_taken_ends_nothing(
        self, database_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        database = Database(database_url)
        readiness = Readiness(database, asyncio.Event(), asyncio.Event())
        async with (
            WorkerPort(readiness).listen("127.0.0.1", 0) as port,
            WorkerPort(readiness).listen("127.0.0.1", port or 0) as second,
        ):
            assert second is None
        assert "can't be listened on" in caplog.text
        await database.close()
