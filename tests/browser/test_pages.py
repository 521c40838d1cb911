"""A CSM's and an operator's way through the pages, in a real browser, on a whole running system."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from schemas.plan import Elapsed, Reaction, Wait
from tests.integration.conftest import house  # noqa: F401 - a fixture
from tests.integration.plans import DAY, ada, call, email, playbook
from tests.integration.running_engine import House
from tests.integration.web_edge import RunningWeb, run_web

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="chromium isn't installed: no page can be driven"),
]


@pytest.fixture
async def web(house: House, database_url: str, temporal: str) -> AsyncIterator[RunningWeb]:  # noqa: F811
    async with run_web(database_url, temporal, HOLDFAST_PAGES="open") as running:
        yield running


@pytest.fixture
async def page(web: RunningWeb) -> AsyncIterator[Page]:
    """A fresh browser's page; what it asks of other hosts, and what goes wrong in it, fails the test."""
    asked: list[str] = []
    wrong: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        yield page
        await browser.close()
    assert [url for url in asked if not url.startswith((web.address, "data:"))] == []
    assert wrong == []


async def test_a_call_is_completed_on_its_page_and_the_run_goes_on(
    house: House,  # noqa: F811
    web: RunningWeb,
    page: Page,
    tmp_path: Path,
) -> None:
    outcomes = {"declined": Reaction(do="stop")}
    steps = (email("greet"), call("ring", outcomes=outcomes), Wait(id="pause", spec=Elapsed(seconds=DAY)))
    await house.engine.publish(playbook(*steps))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM tasks WHERE state = 'open'")

    await page.goto(f"{web.address}/tasks")
    await page.get_by_text("Call Ada").wait_for()
    await page.get_by_label("Your name").fill("Grace")
    await page.get_by_role("button", name="reached").click()
    await house.engine.until("SELECT 1 FROM tasks WHERE outcome = 'reached' AND completed_by = 'Grace'")

    await page.goto(f"{web.address}/runs")
    await page.get_by_role("link", name="helping").first.click()
    await page.get_by_role("heading", name="helping").wait_for()
    await page.get_by_text("reached").first.wait_for()
    assert await page.get_by_text("About greet").count() >= 1
    await page.screenshot(path=tmp_path / "run.png")


async def test_nothing_that_a_customer_says_runs_in_the_page(
    house: House,  # noqa: F811
    web: RunningWeb,
    page: Page,
) -> None:
    await house.engine.identify(
        "eve",
        first_name="<script>window.owned=1</script>",
        business_name="<img src=x onerror=window.owned=1>",
    )
    await house.engine.send("eve", "login")
    await page.goto(f"{web.address}/customers/eve")
    await page.get_by_role("heading", name="<img src=x onerror=window.owned=1>").wait_for()
    assert await page.evaluate("() => window.owned === undefined")
