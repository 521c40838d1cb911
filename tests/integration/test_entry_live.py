"""Entry on the live system: keys, what makes the engine look, waiting for a place, edits, and every reason why not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loops.evaluator import Evaluator
from schemas.plan import CompiledPlaybook
from schemas.policy import Cap, Policy
from store import runs
from tests.integration.evaluation_desk import DAY, START, Desk, open_desk, read, when

D = timedelta(days=1)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as desk:
        yield desk


def keyed(name: str = "renewing", **more: str) -> CompiledPlaybook:
    return when("plan: pro", name, **{"key": "renewal_date", **more})


async def end_runs(desk: Desk) -> None:
    """All open runs are over."""
    async with desk.database.transaction() as connection:
        for [id_] in await connection.exec_driver_sql("SELECT id::text FROM runs WHERE ended_at IS NULL"):
            await runs.end_run(connection, id_, "completed", "test", desk.clock.now)


async def keys(desk: Desk) -> Sequence[str]:
    return [key for (key,) in await desk.rows("SELECT key FROM runs ORDER BY entered_at, key")]


# Runs per property


async def test_with_a_key_a_customer_has_one_run_for_each_of_its_values(desk: Desk) -> None:
    await desk.publish(keyed())
    for date in ("2026-05-01", "2026-06-01", "2026-05-01"):
        desk.clock.now += timedelta(hours=1)
        await desk.send("ada", "identify", plan="pro", renewal_date=date)
    assert await keys(desk) == ["2026-05-01", "2026-06-01"]
    ids = await desk.rows("SELECT count(DISTINCT workflow_id) FROM runs WHERE ended_at IS NULL")
    assert ids == [(2,)]
    assert await desk.why("renewing", "ada") == (
        "already_running",
        "a run of renewing for renewal_date 2026-05-01 is open",
    )


async def test_who_lacks_the_key_doesnt_enter_and_is_told_which_signal_is_missing(desk: Desk) -> None:
    await desk.publish(keyed())
    await desk.send("ada", "identify", plan="pro")
    await desk.send("bob", "identify", plan="pro", renewal_date="soon")
    assert await desk.entries() == []
    for customer in ("ada", "bob"):
        assert await desk.why("renewing", customer) == ("condition", "enter.key: renewal_date is missing")
    assert await desk.rows("SELECT detail FROM decisions") == [("enter.key: renewal_date is missing",)] * 2


async def test_again_counts_for_each_key_by_itself(desk: Desk) -> None:
    await desk.publish(keyed(again="after 30d"))
    await desk.send("ada", "identify", plan="pro", renewal_date="2026-05-01")
    await end_runs(desk)
    desk.clock.now += D
    await desk.evaluate(everybody=True)
    assert (await desk.why("renewing", "ada"))[0] == "again_rule"
    await desk.send("ada", "identify", renewal_date="2026-06-01")
    assert await keys(desk) == ["2026-05-01", "2026-06-01"]


async def test_a_group_has_one_run_whatever_its_key(desk: Desk) -> None:
    await desk.publish(
        read("playbook: renewing\nenter: {group: retention, key: renewal_date, when: {plan: pro}}")
    )
    await desk.send("ada", "identify", plan="pro", renewal_date="2026-05-01")
    desk.clock.now += timedelta(hours=1)
    await desk.send("ada", "identify", renewal_date="2026-06-01")
    assert await keys(desk) == ["2026-05-01"]
    assert await desk.why("renewing", "ada") == ("group", "renewing runs in the group retention")


async def test_a_long_key_makes_an_id_that_the_engine_takes(desk: Desk) -> None:
    await desk.publish(when("plan: pro", key="vendor_type"))
    for trade in ("a" * 3000, "a" * 2999 + "b"):
        desk.clock.now += timedelta(hours=1)
        await desk.send("ada", "identify", plan="pro", vendor_type=trade)
    ids = [id_ for (id_,) in await desk.rows("SELECT workflow_id FROM runs")]
    assert len(set(ids)) == 2
    assert all(len(id_) < 200 for id_ in ids)


# What makes the engine look


@pytest.mark.parametrize(
    ("named", "event", "traits", "looks"),
    [
        ("[plan]", "identify", {"plan": "business"}, True),
        ("[plan]", "login", {}, False),
        ("[login]", "login", {}, True),
        ("[wine_ordered]", "wine_ordered", {}, True),
        ("[wine_ordered]", "login", {}, False),
        ("[health_score, session_ended]", "session_ended", {}, True),
        ("[health_changed]", "login", {}, True),
        ("[churn_scored]", "login", {}, True),
        ("[health_changed]", "identify", {"vendor_type": "venue"}, False),
        ("[phone]", "identify", {"phone": "+15005550006"}, True),
        (None, "wine_ordered", {}, True),
    ],
)
async def test_signals_and_events_that_make_the_engine_look(
    desk: Desk, named: str | None, event: str, traits: dict[str, Any], looks: bool
) -> None:
    given = {} if named is None else {"signals": named}
    await desk.publish(when("any:\n  - plan: pro\n  - event: {name: wine_ordered}", **given))
    await desk.send("ada", "identify", plan="free")
    counted = "SELECT coalesce(sum(count), 0)::int FROM decision_counts"
    [(before,)] = await desk.rows(counted)
    desk.clock.now += timedelta(minutes=1)
    await desk.send("ada", event, **traits)
    [(after,)] = await desk.rows(counted)
    assert after - before == (1 if looks else 0)


# Waiting for a place


async def test_those_who_wait_enter_the_next_day_of_the_default_zone_the_longest_waiting_first(
    desk: Desk,
) -> None:
    policy = Policy(default_zone="Europe/Berlin")
    await desk.publish(when("plan: pro", at_most="1 per day"), policy=policy)
    for name in ("dora", "cleo", "bob", "ada"):
        desk.clock.now += timedelta(minutes=1)
        await desk.send(name, "identify", plan="pro")
    midnight = datetime(2026, 3, 2, 23, tzinfo=UTC)
    assert await desk.rows("SELECT DISTINCT until FROM decisions WHERE reason = 'waiting'") == [(midnight,)]
    await desk.go_to(midnight + 2 * D)
    assert [(name, at) for name, _, at in await desk.entries()] == [
        ("dora", START + timedelta(minutes=1)), ("cleo", midnight), ("bob", midnight + D), ("ada", midnight + 2 * D),
    ]  # fmt: skip


async def test_a_raised_limit_lets_in_at_once_those_who_wait(desk: Desk) -> None:
    await desk.publish(when("plan: pro", at_most="1 per day"))
    for name in ("ada", "bob", "cleo"):
        desk.clock.now += timedelta(minutes=1)
        await desk.send(name, "identify", plan="pro")
    desk.clock.now += timedelta(minutes=1)
    await desk.publish(when("plan: pro", at_most="2 per day"))
    await desk.evaluate()
    assert [name for name, _, _ in await desk.entries()] == ["ada", "bob"]
    desk.clock.now += timedelta(minutes=1)
    await desk.publish(when("plan: pro"))
    await desk.evaluate()
    assert [name for name, _, _ in await desk.entries()] == ["ada", "bob", "cleo"]


async def test_a_policy_that_allows_more_entries_lets_in_at_once(desk: Desk) -> None:
    books = when("plan: pro", "first"), when("plan: pro", "second")
    await desk.publish(*books, policy=Policy(entries=Cap(times=1, seconds=7 * DAY)))
    await desk.send("ada", "identify", plan="pro")
    assert await desk.why("second", "ada") == ("entries", "1 entries within 7d are used up")
    desk.clock.now += timedelta(minutes=1)
    await desk.publish(*books, policy=Policy(entries=Cap(times=2, seconds=7 * DAY)))
    await desk.evaluate()
    assert [playbook for _, playbook, _ in await desk.entries()] == ["first", "second"]


# Edits


async def test_whoever_matches_a_playbook_that_becomes_live_or_another_enters_now(desk: Desk) -> None:
    for name, plan in (("ada", "pro"), ("bob", "business"), ("cleo", "free")):
        await desk.send(name, "identify", plan=plan)
    # Though no signal of theirs is one that the playbook looks at.
    await desk.publish(when("plan: pro", signals="[login]"))
    await desk.evaluate()
    assert [name for name, _, _ in await desk.entries()] == ["ada"]
    desk.clock.now += timedelta(minutes=1)
    await desk.publish(when("plan: [pro, business]", signals="[login]"))
    await desk.evaluate()
    assert [name for name, _, _ in await desk.entries()] == ["ada", "bob"]


async def test_a_playbook_that_was_paused_lets_in_who_came_meanwhile(desk: Desk) -> None:
    book = when("plan: pro", signals="[plan]")
    await desk.publish(book.model_copy(update={"status": "paused"}))
    await desk.send("ada", "identify", plan="pro")
    assert await desk.decided() == [("ada", "helping", "paused")]
    desk.clock.now += timedelta(minutes=1)
    await desk.publish(book)
    await desk.evaluate()
    assert [name for name, _, _ in await desk.entries()] == ["ada"]


async def test_many_are_looked_at_page_by_page_and_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loops.newcomers.PAGE", 3)
    for number in range(10):
        await desk.send(f"c{number}", "identify", plan="pro")
    await desk.publish(when("plan: pro", signals="[login]"))
    assert (await desk.evaluator.run_once(2)).customers == 2
    await desk.evaluate()
    assert len(await desk.entries()) == 10
    counts = "SELECT sum(count)::int FROM decision_counts"
    assert await desk.rows(counts) == [(10,)]
    # Another process that starts finds it done.
    desk.evaluator = Evaluator(desk.evaluator._opening)
    await desk.evaluate()
    assert await desk.rows(counts) == [(10,)]


async def test_an_unchanged_playbook_that_is_published_again_has_nobody_looked_at(desk: Desk) -> None:
    await desk.publish(when("plan: pro"))
    await desk.send("ada", "identify", plan="free")
    await desk.evaluate()
    before = await desk.rows("SELECT sum(count)::int FROM decision_counts")
    desk.clock.now += timedelta(minutes=1)
    await desk.publish(when("plan: pro"), when("plan: business", "another", signals="[login]"))
    await desk.evaluate()
    after = await desk.rows("SELECT sum(count)::int FROM decision_counts WHERE playbook = 'helping'")
    # Once more, with everybody, for the other's sake; and then no more.
    assert after == [(before[0][0] + 1,)]
    await desk.evaluate()
    assert await desk.rows("SELECT count(*) FROM evaluations") == [(0,)]


# Why not


def mailing(name: str, **more: str) -> CompiledPlaybook:
    steps = "steps:\n  - email: {subject: Hi, text: Hi}\n"
    rules = "".join(f"  {word}: {value}\n" for word, value in more.items())
    return read(f"playbook: {name}\nenter:\n{rules}  when: {{plan: pro}}\n{steps}")


async def test_every_reason_why_somebody_doesnt_enter_is_told(desk: Desk) -> None:
    goal = "goal: {when: {clients_imported: '>= 1'}, within: 7d}\n"
    books = [
        when("plan: business", "conditional"),
        when("team_size: '> 3'", "unknown"),
        read(f"playbook: reached\n{goal}enter: {{when: {{plan: pro}}}}"),
        when("plan: pro", "running"),
        when("plan: pro", "grouped").model_copy(update={"group": "care"}),
        when("plan: pro", "first-of-group").model_copy(update={"group": "care", "priority": 90}),
        mailing("mailing"),
        when("plan: pro", "drawn", holdout="99%"),
        when("plan: pro", "resting").model_copy(update={"status": "paused"}),
        when("plan: pro", "drafted").model_copy(update={"status": "draft"}),
        when("plan: pro", "shadowed").model_copy(update={"status": "shadow"}),
        when("plan: pro", "gone"),
        when("event: {name: help_wanted}", "drafted-events").model_copy(update={"status": "draft"}),
        read("playbook: by-hand"),
    ]
    await desk.publish(*books)
    await desk.publish(*[book for book in books if book.name != "gone"])
    # Told before the engine has looked, as explain doesn't change anything.
    await desk.send("ada", "client_imported")
    await desk.send("ada", "help_wanted")
    assert await desk.why("running", "ada") == (
        "condition", "plan: pro is unknown; plan is missing",
    )  # fmt: skip
    await desk.send("ada", "identify", plan="pro")
    told = {book.name: await desk.why(book.name, "ada") for book in books}
    assert told == {
        "conditional": ("condition", "plan: business is false; plan is pro"),
        "unknown": ("condition", "team_size: > 3 is unknown; team_size is missing"),
        "reached": ("goal_met", "the goal goal already holds"),
        "running": ("already_running", "a run of running is open"),
        "grouped": ("group", "first-of-group runs in the group care"),
        "first-of-group": ("already_running", "a run of first-of-group is open"),
        "mailing": ("no_consent", "no channel of the playbook has both consent and an address"),
        "drawn": ("already_running", "a run of drawn is open"),
        "resting": ("paused", "resting is paused"),
        "drafted": ("draft", "drafted is draft"),
        "shadowed": ("already_running", "a run of shadowed is open"),
        "gone": ("retired", "gone is retired"),
        "drafted-events": ("draft", "drafted-events is draft"),
        "by-hand": ("condition", "it has no trigger"),
    }
    assert (await desk.explain("drafted-events", "ada"))["result"] == "true"
    rows = await desk.rows("SELECT playbook, reason FROM decisions WHERE playbook IN ('drawn', 'shadowed')")
    assert sorted(rows) == [("drawn", "held_out"), ("shadowed", "shadow")]


async def test_explain_foretells_entry_holdout_shadow_again_rule_entries_and_waiting(desk: Desk) -> None:
    await desk.send("ada", "identify", plan="pro")
    books = {
        "entered": when("plan: pro", "one"),
        "held_out": when("plan: pro", "two", holdout="99%"),
        "shadow": when("plan: pro", "three").model_copy(update={"status": "shadow"}),
    }
    await desk.publish(*books.values())
    assert {reason: (await desk.why(book.name, "ada"))[0] for reason, book in books.items()} == {
        reason: reason for reason in books
    }
    assert (await desk.explain("one", "ada"))["entry"]["allowed"] is True
    assert await desk.entries() == []
    await desk.evaluate()
    await end_runs(desk)
    assert await desk.why("one", "ada") == ("again_rule", "again: after 7d")
    policy = Policy(entries=Cap(times=2, seconds=7 * DAY))
    await desk.publish(*books.values(), when("plan: pro", "more"), policy=policy)
    assert (await desk.why("more", "ada"))[0] == "entries"
    await desk.publish(when("plan: pro", "full", at_most="1 per day"))
    await desk.send("bob", "identify", plan="pro")
    await end_runs(desk)
    await desk.send("cleo", "identify", plan="free")
    await desk.publish(when("plan: [pro, free]", "full", at_most="1 per day"))
    assert await desk.why("full", "cleo") == ("waiting", "at_most: 1 per day are admitted")
