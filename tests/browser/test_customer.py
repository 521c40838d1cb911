"""A CSM's day with one customer: why they may leave, starting what helps, stopping it, a call, and a no that counts."""

from __future__ import annotations

from playwright.async_api import Page, expect

from schemas.plan import Elapsed, Wait
from tests.browser.conftest import Shot, assert_accessible
from tests.integration.plans import DAY, ada, email, playbook, trigger
from tests.integration.running_engine import House
from tests.integration.web_edge import RunningWeb


async def test_from_the_overview_to_why_to_a_start_to_a_stop_to_a_call_to_a_no(
    house: House, web: RunningWeb, page: Page, shot: Shot
) -> None:
    steps = (email("greet", "{{ run.message }}"), Wait(id="pause", spec=Elapsed(seconds=DAY)))
    await house.engine.publish(playbook(*steps, name="rescue", enter=trigger("help_wanted")))
    await ada(house)
    await house.engine.identify("ada", subscription_status="active", monthly_price=49)
    await house.engine.send("ada", "login")
    await house.engine.until("SELECT 1 FROM signals WHERE health_score IS NOT NULL")

    # From the overview to the page, and why.
    await page.goto(f"{web.address}/")
    await page.get_by_role("region", name="Most at stake").get_by_role("link", name="Ada").click()
    await expect(page.get_by_role("heading", name="Ada", exact=True)).to_be_visible()
    await expect(page.get_by_role("region", name="What the score is made of")).to_contain_text(
        "login frequency"
    )
    await assert_accessible(page)
    await page.get_by_role("link", name="Why not?").click()
    outlook = page.get_by_role("row", name="Helping")
    await expect(outlook).to_contain_text("trigger doesn't hold")
    await outlook.get_by_text("line by line").click()
    await expect(outlook).to_contain_text("help_wanted")
    await assert_accessible(page)
    await shot(page, "customer-why-not")

    # A start, looked at first.
    await page.get_by_text("Start a playbook").click()
    await page.get_by_role("combobox", name="Playbook").select_option("rescue")
    await page.get_by_role("textbox", name="Reason").fill("she rang")
    await page.get_by_label("Message of your own").fill("Your list is in.")
    await page.get_by_role("button", name="Preview the start").click()
    await expect(page.get_by_text("Nothing stands in the way")).to_be_visible()
    await assert_accessible(page)
    await shot(page, "customer-start")
    await page.get_by_role("button", name="Start it").click()
    await expect(page.get_by_text("Helping was started.")).to_be_visible()
    runs = page.get_by_role("region", name="In playbooks now")
    await expect(runs).to_contain_text("she rang")

    # What happens shows without a reload.
    await page.evaluate("() => { window.stayed = true; }")
    await house.engine.until("SELECT 1 FROM deliveries WHERE state = 'accepted'")
    await expect(page.get_by_role("region", name="What happened")).to_contain_text("About greet")
    assert await page.evaluate("() => window.stayed")

    # Paused, then stopped, each with a reason.
    await runs.get_by_label("Reason, for rescue").fill("she is on holiday")
    await runs.get_by_role("button", name="Pause rescue").click()
    await expect(runs.get_by_role("button", name="Resume rescue")).to_be_visible()
    await runs.get_by_label("Reason, for rescue").fill("she asked us to")
    await runs.get_by_role("button", name="Stop rescue").click()
    await expect(runs).to_contain_text("In no playbook now")
    await house.engine.until("SELECT 1 FROM runs WHERE state = 'ended' AND reason LIKE '%she asked us to%'")

    # A call, and a no.
    await page.get_by_text("Schedule a call").click()
    await page.get_by_label("What is it about?").fill("Usage is down")
    # A form that is refused, or can't be sent, keeps what was typed.
    await page.get_by_label("Begins (").fill("2020-01-02T09:00")
    await page.context.set_offline(True)
    await page.get_by_role("button", name="Put it on the list").click()
    await expect(page.get_by_role("alert")).to_contain_text("offline: nothing was sent")
    await page.context.set_offline(False)
    await page.get_by_role("button", name="Put it on the list").click()
    await expect(page.get_by_role("alert")).to_contain_text("lies in the past")
    await expect(page.get_by_label("What is it about?")).to_have_value("Usage is down")
    await page.get_by_label("Begins (").fill("")
    await page.get_by_role("button", name="Put it on the list").click()
    await expect(page.get_by_role("list", name="Open calls and tasks")).to_contain_text("Call Ada")
    await shot(page, "customer-light")
    await page.get_by_role("link", name="Consent", exact=True).first.click()
    await page.get_by_role("combobox", name="They said").select_option("no")
    await page.get_by_label("What shows it").fill("on the phone, on Monday")
    await page.get_by_role("button", name="Note it").click()
    await expect(page.get_by_text("Noted: E-mail: no.")).to_be_visible()
    await expect(page.get_by_role("row", name="E-mail")).to_contain_text("email was refused")
    await assert_accessible(page)
    await house.engine.until("SELECT 1 FROM consents WHERE channel = 'email' AND NOT granted")

    # In the dark, and on a phone.
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 390, "height": 844})
    for path, name in (("/customers/ada", "customer-narrow-dark"), ("/churn", "churn-narrow-dark")):
        await page.goto(f"{web.address}{path}")
        await assert_accessible(page)
        assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        await shot(page, name)
