"""Pages that many have open are read once for all who ask at the same time, and yet are each reader's own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.integration.browsing import signed_in
from tests.integration.web_edge import RunningWeb, furnish, run_web
from web import page_overview

pytestmark = pytest.mark.usefixtures("quick_hashes")
TOKEN = re.compile(r'<meta name="csrf" content="([^"]+)">')
SHARED = ("/", "/customers?view=all", "/churn", "/tasks?view=all", "/runs", "/outbox")


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        await furnish(running)
        yield running


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each reading of a list of customers."""
    made: list[str] = []
    read = page_overview.list_overview

    async def counting(*given: Any, **more: Any) -> Any:
        made.append("list")
        return await read(*given, **more)

    monkeypatch.setattr(page_overview, "list_overview", counting)
    return made


def token(page: httpx.Response) -> str:
    found = TOKEN.search(page.text)
    assert found, page.text
    return found[1]


async def test_many_who_ask_at_the_same_time_are_read_for_a_few_times(
    web: RunningWeb, readings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, all_ask = page_overview.list_overview, asyncio.Event()

    async def held(*given: Any, **more: Any) -> Any:
        await all_ask.wait()
        return await read(*given, **more)

    async with signed_in(web) as admin:
        await admin.get("/")
        readings.clear()
        monkeypatch.setattr(page_overview, "list_overview", held)
        asking = [asyncio.create_task(admin.get("/")) for _ in range(24)]
        async with asyncio.timeout(60):
            while len(web.server.server_state.tasks) < len(asking):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        all_ask.set()
        pages = await asyncio.gather(*asking)
    assert {page.status_code for page in pages} == {200}
    assert 1 <= len(readings) <= 8


@pytest.mark.parametrize("path", SHARED)
async def test_everybody_has_their_own_name_and_token(web: RunningWeb, path: str) -> None:
    async with (
        signed_in(web) as admin,
        signed_in(web, "csm", "grace@example.com") as grace,
        signed_in(web, "csm", "linus@example.com") as linus,
    ):
        await web.change("UPDATE people SET name = '<Grace & co>' WHERE email LIKE 'grace%'")
        await web.change("UPDATE people SET name = 'Linus' WHERE email LIKE 'linus%'")
        await asyncio.sleep(1.1)  # so long a session is remembered
        asked = [admin, grace, linus] * 4
        pages = await asyncio.gather(*(one.get(path) for one in asked))
        tokens = [token(page) for page in pages]
        assert tokens[:3] * 4 == tokens
        assert len(set(tokens[:3])) == 3
        for page, own in zip(pages, tokens, strict=True):
            assert all(other not in page.text for other in {*tokens} - {own})
            assert not re.search(r"(name|token)-[0-9a-f]{32}", page.text)
        for number, page in enumerate(pages):
            assert ("&lt;Grace &amp; co&gt;" in page.text) == (number % 3 == 1)
            assert ("Linus" in page.text) == (number % 3 == 2)
            # Only an admin is led to these.
            assert ('href="/people"' in page.text) == (number % 3 == 0)
        # What a page's own token lets through, it lets through here.
        assert (await grace.send("/views", name="Mine", query="risk=critical")).status_code == 303


async def test_a_saved_view_is_shown_to_nobody_else_and_left_out_of_what_an_open_page_asks_for(
    web: RunningWeb,
) -> None:
    async with (
        signed_in(web, "csm", "grace@example.com") as grace,
        signed_in(web, "csm", "linus@example.com") as linus,
    ):
        assert (await grace.send("/views", name="Of Grace", query="risk=critical")).status_code == 303
        one, other = await asyncio.gather(*(browser.get("/customers?view=all") for browser in (grace, linus)))
        assert "Of Grace" in one.text
        assert "Of Grace" not in other.text
        live = await grace.get("/customers?view=all", **{"X-Live": "1"})
        assert "Of Grace" not in live.text
        assert 'data-part="rows"' in live.text


async def test_what_was_there_before_the_question_is_on_the_page(web: RunningWeb) -> None:
    async with signed_in(web) as admin:
        for number in range(5):
            crowd = [asyncio.create_task(admin.get("/customers?view=all")) for _ in range(4)]
            await asyncio.sleep(0.01 * number)
            await web.change(
                "INSERT INTO customers (external_id, business_name, created_at) VALUES (:id, :name, now())",
                id=f"new{number}", name=f"Newcomer {number}",
            )  # fmt: skip
            page = await admin.get("/customers?view=all")
            assert f"Newcomer {number}" in page.text
            await asyncio.gather(*crowd)
