"""Odd addresses: names that nothing can have, and a slash too many."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import cast

import pytest

from tests.integration.web_edge import RunningWeb, run_web
from web.application import Application
from web.permissions import endpoints_of


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        yield running


@pytest.mark.parametrize("odd", ["a%00b", "a%0A"])
async def test_a_name_in_a_path_that_no_name_can_be_is_told_so_on_every_route(
    web: RunningWeb, odd: str
) -> None:
    asked = 0
    for endpoint in endpoints_of(cast(Application, web.server.config.app)):
        if "{" not in endpoint.path or endpoint.path.startswith("/codec/"):
            continue
        path = re.sub(r"\{(\w+)(:path)?\}", odd, endpoint.path)
        answer = await web.client.request(endpoint.method, path, headers={"Origin": web.address})
        # Some names are a choice of few, and links in messages are pages that are not found.
        assert answer.status_code in (400, 404, 422), (endpoint.method, path, answer.text)
        asked += 1
    assert asked > 60


async def test_a_slash_too_many_leads_people_to_the_page_and_nobody_to_another_host(
    web: RunningWeb,
) -> None:
    html = {"Accept": "text/html"}
    led = await web.client.get("/runs/?state=open", headers=html)
    # Without a host: behind a proxy with TLS ours would be http://, and a key would be shown there.
    assert (led.status_code, led.headers["location"]) == (308, "/runs?state=open")
    for path in ("//evil.example/", "/%09/evil.example/", "/%5cevil.example/", "///", "/nothing/here//"):
        answer = await web.client.get(f"{web.address}{path}", headers=html)
        assert answer.headers.get("location", "/here").startswith("/"), path
        assert not answer.headers.get("location", "/here").startswith(("//", "/\\")), path
    for method in ("GET", "POST"):
        answer = await web.client.request(method, "/api/tasks/")
        assert (answer.status_code, answer.json()["code"]) == (404, "HF404")
        assert answer.json()["remedy"]
