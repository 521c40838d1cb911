"""Conditions on the live system: what time alone makes true, what comes late, what is missing or wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rules.reference import explain
from schemas.catalogue import load_catalogue
from schemas.facts_json import parse_facts
from store import evaluations
from tests.integration.evaluation_desk import START, Desk, open_desk, when

D = timedelta(days=1)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as desk:
        yield desk


async def tell(desk: Desk, size: int) -> None:
    await desk.send("ada", "identify", team_size=size)


async def test_a_crossing_counts_once_it_has_stood_for_so_long_and_time_alone_brings_that(desk: Desk) -> None:
    await desk.publish(when("team_size: {crosses_below: 40, for: 2d}"))
    await tell(desk, 60)
    await desk.go_to(START + 3 * D)
    await tell(desk, 30)
    assert (await desk.explain("helping", "ada"))["result"] == "false"
    await desk.go_to(START + 4 * D)
    assert await desk.entries() == []
    await desk.go_to(START + 8 * D)
    # The crossing is in the books of the day after it; two full days from there on it has stood.
    assert await desk.entries() == [("ada", "helping", datetime(2026, 3, 8, tzinfo=UTC))]


async def test_a_dip_that_is_over_before_its_time_lets_nobody_in(desk: Desk) -> None:
    await desk.publish(when("team_size: {crosses_below: 40, for: 2d}"))
    await tell(desk, 60)
    await desk.go_to(START + 3 * D)
    await tell(desk, 30)
    await desk.go_to(START + 4 * D)
    await tell(desk, 45)
    await desk.go_to(START + 10 * D)
    assert await desk.entries() == []


async def test_what_is_known_of_a_day_first_stands_whoever_is_looked_at_later_that_day(desk: Desk) -> None:
    await desk.publish(when("team_size: {crosses_below: 40, for: 1d}"))
    await tell(desk, 60)
    await desk.go_to(START + 2 * D)
    await tell(desk, 30)
    # A look at everything, such as a due moment brings, makes the dip no older than it is.
    await desk.evaluate(everybody=True)
    await desk.go_to(START + 2 * D + timedelta(hours=20))
    assert await desk.entries() == []
    await desk.go_to(START + 4 * D)
    assert [at for _, _, at in await desk.entries()] == [datetime(2026, 3, 6, tzinfo=UTC)]


async def test_a_second_crossing_counts_only_if_the_value_was_above_the_mark_in_between(desk: Desk) -> None:
    await desk.publish(when("team_size: {crosses_below: 40, rearm_above: 50}"))
    await tell(desk, 60)
    for size, holds in ((30, "true"), (45, "false"), (35, "false"), (55, "false"), (20, "true")):
        await desk.go_to(desk.clock.now + D)
        await tell(desk, size)
        assert (await desk.explain("helping", "ada"))["result"] == holds, size


@pytest.mark.parametrize(
    ("line", "sizes", "entered_on"),
    [
        ("team_size: {drops_by: 15, within: 7d}", (60, 50, 44), 2),
        ("team_size: {drops_by: 15, within: 1d}", (60, 50, 44), None),
        ("team_size: {rises_by: 5, within: 3d}", (10, 12, 15), 2),
    ],
)
async def test_drops_and_rises_within_a_window(
    desk: Desk, line: str, sizes: tuple[int, ...], entered_on: int | None
) -> None:
    await desk.publish(when(line))
    for day, size in enumerate(sizes):
        await desk.go_to(START + day * D)
        await tell(desk, size)
    expected = [] if entered_on is None else [("ada", "helping", START + entered_on * D)]
    assert await desk.entries() == expected


async def test_without_an_earlier_value_a_drop_is_unknown_and_says_so(desk: Desk) -> None:
    await desk.publish(when("team_size: {drops_by: 15, within: 7d}"))
    await tell(desk, 20)
    found = await desk.explain("helping", "ada")
    assert (found["result"], found["entry"]["reason"]) == ("unknown", "condition")


async def test_a_late_event_counts_when_it_happened(desk: Desk) -> None:
    await desk.publish(
        when("event: {name: payment_failed, at_least: 2, within: 30d, where: {amount: '>= 10'}}")
    )
    await desk.send("ada", "payment_failed", {"amount": 20})
    await desk.send("ada", "payment_failed", {"amount": 5})
    await desk.send("ada", "payment_failed", {"amount": 30}, at=START - 40 * D)
    assert await desk.entries() == []
    desk.clock.now += timedelta(minutes=1)
    await desk.send("ada", "payment_failed", {"amount": 10}, at=START - 29 * D)
    assert await desk.entries() == [("ada", "helping", desk.clock.now)]


async def test_an_event_whose_property_is_missing_leaves_the_count_unknown(desk: Desk) -> None:
    await desk.publish(when("event: {name: payment_failed, where: {amount: '>= 10'}}"))
    await desk.send("ada", "payment_failed")
    assert (await desk.explain("helping", "ada"))["result"] == "unknown"
    assert await desk.entries() == []


async def test_events_leave_their_window_by_themselves(desk: Desk) -> None:
    await desk.publish(when("none:\n  - event: {name: login, within: 7d}\nplan: pro"))
    await desk.send("ada", "login")
    await desk.send("ada", "identify", plan="pro")
    assert await desk.entries() == []
    await desk.go_to(START + 10 * D, daily=False)
    [(_, _, at)] = await desk.entries()
    assert START + 7 * D < at < START + 7 * D + timedelta(seconds=1)


async def test_an_age_grows_by_itself(desk: Desk) -> None:
    await desk.publish(when("days_since_last_login: '> 7'"), when("last_login: {older_than: 7d}", "older"))
    await desk.send("ada", "login")
    await desk.go_to(START + 10 * D, daily=False)
    entries = {playbook: at for _, playbook, at in await desk.entries()}
    assert entries["helping"] == START + 8 * D
    assert START + 7 * D < entries["older"] < START + 7 * D + timedelta(seconds=1)


async def test_a_correction_lets_in_and_takes_back_what_was_due(desk: Desk) -> None:
    await desk.publish(when("renewal_date: {due_within: 14d}"))
    await desk.send("ada", "identify", renewal_date="2026-05-01")
    await desk.send("bob", "identify", renewal_date="2026-05-01")
    desk.clock.now += timedelta(hours=1)
    await desk.send("ada", "identify", renewal_date="2026-03-10")
    # Said earlier than what is known: it corrects nothing.
    await desk.send("bob", "identify", at=START - D, renewal_date="2026-03-10")
    await desk.send("bob", "identify", renewal_date="2026-06-01")
    assert [name for name, _, _ in await desk.entries()] == ["ada"]
    await desk.go_to(datetime(2026, 5, 10, tzinfo=UTC), daily=False)
    assert [name for name, _, _ in await desk.entries()] == ["ada"]
    await desk.go_to(datetime(2026, 5, 19, tzinfo=UTC), daily=False)
    assert (await desk.entries())[1:] == [("bob", "helping", datetime(2026, 5, 18, tzinfo=UTC))]


async def test_an_unknown_line_under_none_lets_nobody_in_and_its_signal_is_named(desk: Desk) -> None:
    await desk.publish(when("none:\n  - open_tickets: '>= 1'\n  - last_support_rating: '< 3'"))
    await desk.send("ada", "identify", plan="pro")
    found = await desk.explain("helping", "ada")
    assert (found["result"], found["entry"]["allowed"]) == ("unknown", False)
    assert found["entry"]["detail"].endswith("is unknown; last_support_rating is missing")
    assert await desk.entries() == []
    await desk.send("ada", "ticket_rated", {"rating": 5})
    assert [name for name, _, _ in await desk.entries()] == ["ada"]


async def test_a_line_under_none_that_holds_is_named_with_its_value(desk: Desk) -> None:
    await desk.publish(when("none:\n  - open_tickets: '>= 1'"))
    await desk.send("ada", "ticket_opened")
    _, detail = await desk.why("helping", "ada")
    assert detail.endswith("is false; open_tickets is 1")


WRONG: dict[str, Any] = {
    "team_size": "many", "monthly_price": 2**60, "renewal_date": "soon", "tags": "vip", "plan": 3,
    "influencer": "yes", "billing_period": ["monthly"], "signed_up_at": {"year": 2020}, "vendor_type": False,
}  # fmt: skip
SUBJECTS = {
    "team_size": "'> 3'", "monthly_price": "'< 10'", "renewal_date": "{due_within: 14d}", "tags": "{contains: vip}",
    "plan": "pro", "influencer": "true", "billing_period": "monthly", "signed_up_at": "{older_than: 1d}",
    "vendor_type": "venue",
}  # fmt: skip


@pytest.mark.parametrize("signal", [name for name in WRONG if name != "influencer"])
async def test_a_value_of_the_wrong_type_is_there_on_the_live_system_as_for_match(
    desk: Desk, signal: str
) -> None:
    books = [
        when(f"{signal}: {{is: present}}", "there"),
        when(f"{signal}: {{is: missing}}", "gone"),
        when(f"{signal}: {SUBJECTS[signal]}", "compared"),
        when(f"none:\n  - {signal}: {SUBJECTS[signal]}", "opposite"),
    ]
    await desk.publish(*books)
    await desk.send("ada", "identify", **{signal: WRONG[signal]})
    document = json.loads(json.dumps({"customer": "ada", "signals": {signal: WRONG[signal]}}))
    facts = parse_facts(document, load_catalogue(), now=desk.clock.now)
    for book in books:
        assert book.enter is not None
        expected = explain(book.enter.when, facts).result
        found = (await desk.explain(book.name, "ada"))["result"]
        assert found == {True: "true", False: "false", None: "unknown"}[expected], book.name
    assert [playbook for _, playbook, _ in await desk.entries()] == ["there"]
    reason, detail = await desk.why("compared", "ada")
    assert (reason, detail.split("; ")[-1]) == ("condition", f"{signal} has a value of the wrong type")
    # A day later, and in the books of the day, nothing has become of it.
    await desk.go_to(START + 2 * D)
    assert [playbook for _, playbook, _ in await desk.entries()] == ["there"]


async def test_a_right_value_after_a_wrong_one_is_compared_again(desk: Desk) -> None:
    await desk.publish(when("team_size: '> 3'"))
    await tell(desk, "many")  # type: ignore[arg-type]
    desk.clock.now += timedelta(minutes=1)
    await tell(desk, 5)
    assert [name for name, _, _ in await desk.entries()] == ["ada"]
    assert await desk.rows("SELECT team_size, custom FROM signals") == [(5, {})]


async def test_one_customers_strange_dates_dont_keep_others_from_being_looked_at(desk: Desk) -> None:
    await desk.publish(
        when("any:\n  - renewal_date: {due_within: 14d}\n  - signed_up_at: {within: 1d}\n  - plan: pro")
    )
    await desk.send("ada", "identify", renewal_date="0001-01-01", signed_up_at="9999-12-31T23:59:59Z")
    await desk.send("bob", "identify", plan="pro")
    async with desk.database.transaction() as connection:
        await evaluations.request_everything(connection, desk.clock.now)
    await desk.evaluate()
    assert [name for name, _, _ in await desk.entries()] == ["bob"]
