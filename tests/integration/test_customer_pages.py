"""A customer's page and its forms: what it tells, what it changes, and that each refusal says why."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from loops.explaining import explain_customer, explain_entries
from schemas.plan import Elapsed, Wait
from schemas.policy import Policy, Team
from tests.integration.browsing import signed_in
from tests.integration.open_pages import browser_of
from tests.integration.plans import DAY, email, playbook, trigger
from tests.integration.running_engine import House, eventually
from tests.integration.web_edge import RunningWeb, furnish, run_web

pytestmark = pytest.mark.usefixtures("quick_hashes")

ADA = "/customers/ada%2F1"


def told(answer: httpx.Response) -> str:
    """What the page says was done, after a form was sent."""
    assert answer.status_code == 303, answer.text
    return parse_qs(urlsplit(answer.headers["location"]).query)["told"][0]


def refused(answer: httpx.Response) -> str:
    """Why the page says that it wasn't done."""
    assert answer.status_code == 303, answer.text
    return parse_qs(urlsplit(answer.headers["location"]).query)["refused"][0]


async def test_the_page_tells_who_it_is_how_they_stand_and_what_happened(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    ids = await furnish(web)
    answer = await browser.get(ADA)
    assert answer.status_code == 200, answer.text
    page = answer.text
    # Nothing that they call themselves is markup here.
    assert "&lt;b&gt;Ada &amp; Co&lt;/b&gt;" in page
    assert "<b>Ada" not in page
    assert "What the score is made of" in page
    assert "Why they may leave" in page or "Nothing is predicted" in page
    assert f"/outbox/{ids['email']}" in page
    assert f"/runs/{ids['open']}" in page
    assert "Call &lt;i&gt;Ada&lt;/i&gt;" in page
    assert page.count("as of") >= 2
    only = (await browser.get(f"{ADA}?kind=message")).text.split('id="timeline"')[1]
    assert f"/outbox/{ids['note']}" in only
    assert 'class="past of-event"' not in only
    assert 'class="past of-message"' in only
    assert (await browser.get(f"{ADA}?days=90")).status_code == 200


async def test_each_tab_has_its_own_and_what_is_no_tab_is_refused(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await furnish(web)
    signals = (await browser.get(f"{ADA}?tab=signals")).text
    assert "<code>plan</code>" in signals
    assert "The plan that the customer is on." in signals
    assert "ada@example.com" in signals
    consent = (await browser.get(f"{ADA}?tab=consent")).text
    assert "email needs a yes and has none" in consent or "May be used" in consent
    for wrong in ("?tab=luck", "?days=5", "?kind=luck", "?before=x", "?before=WzEsMl0"):
        assert (await browser.get(f"{ADA}{wrong}")).status_code == 400, wrong
    assert (await browser.get("/customers/nobody")).status_code == 404


async def test_a_long_line_goes_on_page_by_page(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    await furnish(web)
    await web.change(
        "INSERT INTO events (day, source, message_id, customer_id, name, at, received_at) SELECT (now() - n * "
        "interval '1 hour')::date, 's', 'x' || n, id, 'login', now() - n * interval '1 hour', now() "
        "FROM customers, generate_series(1, 70) n"
    )
    seen: list[str] = []
    path = f"{ADA}?kind=event"
    while path:
        page = (await browser.get(path)).text
        seen += re.findall(r'data-key="event/s/(x\d+)"', page)
        following = re.findall(r'rel="next" href="([^"]+)"', page)
        path = following[0].replace("&amp;", "&") if following else ""
    assert seen == [f"x{n}" for n in range(1, 71)]


async def test_a_call_is_put_on_a_list_once_and_not_where_somebody_has_another(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await furnish(web)
    policy = Policy(default_zone="Europe/Berlin", teams={"rescue": Team(members=("anna", "bert"))})
    await web.change(
        "INSERT INTO governance (name, value, updated_at) VALUES ('policy', CAST(:value AS jsonb), now()) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        value=policy.model_dump_json(),
    )
    at = (datetime.now(UTC) + timedelta(days=3)).replace(hour=9, minute=30, second=0, microsecond=0)
    form = {"id": str(uuid.uuid4()), "who": "anna", "about": "Usage is down", "at": f"{at:%Y-%m-%dT%H:%M}"}
    for _ in range(2):
        assert "is on the list of anna" in told(await browser.post(f"{ADA}/call", data=form))
    [call] = await web.rows("SELECT * FROM tasks WHERE step = 'scheduled'")
    assert (call["assignee"], call["team"], call["about"], call["run_id"]) == (
        "anna",
        "rescue",
        "Usage is down",
        None,
    )
    # By the team's clock, not by Greenwich's.
    assert call["starts_at"] in (at - timedelta(hours=1), at - timedelta(hours=2))
    again = form | {"id": str(uuid.uuid4())}
    assert "anna has another call then" in refused(await browser.post(f"{ADA}/call", data=again))
    team = {"id": str(uuid.uuid4()), "who": "rescue", "about": "", "at": ""}
    assert "is on the list of rescue" in told(await browser.post(f"{ADA}/call", data=team))
    past = form | {"id": str(uuid.uuid4()), "at": "2020-01-01T10:00"}
    assert "lies in the past" in refused(await browser.post(f"{ADA}/call", data=past))
    assert "can't be read" in refused(await browser.post(f"{ADA}/call", data=past | {"at": "soon"}))
    logged, other = await web.rows(
        "SELECT object_id, after FROM audit_log WHERE action = 'task.scheduled' ORDER BY id"
    )
    assert other["after"]["holder"] == "rescue"
    assert logged["object_id"] == str(call["id"])
    assert "Usage" not in str(logged["after"])


async def test_a_word_of_consent_is_noted_with_who_heard_it(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await furnish(web)
    form = {"channel": "email", "topic": "", "word": "no", "source": "phone", "note": "she was cross"}
    answer = await browser.post(f"{ADA}/consent", data=form)
    assert told(answer) == "Noted: E-mail: no."
    [word] = await web.rows("SELECT granted, source, evidence FROM consent_events WHERE channel = 'email'")
    assert (word["granted"], word["source"]) == (False, "csm_phone")
    assert word["evidence"] == {"declared_by": "pages", "heard": "on the phone", "note": "she was cross"}
    page = (await browser.get(answer.headers["location"])).text
    assert "email was refused" in page
    assert "she was cross" in page
    [logged] = await web.rows("SELECT after FROM audit_log WHERE action = 'consent.declared'")
    assert logged["after"]["consents"] == [{"channel": "email", "topic": "", "granted": False}]
    assert "cross" not in str(logged["after"])
    for wrong, why in (
        ({"channel": "post"}, "Choose a channel"), ({"word": "perhaps"}, "yes or no"),
        ({"source": "x"}, "how the customer"),
        ({"topic": "Ä b"}, "is no topic"),
    ):  # fmt: skip
        assert why in refused(await browser.post(f"{ADA}/consent", data=form | wrong))


async def test_ops_take_an_address_out_of_use_and_back_and_nobody_lifts_a_complaint(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await furnish(web)
    assert "isn't used any more" in told(await browser.post(f"{ADA}/suppress", data={"channel": "email"}))
    [stop] = await web.rows("SELECT channel, reason, source FROM suppressions")
    assert (stop["channel"], stop["reason"], stop["source"]) == ("email", "manual", "page, pages")
    assert "out of use already" in refused(await browser.post(f"{ADA}/suppress", data={"channel": "email"}))
    assert "suppressed: manual" in (await browser.get(f"{ADA}?tab=consent")).text
    lift = {"channel": "email", "do": "lift"}
    assert "is used again" in told(await browser.post(f"{ADA}/suppress", data=lift))
    await web.change(
        "INSERT INTO suppressions (channel, address_hash, reason, at) "
        "SELECT channel, address_hash, 'complaint', at FROM suppression_lifts"
    )
    assert "Nobody took that address" in refused(await browser.post(f"{ADA}/suppress", data=lift))
    assert "There is no address" in refused(await browser.post(f"{ADA}/suppress", data={"channel": "sms"}))
    log = await web.rows("SELECT action FROM audit_log WHERE object_kind = 'address' ORDER BY id")
    assert [row["action"] for row in log] == ["address.suppressed", "address.suppression_lifted"]


async def test_scoring_now_is_written_down(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    await furnish(web)
    assert told(await browser.post(f"{ADA}/score", data={})).startswith("Scored: health ")
    assert await web.count("customer_health") == 1
    # Where every factor was full three days ago, each loss since is told, and what can't be compared isn't.
    await web.change(
        "INSERT INTO customer_health (customer_id, day, health_score, risk_level, factors, model, calculated_at) "
        "SELECT customer_id, day - 3, 100, 'healthy', array_fill(1::real, ARRAY[cardinality(factors)]), model, now() "
        "FROM customer_health"
    )
    moved = (await browser.get(f"{ADA}?days=7")).text.split("What moved it since")[1].split("</p>")[0]
    assert re.search(r"−\d+(\.\d)?</span> login frequency", moved)
    assert "which changed by −" in moved
    await web.change("UPDATE customer_health SET model = 'another' WHERE health_score = 100")
    assert "What moved it since" not in (await browser.get(f"{ADA}?days=7")).text


async def test_an_event_is_corrected_on_the_page_of_whom_it_is_about(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await furnish(web)
    await web.change(
        "INSERT INTO events (day, source, message_id, customer_id, name, at, received_at, properties) "
        "SELECT (now() - interval '1 day')::date, 'shop/eu', 'p/1', id, 'payment_failed', now() - interval '1 day', "
        "now(), CAST(:sent AS jsonb) FROM customers WHERE external_id = 'ada/1'",
        sent='{"amount": 490}',
    )
    key = "event/shop/eu/p/1"
    line = (await browser.get(f"{ADA}?kind=event")).text
    [link] = [
        one for one in re.findall(r'href="([^"]+tab=correct[^"]+)"', line) if "p%2F1" in one or "p/1" in one
    ]
    form = (await browser.get(link.replace("&amp;", "&"))).text
    assert "&#34;amount&#34;: 490" in form
    said = {"event": key, "what": "other", "properties": '{"amount": 490}', "at": "", "reason": "mistyped"}
    path = f"{ADA}/correction"
    for wrong, why in (
        ({}, "Nothing is otherwise"), ({"properties": "{"}, "can't be read"), ({"properties": "[]"}, "are no object"),
        ({"what": "never", "reason": " "}, "needs a reason"), ({"at": "soon"}, "can't be read"),
        ({"event": "event/shop/eu/p/2"}, "no such event"),
        ({"at": "2999-01-01T00:00"}, "lies ahead"),
    ):  # fmt: skip
        answer = await browser.post(path, data=said | wrong)
        assert why in refused(answer)
        assert "tab=correct" in answer.headers["location"]
    assert await web.count("corrections") == 0
    assert "is corrected" in told(await browser.post(path, data=said | {"properties": '{"amount": 49}'}))
    line = (await browser.get(f"{ADA}?kind=event")).text
    assert "mistyped · now amount: 49<" in line
    assert "never happened" in told(
        await browser.post(path, data=said | {"what": "never", "reason": "a test"})
    )
    line = (await browser.get(f"{ADA}?kind=event")).text
    assert re.search(r'retracted</span> <span class="muted"><time[^>]*>[^<]*</time> by pages: a test', line)
    # It comes back by saying what it was like.
    assert "is corrected" in told(await browser.post(path, data=said | {"properties": '{"amount": 49}'}))
    rows = await web.rows("SELECT properties, author, reason FROM corrections ORDER BY id")
    assert [row["properties"] for row in rows] == [{"amount": 49}, None, {"amount": 49}]
    assert rows[0]["author"] == "pages"
    assert (await browser.get(f"{ADA}?tab=correct&event=event/nothing")).status_code == 404


async def test_export_and_erasure_are_for_who_may_manage_and_erasure_wants_the_id_typed(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await furnish(web)
    exported = await browser.post(f"{ADA}/export", data={})
    assert exported.headers["content-disposition"] == 'attachment; filename="customer.json"'
    assert "ada@example.com" in exported.text
    assert "nothing was erased" in refused(await browser.post(f"{ADA}/erasure", data={"confirm": "ada"}))
    assert await web.count("erasures") == 0
    assert "has begun" in told(
        await browser.post(f"{ADA}/erasure", data={"confirm": "ada/1", "reason": "asked for"})
    )
    assert "is being erased" in (await browser.get(ADA)).text
    log = await web.rows("SELECT action FROM audit_log WHERE object_kind = 'customer' ORDER BY id")
    assert {row["action"] for row in log} >= {"customer.erasure_requested"}


async def test_a_csm_sees_no_button_that_ops_or_admins_alone_may_press(database_url: str) -> None:
    async with run_web(database_url) as web:
        await furnish(web)
        async with signed_in(web, "csm") as csm:
            page = (await csm.get(ADA)).text
            assert "Score now" in page
            assert "Export and erasure" not in page
            assert "never use it" not in (await csm.get(f"{ADA}?tab=consent")).text
            for path in ("erasure", "export", "suppress"):
                assert (await csm.send(f"{ADA}/{path}", channel="email", confirm="ada/1")).status_code == 403
            assert (await csm.post(f"{ADA}/score")).status_code == 403
        async with signed_in(web, "ops") as ops:
            assert "never use it" in (await ops.get(f"{ADA}?tab=consent")).text


async def test_a_playbook_is_started_after_a_preview_and_its_run_is_commanded_here(
    house: House, database_url: str, temporal: str
) -> None:
    steps = (email("greet", "{{ run.message }}"), Wait(id="pause", spec=Elapsed(seconds=DAY)))
    policy = Policy(consent={"email": "required"})
    await house.engine.publish(
        playbook(*steps, name="rescue", enter=trigger("help_wanted")), playbook(*steps, name="closed", enter=None),
        policy=policy,
    )  # fmt: skip
    await house.engine.identify("ada/1", first_name="Ada", email="ada@example.com")
    await house.engine.send("ada/1", "login")
    async with run_web(database_url, temporal, HOLDFAST_PAGES="open") as web, browser_of(web) as browser:
        why = (await browser.get(f"{ADA}?tab=playbooks")).text
        assert "help_wanted" in why
        assert "no channel of the playbook has both consent and an address" in why
        assert "it has no trigger" in why
        # The page says what the command line says of each.
        for one in await explain_entries(house.engine.database, "ada/1"):
            entry = (await explain_customer(house.engine.database, one.playbook, "ada/1"))["entry"]
            assert (one.objections[0].reason, one.objections[0].detail) == (entry["reason"], entry["detail"])
        wish = {
            "playbook": "rescue",
            "reason": "she rang",
            "message": "Your list\r\nis in.",
            "priority": "high",
        }
        preview = (await browser.post(f"{ADA}/start/preview", data=wish)).text
        assert "They wouldn't enter" in preview
        # Nobody has to have a message of their own.
        bare = await browser.post(f"{ADA}/start/preview", data=wish | {"message": "", "reason": ""})
        assert bare.status_code == 200, bare.text
        assert "Start it" not in preview
        # Whoever starts it nevertheless is told the same.
        assert "no consent" in refused(await browser.post(f"{ADA}/start", data=wish))
        noted = {"channel": "email", "topic": "", "word": "yes", "source": "phone"}
        await browser.post(f"{ADA}/consent", data=noted)
        before = await web.count("runs"), await web.count("entry_requests")
        preview = (await browser.post(f"{ADA}/start/preview", data=wish)).text
        assert "Nothing stands in the way" in preview
        assert "Your list\nis in." in preview
        assert (await web.count("runs"), await web.count("entry_requests")) == before
        assert told(await browser.post(f"{ADA}/start", data=wish)) == "Helping was started."
        [run] = await web.rows("SELECT id::text, trigger FROM runs WHERE playbook = 'rescue'")
        assert run["trigger"]["reason"] == "she rang"
        assert run["trigger"]["customization"] == {"message": "Your list\nis in."}
        await house.engine.until("SELECT 1 FROM runs WHERE state = 'running'")
        assert "already running" in refused(await browser.post(f"{ADA}/start", data=wish))
        command = f"{ADA}/runs/{run['id']}"

        async def paused() -> str:
            return told(await browser.post(f"{command}/pause", data={"reason": "holiday"}))

        assert "rescue: " in await eventually(paused, lambda said: "paus" in said.lower())
        await house.engine.until("SELECT 1 FROM runs WHERE paused")
        assert f"{command}/resume" in (await browser.get(ADA)).text
        assert "rescue: " in told(await browser.post(f"{command}/stop", data={"reason": "she asked"}))
        await house.engine.until("SELECT 1 FROM runs WHERE state = 'ended'")
        await house.engine.identify("bob", first_name="Bob")
        elsewhere = await browser.post(f"/customers/bob/runs/{run['id']}/stop", data={})
        assert "another customer" in refused(elsewhere)
        for wrong, status in (
            ({"playbook": ""}, 400),
            ({"playbook": "nothing"}, 404),
            ({"message": "x\x07"}, 400),
        ):
            assert (await browser.post(f"{ADA}/start/preview", data=wish | wrong)).status_code == status
