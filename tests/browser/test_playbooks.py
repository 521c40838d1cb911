"""CS ops at the editor: typing is never disturbed, problems stand at their line, and what is published is listed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Dialog, Page, Route, expect

from tests.browser.conftest import Shot, assert_accessible
from tests.integration.running_engine import House
from tests.integration.web_edge import RunningWeb, run_web
from web.backtests import Backtest
from web.workbench import Period

ROOT = Path(__file__).parents[2]
NAME = "come-back"
# As somebody types who doesn't look up: 400 characters, some of them wrong.
TYPED = (
    "  # Whoever was away for long comes back in small steps, and hears of what is new before anything else.\n"
    "- id: first-mail\n"
    "  email: {subject: We kept your place, text: Hello and welcome back}\n"
    "- wait: soon\n"
    "- id: second-mail\n"
    "  email: {subject: Still here for you, text: A person reads every answer that comes to this address}\n"
    "- wait: 3d\n"
    "- id: third-mail\n"
    "  email: {subject: One more thing, text: Goodbye for now}\n"
)


async def test_a_backtest_that_the_server_forgot_as_it_started_anew_is_told_on_the_open_page(
    web: RunningWeb, page: Page
) -> None:
    backtests = web.server._app.state.edge.backtests
    period = Period("2026-01-02", "2026-02-03", 77)
    begun = Backtest("0123456789ab", NAME, f"{NAME}.yaml", period, "grace", datetime.now(UTC))
    backtests._all[begun.id] = begun
    await page.goto(f"{web.address}/playbooks/{NAME}/backtest?{begun.query}")
    await expect(page.get_by_role("heading", name="Under way")).to_be_visible()
    # What a process knew is gone with it.
    backtests._all.clear()
    await expect(page.get_by_role("heading", name="That backtest isn't here any more")).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text("no result was stored")
    await expect(page.locator("progress")).to_have_count(0)
    await expect(page.get_by_label("Customers, at most")).to_have_value("77")
    await expect(page.get_by_role("button", name="Play it")).to_be_visible()
    await assert_accessible(page)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "playbooks", tmp_path / "playbooks")
    return tmp_path / "playbooks"


@pytest.fixture
async def web(house: House, database_url: str, temporal: str, directory: Path) -> AsyncIterator[RunningWeb]:
    """Open pages that may write their own directory of playbooks."""
    environ = {
        "HOLDFAST_PAGES": "open",
        "HOLDFAST_PLAYBOOKS": str(directory),
        "HOME": os.environ.get("HOME", "/"),
    }
    async with run_web(database_url, temporal, **environ) as running:
        yield running


async def value(page: Page) -> str:
    return str(await page.locator("#source").input_value())


async def test_what_is_typed_stays_and_problems_come_to_their_line_until_it_is_published(
    web: RunningWeb, page: Page, directory: Path, shot: Shot
) -> None:
    text = (directory / f"{NAME}.yaml").read_text(encoding="utf-8")
    head = text[: text.index("steps:")] + "steps:\n"
    (directory / f"{NAME}.yaml").write_text(text, encoding="utf-8")
    # As of somebody who signed in anew after it was opened: its token is another session's, and that is no obstacle.
    served: list[str] = []

    async def serve_stale(route: Route) -> None:
        answer = await route.fetch()
        told = await answer.text()
        fresh = re.sub(r'(name="csrf" (?:content|value)=")[^"]+', r"\1stale", told) if not served else told
        served.append(fresh)
        await route.fulfill(response=answer, body=fresh)

    await page.route(f"**/playbooks/{NAME}/edit", serve_stale)
    await page.goto(f"{web.address}/playbooks/{NAME}/edit")
    await expect(page.locator("#state")).to_have_text("No problems")
    field = page.get_by_label(f"The text of {NAME}.yaml")

    # Typing without a pause keeps every character, while answers about older texts come in.
    await field.fill(head)
    await page.keyboard.press("Control+End")
    assert len(TYPED) >= 400
    for number, line in enumerate(TYPED.split("\n")):
        if number:
            # The next line would begin where this one does.
            await page.keyboard.press("Enter")
            await page.keyboard.press("Shift+Home")
        await page.keyboard.type(line) if line else await page.keyboard.press("Delete")
    assert await value(page) == head + TYPED

    # The fault is told at its line, and a button leads there.
    line = (head + TYPED).split("\n").index("- wait: soon") + 1
    problem = page.locator(f"#problem-list button[data-line='{line}']")
    await expect(problem).to_contain_text("soon")
    await expect(page.locator(".numbers .error")).to_have_text(str(line))
    await expect(page.locator(".ink .mark-error")).to_have_text("soon")
    await assert_accessible(page)
    await shot(page, "playbook-editor-problem")
    await problem.click()
    assert (
        await field.evaluate("field => field.value.slice(0, field.selectionStart).split('\\n').length")
        == line
    )

    # It is mended where the button led to; the picture follows.
    await page.keyboard.press("Shift+End")
    await page.keyboard.type("1d")
    await expect(page.locator("#state")).to_have_text("No problems")
    await expect(page.locator("#picture")).to_contain_text("third-mail")

    # A reload loses nothing.
    asked: list[str] = []

    async def agree(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.accept()

    page.on("dialog", agree)
    await page.reload()
    await expect(page.locator("#kept")).to_contain_text("hadn't published")
    assert await value(page) == head + TYPED.replace("soon", "1d")
    assert asked == ["beforeunload"]

    # Tried out: two mails, rendered.
    await page.get_by_text("Try it with one customer").click()
    await page.get_by_role("button", name="Simulate").click()
    await expect(page.locator("#results")).to_contain_text("What would happen", timeout=60_000)
    await expect(page.locator("#results")).to_contain_text("Still here for you")
    await shot(page, "playbook-editor-simulated")

    # Published from the keyboard, and listed with its author and why.
    await field.focus()
    await page.keyboard.press("Control+s")
    await page.get_by_label("Why, in a line").fill("three small steps")
    await assert_accessible(page)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/playbooks/{NAME}/versions*")
    await expect(page.get_by_role("region", name="All versions")).to_contain_text("three small steps")
    assert (directory / f"{NAME}.yaml").read_text(encoding="utf-8") == head + TYPED.replace("soon", "1d")
    await assert_accessible(page)
    await shot(page, "playbook-versions")
