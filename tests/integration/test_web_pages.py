"""The pages: what they show, that they escape it, and who may see and post."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from urllib.parse import quote, unquote

import httpx
import pytest
from fastapi import Request

from schemas.errors import Problem
from tests.integration.open_pages import page
from tests.integration.web_edge import KEY, RunningWeb, furnish, run_web
from web.edge import reader_of
from web.problems import Forbidden

FAULT = Problem("helping.yaml", 3, 5, "PB104", "enter", "unknown signal <x>", "health_score")


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    """Open pages, and a client that shows no key, as a browser on this machine."""
    environ = {"HOLDFAST_PAGES": "open", "HOLDFAST_TEMPORAL_UI": "http://127.0.0.1:8233"}
    async with run_web(database_url, problems=[FAULT], **environ) as running:
        yield running


async def test_every_page_opens_on_an_empty_database(browser: httpx.AsyncClient) -> None:
    for path in ("/", "/customers", "/runs", "/outbox", "/tasks", "/playbooks"):
        assert "</html>" in await page(browser, path)


async def test_the_overview_shows_risk_runs_and_decisions(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    text = await page(browser, "/")
    assert '<a class="tile critical" href="/customers?risk=critical"><strong>1</strong>' in text
    assert f'href="/runs/{ids["open"]}"' in text
    assert "rescue-open" in text
    assert "all lines hold" in text
    assert 'href="http://127.0.0.1:8233"' in text


async def test_what_customers_call_themselves_is_text_never_markup(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    for path in (
        "/",
        "/customers",
        "/customers/ada%2F1",
        "/runs",
        f"/runs/{ids['open']}",
        "/outbox",
        "/tasks",
    ):
        text = await page(browser, path)
        assert "<b>Ada" not in text
        assert "<i>Ada" not in text
        assert "&lt;b&gt;Ada &amp; Co&lt;/b&gt;" in text


async def test_a_run_is_a_timeline_with_messages_waits_and_a_link_to_temporal(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    text = await page(browser, f"/runs/{ids['open']}")
    order = [
        text.index(word, text.index("What happened"))
        for word in ("Entered the playbook", "steps[0].email", "steps[4].wait_for", "window closes")
    ]
    assert order == sorted(order)
    assert "We &lt;miss&gt; you" in text
    assert "http://127.0.0.1:8233/namespaces/default/workflows/playbook%2Fx%2F" in text
    assert "health_score &lt; 40" in text
    assert f'formaction="/runs/{ids["open"]}/pause"' in text
    ended = await page(browser, f"/runs/{ids['ended']}")
    assert "goal imported" in ended
    assert "formaction" not in ended


async def test_a_messages_html_is_shown_where_nothing_in_it_can_run(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    text = await page(browser, f"/outbox/{ids['email']}")
    assert f'sandbox="" title="The message as it looks" src="/outbox/{ids["email"]}/html">' in text
    assert '<pre class="letter">Hello Ada</pre>' in text
    frame = await browser.get(f"/outbox/{ids['email']}/html")
    assert frame.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "Hello" in frame.text


async def test_a_step_that_acted_is_shown_with_what_it_was_given_and_a_reward_with_its_end(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    await web.change(
        "UPDATE deliveries SET channel = 'webhook', provider = 'webhook', content = CAST(:content AS jsonb) "
        "WHERE id = CAST(:id AS uuid)",
        id=ids["skipped"],
        content='{"title": "https://a.example/x", "arguments": {"body": {"who": "<Ada>"}}}',
    )
    await web.change(
        "INSERT INTO rewards (id, run_id, customer_id, step, occurrence, feature, granted_at, until, revoked_at) "
        "SELECT gen_random_uuid(), id, customer_id, 'gift', 0, 'premium', now() - interval '7 days', now(), now() "
        "FROM runs WHERE id = CAST(:run AS uuid)",
        run=ids["open"],
    )
    assert "https://a.example/x" in await page(browser, "/outbox")
    text = await page(browser, f"/outbox/{ids['skipped']}")
    assert "who: &lt;Ada&gt;" in text
    run = await page(browser, f"/runs/{ids['open']}")
    assert "taken back" in run
    assert "gift" in run


async def test_lists_can_be_narrowed(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    await furnish(web)
    for path, found in (
        ("/customers?risk=critical", True), ("/customers?risk=healthy", False),
        ("/customers?search=ada", True),
        ("/customers?search=%25", False), ("/runs?state=open", True), ("/runs?state=observed", False),
        ("/outbox?state=skipped", True), ("/outbox?state=failed", False), ("/tasks?assignee=grace", True),
        ("/tasks?assignee=bob", False),
    ):  # fmt: skip
        assert ("Ada &amp; Co" in await page(browser, path)) is found, path


async def test_playbooks_come_with_counts_and_the_problems_of_their_files(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await furnish(web)
    text = await page(browser, "/playbooks")
    assert "Rescue" in text
    assert "helping.yaml:3:5" in text
    assert "unknown signal &lt;x&gt;" in text


async def test_a_call_is_completed_by_its_form(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    ids = await furnish(web)
    url = f"/tasks/{ids['task']}/complete"
    assert f'action="{url}"' in await page(browser, "/tasks")
    answer = await browser.post(url, data={"outcome": "reached", "notes": "back & happy", "by": "grace"})
    assert answer.status_code == 303
    text = await page(browser, answer.headers["location"])
    assert "Noted: Call &lt;i&gt;Ada&lt;/i&gt;: reached." in text
    assert "back &amp; happy" in text
    [task] = await web.rows("SELECT state, outcome, notes, completed_by FROM tasks")
    assert task == {"state": "done", "outcome": "reached", "notes": "back & happy", "completed_by": "grace"}
    again = await browser.post(url, data={"outcome": "declined"})
    assert "closed" in await page(browser, again.headers["location"])


async def test_a_form_from_elsewhere_is_refused(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    ids = await furnish(web)
    url = f"/tasks/{ids['task']}/complete"
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        answer = await browser.post(url, data={"outcome": "reached"}, headers={"Origin": origin})
        assert answer.status_code == 403
    del browser.headers["Origin"]
    assert (await browser.post(url, data={"outcome": "reached"})).status_code == 403
    [task] = await web.rows("SELECT state FROM tasks")
    assert task["state"] == "open"


async def test_open_pages_answer_only_under_a_name_of_this_machine(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    port = web.address.rsplit(":", 1)[1]
    assert (await browser.get("/", headers={"Host": f"localhost:{port}"})).status_code == 200
    assert (await browser.get("/", headers={"Host": f"evil.example:{port}"})).status_code == 403
    assert (await browser.get("/changes", headers={"Host": "evil.example"})).status_code == 403
    # A tunnel or a proxy on this machine: whoever asks is elsewhere.
    for name in ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via"):
        assert (await browser.get("/", headers={name: "x"})).status_code == 403


async def test_only_our_own_pages_lead_to_where_something_is_told(browser: httpx.AsyncClient) -> None:
    for site, shown in (("same-origin", True), ("cross-site", False), ("none", False), ("same-site", False)):
        for name in ("told", "refused"):
            answer = await browser.get(f"/customers?{name}=Call+us+at+once", headers={"Sec-Fetch-Site": site})
            assert ("Call us at once" in answer.text) is shown, (site, name)


async def test_links_of_a_page_lead_to_it_whatever_its_customer_is_called(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    name = "a?b#c%2Fd/../%00"
    await web.client.post("/v1/identify", json={"userId": name, "traits": {"firstName": "Ada"}})
    text = await page(browser, f"/customers/{quote(name, safe='')}")
    links = [unescape(link) for link in re.findall(r'href="(/customers/[^"]+)"', text)]
    assert [link for link in links if "days=" in link]
    assert {unquote(link.partition("?")[0]) for link in links} == {f"/customers/{name}"}


async def test_open_pages_are_open_on_this_machine_only(web: RunningWeb) -> None:
    app = web.server.config.app
    for client, let_in in ((("127.0.0.1", 1), True), (("192.168.1.5", 1), False), (None, False)):
        scope = {"type": "http", "headers": [(b"host", b"localhost")], "client": client, "app": app}
        if let_in:
            assert (await reader_of(Request(scope))).name == "pages"
        else:
            with pytest.raises(Forbidden):
                await reader_of(Request(scope))


async def test_errors_are_pages_for_people_and_json_for_programs(browser: httpx.AsyncClient) -> None:
    assert "There is no run" in await page(browser, "/runs/nothing", 404)
    assert "Not Found" in await page(browser, "/nowhere", 404)
    await page(browser, "/runs?state=asleep", 400)
    program = await browser.get("/runs/nothing", headers={"Accept": "application/json"})
    assert program.headers["content-type"] == "application/problem+json"


async def test_pages_need_somebody_who_signs_in_or_a_key_unless_they_are_open(database_url: str) -> None:
    async with (
        run_web(database_url) as web,
        httpx.AsyncClient(base_url=web.address, trust_env=False) as stranger,
    ):
        for path in ("/", "/runs", "/tasks", "/outbox", "/customers", "/playbooks", "/changes"):
            sent_on = await stranger.get(path, headers={"Accept": "text/html"})
            assert sent_on.status_code == 303
            assert sent_on.headers["location"] == f"/sign-in?next={quote(path, safe='')}"
            refused = await stranger.get(path)
            assert (refused.status_code, refused.headers["WWW-Authenticate"][:5]) == (401, "Basic")
        assert (await stranger.post("/tasks/x/complete", data={})).status_code == 401
        assert (await stranger.get("/", auth=("wrong", ""))).status_code == 401
        assert (await stranger.get("/", auth=(KEY, ""))).status_code == 200
        assert (await stranger.get("/static/holdfast.css")).status_code == 200


async def test_the_api_asks_for_a_key_even_where_pages_are_open(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/api/runs")).status_code == 401
    assert (await browser.post("/v1/track", json={"userId": "u", "event": "e"})).status_code == 401
