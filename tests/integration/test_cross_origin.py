"""Pages of other origins that call the API from a browser: those that a setting names, and nobody else (CORS)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from schemas.errors import SettingError
from schemas.settings import Settings
from tests.integration.web_edge import KEY, RunningWeb, run_web
from web.cross_origin import read_origins
from web.settings import WebSettings

APP, OTHER = "https://app.example.com", "https://evil.example.com"
ALLOWED = "access-control-allow-origin"


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    origins = f"{APP}, http://localhost:3000"
    async with run_web(database_url, HOLDFAST_CORS_ORIGINS=origins, HOLDFAST_RATE_PER_MINUTE="50") as running:
        yield running


async def preflight(web: RunningWeb, path: str, origin: str, method: str, *headers: str) -> httpx.Response:
    """What a browser asks before the call; it shows no key."""
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        asked["Access-Control-Request-Headers"] = ",".join(headers)
    async with httpx.AsyncClient(base_url=web.address, trust_env=False) as browser:
        return await browser.options(path, headers=asked)


def words(listed: str) -> set[str]:
    return {word.strip().lower() for word in listed.split(",")}


@pytest.mark.parametrize(
    "path", ["/api/customers", "/api/stream", "/api/playbooks/care", "/v1/track", "/v1/batch"]
)
async def test_a_browser_may_ask_before_it_calls_and_needs_no_key_for_that(
    web: RunningWeb, path: str
) -> None:
    answer = await preflight(web, path, APP, "PUT", "authorization", "content-type", "if-match")
    assert answer.status_code == 204
    told = answer.headers
    assert told[ALLOWED] == APP
    assert {"get", "post", "put", "delete"} <= words(told["access-control-allow-methods"])
    assert {"authorization", "content-type", "if-match", "last-event-id"} <= words(
        told["access-control-allow-headers"]
    )
    assert int(told["access-control-max-age"]) > 0
    assert "origin" in words(told["vary"])
    # Cookies are never let in, nor what our own pages show with them.
    assert "access-control-allow-credentials" not in told
    assert "x-csrf" not in words(told["access-control-allow-headers"])


async def test_an_origin_that_isnt_named_is_told_so(web: RunningWeb) -> None:
    for origin in (OTHER, "null", f"{APP}.evil.example.com", "http://app.example.com", f"{APP}:8443"):
        answer = await preflight(web, "/api/customers", origin, "GET", "authorization")
        assert answer.status_code == 403
        assert ALLOWED not in answer.headers
        problem = answer.json()
        assert problem["code"] == "HF160"
        assert origin in problem["detail"]
        assert "HOLDFAST_CORS_ORIGINS" in problem["remedy"]
        # What is asked without a preflight is answered without leave to read it.
        assert ALLOWED not in (await web.client.get("/api/providers", headers={"Origin": origin})).headers


async def test_answers_may_be_read_with_the_headers_that_matter(web: RunningWeb) -> None:
    answer = await web.client.get("/api/providers", headers={"Origin": APP})
    assert answer.status_code == 200
    assert answer.headers[ALLOWED] == APP
    assert {"origin", "authorization", "cookie"} <= words(answer.headers["vary"])
    readable = words(answer.headers["access-control-expose-headers"])
    assert {"etag", "retry-after", "ratelimit-remaining", "x-request-id"} <= readable
    for name in ("etag", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "x-request-id"):
        assert name in answer.headers
        assert name in readable
    again = await web.client.get(
        "/api/providers", headers={"Origin": APP, "If-None-Match": answer.headers["etag"]}
    )
    assert (again.status_code, again.headers[ALLOWED]) == (304, APP)
    # Whoever asks from no page at all gets what may lie in a cache for that, and for nothing else.
    plain = await web.client.get("/api/providers")
    assert ALLOWED not in plain.headers
    assert "origin" in words(plain.headers["vary"])


async def test_refusals_and_failures_may_be_read_too(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Origin": APP}
    unknown = await web.client.get("/api/providers", headers=headers | {"Authorization": "Bearer nobody"})
    nowhere = await web.client.get("/api/nowhere", headers=headers)

    async def fail(*_: object) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr("web.api_providers.load_providers", fail)
    failed = await web.client.get("/api/providers", headers=headers)
    for _ in range(50):
        many = await web.client.get("/api/playbooks/problems", headers=headers)
        if many.status_code != 200:
            break
    assert [one.status_code for one in (unknown, nowhere, failed, many)] == [401, 404, 500, 429]
    for one in (unknown, nowhere, failed, many):
        assert one.headers[ALLOWED] == APP
        assert one.headers["content-type"] == "application/problem+json"
        assert one.headers["x-request-id"]
    assert int(many.headers["retry-after"]) > 0


async def test_events_may_be_sent_from_a_browser(web: RunningWeb) -> None:
    # As Segment's own client does it: a write key in a body of plain text, so that no preflight is needed.
    body = f'{{"writeKey": "{KEY}", "userId": "ada", "event": "login"}}'
    async with httpx.AsyncClient(base_url=web.address, trust_env=False) as browser:
        sent = await browser.post(
            "/v1/track", content=body, headers={"Origin": APP, "Content-Type": "text/plain"}
        )
        refused = await browser.post(
            "/v1/track", json={"userId": "ada", "event": "login"}, headers={"Origin": APP}
        )
    assert (sent.status_code, sent.json()["accepted"]) == (200, 1)
    assert refused.status_code == 401
    for answer in (sent, refused):
        assert answer.headers[ALLOWED] == APP
        assert "origin" in words(answer.headers["vary"])


async def test_pages_and_links_in_messages_stay_closed(web: RunningWeb) -> None:
    for path in ("/", "/sign-in", "/u/abc", "/healthz", "/openapi.json", "/changes", "/metrics"):
        answer = await web.client.get(path, headers={"Origin": APP, "Accept": "text/html"})
        assert ALLOWED not in answer.headers, path
        assert ALLOWED not in (await preflight(web, path, APP, "GET")).headers, path


async def test_without_the_setting_nothing_is_let_in_and_nothing_stands_in_the_way(database_url: str) -> None:
    async with run_web(database_url) as web:
        answer = await web.client.get("/api/providers", headers={"Origin": APP})
        assert answer.status_code == 200
        assert "origin" not in words(answer.headers["vary"])
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert (await preflight(web, "/api/providers", APP, "GET")).status_code == 405


@pytest.mark.parametrize(
    ("written", "do"),
    [
        ("*", "Write them out"),
        ("https://*.example.com", "Write them out"),
        ("app.example.com", "Write scheme and host"),
        ("null", "Write scheme and host"),
        ("ftp://app.example.com", "Write scheme and host"),
        ("https://", "Write scheme and host"),
        ("https://app.example.com https://b.example.com", "Write scheme and host"),
        ("https://app.example.com:99999", "Write scheme and host"),
        ("https://app.example.com/", "Write https://app.example.com:"),
        ("https://app.example.com/app?x#y", "Write https://app.example.com:"),
        ("https://App.Example.com", "Write https://app.example.com:"),
        ("https://app.example.com:443", "Write https://app.example.com:"),
        ("https://münchen.example", "Write https://xn--mnchen-3ya.example:"),
    ],
)
def test_what_no_browser_sends_is_refused_at_the_start_with_what_to_write(written: str, do: str) -> None:
    environ = {"HOLDFAST_CORS_ORIGINS": f"https://good.example.com, {written}"}
    with pytest.raises(SettingError, match="HOLDFAST_CORS_ORIGINS") as refused:
        WebSettings.read(Settings.read(environ))
    assert do in refused.value.remedy


def test_a_password_in_the_wrong_place_isnt_told_to_the_log() -> None:
    with pytest.raises(SettingError) as refused:
        read_origins({"HOLDFAST_CORS_ORIGINS": "https://ada:secret@app.example.com"})
    assert "secret" not in str(refused.value)


def test_origins_are_what_browsers_send() -> None:
    given = " https://app.example.com ,http://localhost:3000,,http://[::1]:3000"
    assert read_origins({"HOLDFAST_CORS_ORIGINS": given}) == {
        "https://app.example.com", "http://localhost:3000", "http://[::1]:3000",
    }  # fmt: skip
    assert read_origins({}) == frozenset()
