"""A customer books a call by the link in a message: the page, the race for a time, the calendar, the run that waits."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from icalendar import Calendar

from activities.links import LinkMaker
from schemas.link_token import LinkKey, LinkToken
from schemas.policy import Policy, Team
from store.publishing import publish
from store.tasks import complete_task
from tests.integration.plans import playbook
from tests.integration.running_engine import SECRET, House
from tests.integration.step_desk import act
from tests.integration.test_page_changes import listening
from tests.integration.web_edge import RunningWeb, run_web

KEY = LinkKey(SECRET)
TEAM = Policy(
    default_zone="Europe/Berlin", teams={"cs": Team(members=("anna@example.com", "ben@example.com"))}
)


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url, HOLDFAST_SECRET_KEY=SECRET) as web:
        yield web


async def know(web: RunningWeb, *names: str, csm: str | None = "anna@example.com") -> list[str]:
    """Customers by these names; their booking links."""
    links = []
    for name in names:
        traits = {"firstName": name.title(), "email": f"{name}@example.org", "timezone": "Europe/Lisbon"}
        body = {"userId": name, "messageId": f"i-{name}", "traits": traits | ({"csm": csm} if csm else {})}
        await web.client.post("/v1/identify", json=body)
        [row] = await web.rows("SELECT id::text FROM customers WHERE external_id = :name", name=name)
        links.append(f"/book/{KEY.sign(LinkToken('book', row['id']))}")
    return links


async def govern(web: RunningWeb, policy: Policy) -> None:
    async with web.other.transaction() as connection:
        await publish(connection, {}, {}, policy, author="test", now=datetime.now(UTC))


async def offered(web: RunningWeb, link: str) -> list[str]:
    page = await web.client.get(link)
    assert page.status_code == 200
    return [html.unescape(at) for at in re.findall(r'name="at" value="([^"]+)"', page.text)]


async def choose(web: RunningWeb, link: str, at: str) -> str:
    """Post it and follow; what the page says then."""
    answer = await web.client.post(link, data={"at": at})
    assert answer.status_code == 303
    page = await web.client.get(f"{link}{answer.headers['location']}")
    [told] = re.findall(r'role="status">([^<]+)<', page.text)
    return html.unescape(told)


async def test_of_two_who_want_one_time_one_gets_it_and_the_other_is_told(web: RunningWeb) -> None:
    first, second = await know(web, "ada", "eve")
    at = (await offered(web, first))[3]
    told = await asyncio.gather(choose(web, first, at), choose(web, second, at))
    assert sorted(one.split(".")[0] for one in told) == [
        "Booked",
        "That time has just been taken by somebody else",
    ]
    [task] = await web.rows("SELECT kind, assignee, run_id, starts_at, due_at, calendar_sequence FROM tasks")
    assert (task["kind"], task["assignee"], task["run_id"]) == ("call", "anna@example.com", None)
    assert task["starts_at"] == datetime.fromisoformat(at)
    assert task["due_at"] == task["starts_at"] + timedelta(minutes=30)
    loser = (first, second)[0 if told[1].startswith("Booked") else 1]
    assert at not in await offered(web, loser)
    assert (
        await choose(web, loser, (await offered(web, loser))[0])
        == "Booked. We look forward to talking to you."
    )
    assert await web.count("tasks") == 2


async def test_twenty_who_want_one_time_of_a_team_of_two_get_two_calls(web: RunningWeb) -> None:
    team = Team(members=("anna@example.com", "ben@example.com"), unowned=True)
    await govern(web, Policy(teams={"cs": team}))
    links = await know(web, *(f"c{n}" for n in range(20)), csm=None)
    at = (await offered(web, links[0]))[5]
    told = await asyncio.gather(*(choose(web, link, at) for link in links))
    assert sum(one.startswith("Booked") for one in told) == 2
    rows = await web.rows("SELECT assignee FROM tasks ORDER BY assignee")
    assert rows == [{"assignee": "anna@example.com"}, {"assignee": "ben@example.com"}]


async def test_booking_again_moves_the_call_and_once_more_changes_nothing(web: RunningWeb) -> None:
    [link] = await know(web, "ada")
    times = await offered(web, link)
    for at in (times[0], times[4], times[4]):
        assert await choose(web, link, at) == "Booked. We look forward to talking to you."
    [task] = await web.rows("SELECT id::text, starts_at, calendar_sequence FROM tasks")
    assert task["starts_at"] == datetime.fromisoformat(times[4])
    assert task["calendar_sequence"] == 2
    events = await web.rows(
        "SELECT name, properties ->> 'with' AS who FROM events WHERE name = 'call_booked'"
    )
    assert events == [{"name": "call_booked", "who": "anna@example.com"}] * 2


async def test_open_lists_hear_of_a_call_that_the_customer_books_and_moves_and_the_audit_has_both(
    web: RunningWeb,
) -> None:
    [link] = await know(web, "ada")
    times = await offered(web, link)
    async with listening(web) as page:
        for at in (times[0], times[4]):
            await choose(web, link, at)
            told = await page.until("task")
            assert (told["state"], told["userId"]) == ("open", "ada")
    rows = await web.rows("SELECT action, actor_kind, actor_name, before, after FROM audit_log ORDER BY id")
    booked, moved = rows
    assert {(row["action"], row["actor_kind"]) for row in rows} == {("task.booked", "token")}
    assert moved["actor_name"] == "the customer, by a booking link"
    assert booked["before"] is None
    assert [
        datetime.fromisoformat(one["starts_at"]) for one in (booked["after"], moved["before"], moved["after"])
    ] == [datetime.fromisoformat(times[place]) for place in (0, 0, 4)]


async def test_the_page_speaks_in_the_customers_time_and_names_no_address(web: RunningWeb) -> None:
    await govern(web, TEAM)
    [link] = await know(web, "ada")
    page = (await web.client.get(link)).text
    assert "with Anna<" in page
    assert "anna@example.com" not in page
    # Nine in Berlin is eight in Lisbon.
    assert re.findall(r">(\d\d:\d\d)</button>", page)[-1] == "15:30"
    assert "Europe/Lisbon" in page


async def test_nobody_books_what_isnt_offered_or_with_a_link_of_their_own_making(web: RunningWeb) -> None:
    [link] = await know(web, "ada")
    at = datetime.fromisoformat((await offered(web, link))[0])
    for wrong in (
        at + timedelta(minutes=7), at - timedelta(days=365), at + timedelta(days=365), at.replace(hour=3),
    ):  # fmt: skip
        assert (await choose(web, link, wrong.isoformat())).startswith("That time can't be booked")
    for odd in ("", "soon", "2026-03-02T09:00", "9999-12-31T23:59:59-23:59", "x" * 100):
        assert (await web.client.post(link, data={"at": odd})).status_code == 400
    [row] = await web.rows("SELECT id::text FROM customers")
    for other in ("unsubscribe", "preferences", "calendar"):
        stolen = KEY.sign(LinkToken(other, row["id"]))
        assert (await web.client.get(f"/book/{stolen}")).status_code == 404
    assert await web.count("tasks") == 0


async def test_looking_books_nothing_and_needs_no_key(web: RunningWeb) -> None:
    [link] = await know(web, "ada")
    async with httpx.AsyncClient(base_url=web.address, trust_env=False) as stranger:
        assert (await stranger.get(link)).status_code == 200
        assert (await stranger.head(link)).status_code == 200
        assert (await stranger.get("/tasks/x/calendar.ics")).status_code == 401
    assert await web.count("tasks") == 0


async def test_without_anybody_to_book_the_page_says_so(web: RunningWeb) -> None:
    [link] = await know(web, "ada", csm=None)
    assert "No time is free" in (await web.client.get(link)).text


async def test_both_have_the_call_in_their_calendars_until_it_is_called_off(web: RunningWeb) -> None:
    [link] = await know(web, "ada")
    times = await offered(web, link)
    await choose(web, link, times[-1])
    page = (await web.client.get(link)).text
    [path] = re.findall(r'href="\.\.(/calendar/[^"]+\.ics)"', page)
    [row] = await web.rows("SELECT id::text FROM tasks")

    async def read(where: str) -> tuple[Calendar, str]:
        answer = await web.client.get(where)
        assert answer.status_code == 200, answer.text
        return Calendar.from_ical(answer.text), answer.headers["content-type"]

    customers, kind = await read(path)
    own, _ = await read(f"/tasks/{row['id']}/calendar.ics")
    assert kind == "text/calendar; charset=utf-8; method=REQUEST"
    events = [calendar.walk("VEVENT")[0] for calendar in (customers, own)]
    assert {(str(event["UID"]), event["SEQUENCE"]) for event in events} == {(f"{row['id']}@holdfast", 1)}
    assert {event.decoded("DTSTART") for event in events} == {datetime.fromisoformat(times[-1])}
    # What stands on a work list is not for the customer to read.
    assert [str(event["SUMMARY"]) for event in events] == ["Call with Anna", "Call Ada, who booked it"]
    await complete_task(web.other, row["id"], "declined", by="anna@example.com")
    off, kind = await read(path)
    [event] = off.walk("VEVENT")
    assert (off["METHOD"], event["SEQUENCE"], event["STATUS"]) == ("CANCEL", 2, "CANCELLED")
    assert kind.endswith("method=CANCEL")


# With a run that waits


async def test_the_runs_own_call_is_booked_and_the_run_branches_on_how_it_went(
    house: House, database_url: str
) -> None:
    call = act(
        "call",
        "ring",
        title="Call Ada",
        assign={"team": "cs"},
        due="1d",
        escalate={"after": "2d", "to": "cs-lead"},
    )
    await house.engine.publish(
        playbook(
            call, act("sms", "thanks", text="Done: {{ steps.ring.outcome }} by {{ steps.ring.assignee }}")
        ),
        policy=TEAM.model_copy(update={"consent": {"sms": "assumed"}}),
    )
    await house.engine.identify("ada", first_name="Ada", phone="+15005550010", timezone="UTC")
    await house.engine.send("ada", "help_wanted")
    [task] = await house.engine.until("SELECT id::text, customer_id::text FROM tasks WHERE state = 'open'")
    async with run_web(database_url, HOLDFAST_SECRET_KEY=SECRET) as web:
        link = f"/book/{KEY.sign(LinkToken('book', task['customer_id']))}"
        at = (await offered(web, link))[-1]
        assert (await choose(web, link, at)).startswith("Booked")
        [row] = await web.rows("SELECT id::text, taken_by, starts_at, escalate_at, run_id FROM tasks")
        assert (row["id"], row["taken_by"]) == (task["id"], "anna@example.com")
        assert row["starts_at"] == datetime.fromisoformat(at)
        assert row["escalate_at"] >= row["starts_at"]
        answer = await web.client.post(
            f"/api/tasks/{task['id']}/complete", json={"outcome": "reached", "satisfactionRating": 5}
        )
        assert answer.status_code == 200
        [step] = await house.engine.until(
            "SELECT outcome FROM run_steps WHERE step = 'ring' AND outcome <> 'open'"
        )
        assert step["outcome"] == "reached"
        await house.engine.until("SELECT 1 FROM run_steps WHERE step = 'thanks'")
    [text] = house.twilio.accepted
    assert text.body == "Done: reached by anna@example.com"


def test_whoever_has_a_csm_books_on_our_own_page() -> None:
    customer = "6f1b2c1e-1d5c-4a51-9c4f-0b0f7d5f2a11"
    maker = LinkMaker(KEY, "https://care.example.com")
    link = maker.make(customer, {"csm": "anna@example.com"})["booking"]
    token = KEY.read(link.removeprefix("https://care.example.com/book/"), "book")
    assert token == LinkToken("book", customer)
    assert "booking" not in maker.make(customer, {})
    elsewhere = LinkMaker(KEY, "https://care.example.com", "https://book.example.com")
    assert elsewhere.make(customer, {"csm": "anna"})["booking"] == "https://book.example.com"


async def test_whoever_is_on_the_other_side_of_the_world_is_told_whose_hours_they_are(
    web: RunningWeb,
) -> None:
    await govern(web, TEAM)
    [near] = await know(web, "ada")
    assert "by yours that is early" not in (await web.client.get(near)).text
    body = {"userId": "ada", "messageId": "i-far", "traits": {"timezone": "Pacific/Auckland"}}
    await web.client.post("/v1/identify", json=body)
    page = (await web.client.get(near)).text
    assert "We work by the clock of Europe/Berlin: by yours that is early, late or at night." in page
    assert (await choose(web, near, (await offered(web, near))[0])).startswith("Booked")
