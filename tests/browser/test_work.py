"""A CSM's day: work is found, taken by keyboard and completed; what is typed stays while the list moves."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.browser.conftest import Shot, assert_accessible
from tests.integration.plans import call, playbook
from tests.integration.running_engine import House
from tests.integration.web_edge import RunningWeb


async def test_work_is_taken_and_completed_while_the_list_keeps_moving(
    house: House, web: RunningWeb, page: Page, shot: Shot
) -> None:
    await house.engine.publish(playbook(call("ring")))
    for name in ("ada", "ben"):
        await house.engine.identify(
            name, first_name=name.title(), csm="grace@example.com", email=f"{name}@example.com"
        )
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM tasks WHERE state = 'open'")
    await web.change("UPDATE tasks SET team = 'cs', assignee = 'cs'")

    await page.goto(f"{web.address}/tasks?view=unassigned")
    await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    first = page.locator("article.task")
    await expect(first).to_have_count(1)
    await assert_accessible(page)
    await page.keyboard.press("j")
    await expect(first).to_be_focused()
    await page.keyboard.press("f")
    await expect(first.get_by_text("Last contact")).to_be_visible()
    await first.locator("form.take").get_by_label("Your name").fill("grace@example.com")
    await first.get_by_role("button", name="Take it").click()
    await expect(page.locator(".told")).to_have_text("It is yours.")

    # Notes are being typed when other work arrives: they stay, and the other shows once they are sent.
    await page.goto(f"{web.address}/tasks")
    await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    await page.keyboard.press("j")
    await page.keyboard.press("n")
    await page.keyboard.type("She wants the form")
    await house.engine.send("ben", "help_wanted")
    await house.engine.until("SELECT 1 FROM tasks WHERE state = 'open' HAVING count(*) = 2")
    await page.wait_for_timeout(1200)
    await expect(page.get_by_label("Notes").first).to_have_value("She wants the form")
    # A page that is loaded anew, by accident say, has them still.
    await page.reload()
    await expect(page.locator("article.task")).to_have_count(2)
    ada = page.locator("article.task").filter(has_text="Ada")
    await expect(ada.get_by_label("Notes")).to_have_value("She wants the form")
    await ada.get_by_label("How satisfied were they?").select_option("5")
    await shot(page, "work")
    await ada.get_by_role("button", name="reached").click()
    await expect(page.locator(".told")).to_contain_text("Noted")
    await house.engine.until(
        "SELECT 1 FROM tasks WHERE notes = 'She wants the form' AND satisfaction_rating = 5"
    )
    assert await page.evaluate("() => sessionStorage.length") == 0

    await page.goto(f"{web.address}/team?period=7d")
    await expect(page.locator("table.team tbody tr")).to_contain_text(["grace@example.com"])
    await assert_accessible(page)
    await shot(page, "team")
    await page.goto(f"{web.address}/onboarding?since=30")
    await expect(page.locator("table.onboarding tbody tr")).to_have_count(2)
    await page.get_by_text("path", exact=False).locator("visible=true").first.click()
    await assert_accessible(page)
    await shot(page, "onboarding")
