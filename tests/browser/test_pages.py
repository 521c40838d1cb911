"""A CSM's and an operator's way through the pages, in a real browser, on a whole running system."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Page

from schemas.plan import Elapsed, Reaction, Wait
from tests.integration.plans import DAY, ada, call, email, playbook
from tests.integration.running_engine import House
from tests.integration.web_edge import RunningWeb


async def test_a_call_is_completed_on_its_page_and_the_run_goes_on(
    house: House,
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
    house: House,
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
