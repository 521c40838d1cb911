"""Unsubscribing with one click (RFC 8058) and the preferences page: from the link in a message to the refusal."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from activities.tasks import HumanTasks
from rules.consent import consented
from schemas.link_token import LinkKey, LinkToken
from schemas.plan import EventMatch, WaitFor
from schemas.policy import Cap, Policy
from store.contact import record_consent
from store.customers import lock_customers
from store.deliveries import delivery_id
from store.publishing import publish
from tests.integration.message_desk import OPEN, MessageDesk, open_message_desk
from tests.integration.plans import DAY, ada, email, playbook
from tests.integration.running_engine import LINKS, SECRET, House, eventually
from tests.integration.step_desk import act
from tests.integration.web_edge import RunningWeb, run_web

KEY = LinkKey(SECRET)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
URL = re.compile(r"https://holdfast\.example(/(?:u|preferences)/\S+)")
NOBODY = "00000000-0000-4000-8000-000000000001"
CONSENTS = "SELECT channel, topic, granted, source, at FROM consents ORDER BY channel, topic"


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    """Pages are locked, as in production."""
    async with run_web(database_url, HOLDFAST_SECRET_KEY=SECRET) as running:
        yield running


@pytest.fixture
async def browser(web: RunningWeb) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with a link and nothing else: no key, no cookie, no Origin."""
    async with httpx.AsyncClient(base_url=web.address, trust_env=False) as client:
        yield client


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[MessageDesk]:
    async with open_message_desk(database_url, tmp_path) as desk:
        yield desk


async def meet_ada(web: RunningWeb, *, policy: Policy = OPEN, **traits: str) -> str:
    """Ada with an e-mail address, under this policy; her id."""
    await web.client.post(
        "/v1/identify", json={"userId": "ada", "traits": {"email": "ada@example.com", **traits}}
    )
    async with web.other.transaction() as connection:
        await publish(connection, {}, {}, policy, author="test", now=datetime.now(UTC), gone=())
    [row] = await web.rows("SELECT id::text FROM customers")
    return str(row["id"])


def unsubscribe(customer: str, channel: str = "email", topic: str = "", delivery: str | None = None) -> str:
    return f"/u/{KEY.sign(LinkToken('unsubscribe', customer, channel, topic, delivery))}"


def preferences(customer: str) -> str:
    return f"/preferences/{KEY.sign(LinkToken('preferences', customer))}"


async def said(web: RunningWeb) -> dict[str, bool]:
    rows = await web.rows(CONSENTS)
    return {f"{row['channel']}:{row['topic']}".rstrip(":"): row["granted"] for row in rows}


# The message


async def test_a_mail_carries_links_of_its_own_and_the_headers_for_one_click(desk: MessageDesk) -> None:
    run = await desk.enter(
        act(
            "email",
            "tips",
            subject="Hi",
            text="{{ links.unsubscribe }} {{ links.preferences }}",
            topic="tips",
        ),
        act("email", "bill", subject="Hi", text="Your card was refused", critical=True),
    )
    for step in ("tips", "bill"):
        assert (await desk.carry_out(run, step)).outcome == "sent"
    tips, bill = (accepted.message for accepted in desk.providers.smtp.accepted)
    [row] = await desk.rows("SELECT id::text FROM customers")
    links = LINKS.make(row["id"], {}, channel="email", topic="tips", delivery=delivery_id(run, "tips", 0))
    assert tips.get_payload().split() == [links["unsubscribe"], links["preferences"]]
    assert tips["List-Unsubscribe"] == f"<{links['unsubscribe']}>"
    # What is critical passes caps, never consent: who doesn't want it must be able to say so.
    bill_token = KEY.read(bill["List-Unsubscribe"][1:-1].rpartition("/")[2], "unsubscribe")
    assert bill_token == LinkToken("unsubscribe", row["id"], "email", "", delivery_id(run, "bill", 0))
    assert {tips["List-Unsubscribe-Post"], bill["List-Unsubscribe-Post"]} == {"List-Unsubscribe=One-Click"}


async def test_what_is_sent_again_has_the_same_links(desk: MessageDesk) -> None:
    run = await desk.enter(act("email", "mail", subject="Hi", text="{{ links.unsubscribe }}"))
    desk.providers.smtp.programme.script.append("rcpt:451 4.7.1 later")
    with pytest.raises(Exception, match="didn't take"):
        await desk.carry_out(run, "mail")
    first = await desk.ledger("content")
    assert (await desk.carry_through(run, "mail")).outcome == "sent"
    assert await desk.ledger("content") == first
    assert await desk.ledger("attempt") == [(2,)]


