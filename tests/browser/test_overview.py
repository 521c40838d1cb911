"""A manager's way through the overview and the list of customers, in a real browser, on a whole running system."""

from __future__ import annotations

import asyncio

from playwright.async_api import Page, Route, expect

from schemas.plan import Elapsed, Wait
from tests.browser.conftest import Shot, assert_accessible
from tests.integration.plans import DAY, call, email, playbook
from tests.integration.running_engine import House
from tests.integration.web_edge import RunningWeb

CUSTOMERS = (
    ("ada", "critical", 21, 0.91),
    ("ben", "at_risk", 62, 0.45),
    ("cleo", "healthy", 93, 0.04),
    ("dan", "critical", 35, 0.66),
)


async def add_customers(web: RunningWeb) -> None:
    for name, risk, health, churn in CUSTOMERS:
        await web.change(
            "INSERT INTO customers (external_id, business_name, first_name, email, csm, created_at) VALUES (:id, "
            "initcap(:id) || ' Studio', initcap(:id), :id || '@example.com', 'anna', now() - interval '90 days')",
            id=name,
        )
        await web.change(
            "INSERT INTO signals (customer_id, risk_level, health_score, health_trend, churn_probability, plan, "
            "segment, monthly_price, ltv_at_risk, last_login, subscription_status, changed_at) SELECT id, :risk, "
            ":health, 'declining', :churn, 'pro', 'established', 49, 882 * :churn, now() - interval '9 d', 'active', "
            "now() FROM customers WHERE external_id = :id",
            id=name, risk=risk, health=health, churn=churn,
        )  # fmt: skip
        await web.change(
            "INSERT INTO customer_health (customer_id, day, health_score, previous_score, score_trend, risk_level, "
            "model, calculated_at) SELECT id, (now() AT TIME ZONE 'UTC')::date - n, :health + n, :health + n + 1, "
            "'stable', :risk, 'm', now() FROM customers, generate_series(0, 6) n WHERE external_id = :id",
            id=name, risk=risk, health=health,
        )  # fmt: skip


async def test_customers_are_filtered_sorted_by_keyboard_and_kept_as_a_view(
    web: RunningWeb, page: Page, shot: Shot
) -> None:
    await add_customers(web)
    await page.goto(f"{web.address}/customers")
    rows = page.locator("tbody th a.name")
    await expect(rows).to_have_text(["Ada Studio", "Dan Studio", "Ben Studio", "Cleo Studio"])
    await assert_accessible(page)
    await shot(page, "customers")

    # A filter and an order change the rows without loading the page anew.
    await page.evaluate("() => { window.same = true; }")
    await page.get_by_role("link", name="Critical 2").click()
    await expect(rows).to_have_text(["Ada Studio", "Dan Studio"])
    await page.get_by_role("link", name="Churn", exact=True).nth(1).focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("th[aria-sort=descending]")).to_have_text("Churn")
    await page.locator("th[aria-sort=descending] a").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("th[aria-sort=ascending]")).to_have_text("Churn")
    await expect(rows).to_have_text(["Dan Studio", "Ada Studio"])
    assert await page.evaluate("() => window.same === true && location.search.includes('sort=churn')")

    # "/" goes to the search, and what is typed there is looked for at once; to go back is one step, however slowly
    # it was typed.
    await page.keyboard.press("/")
    await page.keyboard.type("ada")
    await expect(rows).to_have_text(["Ada Studio"])
    await page.wait_for_url("**search=ada&**")
    await page.keyboard.type("@ex")
    await page.wait_for_url("**search=ada%40ex&**")
    await expect(rows).to_have_text(["Ada Studio"])
    await expect(page.get_by_label("Search")).to_be_focused()
    await expect(page.get_by_label("Search")).to_have_value("ada@ex")
    assert await page.evaluate("() => window.same === true")
    await page.go_back()
    await expect(rows).to_have_text(["Dan Studio", "Ada Studio"])
    await expect(page.get_by_label("Search")).to_have_value("")

    await page.get_by_text("Views", exact=True).click()
    await page.get_by_label("Save what is shown as").fill("Worst first")
    await page.get_by_label("open Customers with it").check()
    await page.get_by_role("button", name="Save this view").click()
    await expect(page.locator(".told")).to_have_text("The view is saved.")
    await page.get_by_role("link", name="Customers", exact=True).click()
    await expect(rows).to_have_text(["Dan Studio", "Ada Studio"])
    await page.get_by_text("Views", exact=True).click()
    await expect(page.get_by_role("link", name="Worst first")).to_have_attribute("aria-current", "true")
    await assert_accessible(page)


