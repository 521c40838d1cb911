"""The list of customers as page, API and table; saved views; and starting a playbook for many after a preview."""

from __future__ import annotations

import csv
import io
import re
from uuid import uuid4

import httpx

from schemas.plan import Elapsed, Wait
from schemas.policy import Policy
from tests.integration.open_pages import browser_of, page
from tests.integration.plans import DAY, email, playbook
from tests.integration.running_engine import House
from tests.integration.web_edge import KEY, RunningWeb, furnish, run_web


async def add(web: RunningWeb, *customers: tuple[str, str, float, float]) -> None:
    """Customers of (id, risk, health, churn), each with an e-mail address and a consent to mails."""
    for user_id, risk, health, churn in customers:
        await web.change(
            "INSERT INTO customers (external_id, business_name, email, csm, created_at) "
            "VALUES (:id, 'Business ' || :id, :id || '@example.com', 'anna', now() - interval '90 days')",
            id=user_id,
        )
        await web.change(
            "INSERT INTO signals (customer_id, risk_level, health_score, churn_probability, plan, monthly_price, "
            "ltv_at_risk, last_login, changed_at) SELECT id, :risk, :health, :churn, 'pro', 40, 720 * :churn, "
            "now() - interval '12 days 1 hour', now() FROM customers WHERE external_id = :id",
            id=user_id, risk=risk, health=health, churn=churn,
        )  # fmt: skip


async def test_the_api_lists_customers_by_filters_page_by_page(web: RunningWeb) -> None:
    await add(
        web,
        ("a", "critical", 20, 0.9),
        ("b", "critical", 30, 0.5),
        ("c", "healthy", 90, 0.1),
        ("d", "critical", 25, 0.7),
    )
    first = (await web.client.get("/api/customers", params={"risk": "critical", "limit": 2})).json()
    assert ([one["userId"] for one in first["customers"]], first["total"]) == (["a", "d"], 3)
    then = {"risk": "critical", "limit": 2, "cursor": first["nextCursor"]}
    second = (await web.client.get("/api/customers", params=then)).json()
    assert ([one["userId"] for one in second["customers"]], second["nextCursor"]) == (["b"], None)
    [urgent] = first["customers"][0]["urgentActions"]
    assert (urgent["type"], urgent["priority"], urgent["estimatedEffort"]) == (
        "call_required",
        "critical",
        30,
    )
    assert first["customers"][0]["daysSinceLastLogin"] == 12
    assert first["customers"][0]["businessName"] == "Business a"
    by_churn = (
        await web.client.get("/api/customers", params={"sort": "-churn", "search": "BUSINESS"})
    ).json()
    assert [one["userId"] for one in by_churn["customers"]] == ["a", "d", "b", "c"]
    both = (await web.client.get("/api/customers?risk=critical&risk=healthy&plan=pro&csm=anna")).json()
    assert both["total"] == 4
    assert (await web.client.get("/api/customers?plan=none")).json()["customers"] == []


async def test_what_cannot_be_listed_is_refused_with_the_reason(web: RunningWeb) -> None:
    await add(web, ("a", "critical", 20, 0.9), ("b", "critical", 30, 0.5))
    cursor = (await web.client.get("/api/customers?limit=1")).json()["nextCursor"]
    for query in (
        "sort=luck", "limit=0", "cursor=x", f"cursor={cursor}&sort=name", f"cursor={cursor[:-4]}", "search=%00",
        f"search={'x' * 201}",
    ):  # fmt: skip
        answer = await web.client.get(f"/api/customers?{query}")
        assert answer.status_code == 422, query
        assert answer.json()["detail"]
    async with httpx.AsyncClient(trust_env=False) as stranger:
        assert (await stranger.get(f"{web.address}/api/customers")).status_code == 401