async def test_other_channels_have_links_of_theirs_and_a_call_one_for_all(desk: MessageDesk) -> None:
    call = act(
        "call", "ring", title="Call", about="{{ links.unsubscribe }} {{ links.booking }}", assign="csm"
    )
    await desk.steps.identify(booking_url="https://calendar.example.com/grace")
    run = await desk.enter(act("sms", "text", text="Stop: {{ links.unsubscribe }}"), call)
    assert (await desk.carry_out(run, "text")).outcome == "sent"
    await HumanTasks(desk.steps.opening).assign(desk.steps.call(run, "ring"))
    [row] = await desk.rows("SELECT id::text FROM customers")
    [text] = desk.providers.twilio.accepted
    links = LINKS.make(row["id"], {}, channel="sms", delivery=delivery_id(run, "text", 0))
    assert text.body == f"Stop: {links['unsubscribe']}"
    [task] = await desk.rows("SELECT about FROM tasks")
    everything = LINKS.make(row["id"], {})["unsubscribe"]
    assert task["about"] == f"{everything} https://calendar.example.com/grace"


async def test_a_booking_link_that_nobody_gave_is_a_missing_value(desk: MessageDesk) -> None:
    text = "{{ links.booking }}"
    # Whoever has a CSM books on our own page.
    await desk.steps.identify(csm="")
    run = await desk.enter(
        act("email", "bare", subject="Hi", text=text),
        act("email", "ready", subject="Hi", text={"text": text, "default": "Call us"}),
    )
    assert [(await desk.carry_out(run, step)).outcome for step in ("bare", "ready")] == ["failed", "sent"]
    assert desk.providers.smtp.accepted[0].message.get_payload().strip() == "Call us"


# One click


async def test_after_one_click_the_engine_refuses_that_topic_and_no_other(
    house: House, web: RunningWeb
) -> None:
    waits = WaitFor(id="pause", event=EventMatch(name="go"), for_seconds=DAY)
    await house.engine.publish(
        playbook(email("tips", topic="tips"), waits, email("more", topic="tips"), email("news"))
    )
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM waits")
    [mail] = house.smtp.accepted
    found = URL.search(mail.message["List-Unsubscribe"].rstrip(">"))
    assert found is not None
    async with httpx.AsyncClient(base_url=web.address, trust_env=False) as provider:
        assert (await provider.post(found[1], data=ONE_CLICK)).status_code == 200
    await house.engine.send("ada", "go")
    await house.engine.until("SELECT 1 FROM runs WHERE ended_at IS NOT NULL")
    rows = await house.engine.rows(
        "SELECT step, outcome FROM run_steps WHERE word = 'email' ORDER BY at, step"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("tips", "sent"),
        ("more", "no_consent"),
        ("news", "sent"),
    ]
    assert len(house.smtp.accepted) == 2


