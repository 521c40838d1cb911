"""An operator's way: a run's trace, pausing it with a reason, an alert, a provider, and the audit of it all."""

from __future__ import annotations

from playwright.async_api import Page, expect

from schemas.plan import Elapsed, Split, Variant, Wait
from tests.browser.conftest import Shot, assert_accessible
from tests.integration.plans import DAY, ada, email, playbook
from tests.integration.running_engine import House
from tests.integration.web_edge import RunningWeb


async def test_a_run_is_paused_an_alert_acknowledged_a_provider_resumed_and_the_audit_shows_it(
    house: House, web: RunningWeb, page: Page, shot: Shot
) -> None:
    arms = {
        "warm": Variant(weight=1, steps=(email("greet"),)),
        "cold": Variant(weight=1, steps=(email("note"),)),
    }
    pause = Wait(id="pause", spec=Elapsed(seconds=DAY))
    await house.engine.publish(playbook(Split(id="tone", experiment="tone", variants=arms), pause))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM deliveries WHERE state = 'accepted'")

    await page.goto(f"{web.address}/runs")
    await assert_accessible(page)
    await page.get_by_label("Playbook").select_option("helping")
    await page.get_by_role("button", name="Narrow").click()
    await page.get_by_role("link", name="helping").first.click()
    await expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    await expect(page.get_by_text("by hash: this customer falls at")).to_be_visible()
    await expect(page.locator(".timeline").get_by_role("link", name="About")).to_be_visible()
    await expect(page.get_by_text("The workflow says: wait pause waiting until")).to_be_visible()
    await assert_accessible(page)

    # It stands still once somebody says so, and says who and why not twice.
    await page.get_by_label("Your name").fill("Grace")
    await page.get_by_label("Reason").fill("she is on holiday")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator(".told")).to_have_text("The run is paused.")
    await expect(page.locator(".timeline").get_by_text("paused by Grace")).to_be_visible()
    await page.get_by_role("link", name="Ask the workflow now").click()
    await expect(page.locator("#raw ~ pre")).to_contain_text("she is on holiday")
    await assert_accessible(page)
    await shot(page, "run")

    await page.locator(".timeline").get_by_role("link", name="About").click()
    await expect(page.get_by_role("heading", name="What became of it")).to_be_visible()
    await assert_accessible(page)
    await shot(page, "message")

    # What comes up while somebody looks shows by itself.
    await page.goto(f"{web.address}/alerts")
    await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    await page.evaluate("() => { window.same = true; }")
    await web.change(
        "INSERT INTO providers (channel, provider, state, code, reason, failures, since) "
        "VALUES ('sms', 'twilio', 'parked', '20003', 'wrong credentials', 3, now()) ON CONFLICT (channel, provider) "
        "DO UPDATE SET state = 'parked', code = excluded.code, reason = excluded.reason, failures = 3"
    )
    await web.change(
        "INSERT INTO alerts (kind, message, severity, at) VALUES "
        "('provider:sms/twilio', 'twilio (sms) refuses us.', 'critical', now())"
    )
    await page.get_by_role("button", name="Acknowledge provider:sms/twilio").wait_for(timeout=10_000)
    assert await page.evaluate("() => window.same === true")
    await assert_accessible(page)
    await shot(page, "alerts")
    await page.get_by_role("button", name="Acknowledge provider:sms/twilio").click()
    await expect(page.locator(".told")).to_contain_text("Acknowledged")
    await page.get_by_role("button", name="Resume twilio for sms").click()
    await expect(page.locator(".told")).to_contain_text("is used again")
    await expect(page.get_by_text("No alert is open.")).to_be_visible()

    await page.goto(f"{web.address}/audit")
    done = page.locator("tbody th")
    await expect(done).to_contain_text(["provider.unparked", "alert.acknowledged", "run.paused"])
    await assert_accessible(page)
    await shot(page, "audit")


async def test_operations_fit_a_narrow_screen_in_the_dark(
    house: House, web: RunningWeb, page: Page, shot: Shot
) -> None:
    await house.engine.publish(playbook(email("greet")))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM deliveries WHERE state = 'accepted'")
    await web.client.post("/v1/track", json={"event": "login"})
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await page.set_viewport_size({"width": 360, "height": 780})
    for name in ("runs", "outbox", "alerts", "log", "dead-letters", "audit"):
        await page.goto(f"{web.address}/{name}")
        await page.locator("h1").wait_for()
        assert await page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"), name
        await assert_accessible(page)
        await shot(page, f"{name}-narrow-dark")
