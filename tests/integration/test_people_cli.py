"""`holdfast people` and `holdfast keys`: accounts and keys from the command line, each change in the audit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from cli.main import run
from tests.integration.browsing import open_browser, signed_in
from tests.integration.web_edge import RunningWeb, run_web

NEW = "three quiet rivers"

pytestmark = pytest.mark.usefixtures("quick_hashes")


@pytest.fixture
async def web(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
        monkeypatch.setenv("HOLDFAST_PUBLIC_URL", running.address)
        yield running


async def holdfast(*words: str, status: int = 0) -> None:
    # In a thread: it has an event loop of its own, and the web process lives in ours.
    assert await asyncio.to_thread(run, words) == status


async def test_the_first_account_is_made_at_the_terminal_and_its_link_lets_in_once(
    web: RunningWeb, capfd: pytest.CaptureFixture[str]
) -> None:
    await holdfast("people", "add", "ada@example.com", "--name", "Ada", "--role", "admin")
    link = capfd.readouterr().out.strip()
    assert link.startswith(f"{web.address}/welcome/")
    token = link.rpartition("/")[2]
    assert len(token) >= 43
    [row] = await web.rows("SELECT token_hash FROM sign_in_links")
    assert token not in row["token_hash"]
    async with open_browser(web) as browser:
        answer = await browser.post(f"/welcome/{token}", name="Ada", password=NEW, again=NEW)
        assert answer.status_code == 303
        assert (await browser.get("/people")).status_code == 200
    actions = await web.rows("SELECT action, actor_kind, actor_id FROM audit_log ORDER BY id")
    assert [row["action"] for row in actions] == [
        "person.added", "person.link_made", "person.password_set", "session.started",
    ]  # fmt: skip
    assert [row["actor_kind"] for row in actions] == ["system", "system", "person", "person"]
    text = str(await web.rows("SELECT before, after FROM audit_log"))
    assert token not in text
    assert "ada@example.com" not in text


async def test_accounts_are_listed_changed_closed_and_given_new_links(
    web: RunningWeb, capfd: pytest.CaptureFixture[str]
) -> None:
    async with signed_in(web, "csm", "grace@example.com") as grace:
        await holdfast("people", "role", "GRACE@example.com", "ops")
        await holdfast("people", "list", "--format", "json")
        out = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
        assert [(one["email"], one["role"], one["active"]) for one in out] == [
            ("grace@example.com", "ops", True)
        ]
        await holdfast("people", "deactivate", "grace@example.com")
        token = await grace.client.post("/sign-out", headers={"Origin": web.address})
        assert token.status_code == 303
        assert not await grace.is_in()
        await holdfast("people", "link", "grace@example.com", status=1)
        assert "closed" in capfd.readouterr().err
        await holdfast("people", "reactivate", "grace@example.com")
        await holdfast("people", "link", "grace@example.com")
        link = capfd.readouterr().out.strip().splitlines()[-1]
        assert (await grace.get(link.removeprefix(web.address))).status_code == 200


async def test_when_nobody_can_get_in_the_terminal_is_the_way_back(
    web: RunningWeb, capfd: pytest.CaptureFixture[str]
) -> None:
    async with signed_in(web, "admin", "ada@example.com") as ada:
        await holdfast("people", "sign-out", "ada@example.com")
        assert "signed out of 1 browser" in capfd.readouterr().out
        await asyncio.sleep(1.1)
        assert not await ada.is_in()
        # Closed, of another role, without a password, and made to wait.
        await web.change("UPDATE people SET active = false, role = 'csm', password_hash = NULL")
        for _ in range(7):
            await ada.sign_in("ada@example.com", "wrong password!")
        assert (await ada.sign_in("ada@example.com")).status_code == 429
        await holdfast("people", "reactivate", "ada@example.com")
        await holdfast("people", "role", "ada@example.com", "admin")
        await holdfast("people", "link", "ada@example.com")
        link = capfd.readouterr().out.strip().splitlines()[-1].removeprefix(web.address)
        assert (await ada.post(link, name="Ada", password=NEW, again=NEW)).status_code == 303
        assert (await ada.get("/people")).status_code == 200
    [row] = await web.rows("SELECT actor_id, after FROM audit_log WHERE action = 'session.ended'")
    assert row["after"] == {"sessions": 1, "why": "ended_by_admin"}
    assert row["actor_id"].startswith("system:")


async def test_the_last_admin_stays(web: RunningWeb, capfd: pytest.CaptureFixture[str]) -> None:
    await holdfast("people", "add", "ada@example.com", "--name", "Ada", "--role", "admin")
    await holdfast("people", "deactivate", "ada@example.com", status=1)
    await holdfast("people", "role", "ada@example.com", "csm", status=1)
    assert capfd.readouterr().err.count("Nobody else is admin") == 2
    await holdfast("people", "add", "bob@example.com", "--name", "Bob", "--role", "admin")
    await holdfast("people", "role", "ada@example.com", "csm")
    await holdfast("people", "deactivate", "bob@example.com", status=1)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("add", "not an address", "--name", "N", "--role", "csm"), 1),
        (("add", "a@example.com", "--name", " ", "--role", "csm"), 1),
        (("add", "a@example.com", "--name", "N", "--role", "service"), 2),
        (("role", "nobody@example.com", "csm"), 1),
        (("link", "nobody@example.com"), 1),
    ],
)
async def test_what_cant_be_is_refused(web: RunningWeb, words: tuple[str, ...], status: int) -> None:
    await holdfast("people", *words, status=status)
    assert await web.count("people") == 0


async def test_an_address_has_one_account(web: RunningWeb, capfd: pytest.CaptureFixture[str]) -> None:
    await holdfast("people", "add", "ada@example.com", "--name", "Ada", "--role", "csm")
    await holdfast("people", "add", "ADA@Example.com", "--name", "Ada", "--role", "csm", status=1)
    assert "already" in capfd.readouterr().err


async def test_a_key_is_shown_once_and_lets_in_as_its_role_until_it_is_removed(
    web: RunningWeb, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.keys.KeyRing.REFRESH_SECONDS", 0.0)
    monkeypatch.setattr("web.keys.KeyRing.RETRY_SECONDS", 0.0)
    await holdfast("keys", "add", "dashboards", "--role", "csm", "--per-minute", "600", "--expires", "90d")
    key = capfd.readouterr().out.strip()
    assert key.startswith("hf_")
    headers = {"Authorization": f"Bearer {key}"}
    assert (await web.client.get("/api/runs", headers=headers)).status_code == 200
    assert (await web.client.get("/api/keys", headers=headers)).status_code == 403
    await holdfast("keys", "list", "--format", "json")
    told = capfd.readouterr().out
    assert key not in told
    [listed] = [json.loads(line) for line in told.splitlines()]
    assert (listed["name"], listed["role"], listed["per_minute"]) == ("dashboards", "csm", 600)
    await web.change("UPDATE api_keys SET expires_at = now() - interval '1 second'")
    expired = await web.client.get("/api/runs", headers=headers)
    assert expired.status_code == 401
    assert "expired" in expired.json()["detail"]
    await web.change("UPDATE api_keys SET expires_at = NULL")
    assert (await web.client.get("/api/runs", headers=headers)).status_code == 200
    await holdfast("keys", "remove", "dashboards")
    assert (await web.client.get("/api/runs", headers=headers)).status_code == 401
    await holdfast("keys", "remove", "dashboards", status=1)
    actions = [row["action"] for row in await web.rows("SELECT action FROM audit_log ORDER BY id")]
    assert actions == ["key.added", "key.removed"]


@pytest.mark.parametrize(
    "words",
    [
        ("add", "a b"),
        ("add", "x", "--role", "customer"),
        ("add", "x", "--expires", "soon"),
        ("add", "x", "--per-minute", "0"),
    ],
)
async def test_keys_that_make_no_sense_are_refused(web: RunningWeb, words: tuple[str, ...]) -> None:
    await holdfast("keys", *words, status=2)
    assert await web.count("api_keys") == 0