async def test_what_was_asked_before_another_query_does_not_come_back_over_it(
    web: RunningWeb, page: Page
) -> None:
    await add_customers(web)
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def hold_back(route: Route) -> None:
        if "x-live" in route.request.headers and "risk" not in route.request.url:
            asked.set()
            await let_go.wait()
        await route.continue_()

    await page.route("**/customers*", hold_back)
    await page.goto(f"{web.address}/customers")
    await asked.wait()
    await page.get_by_role("link", name="Critical 2").click()
    rows = page.locator("tbody th a.name")
    await expect(rows).to_have_text(["Ada Studio", "Dan Studio"])
    # The page asks anew, for what is shown now.
    async with page.expect_response(
        lambda answer: "x-live" in answer.request.headers and "risk=critical" in answer.url
    ):
        let_go.set()
    await expect(rows).to_have_text(["Ada Studio", "Dan Studio"])


async def test_chosen_customers_are_started_after_a_preview_and_their_pages_change_by_themselves(
    house: House, web: RunningWeb, page: Page, shot: Shot
) -> None:
    pause = Wait(id="pause", spec=Elapsed(seconds=DAY))
    await house.engine.publish(playbook(email("greet"), call("ring"), pause, name="rescue", enter=None))
    await add_customers(web)
    await page.goto(f"{web.address}/")
    await expect(page.locator(".tile.critical strong")).to_have_text("2")
    await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    await assert_accessible(page)
    await page.evaluate("() => { window.same = true; }")

    other = await page.context.new_page()
    await other.goto(f"{web.address}/customers")
    await other.get_by_label("Choose Ada Studio").check()
    # Whoever was chosen stays so while one looks for others.
    await other.get_by_role("link", name="Healthy 1").click()
    await other.get_by_label("Choose Cleo Studio").check()
    await expect(other.locator("[data-picked]")).to_have_text("2 chosen, 1 of them not shown here, or")
    await other.get_by_label("Playbook").select_option("rescue")
    await other.get_by_role("button", name="Preview the start…").click()
    await expect(other.get_by_role("heading", name="Start Helping?")).to_be_visible()
    await assert_accessible(other)
    await shot(other, "bulk-preview")
    assert await house.engine.rows("SELECT 1 FROM runs") == []
    await other.get_by_label("Reason").fill("before the season")
    await other.get_by_role("button", name="Start for 2 customers").click()
    await expect(other.get_by_role("heading", name="Helping: 2 of 2 entered")).to_be_visible()
    await assert_accessible(other)
    # Back leads to the list, not to a form that the browser asks to send again.
    await other.go_back()
    await expect(other.get_by_role("heading", name="Customers")).to_be_visible()

    # The overview, open all the while, shows the runs and the calls that they made, and was never loaded anew.
    await page.bring_to_front()
    await expect(page.locator("section[data-part=latest] tbody tr")).to_have_count(2)
    await house.engine.until("SELECT 1 FROM tasks HAVING count(*) = 2")
    await expect(page.get_by_role("link", name="2 open tasks")).to_be_visible(timeout=10_000)
    assert await page.evaluate("() => window.same === true")
    await shot(page, "overview")


async def test_what_changes_shows_within_a_second_and_what_a_person_does_meanwhile_stays(
    house: House, web: RunningWeb, page: Page
) -> None:
    await house.engine.publish(playbook(email("greet"), name="rescue", enter=None))
    await add_customers(web)
    await page.goto(f"{web.address}/customers")
    await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    await page.get_by_label("Choose Ben Studio").check()
    await page.get_by_label("Search").focus()
    await page.evaluate(
        """() => {
            window.same = true;
            window.seen = new Promise((done) => new MutationObserver(() => {
                const row = document.querySelector("tbody tr");
                if (row?.textContent.includes("Cleo Studio")) done(Date.now());
            }).observe(document.querySelector("main"), { subtree: true, childList: true, characterData: true }));
        }"""
    )
    await web.change(
        "UPDATE signals SET health_score = 12, risk_level = 'critical' FROM customers "
        "WHERE customer_id = id AND external_id = 'cleo'"
    )
    changed_at = await page.evaluate("() => Date.now()")
    await web.change(
        "SELECT pg_notify('holdfast_scores', json_build_array(json_build_array('health_changed', id::text, "
        "external_id, 'critical', now()))::text) FROM customers WHERE external_id = 'cleo'"
    )
    seen_at = await page.evaluate("() => window.seen")
    print(f"shown after {seen_at - changed_at} ms")
    rows = page.locator("tbody th a.name")
    await expect(rows).to_have_text(["Cleo Studio", "Ada Studio", "Dan Studio", "Ben Studio"])
    await expect(page.get_by_label("Choose Ben Studio")).to_be_checked()
    await expect(page.get_by_label("Choose Cleo Studio")).not_to_be_checked()
    await expect(page.get_by_label("Search")).to_be_focused()
    assert await page.evaluate("() => window.same === true")


async def test_on_a_narrow_screen_in_the_dark_nothing_is_cut_off(
    web: RunningWeb, page: Page, shot: Shot
) -> None:
    await add_customers(web)
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await page.set_viewport_size({"width": 360, "height": 780})
    for path, name in (("/", "overview"), ("/customers", "customers")):
        await page.goto(f"{web.address}{path}")
        await page.locator("tbody th a.name").first.wait_for()
        assert await page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
        await assert_accessible(page)
        await shot(page, f"{name}-narrow-dark")
