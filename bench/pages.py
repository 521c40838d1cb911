"""The health overview as people feel it: pages of 100,000 customers by HTTP and in a browser, and many open dashboards.

Each page is set beside what its list's query alone takes on a connection of its own: no page as fresh can be quicker.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import httpx
import psutil  # type: ignore[import-untyped]

from bench.pages_base import make_customers
from bench.percentiles import percentile
from bench.system import Say, System, run_system
from bench.throughput import settle
from store.database import Connection, Database
from store.reading_overview import CURRENT, OverviewFilter, list_overview

CUSTOMERS = 100_000
REPEATS = 40
DASHBOARDS = 100
# How often the browser looks at a page, after the first time.
TURNS = 7
ROWS_LIMIT_MS, FILTER_LIMIT_MS, SHOWN_LIMIT_MS, MEMORY_LIMIT_MB = 1500.0, 300.0, 1000.0, 500.0
_CHROMIUM = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
# Pages leave out who has cancelled.
_CURRENT: Mapping[str, tuple[str, ...]] = {"status": (CURRENT,)}
# What is measured: the path, and the filter and order that the same list asks the database for.
_PAGES: tuple[tuple[str, str, OverviewFilter, str, bool], ...] = (
    ("customers, least healthy first", "/customers?view=all", OverviewFilter(_CURRENT), "health", False),
    ("filter: risk", "/customers?risk=at_risk", OverviewFilter({**_CURRENT, "risk": ("at_risk",)}), "health", False),
    (
        "filter: CSM, segment, plan, trend",
        "/customers?csm=anna@example.com&segment=power_user&plan=pro&trend=declining",
        OverviewFilter(
            {
                **_CURRENT, "csm": ("anna@example.com",), "segment": ("power_user",), "plan": ("pro",),
                "trend": ("declining",),
            }
        ),
        "health",
        False,
    ),
    (
        "filter: last change",
        "/customers?change=declining",
        OverviewFilter({**_CURRENT, "change": ("declining",)}),
        "health",
        False,
    ),
    ("search", "/customers?search=barn+123", OverviewFilter(_CURRENT, "barn 123"), "health", False),
    ("sorted by last login", "/customers?sort=login", OverviewFilter(_CURRENT), "login", False),
    ("sorted by revenue", "/customers?sort=-revenue", OverviewFilter(_CURRENT), "revenue", True),
    ("sorted by change", "/customers?sort=change", OverviewFilter(_CURRENT), "change", False),
    ("sorted by name", "/customers?sort=name", OverviewFilter(_CURRENT), "name", False),
    ("sorted by renewal", "/customers?sort=renewal", OverviewFilter(_CURRENT), "renewal", False),
    ("sorted by the week's change", "/customers?sort=week", OverviewFilter(_CURRENT), "week", False),
)  # fmt: skip


@dataclass(frozen=True)
class PageTimes:
    """How long one page took by HTTP, in ms, and how long its list alone takes the database."""

    p50_ms: float
    p99_ms: float
    database_p50_ms: float


@dataclass(frozen=True)
class Watched:
    """The web process with dashboards open, each loading its page when something changed: its memory in MB, at rest and
    at most, and the processors that it used; and the time from the moment of a change until a dashboard heard of it,
    and until it had the page that shows it, in ms.
    """

    at_rest_mb: float
    open_mb: float
    loads: int
    heard_p50_ms: float
    heard_worst_ms: float
    shown_p50_ms: float
    shown_p99_ms: float
    processors: float


@dataclass(frozen=True)
class Pages:
    """Times of pages by what they show; `browser_ms` is until the rows are there, empty without a browser.

    `first_ms` is the first page after the start, counts included, while the worker looks at everybody.
    """

    customers: int
    dashboards: int
    pages: Mapping[str, PageTimes] = field(default_factory=dict)
    first_ms: float = 0.0
    overview: PageTimes | None = None
    browser_ms: Mapping[str, float] = field(default_factory=dict)
    watched: Watched | None = None


async def measure(
    say: Say, *, customers: int = CUSTOMERS, repeats: int = REPEATS, dashboards: int = DASHBOARDS
) -> Pages:
    """Make the customers, then look at their pages again and again."""
    prepare = partial(make_customers, customers=customers, today=datetime.now(UTC).date())
    async with run_system(say, prepare=prepare) as system:
        return await measure_system(system, say, repeats=repeats, dashboards=dashboards)


async def measure_system(system: System, say: Say, *, repeats: int, dashboards: int) -> Pages:
    """Look at the pages of a system that has just been started."""
    async with Database(system.database_url, connections=2) as database:
        async with _client(system) as client:
            begun = time.perf_counter()
            (await client.get("/customers?view=all")).raise_for_status()
            first = 1000 * (time.perf_counter() - begun)
            await settle(system, say)
            pages = {}
            for what, path, wanted, sort, descending in _PAGES:
                query = partial(_list, wanted=wanted, sort=sort, descending=descending)
                pages[what] = await _time(client, database, path, query, repeats)
                say(
                    f"  {what}: {pages[what].p50_ms:.0f} ms, of which the database "
                    f"{pages[what].database_p50_ms:.0f} ms"
                )
            most = partial(_list, wanted=OverviewFilter(_CURRENT), sort="ltv", descending=True, limit=15)
            overview = await _time(client, database, "/", most, repeats)
        browser = await _browse(system, say, min(repeats, TURNS))
        watched = await _watch(system, dashboards, 20 if dashboards >= 20 else 2, say)
        customers = int(await system.value("SELECT count(*) FROM customers"))
    return Pages(customers, dashboards, pages, first, overview, browser, watched)


def _client(system: System, connections: int = 4) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{system.port}",
        headers={"Accept": "text/html"},
        auth=(system.api_key, ""),
        timeout=60,
        trust_env=False,
        limits=httpx.Limits(max_connections=connections),
    )


async def _list(
    connection: Connection, *, wanted: OverviewFilter, sort: str, descending: bool, limit: int = 51
) -> None:
    await list_overview(connection, wanted, datetime.now(UTC), sort=sort, descending=descending, limit=limit)


async def _time(
    client: httpx.AsyncClient,
    database: Database,
    path: str,
    query: Callable[[Connection], Awaitable[None]],
    repeats: int,
) -> PageTimes:
    """One after the other in turn, so that both see the same machine."""
    took, alone = [], []
    for turn in range(repeats + 2):
        begun = time.perf_counter()
        (await client.get(path)).raise_for_status()
        between = time.perf_counter()
        async with database.transaction() as connection:
            await query(connection)
        if turn >= 2:
            took.append(1000 * (between - begun))
            alone.append(1000 * (time.perf_counter() - between))
    return PageTimes(percentile(took, 50), percentile(took, 99), percentile(alone, 50))


async def _browse(system: System, say: Say, turns: int) -> dict[str, float]:
    """Until the rows are there in a real browser whose cache is warm, and after a click on a filter; medians."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        say("  no browser is here")
        return {}
    from playwright.async_api import async_playwright

    address = f"http://127.0.0.1:{system.port}"
    # The filter that most have who are not the first of all; the worker's scores may leave nobody healthy.
    risks = await system.rows(
        "SELECT risk_level FROM signals WHERE risk_level <> (SELECT risk_level FROM signals WHERE health_score IS NOT "
        "NULL ORDER BY health_score, customer_id LIMIT 1) GROUP BY 1 ORDER BY count(*) DESC"
    )
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(_CHROMIUM))
        key = base64.b64encode(f"{system.api_key}:".encode()).decode()
        page = await browser.new_page(extra_http_headers={"Authorization": f"Basic {key}"})
        shown: dict[str, list[float]] = {
            "overview, rows in the browser": [],
            "customers, rows in the browser": [],
        }
        clicked = []
        for turn in range(1 + turns):
            for what, path in zip(shown, ("/", "/customers?view=all"), strict=True):
                begun = time.perf_counter()
                await page.goto(address + path, wait_until="commit")
                await page.locator("tbody tr").first.wait_for()
                if turn:
                    shown[what].append(1000 * (time.perf_counter() - begun))
            if not risks:
                continue
            # Before its script listens, a click leaves the page.
            await page.locator("#live.on").wait_for()
            took = await page.evaluate(
                """(risk) => new Promise((done) => {
                    const first = document.querySelector("tbody tr").dataset.key;
                    const begun = performance.now();
                    new MutationObserver((_, watch) => {
                        const row = document.querySelector("tbody tr");
                        if (row && row.dataset.key !== first) { watch.disconnect(); done(performance.now() - begun); }
                    }).observe(document.querySelector("main"), { subtree: true, childList: true });
                    document.querySelector(`nav.chips a[href*="risk=${risk}"]`).click();
                })""",
                risks[0][0],
            )
            if turn:
                clicked.append(took)
        await browser.close()
    found = {what: percentile(times, 50) for what, times in shown.items()}
    return {
        **found,
        **({"a filter clicked, rows in the browser": percentile(clicked, 50)} if clicked else {}),
    }


