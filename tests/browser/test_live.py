"""An open page shows what changes of whom it is about, without a reload, and lies still when others change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from playwright.async_api import Page, Request, Route, expect

from schemas.link_token import LinkKey, LinkToken
from tests.integration.plans import ada
from tests.integration.running_engine import House
from tests.integration.web_edge import SECRET, RunningWeb

# What a page that is open heard of.
LISTEN = """() => {
  window.stayed = true;
  window.heard = [];
  document.addEventListener("holdfast:change", (event) => window.heard.push(event.detail.userId));
}"""


async def test_a_no_said_elsewhere_shows_on_the_open_page_and_what_others_do_does_not_move_it(
    house: House, web: RunningWeb, page: Page
) -> None:
    await ada(house)
    await house.engine.identify("eve", first_name="Eve")
    await house.engine.until("SELECT 1 WHERE NOT EXISTS (SELECT FROM evaluations)")
    await page.goto(f"{web.address}/customers/ada?tab=consent")
    await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    await page.evaluate(LISTEN)
    asked: list[str] = []

    def count(request: Request) -> None:
        if request.headers.get("x-live"):
            asked.append(request.url)

    # Somebody else is at work on somebody else: this page hears nothing of it.
    page.on("request", count)
    await house.engine.send("eve", "login")
    await house.engine.identify("eve", first_name="Eva")
    await house.engine.until("SELECT 1 FROM customers WHERE first_name = 'Eva'")

    # She presses the link in a mail of ours.
    [customer] = await web.rows("SELECT id::text AS id FROM customers WHERE external_id = 'ada'")
    link = LinkKey(SECRET).sign(LinkToken("unsubscribe", customer["id"], "email"))
    assert (await web.client.post(f"/u/{link}")).status_code == 200
    await expect(page.get_by_role("row", name="E-mail")).to_contain_text("email was refused")
    assert await page.evaluate("() => window.stayed")
    assert set(await page.evaluate("() => window.heard")) == {"ada"}

    # What she says on the preference page comes to the same place.
    asked.clear()
    preferences = LinkKey(SECRET).sign(LinkToken("preferences", customer["id"]))
    assert (await web.client.post(f"/preferences/{preferences}", data={"do": "nothing"})).status_code == 303
    await expect(page.get_by_role("region", name="History of consent")).to_contain_text("preferences page")
    assert asked
    assert await page.evaluate("() => window.stayed")


async def test_a_page_that_gets_no_stream_says_so_and_is_read_anew_now_and_then(
    house: House, web: RunningWeb, page: Page
) -> None:
    await ada(house)
    full = True

    async def answer(route: Route) -> None:
        if full:
            await route.fulfill(status=429, headers={"Retry-After": "30"}, body="")
        else:
            await route.continue_()

    await page.route("**/changes?*", answer)
    await page.route("**/changes", answer)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "x-live" in request.headers else None)
    await page.clock.install()
    await page.goto(f"{web.address}/customers/ada")

    async def let_pass_until(seen: Callable[[], Awaitable[bool]], seconds: int) -> None:
        """The page's clock goes on second by second, and answers get their time to come."""
        for _ in range(seconds):
            if await seen():
                return
            await page.clock.run_for(1_000)
            await page.wait_for_load_state("networkidle")
        raise AssertionError(await page.get_by_role("status").all_inner_texts())

    async def tells(words: str) -> bool:
        return await page.get_by_role("status").filter(has_text=words).count() > 0

    async def is_asked_for() -> bool:
        return bool(asked)

    await let_pass_until(lambda: tells("Every 30 s"), 60)
    for _ in range(2):
        asked.clear()
        await let_pass_until(is_asked_for, 100)
    full = False
    await let_pass_until(lambda: tells("Live"), 100)
