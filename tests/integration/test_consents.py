"""Consent with its history, and suppression that outlives the customer: the store, the API, the command."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import holdfast
from schemas.policy import Policy
from store.addresses import find_by_address, hash_address, hash_as_written
from store.consent_history import ConsentEvent, load_consent_history, trace_consent
from store.contact import declare_consents, load_consents, record_consent
from store.database import LiveClock
from store.past_reading import load_pasts
from store.publishing import publish
from store.suppressions import lift, list_lifts, load_suppressions, suppress
from tests.integration.web_edge import RunningWeb, run_web

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
PATH = "/api/customers/ada/consents"


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        traits = {"email": "ada@example.com", "phone": "+1 (500) 555-0009"}
        await running.client.post("/v1/identify", json={"userId": "ada", "traits": traits})
        async with running.other.transaction() as connection:
            policy = Policy(consent={"email": "assumed"}, topics=("tips",))
            await publish(connection, {}, {}, policy, author="test", now=datetime.now(UTC), gone=())
        yield running


async def ada(web: RunningWeb) -> str:
    [row] = await web.rows("SELECT id::text AS id FROM customers WHERE external_id = 'ada'")
    return str(row["id"])


# The history


@pytest.mark.parametrize("later", [True, False])
async def test_every_word_is_kept_and_the_latest_stands_whatever_order_they_come_in(
    web: RunningWeb, later: bool
) -> None:
    customer = await ada(web)
    said = [(START, True), (START + HOUR, False), (START + HOUR, True)]
    said += [(START + 2 * HOUR, True)] if later else []
    for order in itertools.permutations(said):
        await web.change("DELETE FROM consents")
        await web.change("DELETE FROM consent_events")
        async with web.other.transaction() as connection:
            for at, granted in order:
                await record_consent(connection, customer, "email", "", granted=granted, source="test", at=at)
            stands = (await load_consents(connection, [customer]))[customer]
            history = (await load_consent_history(connection, [customer]))[customer]
        # At one instant a no wins.
        assert stands == {"email": later}
        assert [(event.at, event.granted) for event in history] == sorted(order, key=lambda one: one[0])


async def test_the_history_read_in_order_says_where_consent_stands(web: RunningWeb) -> None:
    """Words of all kinds, from clocks that are ahead and behind, declared and imported, in any order."""
    customer, dice = await ada(web), random.Random(3)
    async with web.other.transaction() as connection:
        for n in range(150):
            now = START + n * HOUR
            channel, topic = dice.choice(("email", "sms")), dice.choice(("", "tips"))
            granted = dice.random() < 0.5
            if dice.random() < 0.5:
                words = {(channel, topic): granted}
                await declare_consents(connection, customer, words, source=f"page {n % 3}", now=now)
            else:
                at = now + dice.randrange(-30, 5) * HOUR
                await record_consent(
                    connection,
                    customer,
                    channel,
                    topic,
                    granted=granted,
                    source="import",
                    at=at,
                    received_at=now,
                )
            stands = (await load_consents(connection, [customer]))[customer]
            history = (await load_consent_history(connection, [customer]))[customer]
            assert {word: yes for word, yes, _ in trace_consent(history)} == stands


def test_what_became_known_later_counts_from_then() -> None:
    def word(at: datetime, received_at: datetime, *, granted: bool) -> ConsentEvent:
        return ConsentEvent("email", "", granted, "test", {}, at, received_at)

    events = [
        word(START, START, granted=True),
        word(START - HOUR, START + HOUR, granted=False),  # overtaken before it was known
        word(START + HOUR, START + 5 * HOUR, granted=False),
        word(START + HOUR, START + 6 * HOUR, granted=True),  # at one instant a no wins
        word(START + 2 * HOUR, START + 7 * HOUR, granted=False),  # nothing new
        word(START + 3 * HOUR, START + 8 * HOUR, granted=True),
    ]
    assert trace_consent(events) == [
        ("email", True, START), ("email", False, START + 5 * HOUR), ("email", True, START + 8 * HOUR),
    ]  # fmt: skip


async def test_a_backtest_knows_consent_as_it_was_known_then(web: RunningWeb) -> None:
    customer = await ada(web)
    async with web.other.transaction() as connection:
        await record_consent(connection, customer, "email", "", granted=True, source="form", at=START)
        await record_consent(
            connection, customer, "email", "", granted=False, source="import", at=START + HOUR,
            received_at=START + 24 * HOUR,
        )  # fmt: skip
        day = date(2026, 3, 1)
        pasts = await load_pasts(
            connection, [customer], history=["health_score"], days=(day, day), known_by=None
        )
    assert pasts[customer].consents == [("email", True, START), ("email", False, START + 24 * HOUR)]


async def test_a_word_that_is_repeated_is_kept_once(web: RunningWeb) -> None:
    customer = await ada(web)
    for n in range(3):
        async with web.other.transaction() as connection:
            await record_consent(connection, customer, "sms", "", granted=True, source="form", at=START)
            words = {("email", ""): False}
            await declare_consents(connection, customer, words, source="link", now=START + n * HOUR)
    assert await web.count("consent_events") == 2


# The API


async def test_consent_is_declared_with_its_evidence_and_read_with_its_history(web: RunningWeb) -> None:
    body = {
        "source": "checkout",
        "consents": [
            {"channel": "sms", "granted": True, "evidence": {"form": "v7", "ticked": True}},
            {"channel": "email", "topic": "tips", "granted": False},
        ],
    }
    answer = await web.client.put(PATH, json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["allowed"] == {
        "email": True, "sms": True, "whatsapp": False, "push": False, "voice": False,
    }  # fmt: skip
    assert [(one["channel"], one["topic"], one["granted"], one["source"]) for one in told["consents"]] == [
        ("email", "tips", False, "checkout"), ("sms", "", True, "checkout"),
    ]  # fmt: skip
    assert (
        await web.client.post(PATH, json={"consents": [{"channel": "sms", "granted": False}]})
    ).status_code == 200
    told = (await web.client.get(PATH)).json()
    assert told["allowed"]["sms"] is False
    assert [(one["channel"], one["granted"]) for one in told["history"]] == [
        ("sms", False), ("email", False), ("sms", True),
    ]  # fmt: skip
    first = told["history"][-1]
    assert first["evidence"] == {
        "form": "v7",
        "ticked": True,
        "declared_by": first["evidence"]["declared_by"],
    }
    assert datetime.fromisoformat(first["receivedAt"]) == datetime.fromisoformat(first["at"])


async def test_what_was_said_before_stands_only_until_the_next_word(web: RunningWeb) -> None:
    def words(granted: bool, at: str) -> dict[str, Any]:
        return {"consents": [{"channel": "email", "granted": granted, "at": at}]}

    await web.client.put(PATH, json=words(False, "2026-03-05T08:00:00Z"))
    await web.client.put(PATH, json=words(True, "2026-03-05T08:00:00Z"))
    told = (await web.client.put(PATH, json=words(True, "2026-03-04T08:00:00Z"))).json()
    assert [one["granted"] for one in told["consents"]] == [False]
    told = (await web.client.put(PATH, json=words(True, "2026-03-06T08:00:00Z"))).json()
    assert [one["granted"] for one in told["consents"]] == [True]
    # Nobody can have said it tomorrow.
    told = (await web.client.put(PATH, json=words(False, "2999-01-01T00:00:00Z"))).json()
    assert datetime.fromisoformat(told["consents"][0]["at"]) <= datetime.now(UTC)
    # A yes of such a day is a slip; a no is one all the same.
    refused = await web.client.put(PATH, json=words(True, "2999-01-01T00:00:00Z"))
    assert refused.status_code == 422
    assert told["consents"][0]["granted"] is False


@pytest.mark.parametrize(
    ("word", "pointer"),
    [
        ({"channel": "fax", "granted": True}, "/consents/0/channel"),
        ({"channel": "email"}, "/consents/0/granted"),
        ({"channel": "email", "granted": True, "topic": "Big News"}, "/consents/0/topic"),
        ({"channel": "email", "granted": True, "at": "2026-03-05T08:00:00"}, "/consents/0/at"),
        ({"channel": "email", "granted": True, "at": "0001-01-01T00:00:00+14:00"}, "/consents/0/at"),
        ({"channel": "email", "granted": True, "evidence": {"x": "\u0000"}}, "/consents/0/evidence"),
        ({"channel": "email", "granted": True, "evidence": {"x": {"y": 1}}}, "/consents/0/evidence"),
    ],
)
async def test_a_word_that_cannot_be_meant_is_refused_and_nothing_is_noted(
    web: RunningWeb, word: dict[str, Any], pointer: str
) -> None:
    good = {"channel": "sms", "granted": True}
    answer = await web.client.put(PATH, json={"consents": [word, good]})
    assert answer.status_code == 422
    assert any(error["pointer"].startswith(f"/body{pointer}") for error in answer.json()["errors"]), (
        answer.text
    )
    assert await web.count("consent_events") == 0


async def test_nobody_declares_for_a_customer_whom_nobody_knows_or_without_a_key(web: RunningWeb) -> None:
    body = {"consents": [{"channel": "sms", "granted": True}]}
    assert (await web.client.put("/api/customers/bob/consents", json=body)).status_code == 404
    answer = await web.client.put(PATH, json=body, headers={"Authorization": "Bearer nonsense-nonsense"})
    assert answer.status_code == 401
    assert await web.count("consent_events") == 0


# Suppression


async def test_reasons_stand_for_themselves_and_one_is_lifted_without_the_others(web: RunningWeb) -> None:
    customer = await ada(web)
    profile = {customer: {"email": "Ada@Example.com "}}
    hashed = hash_address("email", "ada@example.com")
    async with web.other.transaction() as connection:
        assert await suppress(connection, "email", hashed, "stop", START)
        assert not await suppress(connection, "email", hashed, "stop", START + HOUR)
        assert await suppress(connection, "email", hashed, "complaint", START, source="ses")
        assert await load_suppressions(connection, profile) == {customer: {"email": "complaint, stop"}}
        assert await lift(connection, "email", [hashed], "stop", by="START", at=START + HOUR) == ["stop"]
        assert await load_suppressions(connection, profile) == {customer: {"email": "complaint"}}
        assert await lift(connection, "email", [hashed], None, by="anna", at=START + 2 * HOUR) == [
            "complaint"
        ]
        assert await load_suppressions(connection, profile) == {}
        # What stood is still known, and who ended it.
        lifts = await list_lifts(connection, channel="email", address_hashes=[hashed])
        assert [(one.reason, one.source, one.at, one.lifted_at, one.lifted_by) for one in lifts] == [
            ("complaint", "ses", START, START + 2 * HOUR, "anna"), ("stop", "", START, START + HOUR, "START"),
        ]  # fmt: skip
        assert await lift(connection, "email", [hashed], None, by="anna", at=START) == []


async def test_a_number_is_the_same_however_it_is_written_and_what_was_hashed_as_written_still_counts(
    web: RunningWeb,
) -> None:
    written = "+1 (500) 555-0009"
    assert (
        hash_address("sms", written)
        == hash_address("sms", "+15005550009")
        == hash_as_written("sms", "+15005550009")
    )
    assert hash_address("sms", written) != hash_address("whatsapp", written)
    customer = await ada(web)
    profile = {customer: {"phone": written}}
    async with web.other.transaction() as connection:
        await suppress(connection, "sms", hash_address("sms", "+15005550009"), "stop", START)
        await suppress(connection, "whatsapp", hash_as_written("whatsapp", written), "stop", START)
        assert await load_suppressions(connection, profile) == {customer: {"sms": "stop", "whatsapp": "stop"}}
        assert await find_by_address(connection, "sms", "+1 500 555 0009") == [customer]
        assert await find_by_address(connection, "sms", "+1 500 555 0008") == []
        assert await find_by_address(connection, "email", "ADA@example.com") == [customer]


async def test_suppression_outlives_the_customer(web: RunningWeb) -> None:
    async with web.other.transaction() as connection:
        await suppress(connection, "email", hash_address("email", "ada@example.com"), "complaint", START)
    await web.change("DELETE FROM customers")
    assert await web.count("consent_events") == 0
    await web.client.post("/v1/identify", json={"userId": "again", "traits": {"email": "ada@example.com"}})
    told = (await web.client.get("/api/customers/again/consents")).json()
    assert told["suppressed"] == {"email": "complaint"}
    assert told["allowed"]["email"] is False


async def test_the_command_suppresses_lifts_and_lists(
    web: RunningWeb, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)

    async def told(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, holdfast, ["suppress", *words])

    number = ["--channel", "sms", "--address", "+15005550009"]
    done = await told(*number, "--reason", "manual")
    assert (done.exit_code, done.stdout) == (
        0,
        "sms, manual: is suppressed now; 1 customer(s) have this address\n",
    )
    assert "was suppressed before" in (await told(*number)).stdout
    assert (await told(*number, "--reason", "hard_bounce")).exit_code == 0
    [row] = await web.rows("SELECT source, at FROM suppressions WHERE reason = 'manual'")
    assert row["source"].startswith("cli, ")
    async with web.other.transaction() as connection:
        assert abs(row["at"] - await LiveClock().read(connection)) < timedelta(minutes=1)
    listed = await told("--list")
    assert [line.split()[2:4] for line in listed.stdout.splitlines()] == [
        ["sms", "hard_bounce"],
        ["sms", "manual"],
    ]
    assert "5550009" not in listed.stdout
    lifted = await told(*number, "--lift", "--reason", "manual")
    assert lifted.exit_code == 0
    assert "still suppressed: hard_bounce" in lifted.stderr
    assert (await told(*number, "--lift", "--reason", "manual")).exit_code == 1
    gone = await told("--list", "--lifted", "--address", "+1 (500) 555-0009")
    assert gone.stdout.count("manual") == 1
    assert "lifted by cli, " in gone.stdout
    assert (await told("--list", "--address", "+1 500 555 0009", "--format", "json")).stdout.count(
        "hard_bounce"
    ) == 1
    assert (await told("--channel", "sms")).exit_code == 2
