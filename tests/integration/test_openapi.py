"""The description of the API: complete, of one piece, and with examples that are what a real one answered."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from loops.rollback import roll_back
from schemas.catalogue import load_catalogue
from schemas.run import Command
from store.publications import list_versions
from store.reading_rows import RunRow
from tests.integration.playbook_texts import CARE
from tests.integration.test_audit import decide
from tests.integration.web_edge import RunningWeb, furnish, run_web
from web.description import TAGS
from web.executions import Executions

# Set, the examples are made anew: HOLDFAST_RECORD_EXAMPLES=1 pytest tests/integration/test_openapi.py
RECORD = os.environ.get("HOLDFAST_RECORD_EXAMPLES")
KEPT_IN = Path(__file__).parents[2] / "web/examples.json"
MORE = CARE.replace("We are here.", "We are here for you.")
FACTS = {"customer": "supplier-1", "signals": {"health_score": 35}, "now": "2026-03-02T09:00:00Z"}
CUSTOMER = "/api/customers/supplier-1"
SUCCESS = "/api/customer-success"
EVENT = {"userId": "supplier-1", "event": "form_created", "properties": {"count": 1}, "messageId": "81f3"}
# Operation: method, path, body; in this order. What is in capitals stands for an id.
CALLS: Mapping[str, tuple[str, str, Any]] = {
    "getHealthz": ("GET", "/healthz", None),
    "getLivez": ("GET", "/livez", None),
    "getReadyz": ("GET", "/readyz", None),
    "postV1Batch": ("POST", "/v1/batch", {"batch": [{"type": "track", **EVENT}]}),
    "postV1Track": ("POST", "/v1/track", EVENT),
    "postV1Identify": ("POST", "/v1/identify", {"userId": "supplier-1", "traits": {"firstName": "Ada", "plan": "pro"}}),
    "postV1Group": ("POST", "/v1/group", {"userId": "supplier-1", "groupId": "g1", "traits": {"name": "Ada & Co"}}),
    "postV1Page": ("POST", "/v1/page", {"userId": "supplier-1", "properties": {"name": "Pricing"}}),
    "postV1Screen": ("POST", "/v1/screen", {"userId": "supplier-1", "properties": {"name": "Home"}}),
    "postV1Alias": ("POST", "/v1/alias", {"userId": "supplier-1"}),
    "getRuns": ("GET", "/api/runs?limit=1", None),
    "getRunsById": ("GET", "/api/runs/OPEN", None),
    "postRunsByIdByVerb": ("POST", "/api/runs/OPEN/pause", {"by": "grace", "reason": "she is on holiday"}),
    "putCustomersByUserIdConsents": (
        "PUT", f"{CUSTOMER}/consents",
        {"source": "settings page", "consents": [{"channel": "email", "topic": "tips", "granted": True}]}),
    "postCustomersByUserIdConsents": (
        "POST", f"{CUSTOMER}/consents",
        {"source": "settings page", "consents": [
            {"channel": "sms", "granted": False, "at": "2026-03-01T09:00:00Z", "evidence": {"form": "v7"}}]}),
    "getCustomersByUserIdConsents": ("GET", f"{CUSTOMER}/consents?limit=1", None),
    "getCustomers": ("GET", "/api/customers?limit=1", None),
    "getCustomersByUserId": ("GET", CUSTOMER, None),
    "getCustomersByUserIdMessages": ("GET", f"{CUSTOMER}/messages", None),
    "getCustomersByUserIdRewards": ("GET", f"{CUSTOMER}/rewards", None),
    "getCustomersByUserIdFeatures": ("GET", f"{CUSTOMER}/features", None),
    "postMessagesByIdSeen": ("POST", "/api/messages/NOTE/seen", None),
    "postEventsCorrections": (
        "POST", "/api/events/corrections",
        {"source": "api", "messageId": "81f3", "reason": "counted twice", "properties": {"count": 5}}),
    "getCustomerSuccessHealthScoreByUserId": ("GET", f"{SUCCESS}/health-score/supplier-1?includeBreakdown=true", None),
    "postCustomerSuccessHealthScoreByUserId": ("POST", f"{SUCCESS}/health-score/supplier-1", None),
    "getCustomerSuccessChurnPredictions": ("GET", f"{SUCCESS}/churn-predictions?limit=1", None),
    "getCustomerSuccessChurnPredictionsByUserId": ("GET", f"{SUCCESS}/churn-predictions/supplier-1", None),
    "postCustomerSuccessInterventionsTrigger": (
        "POST", f"{SUCCESS}/interventions/trigger",
        {"userId": "supplier-1", "playbook": "care", "reason": "she asked for help", "priority": "high",
         "customization": {"message": "Your 2024 client list can be in by tonight.", "timeline": "this week",
                           "specialOffers": ["a free set-up session"]}}),
    "postCustomerSuccessOnboardingMilestone": (
        "POST", f"{SUCCESS}/onboarding/milestone",
        {"userId": "supplier-1", "milestoneType": "first_form",
         "metadata": {"timeToComplete": 6.5, "assistanceRequired": False, "satisfactionRating": 5}}),
    "getCustomerSuccessOnboarding": ("GET", f"{SUCCESS}/onboarding?limit=1", None),
    "getCustomerSuccessOnboardingByUserId": ("GET", f"{SUCCESS}/onboarding/supplier-1", None),
    "getTasks": ("GET", "/api/tasks?limit=1", None),
    "postTasksByIdReschedule": ("POST", "/api/tasks/TASK/reschedule", {"dueAt": "2031-03-03T09:00:00Z"}),
    "postTasksByIdReassign": ("POST", "/api/tasks/TASK/reassign", {"to": "anna", "by": "grace"}),
    "postTasksByIdRelease": ("POST", "/api/tasks/TASK/release", None),
    "postTasksByIdTake": ("POST", "/api/tasks/TASK/take", {"by": "grace"}),
    "postTasksByIdComplete": (
        "POST", "/api/tasks/TASK/complete",
        {"outcome": "reached", "notes": "She comes back.", "by": "grace", "satisfactionRating": 5}),
    "getCustomerSuccessPerformance": ("GET", f"{SUCCESS}/performance", None),
    "postPlaybooksCheck": ("POST", "/api/playbooks/check", {"file": "care.yaml", "source": CARE.replace("live", "on")}),
    "postPlaybooksComplete": (
        "POST", "/api/playbooks/complete", {"file": "care.yaml", "source": CARE, "line": 4, "column": 9}),
    "putPlaybooksByName": ("PUT", "/api/playbooks/care", {"source": MORE, "note": "warmer", "basedOn": "BASED_ON"}),
    "postPlaybooksByNamePlan": ("POST", "/api/playbooks/care/plan", {"source": CARE}),
    "postPlaybooksByNameSimulate": ("POST", "/api/playbooks/care/simulate", {"source": CARE, "facts": FACTS}),
    "getPlaybooksByName": ("GET", "/api/playbooks/care", None),
    "getPlaybooksByNameSource": ("GET", "/api/playbooks/care/source", None),
    "getPlaybooks": ("GET", "/api/playbooks", None),
    "getPlaybooksProblems": ("GET", "/api/playbooks/problems", None),
    "getPlaybooksByNameVersions": ("GET", "/api/playbooks/care/versions", None),
    "getPlaybooksByNameDiff": ("GET", "/api/playbooks/care/diff?from=OLDER", None),
    "postPlaybooksByNameRollback": ("POST", "/api/playbooks/care/rollback", {"version": "OLDER", "by": "grace"}),
    "getProviders": ("GET", "/api/providers", None),
    "postPushTokens": ("POST", "/api/push-tokens", {"userId": "supplier-1", "token": "fcm-0123456789abcdef"}),
    "postPushTokensForget": (
        "POST", "/api/push-tokens/forget", {"userId": "supplier-1", "token": "fcm-0123456789abcdef"}),
    "getSystemHealth": ("GET", "/api/system-health", None),
    "postAlertsByIdAcknowledge": ("POST", "/api/alerts/ALERT/acknowledge", None),
    "getAlerts": ("GET", "/api/alerts?limit=1", None),
    "getOutbox": ("GET", "/api/outbox?limit=1", None),
    "getDecisions": ("GET", "/api/decisions?limit=1", None),
    "getDeadLetters": ("GET", "/api/dead-letters?limit=1", None),
    "postPeople": ("POST", "/api/people", {"email": "ben@example.com", "name": "Ben", "role": "csm"}),
    "getPeople": ("GET", "/api/people", None),
    "postPeopleByIdRole": ("POST", "/api/people/PERSON/role", {"role": "ops"}),
    "postPeopleByIdLink": ("POST", "/api/people/PERSON/link", None),
    "postPeopleByIdByVerb": ("POST", "/api/people/PERSON/deactivate", None),
    "postKeys": ("POST", "/api/keys", {"name": "mobile-app", "role": "service", "perMinute": 600}),
    "getKeys": ("GET", "/api/keys", None),
    "deleteKeysByName": ("DELETE", "/api/keys/mobile-app", None),
    "getAudit": ("GET", "/api/audit?limit=1", None),
    "getCustomersByUserIdExport": ("GET", "/api/customers/supplier-2/export", None),
    "postCustomersByUserIdErasure": ("POST", "/api/customers/supplier-2/erasure", {"reason": "ticket 4711"}),
    "getCustomersByUserIdErasure": ("GET", "/api/customers/supplier-2/erasure", None),
}  # fmt: skip
# A stream has no end, and an example in its own words.
STREAMED = {"getStream"}


@pytest.fixture
async def web(
    database_url: str, temporal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RunningWeb]:
    async def answer(_: Executions, run: RunRow, verb: str, command: Command) -> str:
        return f"{verb}d"

    async def put_back(playbook: str, version: str, author: str, based_on: str | None) -> Mapping[str, Any]:
        done = await roll_back(
            running.other, tmp_path, load_catalogue(), playbook, version, author=author, based_on=based_on
        )
        return {**vars(done), "written": done.written.name if done.written else None}

    monkeypatch.setattr(Executions, "command", answer)
    given = {"HOLDFAST_PLAYBOOKS": str(tmp_path)}
    async with run_web(database_url, temporal, roll_back=put_back, **given) as running:
        yield running


def operations(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = [one for path in document["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in found}) == len(found)
    return {one["operationId"]: one for one in found}


def good(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    status = next(status for status in operation["responses"] if status.startswith("2"))
    content: Mapping[str, Any] = operation["responses"][status]["content"]["application/json"]
    return content


async def test_every_operation_says_who_may_what_goes_wrong_and_what_it_is_like(web: RunningWeb) -> None:
    document = (await web.client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    listed = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert set(listed) <= set(TAGS)
    for name, one in operations(document).items():
        assert one["tags"], name
        assert set(one["tags"]) <= set(listed), name
        assert one["summary"], name
        if name not in ("getHealthz", "getLivez", "getReadyz"):
            assert one["x-permission"], name
            assert one["x-roles"], name
            unusable = "400" if name.startswith("postV1") else "422"
            assert {unusable, "401", "403", "503"} <= set(one["responses"]), name
            if "requestBody" in one and not name.startswith("postV1"):
                assert {"400", "413", "415"} <= set(one["responses"]), name
        if name in STREAMED:
            assert one["responses"]["200"]["content"]["text/event-stream"]["itemSchema"], name
            continue
        assert "example" in good(one), name
        if "requestBody" in one:
            assert "example" in one["requestBody"]["content"]["application/json"], name


async def test_every_example_is_as_its_schema_says(web: RunningWeb) -> None:
    document = (await web.client.get("/openapi.json")).json()
    checked = 0
    for name, one in operations(document).items():
        contents = [] if name in STREAMED else [good(one)]
        if "requestBody" in one:
            contents.append(one["requestBody"]["content"]["application/json"])
        for content in contents:
            schema = {**content["schema"], "components": document["components"]}
            problems = list(Draft202012Validator(schema).iter_errors(content["example"]))
            assert problems == [], name
            checked += 1
    for name, response in document["components"]["responses"].items():
        [content] = response["content"].values()
        schema = {**content["schema"], "components": document["components"]}
        assert list(Draft202012Validator(schema).iter_errors(content["example"])) == [], name
    assert checked > 80


async def test_every_operation_is_called_as_in_its_example_and_answers_so(web: RunningWeb) -> None:
    found = await call_all(web)
    if RECORD:
        KEPT_IN.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    document = (await web.client.get("/openapi.json")).json()
    assert set(operations(document)) - set(CALLS) - STREAMED == set()
    kept = json.loads(KEPT_IN.read_text())
    assert set(kept) == set(CALLS)
    for name, one in found.items():
        assert kept[name].get("request") == one.get("request"), name
        assert set(kept[name]["response"]) == set(one["response"]), name
        assert one["response"]["success"] is True, name


async def call_all(web: RunningWeb) -> dict[str, Any]:
    # An own name in the examples; the other is there to be forgotten.
    ids = await furnish(web)
    await web.change("UPDATE customers SET external_id = 'supplier-1'")
    traits = {"createdAt": "2024-01-01T00:00:00Z", "monthly_price": 49, "subscription_status": "active"}
    for name in ("supplier-1", "supplier-2"):
        await web.client.post("/v1/identify", json={"userId": name, "traits": traits})
    await web.client.post("/v1/track", json={**EVENT, "messageId": "82a0"})
    await web.change("DELETE FROM playbooks")
    await web.client.put("/api/playbooks/care", json={"source": CARE})
    async with web.other.transaction() as connection:
        [version] = await list_versions(connection, "care")
        await connection.exec_driver_sql(
            "INSERT INTO rewards (id, run_id, customer_id, step, occurrence, feature, granted_at, until) SELECT "
            "gen_random_uuid(), id, customer_id, 'premium', 0, 'premium', now(), now() + interval '7 days' FROM runs "
            "WHERE state = 'running'"
        )
        await connection.exec_driver_sql(
            "INSERT INTO providers (channel, provider, state, since) VALUES ('email', 'smtp', 'ok', now())"
        )
        await connection.exec_driver_sql("DELETE FROM alerts")
        raised = await connection.exec_driver_sql(
            "INSERT INTO alerts (kind, message, detail, severity, at) VALUES ('provider:sms/twilio', "
            "'twilio (sms) refuses us, 20003: wrong credentials. Its messages wait, or go another way.', "
            '\'{"channel": "sms", "provider": "twilio", "code": "20003"}\', \'critical\', now()) RETURNING id'
        )
        alert = raised.scalar_one()
        await connection.exec_driver_sql(
            "INSERT INTO churn_predictions (customer_id, prediction_date, churn_probability, risk_level, "
            "prediction_factors, source, model_version, model_confidence, intervention_recommended, "
            "intervention_priority, "
            "ltv_at_risk, prevention_cost_estimate, calculated_at) SELECT id, current_date, 0.73, 'high', "
            "'{\"declining_health_score\": 0.7}', 'model', '3f6c1a0d9e2b4c57', 'high', true, 4, 643.86, 64.39, now() "
            "FROM customers WHERE external_id = 'supplier-1'"
        )
    stands = {"OPEN": ids["open"], "NOTE": ids["note"], "TASK": ids["task"], "OLDER": version.version,
              "ALERT": str(alert)}  # fmt: skip
    deciding = asyncio.create_task(decide(web))
    found: dict[str, Any] = {}
    for name, (method, path, body) in CALLS.items():
        if name == "putPlaybooksByName":
            stands["BASED_ON"] = (await web.client.get("/api/playbooks/care/source")).json()["basedOn"]
        url, sent = path, json.dumps(body)
        for word, meant in stands.items():
            url, sent = url.replace(word, meant), sent.replace(word, meant)
        answer = await web.client.request(method, url, json=json.loads(sent))
        assert answer.is_success, (name, answer.text)
        told = answer.json()
        if name == "postPeople":
            stands["PERSON"] = told["person"]["id"]
        found[name] = {"request": body} if body is not None else {}
        found[name]["response"] = tidy(told)
    deciding.cancel()
    return {name: json.loads(_plain(json.dumps(one, ensure_ascii=False))) for name, one in found.items()}


def tidy(value: Any) -> Any:
    """Short enough to be read: two of a list, no long texts."""
    if isinstance(value, dict):
        return {key: tidy(one) for key, one in value.items()}
    if isinstance(value, list):
        return [tidy(one) for one in value[:2]]
    if isinstance(value, float):
        return round(value, 4)
    return value[:400] if isinstance(value, str) else value


def _plain(text: str) -> str:
    """Without what is another each time: ids, moments, secrets, addresses."""
    ids: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return ids.setdefault(match.group(), f"7f0c1d2e-0000-4000-8000-{len(ids) + 1:012d}")

    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name, text)
    text = re.sub(rf"{datetime.now(UTC):%Y}-\d\d-\d\dT[0-9:.]+(Z|\+00:00)", "2026-03-02T09:00:00Z", text)
    text = re.sub(r"http://127.0.0.1:\d+", "https://holdfast.example.com", text)
    text = re.sub(r'(/welcome/|"key": ")[A-Za-z0-9_.-]{20,}', r"\1shown-this-once", text)
    text = re.sub(r'"[^" ]*/(\w+\.yaml)"', r'"playbooks/\1"', text)
    return text.replace("OLDER", "1f0c9a").replace("BASED_ON", "5a0d.12")
