"""A real browser on a page of another origin: it calls the API where the setting names the origin, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.integration.web_edge import KEY, RunningWeb, run_web

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
CALL = """async ([url, given]) => {
  try {
    const answer = await fetch(url, given);
    return {status: answer.status, etag: answer.headers.get("ETag"), left: answer.headers.get("RateLimit-Remaining"),
            named: answer.headers.get("X-Request-Id"), told: await answer.json().catch(() => null)};
  } catch (error) { return {error: String(error)}; }
}"""
LISTEN = """async ([url, headers]) => {
  const reader = (await fetch(url, {headers})).body.getReader();
  let told = "";
  while (!told.includes("\\n\\n")) told += new TextDecoder().decode((await reader.read()).value);
  await reader.cancel();
  return told;
}"""


@pytest.fixture
async def app() -> AsyncIterator[str]:
    """The origin of somebody's application: a page on a port of its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"<title>An app</title>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture
async def web(database_url: str, app: str, tmp_path: Any) -> AsyncIterator[RunningWeb]:
    given = {"HOLDFAST_CORS_ORIGINS": app, "HOLDFAST_PLAYBOOKS": str(tmp_path)}
    async with run_web(database_url, **given) as running:
        yield running


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


async def call(page: Page, url: str, **given: Any) -> dict[str, Any]:
    given.setdefault("headers", {}).setdefault("Authorization", f"Bearer {KEY}")
    found: dict[str, Any] = await page.evaluate(CALL, [url, given])
    return found


async def test_an_app_of_a_named_origin_works_with_the_api(web: RunningWeb, page: Page, app: str) -> None:
    await page.goto(app)
    read = await call(page, f"{web.address}/api/providers")
    assert (read["status"], read["told"]["success"]) == (200, True)
    assert read["etag"]
    assert int(read["left"]) > 0
    assert read["named"]
    # What needs a preflight: another method, JSON, and headers of ours.
    json = {"Content-Type": "application/json", "If-Match": "*"}
    refused = await call(
        page,
        f"{web.address}/api/playbooks/care",
        method="PUT",
        headers=json,
        body='{"source": "playbook: care"}',
    )
    assert (refused["status"], refused["told"]["code"]) == (412, "HF331")
    sent = await call(
        page,
        f"{web.address}/v1/track",
        method="POST",
        headers=json,
        body='{"userId": "ada", "event": "login"}',
    )
    assert (sent["status"], sent["told"]["accepted"]) == (200, 1)
    headers = {"Authorization": f"Bearer {KEY}", "Last-Event-ID": "2026-03-02T09:00:00+00:00"}
    assert (await page.evaluate(LISTEN, [f"{web.address}/api/stream", headers])).startswith("retry:")


async def test_nobody_else_reads_anything_and_no_page_of_ours_is_open_to_either(
    web: RunningWeb, page: Page, app: str
) -> None:
    await page.goto(app)
    closed = await call(page, f"{web.address}/sign-in", headers={})
    assert "error" in closed
    # A session's cookie goes nowhere: with credentials the browser hands out no answer.
    with_cookies = await call(page, f"{web.address}/api/providers", credentials="include")
    assert "error" in with_cookies
    # The same machine under another name is another origin.
    await page.goto(app.replace("127.0.0.1", "localhost"))
    assert "error" in await call(page, f"{web.address}/api/providers")
    plain = await call(
        page, f"{web.address}/v1/track", method="POST", headers={"Authorization": ""}, body="{}"
    )
    assert "error" in plain
