"""Every endpoint asks for a permission, each role is let in where it may be, customers see nobody but themselves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import jwt
import pytest

from schemas.access import GRANTS, ROLES, Role
from schemas.catalogue import load_catalogue
from schemas.settings import Settings
from scoring.moving import make_mover
from store.api_keys import store_key
from store.database import Database
from tests.integration.web_edge import KEY, SECRET, RunningWeb, furnish, run_web
from web.application import Application, build_application
from web.permissions import Endpoint, endpoints_of

TOKENS = "t" * 40
# What asks for nobody's name, and why.
OPEN = {
    "/openapi.json": "says what there is, nothing of anybody",
    "/healthz": "whether everything is up, for load balancers",
    "/livez": "whether the process lives, for whoever keeps it running",
    "/readyz": "whether it can answer, for load balancers",
    "/metrics": "open to this machine; checks the key itself for everybody else",
    "/u/{written}": "the signed link in a message is the key",
    "/preferences/{written}": "the signed link in a message is the key",
    "/book/{written}": "the signed link in a message is the key",
    "/calendar/{written}.ics": "the signed link in a message is the key",
    "/hooks/{source}": "the provider's signature is the key",
    "/codec/{verb}": "a browser's question before the real one",
    "/codec/decode": "checks the key or session itself, as browsers send it from another page",
    "/codec/encode": "refuses everybody",
    "/sign-in": "where one signs in",
    "/sign-out": "checks the session itself",
    "/sign-in/oidc": "where one signs in",
    "/sign-in/oidc/callback": "where one signs in",
    "/welcome/{token}": "the one-time link is the key",
    "/problems": "what codes mean, nothing of anybody",
    "/problems/{code}": "what a code means, nothing of anybody",
}
# Customers name themselves in the body, or in what the path leads to; looked at below.
NAMED = {"/api/push-tokens", "/api/push-tokens/forget", "/api/messages/{id}/seen", "/api/stream"}


def token(subject: str, role: Role = "customer") -> str:
    claims = {"sub": subject, "aud": "holdfast", "exp": time.time() + 600, "role": role}
    return jwt.encode(claims, TOKENS, "HS256")


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url, HOLDFAST_TOKEN_SECRET=TOKENS) as running:
        async with running.other.transaction() as connection:
            for role in ROLES:
                if role != "customer":
                    await store_key(
                        connection, role, f"key-of-{role}-0123456789", now=datetime.now(UTC), role=role
                    )
        await furnish(running)
        yield running


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[Application]:
    given = {"HOLDFAST_DATABASE_URL": database_url, "HOLDFAST_API_KEY": KEY, "HOLDFAST_SECRET_KEY": SECRET}
    database = Database(database_url)
    yield build_application(Settings.read(given), database, move=make_mover(load_catalogue()))
    await database.close()


def fill(path: str, user_id: str = "ada%2F1") -> str:
    for name, value in (
        ("{userId}", user_id),
        ("{user_id}", user_id),
        ("{verb}", "pause"),
        ("{source}", "smtp"),
    ):
        path = path.replace(name, value)
    return "/".join("x" if part.startswith("{") else part for part in path.split("/"))


async def ask(
    web: RunningWeb, endpoint: Endpoint, shown: str | None, user_id: str = "ada%2F1"
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {shown}"} if shown else {"Authorization": ""}
    async with web.client.stream(
        endpoint.method, fill(endpoint.path, user_id), json={}, headers=headers
    ) as answer:
        if not answer.headers["content-type"].startswith("text/event-stream"):
            await answer.aread()
        return answer


def listed(app: Application) -> list[Endpoint]:
    return [one for one in endpoints_of(app) if one.path.startswith(("/api/", "/v1/"))]


async def test_every_endpoint_declares_what_it_asks_for(app: Application) -> None:
    undeclared = {one.path for one in endpoints_of(app) if one.asked is None}
    assert undeclared - OPEN.keys() == set()
    assert OPEN.keys() - undeclared == set()


async def test_forms_of_pages_that_change_something_ask_for_more_than_looking(app: Application) -> None:
    lax = [
        (one.method, one.path)
        for one in endpoints_of(app)
        if one.asked is not None and one.method != "GET" and one.asked.way == "page"
    ]
    assert lax == []


async def test_each_role_is_let_in_where_it_may_be_and_nowhere_else(
    app: Application, web: RunningWeb
) -> None:
    wrong = []
    asked = 0
    for endpoint in listed(app):
        assert endpoint.asked is not None
        for role in ROLES:
            if role == "customer":
                continue
            answer = await ask(web, endpoint, f"key-of-{role}-0123456789")
            allowed = endpoint.asked.permission in GRANTS[role]
            asked += 1
            # A key that is let in may still be told that its words make no sense.
            if (answer.status_code == 403) == allowed or answer.status_code in (401, 500):
                wrong.append((role, endpoint.method, endpoint.path, answer.status_code))
        answer = await ask(web, endpoint, None)
        if answer.status_code != 401:
            wrong.append(("nobody", endpoint.method, endpoint.path, answer.status_code))
    assert wrong == []
    assert asked > 150


async def test_of_who_may_not_look_at_files_no_long_text_is_read(web: RunningWeb) -> None:
    sent = {"Authorization": f"Bearer {token('ada/1')}", "Content-Type": "application/json"}
    for body in (b"[{}," * 20_000, b"{"):
        answer = await web.client.post("/api/playbooks/check", content=body, headers=sent)
        assert (answer.status_code, answer.json()["code"]) == (403, "HF161")
        # What is its own is read, and told to be no JSON.
        own = await web.client.put("/api/customers/ada%2F1/consents", content=body, headers=sent)
        assert (own.status_code, own.json()["code"]) == (400, "HF100")


async def test_a_customer_may_do_for_itself_what_says_so_and_nothing_for_others(
    app: Application, web: RunningWeb
) -> None:
    await web.client.post("/v1/identify", json={"userId": "bo", "traits": {"firstName": "Bo"}})
    wrong = []
    for endpoint in listed(app):
        assert endpoint.asked is not None
        if endpoint.path.startswith("/v1/") or endpoint.path in NAMED:
            continue
        own = await ask(web, endpoint, token("ada/1"))
        other = await ask(web, endpoint, token("bo"))
        if (own.status_code == 403) == endpoint.asked.own or own.status_code in (401, 500):
            wrong.append(("own", endpoint.method, endpoint.path, own.status_code))
        if other.status_code != 403:
            wrong.append(("other", endpoint.method, endpoint.path, other.status_code))
    assert wrong == []


async def test_where_the_customer_is_named_elsewhere_only_itself_will_do(web: RunningWeb) -> None:
    [note] = await web.rows("SELECT id::text AS id FROM deliveries WHERE channel = 'in_app'")
    own, other = ({"Authorization": f"Bearer {token(name)}"} for name in ("ada/1", "bo"))
    body = {"userId": "ada/1", "token": "fcm-token-0123456789abcdef"}
    for path, sent in (
        ("/api/push-tokens", body),
        ("/api/push-tokens/forget", body),
        (f"/api/messages/{note['id']}/seen", None),
    ):
        assert (await web.client.post(path, json=sent, headers=other)).status_code == 403, path
        assert (await web.client.post(path, json=sent, headers=own)).status_code == 200, path
    answer = await web.client.get("/api/stream", params={"userId": "ada/1"}, headers=other)
    assert answer.status_code == 403
    async with web.client.stream("GET", "/api/stream", headers=own) as stream:
        assert stream.status_code == 200


async def test_a_customer_is_never_told_what_is_the_operators(web: RunningWeb) -> None:
    own = {"Authorization": f"Bearer {token('ada/1')}"}
    customer = (await web.client.get("/api/customers/ada%2F1", headers=own)).json()
    assert customer["openRuns"] == customer["standings"] == []
    assert "churn_probability" not in customer["signals"]
    assert "health_score" in customer["signals"]
    traits = {"createdAt": "2024-01-01T00:00:00Z", "monthly_price": 49, "subscription_status": "active"}
    await web.client.post("/v1/identify", json={"userId": "ada/1", "traits": traits})
    path = "/api/customer-success/churn-predictions/ada%2F1"
    told = (await web.client.get(path, headers=own)).json()["prediction"]
    to_staff = (await web.client.get(path)).json()["prediction"]
    for name in (
        "ltvAtRisk",
        "preventionCost",
        "interventionUrgency",
        "interventionPriority",
        "multiChannel",
    ):
        assert told[name] is None, name
        assert to_staff[name] is not None, name
    assert told["recommendedActions"] == []
    assert told["churnProbability"] == to_staff["churnProbability"]


async def test_a_refusal_says_which_roles_would_do(web: RunningWeb) -> None:
    headers = {"Authorization": "Bearer key-of-csm-0123456789"}
    problem = (await web.client.get("/api/audit", headers=headers)).json()
    assert problem["status"] == 403
    assert "ops" in problem["remedy"]
    assert "admin" in problem["remedy"]


async def test_events_are_taken_from_services_and_not_from_people(web: RunningWeb) -> None:
    event = {"userId": "bo", "event": "login"}
    for role, status in (("service", 200), ("admin", 200), ("csm", 403), ("ops", 403)):
        key = f"key-of-{role}-0123456789"
        answer = await web.client.post("/v1/track", json=event, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == status, role
        answer = await web.client.post(
            "/v1/track", json=event | {"writeKey": key}, headers={"Authorization": ""}
        )
        assert answer.status_code == status, role