async def test_the_page_filters_sorts_and_counts(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    await add(web, ("a", "critical", 20, 0.9), ("b", "at_risk", 60, 0.5), ("c", "healthy", 90, 0.1))
    text = (await browser.get("/customers")).text
    assert "<strong>3</strong> customers" in text
    assert re.search(r'href="/customers\?risk=critical">Critical <span>1</span>', text)
    assert 'aria-sort="ascending"><a href="/customers?sort=-health">Health' in text
    assert text.index("Business a") < text.index("Business b") < text.index("Business c")
    turned = (await browser.get("/customers?sort=-health&risk=at_risk&risk=healthy")).text
    assert "Business a" not in turned
    assert turned.index("Business c") < turned.index("Business b")
    assert "sort=-health" in turned
    assert 'href="/customers?sort=health&amp;risk=at_risk&amp;risk=healthy">Health' in turned.replace(
        "&amp;amp;", "&amp;"
    )
    assert "No customer is like that" in (await browser.get("/customers?search=nobody")).text
    for wrong in ("/customers?sort=luck", "/customers?columns=luck", "/customers?cursor=x"):
        assert (await browser.get(wrong)).status_code == 400
    for user_id, renewed in (("b", "2031-03-01"), ("c", "2031-02-01")):
        await web.change(
            "UPDATE signals SET renewal_date = CAST(:renewed AS date) WHERE customer_id = "
            "(SELECT id FROM customers WHERE external_id = :id)",
            renewed=renewed, id=user_id,
        )  # fmt: skip
    # Whose renewal comes first; nobody knows when that of the last is.
    renewing = (await browser.get("/customers?sort=renewal&columns=renewal")).text
    assert renewing.index("Business c") < renewing.index("Business b") < renewing.index("Business a")
    assert "Feb 1, 2031" in renewing
    assert "renews <time" in (await browser.get("/customers")).text
    # Who lost most in a week comes first, of whom that is known; a search and another filter change nothing of it.
    for user_id, then in (("b", 70), ("c", 91)):
        await web.change(
            "INSERT INTO customer_health (customer_id, day, health_score, risk_level, model, calculated_at) "
            "SELECT id, (now() AT TIME ZONE 'UTC')::date - 7, :then, 'healthy', 'm', now() FROM customers "
            "WHERE external_id = :id",
            then=then, id=user_id,
        )  # fmt: skip
    for more in ("", "&search=business", "&plan=pro&change=none"):
        fell = (await browser.get(f"/customers?sort=week&columns=week{more}")).text
        assert fell.index("Business b") < fell.index("Business c") < fell.index("Business a"), more
        assert "−10</td>" in fell
        assert "−1</td>" in fell
    columns = (await browser.get("/customers?columns=csm&columns=runs")).text
    assert ">CSM</th>" in columns
    assert ">Churn" not in columns.split("<thead>")[1]


async def test_who_has_cancelled_stands_in_nobodys_way_until_asked_for(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await add(web, ("gone", "critical", 5, 0.9), ("late", "critical", 30, 0.7), ("well", "healthy", 90, 0.1))
    for user_id, status in (("gone", "cancelled"), ("late", "past_due")):
        await web.change(
            "UPDATE signals SET subscription_status = :status WHERE customer_id = "
            "(SELECT id FROM customers WHERE external_id = :id)",
            status=status, id=user_id,
        )  # fmt: skip
    text = (await browser.get("/customers?sort=name")).text
    assert "Business gone" not in text
    # Of whom no status is known may be there still.
    assert text.index("Business late") < text.index("Business well")
    assert "<strong>2</strong> customers" in text
    assert re.search(
        r'href="/customers\?sort=name&risk=critical">Critical <span>1</span>', text.replace("&amp;", "&")
    )
    # What is hidden is told, and one click away; the address keeps it, and so does a view.
    assert 'href="/customers?sort=name&amp;status=all">1 cancelled hidden <span>show</span>' in text
    all_of_them = (await browser.get("/customers?sort=name&status=all")).text
    assert "Business gone" in all_of_them
    assert 'href="/customers?sort=name">1 cancelled among them <span>hide</span>' in all_of_them
    assert 'name="query" value="status=all&amp;sort=name"' in all_of_them
    saved = await browser.post("/views", data={"name": "Everybody", "query": "sort=name&status=all"})
    assert "status=all" in saved.headers["location"]
    # Whoever looks for somebody who left isn't told that there is nobody.
    missed = (await browser.get("/customers?search=gone")).text
    assert "No customer is like that who hasn't cancelled; 1 has." in missed.replace("&#39;", "'")
    assert "/customers?search=gone&amp;status=all" in missed
    assert "Business gone" in (await browser.get("/customers?status=cancelled")).text
    assert "Business gone" not in (await browser.get("/")).text
    exported = csv.DictReader(io.StringIO((await browser.get("/customers.csv")).text))
    assert {row["userId"] for row in exported} == {"late", "well"}


async def test_the_api_lists_everybody_unless_asked_for_a_status(web: RunningWeb) -> None:
    await add(web, ("gone", "critical", 5, 0.9), ("well", "healthy", 90, 0.1))
    await web.change(
        "UPDATE signals SET subscription_status = 'cancelled' WHERE customer_id = "
        "(SELECT id FROM customers WHERE external_id = 'gone')"
    )
    for query, expected in (
        ("", ["gone", "well"]),
        ("?status=all", ["gone", "well"]),
        ("?status=current", ["well"]),
        ("?status=cancelled", ["gone"]),
        ("?status=none", ["well"]),
        ("?status=active", []),
    ):
        found = (await web.client.get(f"/api/customers{query}")).json()
        assert ([one["userId"] for one in found["customers"]], found["total"]) == (expected, len(expected))


async def test_a_page_goes_on_where_the_one_before_ended(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    await add(web, *((f"n{number:03}", "critical", number % 7, 0.5) for number in range(60)))
    first = (await browser.get("/customers?sort=name")).text
    [link] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = (await browser.get(link.replace("&amp;", "&"))).text
    shown = [re.findall(r'name="pick"|href="/customers/(n\d+)"', text) for text in (first, second)]
    assert [one for part in shown for one in part if one] == [f"n{number:03}" for number in range(60)]
    assert "First page" in second
    assert 'rel="next"' not in second


async def test_the_table_for_other_programs_has_every_customer_of_the_filter_and_no_formula(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await add(web, ("a", "critical", 20, 0.9), ("=1+1", "critical", 25, 0.9), ("c", "healthy", 90, 0.1))
    answer = await browser.get("/customers.csv?risk=critical")
    assert answer.headers["content-disposition"] == 'attachment; filename="customers.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["userId"] for row in rows] == ["a", "'=1+1"]
    assert rows[0]["daysSinceLastLogin"] == "12"
    assert rows[0]["urgentActions"].startswith("Call today")
    assert "@example.com" not in answer.text


async def test_a_view_is_saved_opened_shared_made_default_and_deleted(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await furnish(web)
    fields = {
        "query": "risk=critical&sort=-churn&columns=health&columns=csm",
        "name": " My  accounts ",
        "is_default": "on",
    }
    saved = await browser.post("/views", data=fields)
    assert saved.status_code == 303
    assert saved.headers["location"].startswith("/customers?")
    opened = await browser.get("/customers")
    assert opened.status_code == 303
    location = opened.headers["location"]
    assert location.startswith("/customers?risk=critical&sort=-churn&columns=health&columns=csm&view=")
    text = (await browser.get(location)).text
    assert "My accounts" in text
    [view] = await web.rows("SELECT id::text, owner, name, query, shared FROM saved_views")
    assert (view["owner"], view["name"], view["shared"]) == ("pages", "My accounts", False)
    assert view["query"] == {"risk": ["critical"], "sort": ["-churn"], "columns": ["health", "csm"]}
    # The same name again is the same view.
    await browser.post("/views", data=fields | {"query": "risk=healthy", "shared": "on"})
    assert await web.count("saved_views") == 1
    await browser.post(f"/views/{view['id']}/default", data={"on": ""})
    assert (await browser.get("/customers")).status_code == 200
    deleted = await browser.post(f"/views/{view['id']}/delete", data={})
    assert "is+deleted" in deleted.headers["location"]
    assert await web.count("saved_views") == 0
    log = await web.rows("SELECT action FROM audit_log WHERE object_kind = 'view' ORDER BY id")
    assert [row["action"] for row in log] == ["view.saved", "view.saved", "view.default", "view.deleted"]


async def test_somebody_elses_view_is_shown_when_shared_and_theirs_to_change(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    for name, shared in (("theirs", True), ("private", False)):
        await web.change(
            "INSERT INTO saved_views (owner, page, name, query, shared, is_default, at) "
            "VALUES ('grace', 'customers', :name, '{}', :shared, true, now()) ON CONFLICT DO NOTHING"
            if shared
            else "INSERT INTO saved_views (owner, page, name, query, shared, at) "
            "VALUES ('grace', 'customers', :name, '{}', :shared, now())",
            name=name,
            shared=shared,
        )
    text = (await browser.get("/customers")).text
    assert "theirs" in text
    assert "private" not in text
    [view] = await web.rows("SELECT id::text FROM saved_views WHERE name = 'theirs'")
    for verb in ("delete", "default"):
        refused = await browser.post(f"/views/{view['id']}/{verb}", data={"on": "yes"})
        assert "no+such+view" in refused.headers["location"]
    assert await web.count("saved_views") == 2
    empty = await browser.post("/views", data={"query": "", "name": "  "})
    assert "no+name" in empty.headers["location"]


def fields_of(preview: str) -> dict[str, str]:
    """What the form of a preview carries."""
    return {name: re.findall(f'name="{name}" value="([^"]*)"', preview)[0] for name in ("batch", "seen")}


async def test_many_are_started_after_a_preview_that_says_who_stays_out_and_why(
    house: House, database_url: str, temporal: str
) -> None:
    policy = Policy(consent={"email": "required", "sms": "required"})
    await house.engine.publish(
        playbook(email("greet"), Wait(id="pause", spec=Elapsed(seconds=DAY)), enter=None, name="rescue"),
        policy=policy,
    )
    async with run_web(database_url, temporal, HOLDFAST_PAGES="open") as web, browser_of(web) as browser:
        await add(
            web, *((name, "critical", 20, 0.9) for name in ("a", "b", "c", "d")), ("e", "healthy", 90, 0.1)
        )
        for name in ("a", "b", "d"):
            await web.change(
                "INSERT INTO consents (customer_id, channel, granted, source, at) "
                "SELECT id, 'email', true, 'form', now() FROM customers WHERE external_id = :id",
                id=name,
            )
        # One of them is in it already.
        answer = await web.client.post(
            "/api/customer-success/interventions/trigger",
            json={"userId": "b", "playbook": "rescue", "reason": "x"},
        )
        assert answer.status_code == 200, answer.text
        chosen = {"playbook": "rescue", "all": "1", "query": "risk=critical"}
        before = await web.count("runs"), await web.count("decisions"), await web.count("entry_requests")
        preview = await browser.post("/bulk", data=chosen)
        assert preview.status_code == 200, preview.text
        assert "Start for 2 customers" in preview.text
        assert "are in this playbook now" in preview.text
        assert "no consent or address" in preview.text
        # Looking changes nothing.
        assert (
            await web.count("runs"),
            await web.count("decisions"),
            await web.count("entry_requests"),
        ) == before
        shown = fields_of(preview.text)
        # One more came since, and nothing is started before that was seen.
        await add(web, ("f", "critical", 25, 0.8))
        stale = await browser.post("/bulk/start", data=chosen | shown | {"reason": "spring check"})
        assert stale.status_code == 200
        assert "Nothing was started" in stale.text
        assert "1 more matches now" in stale.text
        assert 'value="spring check"' in stale.text
        assert await web.count("entry_requests") == before[2]
        # Another agreed to mails since: whoever was said to stay out isn't started, either.
        shown = fields_of(stale.text)
        for name in ("c", "f"):
            await web.change(
                "INSERT INTO consents (customer_id, channel, granted, source, at) "
                "SELECT id, 'email', true, 'form', now() FROM customers WHERE external_id = :id",
                id=name,
            )
        stale = await browser.post("/bulk/start", data=chosen | shown)
        assert "2 of whom you saw that they wouldn't enter would enter now" in stale.text
        assert await web.count("entry_requests") == before[2]
        # Of those who were seen, two aren't critical any more: the others are started, and these are told of.
        shown = fields_of(stale.text)
        for name in ("c", "f"):
            await web.change(
                "UPDATE signals SET risk_level = 'healthy' WHERE customer_id = "
                "(SELECT id FROM customers WHERE external_id = :id)",
                id=name,
            )
        started = await browser.post("/bulk/start", data=chosen | shown | {"reason": "spring check"})
        assert started.headers["location"] == f"/bulk/{shown['batch']}"
        result = (await browser.get(started.headers["location"])).text
        assert "2 of 5 entered" in result
        assert "spring check" in result
        assert "The preview said that 4 would enter." in result
        assert "2 of those it showed weren&#39;t asked in" in result
        assert "are in this playbook now" in result
        assert result.count("no longer matches") == 2
        # The same form once more asks for nobody again, whoever matches by now; and the result is found again.
        await add(web, ("g", "critical", 25, 0.8))
        again = await browser.post("/bulk/start", data=chosen | shown)
        assert again.headers["location"] == started.headers["location"]
        assert f'href="/bulk/{shown["batch"]}"' in await page(browser, "/bulk")
        runs = await web.rows(
            "SELECT c.external_id FROM runs r JOIN customers c ON c.id = r.customer_id ORDER BY c.external_id"
        )
        assert [row["external_id"] for row in runs] == ["a", "b", "d"]
        [logged] = await web.rows("SELECT object_id, after FROM audit_log WHERE action = 'entries.asked'")
        assert (logged["object_id"], logged["after"]["customers"], logged["after"]["gone"]) == (
            "rescue",
            3,
            2,
        )
        await web.change("UPDATE signals SET risk_level = 'healthy'")
        none = await browser.post("/bulk/start", data=chosen | shown | {"batch": str(uuid4())})
        assert "Nobody would enter" in none.text
        assert "5 don&#39;t match any more" in none.text
        await web.change(
            "DELETE FROM consents WHERE customer_id = (SELECT id FROM customers WHERE external_id = 'c')"
        )
        picked = await browser.post("/bulk", data={"playbook": "rescue", "pick": ["c", "nobody"]})
        assert "Nobody would enter" in picked.text


async def test_a_bulk_start_that_cannot_be_is_refused_with_the_reason(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await add(web, ("a", "critical", 20, 0.9))
    for fields, told in (
        ({"playbook": "rescue-open"}, "Nobody is chosen"),
        ({"pick": "a"}, "No playbook is chosen"),
        ({"playbook": "nothing", "pick": "a"}, "no published playbook"),
    ):
        answer = await browser.post("/bulk", data=fields)
        assert answer.status_code in (400, 404)
        assert told in answer.text
    assert (await browser.post("/bulk/start", data={"playbook": "x", "batch": "none"})).status_code == 400
    cut = {"playbook": "x", "batch": str(uuid4()), "seen": "entered.AAAA"}
    assert (await browser.post("/bulk/start", data=cut)).status_code == 400
    assert "started a playbook for several customers at once yet" in await page(browser, "/bulk")
    assert (await browser.get("/bulk/none")).status_code == 404
    foreign = await browser.post(
        "/bulk", data={"playbook": "x", "pick": "y"}, headers={"Origin": "http://evil.example"}
    )
    assert foreign.status_code == 403


async def test_lists_need_somebody_who_may_read_them(database_url: str) -> None:
    async with (
        run_web(database_url) as web,
        httpx.AsyncClient(base_url=web.address, trust_env=False) as stranger,
    ):
        for path in ("/customers", "/customers.csv", "/bulk/x", "/api/customers"):
            assert (await stranger.get(path)).status_code in (303, 401)
        assert (await stranger.get("/customers.csv", auth=(KEY, ""))).status_code == 200
