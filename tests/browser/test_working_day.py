"""A day on the pages: a risk is acted on where it stands; a playbook is planned, published, compared and backtested."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Shot, assert_accessible
from tests.integration.plans import ada
from tests.integration.running_engine import House
from tests.integration.stage import set_stage
from tests.integration.web_edge import RunningWeb, run_web

NAME = "ask-how-it-goes"
TEXT = f"""\
playbook: {NAME}
title: Ask how it goes
owner: cs-ops
status: live
enter:
  when: {{event: {{name: help_wanted}}}}
  again: always
steps:
  - id: ask
    email: {{subject: How does it go?, text: A person reads every answer that comes to this address}}
  - wait: 3d
  - id: ring
    call: {{title: Ask how it goes}}
"""


async def test_a_risk_is_acted_on_from_the_list_and_menus_leave_by_the_keyboard(
    database_url: str, monkeypatch: pytest.MonkeyPatch, browser: Browser, shot: Shot
) -> None:
    async with set_stage(database_url, monkeypatch) as stage:
        await stage.pass_(hours=4)
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        await page.goto(f"{stage.web.address}/churn")
        act = page.get_by_label("Act on Foxglove & Light")
        await act.focus()
        await page.keyboard.press("Enter")
        # All of the menu can be seen, whatever the table that it belongs to shows.
        menu = page.locator("details.menu[open] .pop")
        await expect(menu.get_by_role("button", name="Preview the start…")).to_be_in_viewport(ratio=1)
        await expect(menu.get_by_role("button", name="Put a call on")).to_be_in_viewport(ratio=1)
        await assert_accessible(page)
        await shot(page, "churn-act")
        await page.keyboard.press("Escape")
        await expect(menu).to_have_count(0)
        await expect(act).to_be_focused()

        # Nobody has to have a message of their own to look at a start.
        await page.keyboard.press("Enter")
        await menu.get_by_label("Playbook").select_option("personalized-support")
        await menu.get_by_role("button", name="Preview the start…").click()
        await expect(
            page.get_by_role("heading", name="Start A person takes care of one supplier")
        ).to_be_visible()
        await assert_accessible(page)
        await page.goto(f"{stage.web.address}/churn")
        await act.click()
        await menu.get_by_role("button", name="Put a call on").click()
        await expect(page.locator(".told")).to_contain_text("is on the list of chiara.rossi@example.com")
        await expect(page.get_by_role("list", name="Open calls and tasks")).to_contain_text("Call ")

        # What is refused says why, and isn't told again when the page is loaded again.
        [run] = await stage.runs_of("demo-story-2")
        await page.goto(f"{stage.web.address}/runs/{run['id']}")
        await page.get_by_role("button", name="Put off").click()
        await expect(page.get_by_role("alert")).to_contain_text("Give a moment that lies ahead")
        await assert_accessible(page)
        await page.reload()
        await expect(page.get_by_role("alert")).to_have_count(0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / f"{NAME}.yaml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "playbooks"


@pytest.fixture
async def web(house: House, database_url: str, temporal: str, directory: Path) -> AsyncIterator[RunningWeb]:
    """Open pages that may write their own directory of playbooks."""
    environ = {"HOLDFAST_PLAYBOOKS": str(directory), "HOME": os.environ.get("HOME", "/")}
    async with run_web(database_url, temporal, HOLDFAST_PAGES="open", **environ) as running:
        yield running


async def test_a_playbook_is_planned_published_compared_and_played_over_the_past(
    house: House, web: RunningWeb, page: Page, shot: Shot
) -> None:
    await ada(house)
    await house.engine.send("ada", "help_wanted")

    # What publishing would change is looked at first.
    await page.goto(f"{web.address}/playbooks/{NAME}/edit")
    await expect(page.locator("#state")).to_have_text("No problems")
    await page.get_by_text("What publishing it would change").click()
    await page.get_by_role("button", name="Plan", exact=True).click()
    planned = page.get_by_role("region", name="What publishing would change")
    await expect(planned).to_contain_text(f"{NAME}: new")
    await expect(planned).to_contain_text("Would enter at once")
    await assert_accessible(page)

    for note, old, new in (("first", "", ""), ("later", "wait: 3d", "wait: 5d")):
        await page.goto(f"{web.address}/playbooks/{NAME}/edit")
        await expect(page.locator("#state")).to_have_text("No problems")
        field = page.get_by_label(f"The text of {NAME}.yaml")
        if old:
            await field.fill(TEXT.replace(old, new))
            await expect(page.locator("#picture")).to_contain_text("5 days")
        await page.keyboard.press("Control+s")
        await page.get_by_label("Why, in a line").fill(note)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/playbooks/{NAME}/versions*")

    # Two versions beside each other, in words and line by line.
    await page.get_by_role("button", name="Compare these two").click()
    lines = page.get_by_role("region", name="Difference line by line")
    await expect(lines.locator(".gone")).to_contain_text("wait: 3d")
    await expect(lines.locator(".added")).to_contain_text("wait: 5d")
    await assert_accessible(page)
    await shot(page, "playbook-diff")

    # The past, as it would have gone.
    await page.get_by_role("link", name="Backtest").click()
    today = await page.get_by_label("Last day").get_attribute("max")
    assert today is not None
    await page.get_by_label("Last day").fill(today)
    await page.get_by_role("button", name="Play it").click()
    entrants = page.get_by_role("img", name="Entrants by")
    await expect(entrants).to_be_visible(timeout=120_000)
    await expect(entrants.locator("rect")).to_have_count(1)
    await expect(page.get_by_role("region", name="What this can't tell")).to_be_visible()
    await assert_accessible(page)
    await shot(page, "playbook-backtest")
