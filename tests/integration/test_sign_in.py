"""Signing in: by a password or by a one-time link, limited where it fails, and never telling who has an account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from store.database import Database
from store.refused_sign_ins import MOST_UNKNOWN, is_told
from store.sessions import hash_token
from store.sign_in_failures import Subject, begin_attempt, of_account, of_address
from store.sign_in_links import add_link
from tests.integration.browsing import ACTOR, PASSWORD, Browser, hire, open_browser, signed_in
from tests.integration.web_edge import SECRET, RunningWeb, run_web
from web.passwords import verify_password

NEW = "three quiet rivers"

pytestmark = pytest.mark.usefixtures("quick_hashes")


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        yield running


@pytest.fixture
async def browser(web: RunningWeb) -> AsyncIterator[Browser]:
    async with open_browser(web) as opened:
        yield opened


async def make_link(web: RunningWeb, person_id: str, *, lasts: float = 1, sets_password: bool = True) -> str:
    token = f"t-{person_id}-{lasts}"
    async with web.other.transaction() as connection:
        from store.people import load_person

        await add_link(
            connection, ACTOR, await load_person(connection, person_id), token_hash=hash_token(token),
            expires_at=datetime.now(UTC) + timedelta(hours=lasts), sets_password=sets_password,
        )  # fmt: skip
    return f"/welcome/{token}"


async def audited(web: RunningWeb) -> list[tuple[str, str, str, dict[str, Any]]]:
    """What the audit says of sessions: who, what, of whom, and what is noted."""
    rows = await web.rows("SELECT * FROM audit_log WHERE action LIKE 'session.%' ORDER BY id")
    return [(row["actor_name"], row["action"], row["object_id"], row["after"]) for row in rows]


async def let_time_pass(web: RunningWeb) -> None:
    """As if every block had ended."""
    await web.change("UPDATE sign_in_failures SET blocked_until = now() - interval '1 second'")


async def test_who_isnt_signed_in_is_led_to_the_form_and_back_to_the_page(
    web: RunningWeb, browser: Browser
) -> None:
    await hire(web)
    led = await browser.get("/runs?state=open")
    assert (led.status_code, led.headers["location"]) == (303, "/sign-in?next=%2Fruns%3Fstate%3Dopen")
    form = await browser.get(led.headers["location"])
    assert 'name="next" value="/runs?state=open"' in form.text
    answer = await browser.post(
        "/sign-in", email="ADA@example.com", password=PASSWORD, next="/runs?state=open"
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?state=open")
    page = await browser.get("/runs?state=open")
    assert page.status_code == 200
    assert "Ada" in page.text
    [row] = await web.rows("SELECT signed_in_at IS NOT NULL AS seen FROM people")
    assert row["seen"]


@pytest.mark.parametrize(
    "onward",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/%0d%0aX: y\r\nX: y",
        "javascript:x()",
        "",
    ],
)
async def test_the_form_never_leads_elsewhere(web: RunningWeb, browser: Browser, onward: str) -> None:
    await hire(web)
    answer = await browser.post("/sign-in", email="ada@example.com", password=PASSWORD, next=onward)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_what_fails_looks_the_same_whoever_it_is(web: RunningWeb, browser: Browser) -> None:
    await hire(web)
    await hire(web, "invited@example.com", password=None)
    closed = await hire(web, "closed@example.com")
    await web.change("UPDATE people SET active = false WHERE id::text = :id", id=closed.id)
    told = set()
    for email in ("ada@example.com", "invited@example.com", "closed@example.com", "nobody@example.com"):
        answer = await browser.sign_in(email, PASSWORD if email.startswith("closed") else "wrong password!")
        assert answer.status_code == 403
        assert "holdfast" not in browser.client.cookies
        told.add(answer.text.replace(email, ""))
    assert len(told) == 1


async def test_unknown_accounts_cost_a_hash_too(
    web: RunningWeb, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hire(web)
    compared: list[str] = []
    verify = PasswordHasher.verify

    def watched(self: PasswordHasher, kept: str, password: str | bytes) -> bool:
        compared.append(kept.rpartition("$")[0].rpartition("$")[0])
        return verify(self, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", watched)
    for email in ("ada@example.com", "nobody@example.com"):
        await browser.sign_in(email, "wrong password!")
    # Of the same parameters, so that it takes as long.
    assert len(compared) == 2
    assert len(set(compared)) == 1
    assert compared[0].startswith("$argon2id$")


async def test_after_five_failures_even_the_right_password_has_to_wait_and_each_one_more_doubles_it(
    web: RunningWeb, browser: Browser
) -> None:
    await hire(web)
    for _ in range(6):
        assert (await browser.sign_in("ada@example.com", "wrong password!")).status_code == 403
    waits = []
    for _ in range(3):
        refused = await browser.sign_in("ada@example.com")
        assert refused.status_code == 429
        assert "Try again in" in refused.text
        waits.append(int(refused.headers["Retry-After"]))
        await let_time_pass(web)
        assert (await browser.sign_in("ada@example.com", "wrong password!")).status_code == 403
    assert [round(wait, -1) for wait in waits] == [30, 60, 120]
    await let_time_pass(web)
    assert (await browser.sign_in("ada@example.com")).status_code == 303
    # The account starts anew.
    assert (await browser.sign_in("ada@example.com", "wrong password!")).status_code == 403
    assert (await browser.sign_in("ada@example.com")).status_code == 303


async def test_an_account_that_isnt_there_is_blocked_like_any_other(
    web: RunningWeb, browser: Browser
) -> None:
    await hire(web)
    for email in ("ada@example.com", "nobody@example.com"):
        answers = [(await browser.sign_in(email, "wrong password!")).status_code for _ in range(7)]
        assert answers == [403] * 6 + [429]


async def test_a_hundred_guesses_at_once_are_not_a_hundred_free_ones(web: RunningWeb) -> None:
    await hire(web)

    async def guess() -> int:
        async with open_browser(web) as one:
            return (await one.sign_in("ada@example.com", "wrong password!")).status_code

    answers = await asyncio.gather(*(guess() for _ in range(20)))
    assert (answers.count(403), answers.count(429)) == (6, 14)


async def test_an_address_that_tries_many_accounts_has_to_wait_with_all_of_them(
    web: RunningWeb, browser: Browser
) -> None:
    await hire(web)
    for number in range(21):
        assert (await browser.sign_in(f"guess{number}@example.com", "wrong password!")).status_code == 403
    assert (await browser.sign_in("ada@example.com")).status_code == 429
    rows = await web.rows("SELECT subject_hash FROM sign_in_failures")
    assert all(len(row["subject_hash"]) == 64 for row in rows)


async def test_addresses_behind_a_proxy_are_told_apart_where_it_is_known(database_url: str) -> None:
    async with run_web(database_url, HOLDFAST_PROXIES="127.0.0.0/8") as web:
        await hire(web)
        origin = {"Origin": web.address}

        async def guess(client: httpx.AsyncClient, number: int, forwarded: str) -> int:
            answer = await client.post(
                "/sign-in",
                data={"email": f"guess{number}@example.com", "password": "wrong password!"},
                headers={**origin, "X-Forwarded-For": forwarded},
            )
            return answer.status_code

        async with httpx.AsyncClient(base_url=web.address, trust_env=False) as client:
            for number in range(21):
                # What the client itself wrote into the header stands further left, and isn't believed.
                assert await guess(client, number, f"10.9.9.{number}, 203.0.113.7") == 403
            assert await guess(client, 30, "198.51.100.1, 203.0.113.7") == 429
            assert await guess(client, 31, "203.0.113.8") == 403


async def test_a_form_from_elsewhere_signs_nobody_in(web: RunningWeb, browser: Browser) -> None:
    await hire(web)
    fields = {"email": "ada@example.com", "password": PASSWORD}
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
        answer = await browser.client.post("/sign-in", data=fields, headers=headers)
        assert answer.status_code == 403
        assert browser.token is None


async def test_a_password_of_older_parameters_is_hashed_anew(
    web: RunningWeb, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.passwords._hasher", PasswordHasher())
    person = await hire(web)
    old = PasswordHasher(time_cost=1, memory_cost=8192).hash(PASSWORD)
    await web.change("UPDATE people SET password_hash = :old WHERE id::text = :id", old=old, id=person.id)
    assert (await browser.sign_in("ada@example.com")).status_code == 303
    [row] = await web.rows("SELECT password_hash FROM people")
    assert not PasswordHasher().check_needs_rehash(row["password_hash"])
    assert PasswordHasher().verify(row["password_hash"], PASSWORD)


async def test_until_there_is_an_account_the_page_says_how_to_make_one(
    web: RunningWeb, browser: Browser
) -> None:
    assert "holdfast people add" in (await browser.get("/sign-in")).text
    await hire(web)
    assert "holdfast people add" not in (await browser.get("/sign-in")).text


async def test_a_link_is_looked_at_as_often_as_one_likes_and_used_once(
    web: RunningWeb, browser: Browser
) -> None:
    person = await hire(web, password=None)
    link = await make_link(web, person.id)
    for _ in range(3):
        page = await browser.get(link)
        assert page.status_code == 200
        assert "Welcome, Ada" in page.text
    assert browser.token is None
    used = await browser.post(link, name="Ada L.", password=NEW, again=NEW)
    assert (used.status_code, used.headers["location"]) == (303, "/")
    assert "Ada L." in (await browser.get("/me")).text
    async with open_browser(web) as another:
        assert (await another.get(link)).status_code == 404
        assert (await another.post(link, name="Eve", password=NEW, again=NEW)).status_code == 404
        assert await another.is_in() is False
        assert (await another.sign_in("ada@example.com", NEW)).status_code == 303


async def test_of_two_who_use_a_link_at_once_one_comes_in(web: RunningWeb) -> None:
    person = await hire(web, password=None)
    link = await make_link(web, person.id)

    async def use() -> int:
        async with open_browser(web) as one:
            return (await one.post(link, name="Ada", password=NEW, again=NEW)).status_code

    assert sorted(await asyncio.gather(*(use() for _ in range(4)))) == [303, 404, 404, 404]


async def test_a_link_expires_and_a_newer_one_takes_its_place(web: RunningWeb, browser: Browser) -> None:
    person = await hire(web, password=None)
    late = await make_link(web, person.id, lasts=-1)
    assert (await browser.get(late)).status_code == 404
    first = await make_link(web, person.id, lasts=2)
    await make_link(web, person.id, lasts=3)
    assert (await browser.get(first)).status_code == 404
    assert (await browser.post("/welcome/none", name="A", password=NEW, again=NEW)).status_code == 404


async def test_a_link_may_sign_in_without_a_password(web: RunningWeb, browser: Browser) -> None:
    person = await hire(web, password=None)
    link = await make_link(web, person.id, sets_password=False)
    assert 'type="password"' not in (await browser.get(link)).text
    assert (await browser.post(link)).status_code == 303
    assert await browser.is_in()
    [row] = await web.rows("SELECT password_hash FROM people")
    assert row["password_hash"] is None


async def test_a_link_of_a_closed_account_opens_nothing(web: RunningWeb, browser: Browser) -> None:
    person = await hire(web, password=None)
    link = await make_link(web, person.id)
    await web.change("UPDATE people SET active = false")
    assert (await browser.get(link)).status_code == 404
    assert (await browser.post(link, name="Ada", password=NEW, again=NEW)).status_code == 404


async def test_a_new_password_by_link_signs_out_whoever_had_the_old_one(web: RunningWeb) -> None:
    async with signed_in(web, email="ada@example.com") as thief, open_browser(web) as ada:
        [row] = await web.rows("SELECT id::text AS id FROM people")
        assert (
            await ada.post(await make_link(web, row["id"]), name="Ada", password=NEW, again=NEW)
        ).status_code == 303
        assert await ada.is_in()
        assert not await thief.is_in()


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short", "at least 12"),
        ("x" * 300, "at most 256"),
        ("ada@example.com", "mail address"),
        ("passwordpassword", "first to be tried"),
        ("PassWord1234", "first to be tried"),
        ("aaaaaaaaaaaaaaaa", "first to be tried"),
    ],
)
async def test_a_weak_password_is_refused_with_its_reason_and_the_link_stays_good(
    web: RunningWeb, browser: Browser, password: str, reason: str
) -> None:
    person = await hire(web, password=None)
    link = await make_link(web, person.id)
    refused = await browser.post(link, name="Ada", password=password, again=password)
    assert refused.status_code == 400
    assert reason in refused.text
    differing = await browser.post(link, name="Ada", password=NEW, again=NEW + "!")
    assert "differ" in differing.text
    assert (await browser.get(link)).status_code == 200


async def test_names_and_reasons_are_text_never_markup(web: RunningWeb, browser: Browser) -> None:
    person = await hire(web, password=None)
    link = await make_link(web, person.id)
    page = await browser.post(link, name="<b>Ada</b>", password="short", again="short")
    assert "<b>Ada" not in page.text
    form = await browser.post("/sign-in", email='"><script>x()</script>', password="wrong password!")
    assert "<script>x" not in form.text


async def test_pages_of_signing_in_have_the_strict_policy(database_url: str) -> None:
    async with run_web(database_url, HOLDFAST_PUBLIC_URL="https://holdfast.example.com") as web:
        person = await hire(web, password=None)
        link = await make_link(web, person.id)
        async with open_browser(web) as browser:
            for path in ("/sign-in", link):
                page = await browser.get(path)
                policy = page.headers["content-security-policy"]
                for part in (
                    "default-src 'self'",
                    "object-src 'none'",
                    "base-uri 'none'",
                    "form-action 'self'",
                ):
                    assert part in policy
                assert "unsafe" not in policy
                assert "camera=()" in page.headers["permissions-policy"]
                assert page.headers["strict-transport-security"] == "max-age=31536000"
                assert page.headers["cache-control"] == "no-store"
                assert "<script" not in page.text
                assert "style=" not in page.text
            used = await browser.post(link, name="Ada", password=NEW, again=NEW)
            cookie = used.headers["set-cookie"]
            assert cookie.startswith("__Host-holdfast=")
            assert all(part in cookie for part in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"))
            assert "Domain" not in cookie


async def test_the_audit_says_who_came_in_how_and_from_which_network_and_who_went(web: RunningWeb) -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    ada, grace = await hire(web), await hire(web, "grace@example.com", password=None)
    link = await make_link(web, grace.id)
    async with open_browser(web, firefox) as one, open_browser(web, "curl/8 (my-laptop)") as other:
        await one.sign_in("ada@example.com")
        await other.post(link, name="Grace", password=NEW, again=NEW)
        await one.send("/sign-out")
        # Somebody else sits down at a browser in which Grace is signed in.
        await other.sign_in("ada@example.com")
    place = {"network": "127.0.0.0/24", "browser": "Firefox on Linux"}
    rows = await audited(web)
    assert [(who, what, whom) for who, what, whom, _ in rows] == [
        ("Ada", "session.started", ada.id), ("Grace", "session.started", grace.id), ("Ada", "session.ended", ada.id),
        ("Ada", "session.ended", grace.id), ("Ada", "session.started", ada.id),
    ]  # fmt: skip
    first, by_link, out, anew, _ = [after for *_, after in rows]
    assert {**place, "way": "password"}.items() <= first.items()
    assert (by_link["way"], by_link["browser"]) == ("link", "another program")
    assert (out, anew) == (
        {"sessions": 1, "why": "signed_out"}, {"sessions": 1, "why": "signed_in_anew"},
    )  # fmt: skip
    # Where two came from the same address shows; the address itself doesn't.
    assert first["address_hash"] == by_link["address_hash"]
    assert "127.0.0.1" not in str(rows)
    assert "my-laptop" not in str(rows)


async def test_failures_stand_in_the_audit_when_they_begin_and_when_they_have_to_wait(
    web: RunningWeb, browser: Browser
) -> None:
    ada = await hire(web)
    # Into the wrong field, as people do.
    secret = "my own pass phrase"
    for _ in range(8):
        await browser.sign_in("ada@example.com", "wrong password!")
        await browser.sign_in(secret, "ada@example.com")
    rows = await audited(web)
    assert {who for who, *_ in rows} == {"nobody signed in"}
    assert {what for _, what, *_ in rows} == {"session.refused"}
    hers = [after for _, _, whom, after in rows if whom == ada.id]
    assert [(after["failures"], after["has_to_wait"]) for after in hers] == [(1, False), (6, True)]
    theirs = [row for row in await web.rows("SELECT * FROM audit_log") if row["object_kind"] == "sign_in"]
    assert [row["after"]["failures"] for row in theirs] == [1, 6]
    # Nor can anybody who sees the table try out whose failures they are.
    counted = [row["subject_hash"] for row in await web.rows("SELECT subject_hash FROM sign_in_failures")]
    assert len(counted) == 3
    assert not {of_account(secret).hashed, of_address("127.0.0.1").hashed} & set(counted)
    assert of_account(secret, SECRET).hashed in counted
    # The same name is known again, and isn't told.
    [named] = {row["object_id"] for row in theirs}
    everything = str(await web.rows("SELECT * FROM audit_log")) + str(rows)
    assert secret not in everything
    assert "wrong password" not in everything
    assert hash_token(secret)[:12] not in everything
    assert len(named) == 16


async def test_names_that_nobody_has_dont_fill_the_audit(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hire(web)
    monkeypatch.setattr("store.sign_in_failures.wait_after", lambda failures, free: timedelta(0))
    async with open_browser(web) as browser:
        for number in range(MOST_UNKNOWN + 3):
            assert (await browser.sign_in(f"guess{number}@example.com", "wrong password!")).status_code == 403
        # An account that there is shows all the same.
        await browser.sign_in("ada@example.com", "wrong password!")
    rows = await web.rows(
        "SELECT object_kind, after FROM audit_log WHERE action = 'session.refused' ORDER BY id"
    )
    assert [row["object_kind"] for row in rows] == ["sign_in"] * MOST_UNKNOWN + ["person"]
    assert "more_in_this_hour" in rows[-2]["after"]


def test_an_attack_that_never_rests_is_told_about_once_a_day() -> None:
    # A quarter of an hour apart, which is as often as anybody may by then.
    told = [failures for failures in range(1, 1001) if is_told(failures, 5)]
    assert told == [1, 6, *range(100, 1001, 100)]


async def test_the_audit_page_says_it_in_words_and_shows_sign_ins_alone(web: RunningWeb) -> None:
    async with signed_in(web, email="ada@example.com") as ada:
        async with open_browser(web) as stranger:
            await stranger.sign_in("ada@example.com", "wrong password!")
            await stranger.sign_in("<b>nobody</b>", "wrong password!")
        page = await ada.get("/audit?action=session.")
        for words in ("signed in", "wasn&#39;t let in", "127.0.0.0/24", "a name that nobody has", "password"):
            assert words in page.text, words
        assert "person.added" not in page.text
        assert "<b>nobody" not in page.text
        people = (await ada.get("/people")).text
        [row] = await web.rows("SELECT id::text AS id FROM people")
        assert f"/audit?object_kind=person&amp;object_id={row['id']}&amp;action=session." in people
        exported = await ada.get("/audit.csv?action=session.")
        assert "session.refused" in exported.text


async def test_links_that_nobody_has_are_tried_as_often_as_passwords_and_then_wait(
    web: RunningWeb, browser: Browser
) -> None:
    ada = await hire(web, password=None)
    link = await make_link(web, ada.id)
    # One that is good counts for nothing.
    for _ in range(25):
        assert (await browser.get(link)).status_code == 200
    answers = [(await browser.get(f"/welcome/guess-{number}")).status_code for number in range(20)]
    assert answers == [404] * 20
    fields = {"name": "Eve", "password": NEW, "again": NEW}
    assert (await browser.post("/welcome/guess", **fields)).status_code == 404
    for answer in (await browser.get("/welcome/guess"), await browser.post("/welcome/guess", **fields)):
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 30
        assert "Try again in" in answer.text
    # A link that is good waits as well, and is good still; the password's own door isn't touched.
    assert (await browser.get(link)).status_code == 429
    await hire(web, "grace@example.com")
    assert (await browser.sign_in("grace@example.com")).status_code == 303
    await let_time_pass(web)
    assert (await browser.post(link, name="Ada", password=NEW, again=NEW)).status_code == 303
    told = [after["failures"] for _, what, _, after in await audited(web) if what == "session.refused"]
    assert told == [1, 21]


async def test_a_link_that_is_tried_again_stands_with_whose_it_was(web: RunningWeb) -> None:
    ada = await hire(web, password=None)
    link = await make_link(web, ada.id)
    async with open_browser(web) as one, open_browser(web) as another:
        await one.post(link, name="Ada", password=NEW, again=NEW)
        assert (await another.get(link)).status_code == 404
    *_, (_, what, whom, after) = await audited(web)
    assert (what, whom, after["way"]) == ("session.refused", ada.id, "link")


async def test_a_new_password_makes_older_links_worthless(web: RunningWeb) -> None:
    async with signed_in(web, email="ada@example.com") as ada:
        [row] = await web.rows("SELECT id::text AS id FROM people")
        link = await make_link(web, row["id"])
        await ada.send("/me/password", current=PASSWORD, password=NEW, again=NEW)
        async with open_browser(web) as thief:
            assert (await thief.get(link)).status_code == 404


@pytest.mark.parametrize(
    "meanwhile", ["active = false", "password_hash = 'another'"], ids=["closed", "another password"]
)
async def test_what_changes_while_a_password_is_compared_lets_nobody_in(
    web: RunningWeb, browser: Browser, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    await hire(web)

    async def slowly(kept: str | None, password: str) -> bool:
        good = await verify_password(kept, password)
        await web.change(f"UPDATE people SET {meanwhile}")
        return good

    monkeypatch.setattr("web.local_accounts.verify_password", slowly)
    assert (await browser.sign_in("ada@example.com")).status_code == 403
    assert await web.count("sessions") == 0


async def test_slips_of_a_busy_house_fade_and_those_of_an_account_dont(database_url: str) -> None:
    database = Database(database_url, connections=1)
    begun = datetime(2026, 3, 2, 9, tzinfo=UTC)

    async def try_again(subject: Subject, minutes: float) -> int:
        async with database.transaction() as connection:
            return (await begin_attempt(connection, [subject], begun + timedelta(minutes=minutes))).failures

    try:
        house, account = of_address("203.0.113.7"), of_account("ada@example.com")
        assert [await try_again(house, minute) for minute in (0, 1, 2, 3)] == [1, 2, 3, 4]
        # One of them is forgotten by now, and what has passed of the next quarter isn't lost.
        assert [await try_again(house, minute) for minute in (16, 29, 31, 60, 180)] == [4, 5, 5, 4, 1]
        assert [await try_again(account, minute) for minute in (0, 60, 120)] == [1, 2, 3]
        assert await try_again(house, 60 * 30) == 1
    finally:
        await database.close()
