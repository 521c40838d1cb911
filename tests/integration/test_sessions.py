"""Sessions: one per browser, known by a hash, over at once when they are ended, and of use to no other site."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator

import pytest

from tests.integration.browsing import PASSWORD, hire, open_browser, signed_in
from tests.integration.web_edge import KEY, RunningWeb, furnish, run_web
from web import watched_stream

NEW = "three quiet rivers"

pytestmark = pytest.mark.usefixtures("quick_hashes")


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        yield running


async def test_the_database_holds_a_hash_of_a_long_random_cookie(web: RunningWeb) -> None:
    async with signed_in(web) as browser:
        token = browser.token
        assert token is not None
        assert len(token) >= 43
        [row] = await web.rows("SELECT token_hash, csrf, agent FROM sessions")
        assert row["token_hash"] == hashlib.sha256(token.encode()).hexdigest()
        assert row["agent"] == "Test/1.0"
        assert token not in str(row)


async def test_signing_in_again_gives_another_token_and_ends_the_one_before(web: RunningWeb) -> None:
    await hire(web)
    async with open_browser(web) as browser:
        # What somebody may have put there beforehand isn't taken over.
        browser.client.cookies.set("holdfast", "a-token-that-was-planted", domain="127.0.0.1")
        assert not await browser.is_in()
        await browser.sign_in("ada@example.com")
        [first] = [
            cookie.value
            for cookie in browser.client.cookies.jar
            if cookie.value != "a-token-that-was-planted"
        ]
        browser.client.cookies.clear()
        browser.client.cookies.set("holdfast", str(first), domain="127.0.0.1")
        assert await browser.is_in()
        again = await browser.sign_in("ada@example.com")
        assert str(first) not in again.headers["set-cookie"]
        assert await web.count("sessions") == 1


async def test_signing_out_ends_it_on_the_server_too(web: RunningWeb) -> None:
    async with signed_in(web) as browser, open_browser(web) as thief:
        thief.client.cookies.set("holdfast", str(browser.token), domain="127.0.0.1")
        assert await thief.is_in()
        refused = await browser.post("/sign-out")
        assert refused.status_code == 403
        answer = await browser.send("/sign-out")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert browser.token is None
        assert not await thief.is_in()
        assert await web.count("sessions") == 0


async def test_a_closed_account_is_out_at_once_and_stays_out(web: RunningWeb) -> None:
    async with signed_in(web) as admin, signed_in(web, "csm", "grace@example.com") as grace:
        assert await grace.is_in()
        [row] = await web.rows("SELECT id::text AS id FROM people WHERE role = 'csm'")
        assert (await admin.send(f"/people/{row['id']}/deactivate")).status_code == 303
        assert not await grace.is_in()
        assert (await grace.sign_in("grace@example.com")).status_code == 403
        assert (await admin.send(f"/people/{row['id']}/reactivate")).status_code == 303
        # What was open before isn't open again.
        assert not await grace.is_in()
        assert (await grace.sign_in("grace@example.com")).status_code == 303


async def test_what_changes_something_asks_the_database_however_fresh_the_memory_is(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.sessions.Sessions.READ_AGAIN_SECONDS", 3600.0)
    ids = await furnish(web)
    async with signed_in(web, "csm") as browser:
        token = await browser.csrf()
        # Another process closes the account, or gives it a smaller role; this one hasn't heard of it.
        await web.change("DELETE FROM sessions")
        assert await browser.is_in()
        answer = await browser.post(f"/tasks/{ids['task']}/complete", csrf=token, outcome="reached")
        assert (answer.status_code, answer.headers["location"][:8]) == (303, "/sign-in")
        [task] = await web.rows("SELECT state FROM tasks")
        assert task["state"] == "open"
        assert not await browser.is_in()


async def test_a_role_that_was_taken_away_is_gone_with_the_next_action(web: RunningWeb) -> None:
    async with signed_in(web, "admin") as browser:
        token = await browser.csrf()
        await web.change("UPDATE people SET role = 'csm'")
        refused = await browser.post("/people", csrf=token, email="eve@example.com", name="Eve", role="admin")
        assert refused.status_code == 403
        assert "HF161" in refused.text
        assert await web.count("people") == 1


@pytest.mark.parametrize(
    "over", ["expires_at = now() - interval '1 second'", "seen_at = now() - interval '12 hours 1 second'"]
)
async def test_sessions_end_by_themselves(web: RunningWeb, over: str) -> None:
    async with signed_in(web) as browser:
        await web.change(f"UPDATE sessions SET {over}")
        await asyncio.sleep(1.1)
        assert not await browser.is_in()
        async with signed_in(web):
            # Remains go at the next occasion.
            assert await web.count("sessions") == 1


async def test_use_keeps_it_from_becoming_idle_but_not_beyond_its_end(web: RunningWeb) -> None:
    async with signed_in(web) as browser:
        await web.change("UPDATE sessions SET seen_at = now() - interval '2 hours'")
        await asyncio.sleep(1.1)
        assert await browser.is_in()
        [row] = await web.rows(
            "SELECT seen_at > now() - interval '1 minute' AS seen, expires_at - created_at AS lasts FROM sessions"
        )
        assert row["seen"]
        assert row["lasts"].days == 7


async def test_forms_without_the_sessions_own_token_are_refused(web: RunningWeb) -> None:
    ids = await furnish(web)
    url = f"/tasks/{ids['task']}/complete"
    async with signed_in(web) as eve, signed_in(web) as browser:
        for token in ("", "wrong", await eve.csrf()):
            refused = await browser.post(url, csrf=token, outcome="reached")
            assert refused.status_code == 403
            assert "HF162" in refused.text
        assert (await browser.post(url, outcome="reached")).status_code == 403
        # The right token from another site's page: browsers say where from.
        for origin in ("https://evil.example", "null"):
            answer = await browser.client.post(
                url, data={"csrf": await browser.csrf(), "outcome": "reached"}, headers={"Origin": origin}
            )
            assert answer.status_code == 403
        [task] = await web.rows("SELECT state FROM tasks")
        assert task["state"] == "open"
        assert (await browser.send(url, outcome="reached")).status_code == 303
        [task] = await web.rows("SELECT state, completed_by FROM tasks")
        assert task["state"] == "done"


async def test_scripts_of_our_pages_call_the_api_by_the_session_and_show_its_token(web: RunningWeb) -> None:
    ids = await furnish(web)
    async with signed_in(web, "csm", "grace@example.com") as browser:
        assert (await browser.client.get("/api/runs")).status_code == 200
        url, body = f"/api/tasks/{ids['task']}/complete", {"outcome": "reached"}
        for headers in (
            {},
            {"X-CSRF": "wrong"},
            {"X-CSRF": await browser.csrf(), "Origin": "https://evil.example"},
        ):
            refused = await browser.client.post(url, json=body, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "HF162")
        done = await browser.client.post(url, json=body, headers={"X-CSRF": await browser.csrf()})
        assert done.status_code == 200, done.text
        [task] = await web.rows("SELECT completed_by FROM tasks")
        assert task["completed_by"] == "Grace"


async def test_ones_own_browsers_are_listed_and_the_others_ended(web: RunningWeb) -> None:
    await hire(web, "ada@example.com")
    async with open_browser(web, "Laptop") as laptop, open_browser(web, "Phone") as phone:
        await laptop.sign_in("ada@example.com")
        await phone.sign_in("ada@example.com")
        page = (await laptop.get("/me")).text
        assert "Phone" in page
        assert "Laptop" in page
        answer = await laptop.send("/me/sessions/end")
        assert "Signed+out+of+1+other+browser" in answer.headers["location"]
        assert await laptop.is_in()
        assert not await phone.is_in()


async def test_one_browser_is_signed_out_from_another_and_nobody_elses(web: RunningWeb) -> None:
    await hire(web, "ada@example.com")
    async with (
        open_browser(web, "Laptop") as laptop,
        open_browser(web, "Phone") as phone,
        open_browser(web, "Tablet") as tablet,
        signed_in(web, "csm", "eve@example.com") as eve,
    ):
        for one in (laptop, phone, tablet):
            await one.sign_in("ada@example.com")
        page = (await laptop.get("/me")).text
        [key] = re.findall(r'/me/sessions/([0-9a-f]{16})/end"[^>]*>.{,200}?Sign out of Phone"', page)
        # It is the owner's to end, by its own page.
        stranger = await eve.send(f"/me/sessions/{key}/end")
        assert "refused=" in stranger.headers["location"]
        assert (await laptop.post(f"/me/sessions/{key}/end")).status_code == 403
        assert await phone.is_in()
        ended = await laptop.send(f"/me/sessions/{key}/end")
        assert "told=Signed+out+of+that+browser" in ended.headers["location"]
        assert not await phone.is_in()
        assert await tablet.is_in()
        assert "refused=That+browser" in (await laptop.send(f"/me/sessions/{key}/end")).headers["location"]
        own = hashlib.sha256(str(laptop.token).encode()).hexdigest()[:16]
        assert "refused=That+is+this" in (await laptop.send(f"/me/sessions/{own}/end")).headers["location"]
        assert await laptop.is_in()


async def test_another_role_takes_effect_by_signing_in_again(web: RunningWeb) -> None:
    async with signed_in(web) as admin, signed_in(web, "csm", "grace@example.com") as grace:
        [row] = await web.rows("SELECT id::text AS id FROM people WHERE role = 'csm'")
        await admin.send(f"/people/{row['id']}/role", role="ops")
        assert not await grace.is_in()
        before = grace.token
        await grace.sign_in("grace@example.com")
        assert grace.token != before
        assert (await grace.get("/audit")).status_code == 200
        # The same role once more changes nothing.
        await admin.send(f"/people/{row['id']}/role", role="ops")
        assert await grace.is_in()


async def test_a_page_that_keeps_itself_current_doesnt_keep_its_session_from_becoming_idle(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.sessions.Sessions.READ_AGAIN_SECONDS", 0.0)
    async with signed_in(web) as browser:
        await web.change("UPDATE sessions SET seen_at = now() - interval '2 hours'")
        unused = "SELECT count(*) AS n FROM sessions WHERE seen_at < now() - interval '1 hour'"
        assert (await browser.get("/runs", **{"X-Live": "1"})).status_code == 200
        listening = {"Accept": "text/event-stream"}
        async with browser.client.stream("GET", "/changes", headers=listening) as stream:
            assert stream.status_code == 200
        assert (await web.rows(unused))[0]["n"] == 1
        assert (await browser.get("/runs")).status_code == 200
        assert (await web.rows(unused))[0]["n"] == 0


async def test_changing_the_password_needs_the_present_one_and_signs_out_everywhere_else(
    web: RunningWeb,
) -> None:
    await hire(web, "ada@example.com")
    async with open_browser(web) as ada, open_browser(web) as thief:
        for one in (ada, thief):
            await one.sign_in("ada@example.com")
        before = ada.token
        wrong = await ada.send("/me/password", current="not this one!", password=NEW, again=NEW)
        assert "present" in wrong.headers["location"]
        weak = await ada.send("/me/password", current=PASSWORD, password="short", again="short")
        assert "12" in weak.headers["location"]
        assert await thief.is_in()
        changed = await ada.send("/me/password", current=PASSWORD, password=NEW, again=NEW)
        assert "changed" in changed.headers["location"]
        assert await ada.is_in()
        assert ada.token != before
        assert not await thief.is_in()
        assert (await thief.sign_in("ada@example.com")).status_code == 403
        assert (await thief.sign_in("ada@example.com", NEW)).status_code == 303


async def test_a_live_connection_ends_with_its_session(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_stream, "LOOK_EVERY_SECONDS", 0.2)
    async with signed_in(web) as browser:
        async with browser.client.stream("GET", "/changes") as stream:
            assert stream.status_code == 200
            chunks = stream.aiter_bytes()
            assert b"retry" in await anext(chunks)
            await web.change("DELETE FROM sessions")
            async with asyncio.timeout(60):
                async for _ in chunks:
                    pass
        assert (await browser.client.get("/changes")).status_code == 401
        # A page's script is told so without the browser's own window for names and passwords.
        scripted = await browser.client.get("/changes", headers={"Sec-Fetch-Mode": "cors"})
        assert (scripted.status_code, scripted.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_whoever_may_come_in_no_longer_hears_nothing_more(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_stream, "LOOK_EVERY_SECONDS", 0.2)
    endings = {
        "grace": ("/deactivate", {}),
        "bob": ("/role", {"role": "csm"}),
        "carol": ("/sign-out", {}),
    }
    async with signed_in(web) as admin, contextlib.AsyncExitStack() as stack:
        streams = {}
        for name in endings:
            one = await stack.enter_async_context(signed_in(web, "ops", f"{name}@example.com"))
            stream = await stack.enter_async_context(one.client.stream("GET", "/api/stream"))
            streams[name] = stream.aiter_bytes()
            assert b"retry" in await anext(streams[name])
        people = {row["name"]: row["id"] for row in await web.rows("SELECT name, id::text AS id FROM people")}
        for name, (verb, fields) in endings.items():
            answer = await admin.send(f"/people/{people[name.title()]}{verb}", **fields)
            assert "told=" in answer.headers["location"], answer.headers["location"]
            async with asyncio.timeout(60):
                async for _ in streams[name]:
                    pass
        why = await web.rows(
            "SELECT actor_name, object_id, after FROM audit_log WHERE action = 'session.ended' ORDER BY id"
        )
        assert [(row["object_id"], row["after"]["why"]) for row in why] == [
            (people["Grace"], "account_closed"), (people["Bob"], "new_role"), (people["Carol"], "ended_by_admin"),
        ]  # fmt: skip
        assert len({row["actor_name"] for row in why}) == 1
        again = await admin.send(f"/people/{people['Carol']}/sign-out")
        assert "refused=Carol+is+signed+in+nowhere" in again.headers["location"]


async def test_no_other_sites_page_listens(web: RunningWeb) -> None:
    async with signed_in(web) as browser:
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
        ):
            assert (await browser.client.get("/changes", headers=headers)).status_code == 403


async def test_where_pages_are_open_scripts_call_the_api_with_the_pages_token_alone(
    database_url: str,
) -> None:
    async with run_web(database_url, HOLDFAST_PAGES="open") as web, open_browser(web) as browser:
        token = await browser.csrf()
        assert (await browser.client.get("/api/runs", headers={"X-CSRF": token})).status_code == 200
        assert (await browser.client.get("/api/runs", headers={"X-CSRF": "wrong"})).status_code == 403
        foreign = {"X-CSRF": token, "Host": "evil.example"}
        assert (await browser.client.get("/api/runs", headers=foreign)).status_code == 403
        assert (await browser.client.get("/api/runs")).status_code == 401


async def test_a_session_stands_before_a_key_that_the_browser_sends_along(web: RunningWeb) -> None:
    async with signed_in(web, "csm") as browser:
        key = {"Authorization": f"Bearer {KEY}"}
        assert (await browser.client.get("/api/people", headers=key)).status_code == 403
        browser.client.cookies.clear()
        assert (await browser.client.get("/api/people", headers=key)).status_code == 200
