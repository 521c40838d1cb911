"""Every activity that steps call, carried out again: its answer was lost, or its transaction, wherever that may happen.

Temporal asks again where it got no answer, and a run that it lost asks for everything. Whatever was done before is
said again, and nothing is done twice. Each activity's transactions are broken one by one: undone, and done without an
answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.exceptions import ApplicationError

import activities
from activities.delivery import MessageDelivery
from activities.migrating import Migrating
from activities.registry import find_step_types
from activities.running import RunBooks
from activities.tasks import HumanTasks
from channels.outcome import Channel, OutgoingMessage, Receipt, Unanswerable
from schemas.health_model import DEFAULT_MODEL, HealthModel
from schemas.plan import CalendarDays, Wait
from schemas.run import EndCall, InboxCall, MigrateCall, RunEnd
from schemas.shipped_health import shipped_models
from schemas.step_type import StepType
from store import inbox
from store.database import DATABASE_AWAY
from store.health_models import load_model, publish_models
from tests.integration.activity_bench import PRO, Bench, OrderArguments, open_bench
from tests.integration.plans import trigger
from tests.integration.step_desk import START, act
from tests.integration.trouble import Trouble

# What the population and training do is carried out again in tests of their own (test_population, test_training).
ELSEWHERE = ("Population.", "Training.")


@pytest.fixture
async def bench(database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(database_url, tmp_path) as bench:
        yield bench


# Activity, step, what is said with the request, and what was carried out before.
CASES: list[tuple[str, str, dict[str, Any], list[tuple[str, str]]]] = [
    ("Delivery.send", "email", {}, []),
    ("Delivery.send", "sms", {}, []),
    ("Delivery.send", "push", {}, []),
    ("Delivery.send", "message", {}, []),
    ("Delivery.show", "in_app", {}, []),
    ("Tasks.assign", "task", {}, []),
    ("Tasks.escalate", "task", {"to": "lead"}, [("Tasks.assign", "task")]),
    ("Tasks.close", "task", {"outcome": "done", "by": "grace"}, [("Tasks.assign", "task")]),
    ("Reward.grant", "reward", {}, []),
    ("Mark.set", "set", {}, []),
    ("Entry.ask", "start", {}, []),
    ("Step.carry_out", "order", {}, []),
    ("Step.carry_out", "reorder", {}, []),
    ("Condition.check", "which", {}, []),
    ("Step.skip", "email", {}, []),
    ("Step.skip", "task", {}, []),
    ("Wait.resolve", "workday", {}, []),
    ("Wait.resolve", "renewal", {}, []),
    ("Wait.listen", "reply", {}, []),
    ("Wait.close", "reply", {}, [("Wait.listen", "reply")]),
]
OF_RUNS = {"Run.finish", "Run.migrate", "Inbox.read"}


def test_no_activity_is_left_out() -> None:
    defined = set()
    for info in pkgutil.iter_modules(activities.__path__):
        module = importlib.import_module(f"activities.{info.name}")
        for _, one in inspect.getmembers(module, inspect.isclass):
            for _, method in inspect.getmembers(one, inspect.isfunction):
                if definition := getattr(method, "__temporal_activity_definition", None):
                    defined.add(definition.name)
    steps = {name for name in defined if not name.startswith(ELSEWHERE)}
    assert steps == {name for name, *_ in CASES} | OF_RUNS
    assert {one.activity for one in find_step_types().values()} <= steps


@pytest.mark.parametrize(("name", "step", "said", "before"), CASES)
async def test_whichever_transaction_goes_wrong_it_is_done_once_and_said_alike(
    bench: Bench, name: str, step: str, said: dict[str, Any], before: list[tuple[str, str]]
) -> None:
    async def carry_out(trouble: Trouble) -> tuple[str, dict[str, list[tuple[Any, ...]]], dict[str, int]]:
        bench.begin()
        for earlier in before:
            await bench.insist(*earlier)
        counted = await bench.counts()
        with trouble.over(bench.desk.steps.database):
            result = await bench.insist(name, step, **said)
        after = await bench.counts()
        more = {what: n - counted.get(what, 0) for what, n in after.items()}
        return result.outcome, await bench.states(), more

    await carry_out(Trouble())  # what is there once, whatever the round, is there from now on
    smooth = Trouble()
    expected = await carry_out(smooth)
    for how in ("undone", "unanswered"):
        for at in range(smooth.begun):
            assert await carry_out(Trouble(at, how)) == expected, f"transaction {at} {how}"
            stands = await bench.everything()
            bench.desk.steps.clock.now += timedelta(minutes=5)
            assert (await bench.insist(name, step, **said)).outcome == expected[0]
            assert await bench.everything() == stands, f"asked again after transaction {at} {how}"


@pytest.mark.parametrize(("name", "step", "said", "before"), CASES)
async def test_of_two_attempts_at_once_one_does_it_and_both_say_so(
    bench: Bench, name: str, step: str, said: dict[str, Any], before: list[tuple[str, str]]
) -> None:
    """As where Temporal held the first for lost, and it only took its time."""

    async def carry_out(*, twice: bool) -> tuple[set[str], dict[str, list[tuple[Any, ...]]], dict[str, int]]:
        bench.begin()
        for earlier in before:
            await bench.insist(*earlier)
        counted = await bench.counts()
        call = bench.desk.steps.call(bench.run, step, bench.occurrence, **said)
        racing = [asyncio.create_task(bench.carry[name](call)) for _ in range(2 if twice else 1)]
        await asyncio.wait(racing)
        told = {done.result().outcome for done in racing if done.exception() is None}
        # Who found the other at work is asked again.
        assert all(isinstance(done.exception(), ApplicationError | None) for done in racing)
        told.add((await bench.insist(name, step, **said)).outcome)
        after = await bench.counts()
        return told, await bench.states(), {what: n - counted.get(what, 0) for what, n in after.items()}

    await carry_out(twice=False)
    alone = await carry_out(twice=False)
    assert len(alone[0]) == 1
    assert await carry_out(twice=True) == alone


class Meddled:
    """A provider that takes the message; while it does, something else happens."""

    def __init__(self, channel: Channel, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self.name, self.provider = channel.name, channel.provider
        self._channel, self._meanwhile = channel, meanwhile

    async def send(self, message: OutgoingMessage) -> Receipt:
        receipt = await self._channel.send(message)
        await self._meanwhile()
        return receipt

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        return await self._channel.look_up(message, since)

    async def close(self) -> None:
        return None


# What is done to the row, or to what was decided on, while the provider has the message; what stands afterwards (state,
# attempt, the provider's id), and what a second message comes to.
MEANWHILE: dict[str, tuple[str, tuple[str, int, str], str]] = {
    "its provider's report is taken first": (
        "UPDATE deliveries SET state = 'accepted', provider_id = 'reported', settled_at = now(), reconciled_at = now()",
        ("accepted", 1, "reported"), "sent",
    ),
    "somebody gave it up": (
        "UPDATE deliveries SET state = 'unknown', settled_at = now(), reconciled_at = now()",
        ("accepted", 1, "own"), "sent",
    ),
    "somebody else has claimed it anew": (
        "UPDATE deliveries SET attempt = 2, claimed_at = now()", ("claimed", 2, "none"), "sent",
    ),
    "they say no": (
        "INSERT INTO consents (customer_id, channel, topic, granted, source, at) "
        "SELECT id, 'email', '', false, 'test', now() FROM customers", ("accepted", 1, "own"), "no_consent",
    ),
    "their address is suppressed": (
        "INSERT INTO suppressions (channel, address_hash, reason, source, at) "
        "SELECT channel, address_hash, 'stop', 'test', now() FROM deliveries", ("accepted", 1, "own"), "suppressed",
    ),
    "the policy allows one message a week": (
        "UPDATE governance SET value = jsonb_set(value, '{caps}', "
        """'{"email": {"times": 1, "seconds": 604800}}') WHERE name = 'policy'""", ("accepted", 1, "own"), "capped",
    ),
    "their run is ended": (
        "UPDATE runs SET state = 'ended', outcome = 'stopped', ended_at = now() WHERE playbook = 'helping'",
        ("accepted", 1, "own"), "interrupted",
    ),
}  # fmt: skip


@pytest.mark.parametrize("meanwhile", MEANWHILE)
async def test_what_happens_while_a_message_leaves_counts_from_the_next_one_on(
    bench: Bench, meanwhile: str
) -> None:
    desk = bench.desk
    sql, stands, second = MEANWHILE[meanwhile]

    async def meddle() -> None:
        async with desk.steps.database.transaction() as connection:
            await connection.exec_driver_sql(sql)

    delivery = MessageDelivery(
        desk.steps.opening, desk.channels | {"email": Meddled(desk.channels["email"], meddle)}
    )
    bench.begin()
    result = await delivery.send(desk.steps.call(bench.run, "email", bench.occurrence))
    assert result.outcome == "sent"
    [(state, attempt, provider_id)] = await desk.ledger("state, attempt, provider_id")
    own = "own" if provider_id and "@" in provider_id else provider_id or "none"
    assert (state, attempt, own) == stands
    assert (await bench.states())["run_steps"] == [("email", "email", "sent", '{"channel": "email"}')]
    bench.begin()
    assert (
        await bench.carry["Delivery.send"](desk.steps.call(bench.run, "email", bench.occurrence))
    ).outcome == second


async def test_a_runs_books_are_closed_once_and_say_the_same_however_often_they_are_asked(
    bench: Bench,
) -> None:
    desk, books = bench.desk, RunBooks(bench.desk.steps.opening)
    database, told = desk.steps.database, []
    for number, trouble in enumerate((Trouble(), Trouble(0), Trouble(0, "unanswered"))):
        run = await desk.enter(act("task", title="Help"), name=f"short{number}")
        await HumanTasks(desk.steps.opening).assign(desk.steps.call(run, "task"))
        end = RunEnd(outcome="completed", reason="all steps are done", at=desk.now)
        call = EndCall(run_id=run, execution_id="test", end=end, played=True)
        with trouble.over(database), contextlib.suppress(*DATABASE_AWAY):
            await books.finish(call)
        # The run goes on asking; a moment later its own end would be another.
        later = RunEnd(outcome="completed", reason="all steps are done", at=desk.now + timedelta(minutes=5))
        stands = await books.finish(call)
        assert await books.finish(call.model_copy(update={"end": later})) == stands == end
        told += await desk.rows(
            "SELECT r.state, r.outcome, t.state AS task, e.outcome AS counted FROM runs r "
            "JOIN tasks t ON t.run_id = r.id JOIN intervention_executions e ON e.run_id = r.id WHERE r.id = :run",
            run=run,
        )
    expected = {"state": "ended", "outcome": "completed", "task": "cancelled", "counted": "completed"}
    assert told == [expected] * 3


async def test_an_inbox_is_read_again_as_it_was(bench: Bench) -> None:
    desk, books = bench.desk, RunBooks(bench.desk.steps.opening)
    async with desk.steps.database.transaction() as connection:
        for step in ("one", "two"):
            await inbox.post(connection, bench.run, "event", desk.now, step=step, outcome="then")
    call = InboxCall(run_id=bench.run, execution_id="test", after=0, paused=True)
    with Trouble(0, "unanswered").over(desk.steps.database), contextlib.suppress(*DATABASE_AWAY):
        await books.read(call)
    stands = await bench.everything()
    assert [entry.step for entry in await books.read(call)] == ["one", "two"]
    assert await bench.everything() == stands


async def test_a_run_moves_to_another_version_once_and_never_back_by_an_old_word(bench: Bench) -> None:
    """A run that Temporal lost reads its whole inbox again: what was said of versions long past among it."""
    desk, migrating = bench.desk, Migrating(bench.desk.steps.opening)
    waits = [Wait(id="stand", spec=CalendarDays(days=days)) for days in (1, 2, 3)]
    run = await desk.steps.enter(waits[0], name="moving")
    versions = []
    for wait in waits:
        await desk.steps.publish("moving", wait, on_change="migrate", enter=trigger("moving_wanted"))
        [row] = await desk.rows("SELECT version FROM playbooks WHERE name = 'moving'")
        versions.append(row["version"])

    async def move(before: str, after: str) -> tuple[bool, str]:
        call = MigrateCall(
            run_id=run, execution_id="test", from_version=before, to_version=after, done={}, since={"stand": START}
        )  # fmt: skip
        moved = await migrating.migrate(call)
        [row] = await desk.rows("SELECT version FROM runs WHERE id = :run", run=run)
        return moved.steps is not None, row["version"]

    [row] = await desk.rows("SELECT version FROM runs WHERE id = :run", run=run)
    first, second, third = row["version"], versions[1], versions[2]
    with Trouble(0, "unanswered").over(desk.steps.database), contextlib.suppress(*DATABASE_AWAY):
        await move(first, second)
    assert await move(first, second) == (True, second)
    assert await move(second, third) == (True, third)
    # Started anew, the run hears the words of both changes once more.
    assert await move(third, second) == (False, third)
    assert await move(third, third) == (False, third)
    # A version that is published again is the later one, whatever it was before.
    await desk.steps.publish("moving", waits[1], on_change="migrate", enter=trigger("moving_wanted"))
    assert await move(third, second) == (True, second)


async def test_what_may_have_been_done_is_not_called_skipped_because_its_if_no_longer_holds(
    bench: Bench,
) -> None:
    """The worker died after its request; meanwhile the customer is another one."""
    desk = bench.desk
    carrying = bench.carry["Step.carry_out"]
    order = StepType(word="order", about="Orders.", arguments=OrderArguments, carry_out=bench.shop)
    guarded = act(order, note="x").model_copy(update={"guard": PRO})
    run = bench.run = await desk.enter(guarded, name="guarded")
    bench.begin()
    bench.shop.script.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        await carrying(desk.steps.call(run, "order"))
    await desk.steps.identify(plan="free")
    assert (await bench.insist("Step.carry_out", "order")).outcome == "unknown"
    assert await desk.ledger("state") == [("unknown",)]
    # What nobody has begun is asked its `if`.
    bench.begin()
    assert (await bench.insist("Step.carry_out", "order")).outcome == "skipped"
    assert len(bench.shop.asked) == 1


async def test_a_task_that_is_on_a_list_stays_there_though_its_words_could_not_be_made_any_more(
    bench: Bench,
) -> None:
    desk = bench.desk
    bench.run = await desk.enter(act("task", title="Call {{ customer.first_name }}"), name="named")
    bench.begin()
    opened = await bench.insist("Tasks.assign", "task")
    await desk.steps.identify(first_name=None)
    desk.steps.clock.now += timedelta(minutes=5)
    again = await bench.insist("Tasks.assign", "task")
    assert (again.outcome, again.until) == (opened.outcome, opened.until) == ("open", opened.until)
    # Whose words couldn't be made in the first place isn't put there.
    bench.begin()
    assert (await bench.insist("Tasks.assign", "task")).outcome == "failed"
    assert len(await desk.rows("SELECT 1 FROM tasks WHERE run_id = :run", run=bench.run)) == 1


async def test_a_step_that_was_carried_out_after_all_is_not_called_skipped(bench: Bench) -> None:
    """An execution that is gone had asked for the message; the one that took its place passes it over."""
    bench.begin()
    assert (await bench.insist("Delivery.send", "email")).outcome == "sent"
    assert (await bench.insist("Step.skip", "email")).outcome == "sent"
    assert (await bench.states())["run_steps"] == [("email", "email", "sent", '{"channel": "email"}')]


# What the message was left as, whether it had gone, and what it comes to: its outcome, the ledger's word, and how many
# went in the end.
LEFT: list[tuple[str, str, bool, tuple[str, str, int]]] = [
    ("email", "retrying", False, ("sent", "accepted", 1)),
    ("email", "claimed", True, ("unknown", "unknown", 1)),
    ("email", "claimed", False, ("unknown", "unknown", 0)),
    ("email", "unknown", True, ("unknown", "unknown", 1)),
    ("email", "accepted", True, ("sent", "accepted", 1)),
    ("email", "failed", False, ("failed", "failed", 0)),
    ("email", "skipped", False, ("skipped", "skipped", 0)),
    ("sms", "retrying", False, ("sent", "accepted", 1)),
    ("sms", "claimed", True, ("sent", "accepted", 1)),
    ("sms", "claimed", False, ("sent", "accepted", 1)),
    ("sms", "unknown", True, ("sent", "accepted", 1)),
    ("sms", "unknown", False, ("sent", "accepted", 1)),
    ("sms", "accepted", True, ("sent", "accepted", 1)),
    ("message", "claimed", True, ("sent", "accepted", 1)),
    ("message", "retrying", False, ("sent", "accepted", 1)),
]


@pytest.mark.parametrize(("step", "state", "went", "expected"), LEFT)
async def test_whatever_a_message_was_left_as_it_comes_to_one_end(
    bench: Bench, step: str, state: str, went: bool, expected: tuple[str, str, int]
) -> None:
    """As a worker leaves it that dies at that place, before its run's record."""
    desk = bench.desk
    # Twilio notes the real time of what it takes.
    desk.steps.clock.now = datetime.now(UTC)
    bench.begin()
    assert (await bench.insist("Delivery.send", step)).outcome == "sent"
    if not went:
        desk.providers.twilio.accepted.clear()
        desk.providers.smtp.accepted.clear()
    async with desk.steps.database.transaction() as connection:
        await connection.execute(
            text(
                "UPDATE deliveries SET state = :state, error_code = NULL, reconciled_at = NULL, provider_id = NULL, "
                "settled_at = CASE WHEN :state = 'claimed' THEN NULL ELSE settled_at END"
            ),
            {"state": state},
        )
        await connection.execute(text("DELETE FROM run_steps"))
    told = await bench.insist("Delivery.send", step)
    [ledger] = await desk.ledger("state")
    assert (told.outcome, *ledger, sum(desk.providers.sent().values())) == expected
    stands = await bench.everything()
    desk.steps.clock.now += timedelta(minutes=5)
    assert (await bench.insist("Delivery.send", step)).outcome == expected[0]
    assert await bench.everything() == stands