async def _watch(system: System, dashboards: int, seconds: int, say: Say) -> Watched:
    """The web process while dashboards are open and something changes every second."""
    pid = system.development.supervisor.pid("web")
    assert pid is not None
    web = psutil.Process(pid)
    most = at_rest = web.memory_info().rss / 2**20
    cpu = system.cpu_seconds()["web"]
    given = {
        "port": system.port, "api_key": system.api_key, "paths": ["/", "/customers?view=all"], "count": dashboards,
        "seconds": seconds + 3,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.dashboards",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    looking = asyncio.create_task(process.communicate(json.dumps(given).encode()))
    await asyncio.sleep(2)
    for turn in range(seconds):
        await asyncio.sleep(1)
        await system.rows(
            "SELECT pg_notify('holdfast_scores', json_build_array(json_build_array('health_changed', id::text, "
            "external_id, 'critical', clock_timestamp()))::text) "
            "FROM (SELECT id, external_id FROM customers OFFSET %s LIMIT 1) one",
            turn,
        )
        most = max(most, web.memory_info().rss / 2**20)
    output, _ = await looking
    if process.returncode:
        raise RuntimeError(f"the dashboards ended with exit status {process.returncode}")
    told = json.loads(output)
    heard, shown = told["heard_ms"], told["shown_ms"]
    found = Watched(
        at_rest, most, told["loads"], percentile(heard, 50), max(heard), percentile(shown, 50),
        percentile(shown, 99), (system.cpu_seconds()["web"] - cpu) / (seconds + 3),
    )  # fmt: skip
    say(
        f"  {dashboards} dashboards: {most:.0f} MB at most, {at_rest:.0f} MB at rest, {found.loads} pages in "
        f"{seconds} s, changes heard after {found.heard_p50_ms:.0f} ms, {found.heard_worst_ms:.0f} at worst, shown "
        f"after {found.shown_p50_ms:.0f} ms, p99 {found.shown_p99_ms:.0f}"
    )
    return found
