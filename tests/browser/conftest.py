"""What browser tests share: a real browser's page on a whole running system, pictures of it, and what axe says."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.integration.conftest import house
from tests.integration.running_engine import House
from tests.integration.web_edge import RunningWeb, run_web

__all__ = ["house"]

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
# Where pictures go; without it none is made, as each takes as long as the page that it is of.
ARTIFACTS = os.environ.get("HOLDFAST_ARTIFACTS")
Shot = Callable[[Page, str], Awaitable[None]]
# What a page may take on a machine that is busy with everything else: whatever fails, fails; it only takes longer to.
expect.set_options(timeout=30_000)
TEST_SECONDS = 420


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here drives a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))
            item.add_marker(
                pytest.mark.skipif(BROWSER is None, reason="chromium isn't installed: no page can be driven")
            )


@pytest.fixture
async def web(house: House, database_url: str, temporal: str) -> AsyncIterator[RunningWeb]:
    """Open pages on the house's own database."""
    async with run_web(database_url, temporal, HOLDFAST_PAGES="open") as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture
async def page(web: RunningWeb, browser: Browser) -> AsyncIterator[Page]:
    """A fresh page; what it asks of other hosts, what goes wrong in it, and what its policy stops fail the test."""
    asked: list[str] = []
    wrong: list[str] = []
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    page = await context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console",
        lambda message: wrong.append(message.text) if "Content Security Policy" in message.text else None,
    )
    yield page
    await context.close()
    assert [url for url in asked if not url.startswith((web.address, "data:"))] == []
    assert wrong == []


@pytest.fixture
def shot() -> Shot:
    """Writes a PNG of the whole page into HOLDFAST_ARTIFACTS, where that is set."""

    async def take(page: Page, name: str) -> None:
        if ARTIFACTS:
            await page.screenshot(path=Path(ARTIFACTS) / f"{name}.png", full_page=True)

    return take


async def assert_accessible(page: Page) -> None:
    """No rule of axe's is broken on the page as it stands, whatever its impact."""
    found = (await Axe().run(page)).response["violations"]
    assert [
        (one["id"], one["impact"], node["html"][:200], node["failureSummary"])
        for one in found
        for node in one["nodes"]
    ] == []