async def test_what_was_to_be_tried_again_is_not_after_the_click(
    desk: MessageDesk, web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    run = await desk.enter(act("email", "mail", subject="Hi", text="Hello"))
    desk.providers.smtp.programme.script.append("rcpt:451 4.7.1 later")
    with pytest.raises(Exception, match="didn't take"):
        await desk.carry_out(run, "mail")
    [row] = await desk.rows("SELECT id::text FROM customers")
    assert (await browser.post(unsubscribe(row["id"]), data=ONE_CLICK)).status_code == 200
    assert (await desk.carry_through(run, "mail")).outcome == "no_consent"
    assert desk.providers.sent() == {}


async def test_the_click_waits_for_a_claim_under_way_and_none_comes_after_it(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    customer = await meet_ada(web)
    async with web.other.transaction() as claiming:
        await lock_customers(claiming, [customer])
        click = asyncio.create_task(browser.post(unsubscribe(customer), data=ONE_CLICK))
        await eventually(lambda: web.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        assert await said(web) == {}
        assert not click.done()
    assert (await click).status_code == 200
    assert await said(web) == {"email": False}


@pytest.mark.parametrize(
    "body",
    [
        {"data": ONE_CLICK},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {},
        {"content": b"\xff" * 1000},
    ],
    ids=["form", "multipart", "empty", "garbage"],
)
async def test_a_click_works_however_the_mail_program_puts_it_and_isnt_redirected(
    web: RunningWeb, browser: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    customer = await meet_ada(web)
    answer = await browser.post(unsubscribe(customer, topic="tips"), **body)
    assert answer.status_code == 200
    assert "no more e-mails about tips" in answer.text
    assert await said(web) == {"email:tips": False}


async def test_a_second_click_is_the_same_and_keeps_the_first_ones_source_and_time(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    customer = await meet_ada(web)
    first, second = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
    before = datetime.now(UTC)
    assert (await browser.post(unsubscribe(customer, delivery=first))).status_code == 200
    [row] = await web.rows(CONSENTS)
    assert row["source"] == f"unsubscribe link, delivery {first}"
    assert before - timedelta(seconds=5) < row["at"] < datetime.now(UTC) + timedelta(seconds=5)
    assert (await browser.post(unsubscribe(customer, delivery=second))).status_code == 200
    assert await web.rows(CONSENTS) == [row]


async def test_a_click_stands_over_a_yes_from_a_clock_that_was_ahead(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    customer = await meet_ada(web)
    async with web.other.transaction() as connection:
        ahead = datetime.now(UTC) + timedelta(days=1)
        await record_consent(connection, customer, "email", "", granted=True, source="app", at=ahead)
    await browser.post(unsubscribe(customer))
    assert await said(web) == {"email": False}


async def test_a_link_without_a_channel_means_all_that_need_consent(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    customer = await meet_ada(web)
    await browser.post(unsubscribe(customer, channel=""))
    assert await said(web) == dict.fromkeys(("email", "sms", "whatsapp", "push", "voice"), False)


async def test_looking_changes_nothing(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    customer = await meet_ada(web)
    for path in (unsubscribe(customer, topic="tips"), preferences(customer)):
        for method in ("GET", "HEAD"):
            answer = await browser.request(method, path)
            assert answer.status_code == 200
            assert "default-src 'self'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
    page = (await browser.get(unsubscribe(customer, topic="tips"))).text
    assert "No more e-mails about tips?" in page
    assert page.count("<button") == 1
    assert "script" not in page
    assert await said(web) == {}


async def test_a_bad_link_is_not_found_and_says_what_to_do(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    customer = await meet_ada(web)
    good = unsubscribe(customer)
    other = LinkKey("t" * 32).sign(LinkToken("unsubscribe", customer, "email"))
    wishes = preferences(customer).rpartition("/")[2]
    for path in (
        good[:-1],
        "/u/x",
        f"/u/{other}",
        f"/u/{wishes}",
        f"/preferences/{good[3:]}",
        unsubscribe(NOBODY),
    ):
        answer = await browser.post(path, data=ONE_CLICK)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"].startswith("text/html")
        assert "Tasks" not in answer.text
    answer = await browser.get(good[:-1])
    assert answer.status_code == 404
    assert "Copy the whole link from the message" in answer.text
    assert await said(web) == {}


async def test_where_no_key_is_set_the_mail_program_is_told_to_come_again(database_url: str) -> None:
    async with (
        run_web(database_url, HOLDFAST_SECRET_KEY="") as web,
        httpx.AsyncClient(base_url=web.address, trust_env=False) as browser,
    ):
        for answer in (await browser.get(unsubscribe(NOBODY)), await browser.post(unsubscribe(NOBODY))):
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert "answer the message" in answer.text


# Preferences

TOPICS = OPEN.model_copy(
    update={"consent": {"email": "assumed", "sms": "required"}, "topics": ("tips", "offers")}
)


def switches(page: str) -> dict[str, bool]:
    """The switches of a page: on or off."""
    found = re.findall(r'<input type="checkbox" name="([^"]+)" value="yes"( checked)?>', page)
    return {word: bool(checked) for word, checked in found}


async def choose(browser: httpx.AsyncClient, path: str, page: str, **turned: bool) -> str:
    """Post the form of this page with some switches turned, as a browser without scripts does; the page afterwards."""
    named = {word.replace("__", ":"): on for word, on in turned.items()}
    [shown] = re.findall(r'name="shown" value="([^"]*)"', page)
    chosen = {word: "yes" for word, on in (switches(page) | named).items() if on}
    answer = await browser.post(path, data={"shown": shown, "do": "save", **chosen}, follow_redirects=True)
    assert answer.status_code == 200
    assert "Saved." in answer.text
    return answer.text


async def test_the_preferences_page_shows_what_holds_and_saves_what_is_turned(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    customer = await meet_ada(web, policy=TOPICS, phone="+15005550009")
    await web.change(
        "INSERT INTO consents (customer_id, channel, topic, granted, source, at) "
        "SELECT id, 'email', 'tips', false, 'test', now() FROM customers"
    )
    path = preferences(customer)
    page = (await browser.get(path)).text
    on = {"email": True, "email:tips": False, "email:offers": True}
    sms = {"sms": False, "sms:tips": True, "sms:offers": True}
    whatsapp = {"whatsapp": True, "whatsapp:tips": True, "whatsapp:offers": True}
    calls = {"voice": False, "voice:tips": True, "voice:offers": True}
    assert switches(page) == on | sms | calls | {word: word != "whatsapp" for word in whatsapp}
    page = await choose(browser, path, page, email__tips=True, email__offers=False, sms=True)
    assert switches(page) == on | sms | calls | {
        "email:tips": True, "email:offers": False, "sms": True,
        "whatsapp": False, "whatsapp:tips": True, "whatsapp:offers": True,
    }  # fmt: skip
    # What nobody turned isn't on record: silence stays what the policy makes of it.
    assert await said(web) == {"email:tips": True, "email:offers": False, "sms": True}
    assert {row["source"] for row in await web.rows(CONSENTS)} == {"preferences page"}


async def test_a_topic_turned_on_where_the_channel_is_off_is_no_yes_to_the_channel(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    customer = await meet_ada(web, policy=TOPICS, phone="+15005550009")
    path = preferences(customer)
    page = await choose(browser, path, (await browser.get(path)).text, sms__tips=False)
    page = await choose(browser, path, page, sms__tips=True)
    assert await said(web) == {"sms": False, "sms:tips": True}
    assert consented(TOPICS, await said(web), "sms", "tips") == (False, "sms was refused")
    page = await choose(browser, path, page, sms=True)
    assert consented(TOPICS, await said(web), "sms", "tips") == (True, "")


async def test_who_said_yes_to_one_topic_alone_sees_so_and_can_add_another(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    customer = await meet_ada(web, policy=TOPICS, phone="+15005550009")
    async with web.other.transaction() as connection:
        now = datetime.now(UTC)
        await record_consent(connection, customer, "sms", "tips", granted=True, source="app", at=now)
    path = preferences(customer)
    page = (await browser.get(path)).text
    sms = {word: on for word, on in switches(page).items() if word.startswith("sms")}
    assert sms == {"sms": True, "sms:tips": True, "sms:offers": False}
    await choose(browser, path, page, sms__offers=True)
    assert await said(web) == {"sms:tips": True, "sms:offers": True}


async def test_a_page_that_was_open_for_long_gives_back_no_consent_that_was_withdrawn_since(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    customer = await meet_ada(web, policy=TOPICS)
    path = preferences(customer)
    page = (await browser.get(path)).text
    await browser.post(unsubscribe(customer))
    await choose(browser, path, page, email__tips=False)
    assert await said(web) == {"email": False, "email:tips": False}


async def test_nothing_at_all_is_a_no_on_every_channel(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    customer = await meet_ada(web, policy=TOPICS)
    answer = await browser.post(preferences(customer), data={"do": "nothing"}, follow_redirects=True)
    assert not any(on for word, on in switches(answer.text).items() if ":" not in word)
    assert await said(web) == dict.fromkeys(("email", "sms", "whatsapp", "push", "voice"), False)


async def test_a_topic_refused_everywhere_can_be_taken_up_again_on_one_channel(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    customer = await meet_ada(web, policy=TOPICS, phone="+15005550009")
    async with web.other.transaction() as connection:
        await record_consent(
            connection, customer, "tips", "", granted=False, source="app", at=datetime.now(UTC)
        )
    path = preferences(customer)
    page = (await browser.get(path)).text
    assert not any(switches(page)[f"{channel}:tips"] for channel in ("email", "sms", "whatsapp"))
    page = await choose(browser, path, page, email__tips=True)
    assert [switches(page)[f"{channel}:tips"] for channel in ("email", "sms", "whatsapp")] == [
        True,
        False,
        False,
    ]


async def test_what_stands_on_the_page_is_text_and_what_isnt_on_it_cant_be_posted(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    customer = await meet_ada(
        web, policy=OPEN.model_copy(update={"caps": {"email": Cap(times=1, seconds=1)}})
    )
    async with web.other.transaction() as connection:
        await record_consent(
            connection, customer, "email", '"><b>x', granted=False, source="app", at=datetime.now(UTC)
        )
    path = preferences(customer)
    page = (await browser.get(path)).text
    assert "<b>" not in page
    assert "About &#34;&gt;&lt;b&gt;x" in page
    before = await said(web)
    answer = await browser.post(
        path, data={"shown": "email", "email": "yes", "fax": "yes", "email:fax": "yes"}
    )
    assert answer.status_code == 303
    assert await said(web) == before


# The key


async def test_a_worker_that_could_sign_no_links_does_not_start(database_url: str, checkout: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(checkout / "worker.py"), stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOLDFAST_DATABASE_URL": database_url, "TEMPORAL_ADDRESS": "127.0.0.1:9"},
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"HOLDFAST_SECRET_KEY is not set" in errors
    assert b"Traceback" not in errors