async def test_what_a_process_knows_of_its_providers_does_not_outlive_the_transaction_it_learned_it_in(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their rows are made by the first claim; where that comes to nothing the next one makes them."""
    monkeypatch.setattr("activities.line_up.CACHE_SECONDS", 0)
    desk = bench.desk
    bench.begin()
    with Trouble(0).over(desk.steps.database):
        assert (await bench.insist("Delivery.send", "email")).outcome == "sent"
    known = await desk.rows("SELECT provider FROM providers WHERE channel = 'email'")
    assert [row["provider"] for row in known] == ["smtp"]


async def test_a_health_model_is_not_kept_under_the_name_of_the_one_before_it(bench: Bench) -> None:
    """Between reading what is live and reading it, another one may be published."""
    said = shipped_models()[DEFAULT_MODEL].model_dump(mode="json") | {"name": "mine"}
    mine = HealthModel.model_validate(said)
    other = HealthModel.model_validate(said | {"minimum_coverage": 0.5})
    database, now = bench.desk.steps.database, bench.desk.now
    async with database.transaction() as connection:
        await publish_models(connection, {"mine": other}, now)
        # Who read that `mine` was live finds `other`.
        assert (await load_model(connection, "mine", mine.digest)).digest == other.digest
        await publish_models(connection, {"mine": mine}, now)
        assert (await load_model(connection, "mine", mine.digest)).digest == mine.digest
