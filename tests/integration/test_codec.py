"""Temporal's codec server protocol: payloads are opened for its UI and CLI, and for nobody else."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload

from schemas.sealing import SealingKeys
from tests.integration.web_edge import SECRET, RunningWeb, run_web
from workflows.payloads import PayloadSealing

UI = "http://127.0.0.1:8233"
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"Ada Lovelace"')
SEALING = PayloadSealing(SealingKeys(SECRET))


def payloads(*given: Payload) -> dict[str, Any]:
    """As the UI sends them and gets them back."""
    return {"payloads": [MessageToDict(payload) for payload in given]}


def headers(origin: str | None = UI) -> dict[str, str]:
    """What a browser sends for the UI's page."""
    named = {"content-type": "application/json", "x-namespace": "default"}
    return named | ({"origin": origin} if origin else {})


async def decode(client: httpx.AsyncClient, origin: str | None = UI, verb: str = "decode") -> httpx.Response:
    return await client.post(f"/codec/{verb}", json=payloads(SEALING.seal(PLAIN)), headers=headers(origin))


def stranger(web: RunningWeb) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=web.address, trust_env=False)


async def test_the_ui_gets_payloads_opened_in_order_and_what_no_key_opens_as_it_was(
    database_url: str,
) -> None:
    foreign = PayloadSealing(SealingKeys("x" * 40)).seal(PLAIN)
    async with run_web(database_url, HOLDFAST_TEMPORAL_UI=UI) as web:
        answer = await web.client.post(
            "/codec/decode", json=payloads(SEALING.seal(PLAIN), PLAIN, foreign), headers=headers()
        )
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == payloads(PLAIN, PLAIN, foreign)
        assert answer.headers["access-control-allow-origin"] == UI
        assert answer.headers["vary"] == "Origin"
        empty = await web.client.post("/codec/decode", json={}, headers=headers())
        assert (empty.status_code, empty.json()) == (200, {})


async def test_what_the_ui_sends_to_a_workflow_is_sealed_before(database_url: str) -> None:
    async with run_web(database_url, HOLDFAST_TEMPORAL_UI=UI) as web:
        answer = await web.client.post("/codec/encode", json=payloads(PLAIN), headers=headers())
        [sealed] = answer.json()["payloads"]
        assert base64.b64decode(sealed["metadata"]["encoding"]) == b"binary/encrypted"
        assert b"Ada" not in base64.b64decode(sealed["data"])
        again = await web.client.post("/codec/decode", json=answer.json(), headers=headers())
        assert again.json() == payloads(PLAIN)


async def test_a_browser_is_told_that_the_uis_page_may_ask_and_no_other(database_url: str) -> None:
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-namespace",
    }
    async with run_web(database_url, HOLDFAST_TEMPORAL_UI=UI) as web, stranger(web) as browser:
        allowed = await browser.options("/codec/decode", headers={"origin": UI, **asked})
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == UI
        assert allowed.headers["access-control-allow-methods"] == "POST"
        assert {"content-type", "x-namespace", "authorization"} == set(
            allowed.headers["access-control-allow-headers"].split(", ")
        )
        for origin in ("http://evil.example", "http://127.0.0.1:8234", "https://127.0.0.1:8233", "null", ""):
            refused = await browser.options("/codec/decode", headers={"origin": origin, **asked})
            assert refused.status_code == 403, origin
            assert "access-control-allow-origin" not in refused.headers


async def test_only_who_may_see_our_pages_is_answered(database_url: str) -> None:
    async with run_web(database_url, HOLDFAST_TEMPORAL_UI=UI) as web, stranger(web) as browser:
        for verb in ("decode", "encode"):
            answer = await decode(browser, verb=verb)
            assert (answer.status_code, answer.json()["code"]) == (401, "HF156")
            # The UI can tell its user why.
            assert answer.headers["access-control-allow-origin"] == UI
            assert "Ada" not in answer.text
        browser.headers["authorization"] = "Bearer a-key-that-nobody-gave"
        assert (await decode(browser)).status_code == 401
        # The CLI has no page, but the key (`--codec-auth`).
        assert (await decode(web.client, origin=None)).json() == payloads(PLAIN)
        # Another site's page may have our reader's login in its browser, and still isn't ours.
        refused = await decode(web.client, origin="http://evil.example")
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers


async def test_where_pages_are_open_this_machine_alone_is_answered(database_url: str) -> None:
    async with (
        run_web(database_url, HOLDFAST_TEMPORAL_UI=UI, HOLDFAST_PAGES="open") as web,
        stranger(web) as browser,
    ):
        assert (await decode(browser)).json() == payloads(PLAIN)
        # The UI is the same under the machine's other name.
        assert (await decode(browser, origin="http://localhost:8233")).status_code == 200
        assert (await decode(browser, origin="http://localhost:8234")).status_code == 403
        assert (await decode(browser, origin="http://evil.example")).status_code == 403
        # A name of somebody else's that leads here.
        browser.headers["host"] = "evil.example"
        assert (await decode(browser)).status_code == 403


async def test_the_codec_alone_may_be_open_to_this_machine(database_url: str) -> None:
    async with (
        run_web(database_url, HOLDFAST_TEMPORAL_UI=UI, HOLDFAST_CODEC="open") as web,
        stranger(web) as browser,
    ):
        assert (await decode(browser)).json() == payloads(PLAIN)
        assert (await decode(browser, origin="http://evil.example")).status_code == 403
        assert (await browser.get("/runs", headers={"accept": "text/html"})).status_code == 303
        browser.headers["host"] = "evil.example"
        assert (await decode(browser)).status_code == 403


async def test_without_a_ui_no_page_is_answered_and_what_is_no_payload_is_refused(database_url: str) -> None:
    async with run_web(database_url) as web:
        assert (await decode(web.client)).status_code == 403
        assert (await decode(web.client, origin=None)).status_code == 200
        for body in (b"", b"{", b'{"payloads": [{"data": "\xff"}]}', b'{"payloads": "Ada"}'):
            answer = await web.client.post("/codec/decode", content=body)
            assert answer.status_code == 400, body
            assert "Ada" not in answer.text
        too_large = await web.client.post("/codec/decode", content=b" " * (32 * 1024 * 1024 + 1))
        assert (too_large.status_code, too_large.json()["code"]) == (400, "HF100")


@pytest.mark.parametrize("origin", ["http://[", "http://a:b", "://", "http://127.0.0.1:99999999"])
async def test_an_origin_that_is_none_is_refused(database_url: str, origin: str) -> None:
    async with run_web(database_url, HOLDFAST_TEMPORAL_UI=UI, HOLDFAST_PAGES="open") as web:
        assert (await decode(web.client, origin=origin)).status_code == 403
