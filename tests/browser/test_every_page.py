"""Every page that can be reached, as an administrator sees it: accessible, whole, by day, by night and on a phone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from tests.browser.conftest import Shot, assert_accessible
from tests.integration.browsing import PASSWORD, hire
from tests.integration.stage import Stage, set_stage
from tests.integration.web_edge import RunningWeb

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 400, "height": 800}
# What has a page of its own for each: one of them stands for all. By what leads there, the pages to look at.
DETAILS = (
    r"/customers/demo-story-2", r"/customers/demo-story-2\?tab=\w+", r"/playbooks/rescue-declining-supplier",
    r"/playbooks/rescue-declining-supplier/\w+", r"/playbooks/new", r"/runs/[0-9a-f-]{36}", r"/messages/[0-9a-f-]{36}",
    r"/people", r"/log", r"/dead-letters",
)  # fmt: skip
_FORMS = """() => [...document.forms].flatMap((form) => {
    const told = `${form.method} ${form.getAttribute("action") || location.pathname}`;
    // Who signs in has no session whose token could be shown.
    const bare = form.method === "post" && told !== "post /sign-in" && !form.elements.namedItem("csrf");
    const fields = [...form.elements].filter((one) => !["hidden", "submit", "button", "fieldset"].includes(one.type));
    const named = (one) => one.labels.length || one.getAttribute("aria-label") || one.getAttribute("aria-labelledby");
    const nameless = fields.filter((one) => !named(one)).map((one) => `${told}: ${one.name} has no label`);
    return [...(bare ? [`${told}: no csrf`] : []), ...nameless];
})"""
_LINKS = """() => [...document.querySelectorAll("a[href]")].map((one) => one.getAttribute("href"))"""
_TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    const within = (one) => one.parentElement && (getComputedStyle(one.parentElement).overflowX !== "visible"
        || within(one.parentElement));
    const beyond = [...document.querySelectorAll("main *")].filter((one) =>
        one.getBoundingClientRect().right > width + 1 && !within(one));
    return ["wider than the screen", ...beyond.slice(0, 3).map((one) => one.outerHTML.slice(0, 120))];
}"""


@pytest.fixture
async def stage(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with set_stage(database_url, monkeypatch, customers=30, pages="") as stage:
        yield stage


@pytest.fixture
async def web(stage: Stage) -> RunningWeb:
    return stage.web


async def test_every_page_is_accessible_whole_and_leads_somewhere(
    stage: Stage, page: Page, shot: Shot
) -> None:
    await stage.pass_(days=3)
    await stage.tell("demo-story-3", ("no such event", {}))
    address, wrong = stage.web.address, list[str]()
    await hire(stage.web, "grace@example.com", "admin")
    where = ""
    page.on("console", lambda said: wrong.append(f"{where}: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(f"{where}: {error}"))
    await page.goto(f"{address}/sign-in")
    await _look(page, shot, "/sign-in", wrong)
    await page.get_by_label("E-mail").fill("grace@example.com")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("navigation", name="Main").wait_for()

    waiting = await page.locator("nav.main a").evaluate_all(
        "all => all.map((one) => one.getAttribute('href'))"
    )
    waiting = [*waiting, "/me"]
    looked: set[str] = set()
    links: dict[str, str] = {}
    for where in waiting:
        await page.goto(address + where)
        await _look(page, shot, where, wrong)
        looked.add(where)
        for href in await page.evaluate(_LINKS):
            parts = urlsplit(urljoin(address + where, href))
            if f"{parts.scheme}://{parts.netloc}" != address:
                continue
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            links.setdefault(_kind(path), path)
            detail = next((one for one in DETAILS if re.fullmatch(one, path)), None)
            if (
                detail
                and path not in waiting
                and (r"\w+" in detail or not any(re.fullmatch(detail, one) for one in waiting))
            ):
                waiting.append(path)
    assert len(looked) >= 15, looked

    cookies = {one["name"]: one["value"] for one in await page.context.cookies()}
    async with httpx.AsyncClient(base_url=address, cookies=cookies, trust_env=False, timeout=30) as client:
        for path in links.values():
            if path not in looked:
                answer = await client.get(path, headers={"Accept": "text/html"})
                if answer.status_code >= 400:
                    wrong.append(f"a link leads to {path}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)


async def _look(page: Page, shot: Shot, where: str, wrong: list[str]) -> None:
    """By day and by night at a desk, and on a phone; what isn't right goes to `wrong`."""
    name = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "one", where).strip("/").replace("/", "-") or "overview"
    name = re.sub(r"[^a-z0-9-]+", "-", name.lower())
    try:
        await assert_accessible(page)
    except AssertionError as error:
        wrong.append(f"{where}: {str(error).splitlines()[0][:700]}")
    await shot(page, f"page-{name}-light")
    await page.emulate_media(color_scheme="dark")
    # Nothing but colours is another at night.
    found = (await Axe().run(page, options={"runOnly": ["color-contrast"]})).response["violations"]
    wrong += [f"{where} at night: {node['failureSummary'][:300]}" for one in found for node in one["nodes"]]
    await shot(page, f"page-{name}-dark")
    await page.emulate_media(color_scheme="light")
    wrong += [f"{where}: {one}" for one in await page.evaluate(_FORMS)]
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    wrong += [f"{where} at {PHONE['width']} px: {one}" for one in await page.evaluate(_TOO_WIDE)]
    await shot(page, f"page-{name}-phone")
    await page.set_viewport_size(DESK)  # type: ignore[arg-type]


def _kind(path: str) -> str:
    """Links that differ in whom they are about, or in a value that they filter by, are of one kind."""
    parts = urlsplit(path)
    keys = sorted({pair.partition("=")[0] for pair in parts.query.split("&")})
    plain = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "·", parts.path)
    return f"{re.sub(r'/customers/[^/]+', '/customers/·', plain)}?{','.join(keys)}"
