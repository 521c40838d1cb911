"""A customer is forgotten: at once nothing more begins, in the end nothing is left but hashes and counts."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.service import RPCError

import loops.erasing
from activities.links import LinkMaker
from activities.steps import StepOpening
from activities.versions import Versions
from loops.erasing import Erasing, fence_returned
from loops.evaluator import Evaluator
from schemas.access import Principal
from schemas.catalogue import load_catalogue
from schemas.delivery_report import InboundMessage
from schemas.errors import NotFoundError
from schemas.incoming import IncomingEvent, TakenIn
from schemas.link_token import LinkKey
from schemas.plan import Elapsed, Wait
from schemas.settings import Settings
from scoring.moving import make_mover
from store import erasing, erasing_tombstones
from store.addresses import hash_address
from store.database import Database
from store.erasing import Erasure, State
from store.erasing_fence import ERASED_CODE, hash_external_id
from store.inbound_messages import record_message
from store.intake import take_in
from store.publishing import publish
from tests.integration.every_table import furnish, person, search
from tests.integration.plans import DAY, call, email, playbook
from tests.integration.running_engine import CONVERTER, OPEN, SECRET, House, eventually
from workflows.payloads import make_data_converter

BOSS = Principal(kind="person", id="p1", name="Grace", role="admin")
GONE = "SELECT count(*) AS n FROM customers WHERE external_id = :name"


class Desk:
    """A database, a Temporal, and an eraser that may be killed."""

    def __init__(self, database: Database, client: Client) -> None:
        self.database, self.client = database, client
        self.opening = StepOpening(
            database, load_catalogue(), Versions(), LinkMaker(LinkKey(SECRET), "https://holdfast.example")
        )
        self.erasing = Erasing(self.opening, client)

    async def request(self, external_id: str, reason: str = "") -> Erasure:
        async with self.database.transaction() as connection:
            now = await self.database.clock.read(connection)
            return await erasing.request_erasure(connection, external_id, BOSS, reason=reason, now=now)

    async def load(self, erasure_id: str) -> Erasure:
        async with self.database.transaction() as connection:
            return await erasing.load_erasure(connection, erasure_id)

    async def erase(self, external_id: str, reason: str = "") -> Erasure:
        erasure = await self.request(external_id, reason)
        return await self.finish(erasure.id)

    async def finish(self, erasure_id: str) -> Erasure:
        done: Erasure = await eventually(
            lambda: self.erasing.carry_on(erasure_id), lambda seen: seen.state == "done", 60
        )
        return done

    async def rows(self, sql: str, **parameters: object) -> list[dict[str, object]]:
        async with self.database.transaction() as connection:
            return [dict(row._mapping) for row in await connection.execute(text(sql), parameters)]

    async def change(self, sql: str, **parameters: object) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(text(sql), parameters)

    async def send(self, external_id: str, name: str = "logged_in", **traits: str) -> TakenIn:
        now = datetime.now(UTC)
        event = IncomingEvent(
            "app",
            str(uuid.uuid4()),
            external_id,
            "identify" if traits else name,
            now,
            now,
            now.date(),
            {},
            traits,
        )
        return await take_in(self.database, [event], move=make_mover(load_catalogue()))


@pytest.fixture
async def desk(database_url: str, temporal: str) -> AsyncIterator[Desk]:
    database = Database(database_url, connections=4)
    yield Desk(database, await Client.connect(temporal, data_converter=CONVERTER))
    await database.close()


async def is_gone(client: Client, workflow_id: str) -> bool:
    try:
        await client.get_workflow_handle(workflow_id).describe()
    except RPCError:
        return True
    return False


async def test_a_customer_is_erased_while_their_playbook_runs_and_nothing_brings_them_back(
    house: House,
) -> None:
    engine, who = house.engine, person("kanarie")
    desk = Desk(engine.database, engine.client)
    await engine.publish(
        playbook(
            email("greet", "Hello {{ customer.first_name }}"),
            call("ring"),
            Wait(id="pause", spec=Elapsed(seconds=30 * DAY)),
            email("more"),
        ),
        playbook(Wait(id="pause", spec=Elapsed(seconds=30 * DAY)), name="resting"),
    )
    traits = {name: value for name, value in who.items() if name != "external_id"}
    await engine.identify(who["external_id"], timezone="UTC", csm="grace", **traits)
    await engine.identify("ada", first_name="Ada", email="ada@example.com", timezone="UTC")
    await engine.send(who["external_id"], "help_wanted", question="Wort des kanarie")
    await engine.send("ada", "help_wanted")
    await engine.until("SELECT 1 FROM tasks", holds=lambda rows: len(rows) == 2)
    await engine.until("SELECT 1 FROM runs WHERE state = 'running'", holds=lambda rows: len(rows) == 4)
    [customer] = await engine.rows(
        "SELECT id::text AS id FROM customers WHERE external_id = :n", n=who["external_id"]
    )
    workflows = [
        row["workflow_id"]
        for row in await engine.rows(
            "SELECT workflow_id FROM runs WHERE customer_id = :id", id=customer["id"]
        )
    ]
    assert len(workflows) == 2
    assert await search(engine.database, "kanarie")

    erasure = await desk.erase(who["external_id"], "they asked by kanarie mail, mail.kanarie@example.com")

    assert await search(engine.database, "kanarie", who["phone"]) == {}
    assert all([await is_gone(engine.client, workflow_id) for workflow_id in workflows])
    left = [one.id async for one in engine.client.list_workflows(f"CustomerId = '{customer['id']}'")]
    assert left == []
    assert erasure.detail["executions"] == 2
    assert erasure.detail["rows"]["runs"] == 2
    # Only the tombstone and the audit log know the random id.
    assert set(await search(engine.database, customer["id"])) == {"audit_log", "erasures"}
    # What playbooks achieved counts on, and says of nobody who it was.
    outcomes = await engine.rows(
        "SELECT customer_id::text AS c, outcome, outcome_notes AS o FROM intervention_executions"
    )
    assert [(row["outcome"], row["o"]) for row in outcomes] == [("stopped", ""), ("stopped", "")]
    assert customer["id"] not in {row["c"] for row in outcomes}
    # Later events are dropped and counted, and say nothing.
    for _ in range(3):
        taken = await engine.send(who["external_id"], "help_wanted", question="Wort des kanarie")
        assert (taken.stored, taken.buried) == (0, 1)
    assert await engine.rows(GONE, name=who["external_id"]) == [{"n": 0}]
    [letter] = await engine.rows("SELECT code, body, times FROM dead_letters")
    assert letter == {"code": ERASED_CODE, "body": "", "times": 3}
    assert await search(engine.database, "kanarie") == {}
    # Nothing is sent to their address, whoever has it next.
    suppressed = await engine.rows("SELECT channel, address_hash FROM suppressions WHERE reason = 'erased'")
    assert {"channel": "email", "address_hash": hash_address("email", who["email"])} in suppressed
    # Others' runs go on.
    others = await engine.rows("SELECT workflow_id FROM runs WHERE ended_at IS NULL")
    assert len(others) == 2
    assert not any([await is_gone(engine.client, row["workflow_id"]) for row in others])


async def test_what_a_run_is_about_to_send_when_the_erasure_is_asked_for_stays_here(house: House) -> None:
    """Nobody carries the erasure on: the fence alone holds."""
    await house.engine.publish(playbook(Wait(id="pause", spec=Elapsed(seconds=1)), email("greet")))
    await house.engine.identify("ada", first_name="Ada", email="ada@example.com", timezone="UTC")
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM runs WHERE state = 'running'")
    await Desk(house.engine.database, house.engine.client).request("ada")
    [run] = await house.engine.until("SELECT outcome, reason FROM runs WHERE ended_at IS NOT NULL")
    assert run == {"outcome": "stopped", "reason": "the customer is erased"}
    assert house.smtp.accepted == []


async def test_whatever_there_is_of_a_customer_goes_and_nothing_of_others(desk: Desk) -> None:
    await furnish(desk.database, "kanarie")
    other = await furnish(desk.database, "meise")
    before = await search(desk.database, "meise")
    erasure = await desk.erase("id-kanarie-4b1f")
    assert await search(desk.database, "kanarie", person("kanarie")["phone"]) == {}
    after = await search(desk.database, "meise")
    assert {table: len(rows) for table, rows in after.items()} == {
        table: len(rows) for table, rows in before.items()
    }
    assert erasure.detail["rows"]["events"] == 1
    assert erasure.detail["rows"]["event_ids"] == 1
    # Under nobody's id, so that the counts stay: the same one in both tables.
    kept = await desk.rows(
        "SELECT x.customer_id = e.customer_id AS same, e.trigger_reason AS r FROM exposures x "
        "JOIN intervention_executions e USING (run_id) WHERE e.customer_id <> :other",
        other=other["customer"],
    )
    assert kept == [{"same": True, "r": ""}]
    assert hash_external_id("id-kanarie-4b1f") == erasure.external_id_hash


# In the order in which they come about.
PLACES = (
    "close_run", "move_on", "count_claims", "load_executions", "note_progress", "purge_names", "purge_piece",
    "purge_rest",
)  # fmt: skip


class KilledError(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("after", [False, True])
async def test_an_eraser_that_dies_anywhere_is_carried_on_by_another(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """`after`: it dies when the step is done, in the transaction that would have kept it."""
    await furnish(desk.database, "kanarie")
    await desk.change("UPDATE runs SET state = 'observed', ended_at = NULL, arm = 'held_out'")
    await desk.change("DELETE FROM intervention_executions")
    await _publish_stored(desk)
    erasure = await desk.request("id-kanarie-4b1f")
    states: list[State] = []
    for place in PLACES:
        where: Any = loops.erasing if hasattr(loops.erasing, place) else erasing
        genuine = getattr(where, place)

        async def die(*given: Any, genuine: Any = genuine) -> None:
            if after:
                await genuine(*given)
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(where, place, die)
            with pytest.raises(KilledError):
                await Erasing(desk.opening, desk.client).carry_on(erasure.id)
        states.append((await desk.load(erasure.id)).state)
    assert states == ["fenced"] * 2 + ["cancelling"] * 3 + ["erasing"] * 3
    done = await desk.finish(erasure.id)
    assert done.detail["rows"]["events"] == 1
    assert await search(desk.database, "kanarie") == {}
    [outcome] = await desk.rows("SELECT outcome FROM intervention_executions")
    assert outcome == {"outcome": "stopped"}
    # Once more changes nothing.
    assert (await desk.erasing.carry_on(erasure.id)).detail == done.detail


async def test_a_run_whose_outcome_cannot_be_worked_out_keeps_nobody(desk: Desk) -> None:
    """Of no playbook that there is, with signals that can't be read."""
    await furnish(desk.database, "kanarie")
    await desk.change("UPDATE runs SET state = 'observed', ended_at = NULL, arm = 'held_out'")
    await desk.change('UPDATE signals SET stamps = \'{"said": "x"}\'')
    await desk.erase("id-kanarie-4b1f")
    assert await search(desk.database, "kanarie") == {}


async def _publish_stored(desk: Desk) -> None:
    """Give the furnished run a playbook, as every run has one."""
    plan = playbook(Wait(id="pause", spec=Elapsed(seconds=DAY)))
    async with desk.database.transaction() as connection:
        now = await desk.database.clock.read(connection)
        await publish(connection, {plan.name: plan}, {}, OPEN, author="test", now=now)
    await desk.change(
        "UPDATE runs SET playbook = 'helping', variants = '{}', trigger = '{}', "
        "version = (SELECT version FROM playbooks WHERE name = 'helping')"
    )


async def test_a_message_on_its_way_is_waited_for_and_no_longer_than_its_claim_holds(desk: Desk) -> None:
    await furnish(desk.database, "kanarie")
    await desk.change("UPDATE deliveries SET state = 'claimed', claimed_at = clock_timestamp()")
    erasure = await desk.request("id-kanarie-4b1f")
    for _ in range(2):
        assert (await desk.erasing.carry_on(erasure.id)).state == "cancelling"
    await desk.change("UPDATE deliveries SET claimed_at = claimed_at - interval '1 minute'")
    assert (await desk.finish(erasure.id)).state == "done"


async def test_from_the_request_on_nobody_enters_and_nothing_is_taken_in(desk: Desk) -> None:
    plan = playbook(email("greet"))
    async with desk.database.transaction() as connection:
        now = await desk.database.clock.read(connection)
        await publish(connection, {plan.name: plan}, {}, OPEN, author="test", now=now)
    await desk.send("ada", first_name="Ada", email="ada@example.com")
    await desk.send("ada", "help_wanted")
    await desk.request("ada")
    assert (await desk.send("ada", "help_wanted")).buried == 1
    # Whoever asks for a look at everybody doesn't know.
    await desk.change(
        "INSERT INTO evaluations (customer_id, since, changed, everything) SELECT id, now(), '{}', true FROM customers"
    )
    assert (await Evaluator(desk.opening).run_once()).customers == 0
    assert await desk.rows("SELECT 1 FROM runs") == []
    assert await desk.rows("SELECT 1 FROM evaluations") == []


async def test_asking_again_tells_of_the_same_erasure_and_a_stranger_is_none(desk: Desk) -> None:
    await furnish(desk.database, "kanarie")
    first = await desk.request("id-kanarie-4b1f")
    assert (await desk.request("id-kanarie-4b1f")).id == first.id
    await desk.finish(first.id)
    assert (await desk.request("id-kanarie-4b1f")).state == "done"
    with pytest.raises(NotFoundError):
        await desk.request("nobody")


async def test_whom_a_backup_brings_back_goes_again(desk: Desk) -> None:
    ids = await furnish(desk.database, "kanarie")
    erasure = await desk.erase("id-kanarie-4b1f")
    now = datetime.now(UTC)
    # Some of it under the id that it had, as a restored table has it.
    await desk.change(
        "INSERT INTO customers (id, external_id, email, created_at) VALUES (:id, :name, :email, now())",
        id=ids["customer"], name=ids["external_id"], email=ids["email"],
    )  # fmt: skip
    await desk.change(
        "INSERT INTO tallies VALUES (:id, '2026-03-02', 'kanarie', '', 1, 1)", id=ids["customer"]
    )
    assert await fence_returned(desk.database, now, everything=False) == 1
    assert (await desk.finish(erasure.id)).detail["again"] == 1
    # Or as somebody else, loaded past the intake.
    await desk.change(
        "INSERT INTO customers (external_id, email, created_at) VALUES (:name, :email, now())",
        name=ids["external_id"], email=ids["email"],
    )  # fmt: skip
    assert await fence_returned(desk.database, now, everything=False) == 0
    assert await fence_returned(desk.database, now, everything=True) == 1
    assert await desk.erasing.run_once() == 0
    assert await search(desk.database, "kanarie") == {}


async def test_what_is_written_late_of_somebody_who_is_gone_is_swept_away(desk: Desk) -> None:
    ids = await furnish(desk.database, "kanarie")
    await desk.erase("id-kanarie-4b1f")
    await desk.change(
        "INSERT INTO tallies VALUES (:id, '2026-03-02', 'kanarie', '', 1, 1)", id=ids["customer"]
    )
    now = datetime.now(UTC)
    await desk.erasing.find_returned(now + timedelta(days=3), everything=False)
    assert await search(desk.database, "kanarie")
    await desk.erasing.find_returned(now, everything=False)
    assert await search(desk.database, "kanarie") == {}


async def test_whoever_is_allowed_again_is_somebody_new_and_still_not_written_to(desk: Desk) -> None:
    ids = await furnish(desk.database, "kanarie")
    await desk.erase("id-kanarie-4b1f")
    async with desk.database.transaction() as connection:
        now = await desk.database.clock.read(connection)
        await erasing_tombstones.allow_again(connection, "id-kanarie-4b1f", BOSS, now)
    assert (await desk.send("id-kanarie-4b1f", email=ids["email"])).stored == 1
    [customer] = await desk.rows("SELECT id::text AS id FROM customers")
    assert customer["id"] != ids["customer"]
    assert await fence_returned(desk.database, now, everything=True) == 0
    suppressed = await desk.rows(
        "SELECT 1 FROM suppressions WHERE address_hash = :h", h=hash_address("email", ids["email"])
    )
    assert suppressed
    # And can be erased again.
    assert (await desk.erase("id-kanarie-4b1f")).customer_id == customer["id"]
    assert (await desk.send("id-kanarie-4b1f")).buried == 1


async def test_an_erasure_needs_no_key_of_what_it_deletes(house: House, temporal: str) -> None:
    """Case 41: the key that sealed the run's payloads is gone; nothing of it is opened or sealed to delete it."""
    await house.engine.publish(playbook(Wait(id="pause", spec=Elapsed(seconds=30 * DAY))))
    await house.engine.identify("ada", first_name="Ada", timezone="UTC")
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until("SELECT workflow_id FROM runs WHERE state = 'running'")
    other = make_data_converter(Settings.read({"HOLDFAST_SECRET_KEY": "x" * 40}))
    desk = Desk(house.engine.database, await Client.connect(temporal, data_converter=other))
    assert (await desk.erase("ada")).state == "done"
    assert await is_gone(desk.client, run["workflow_id"])


async def test_what_an_erased_person_writes_isnt_kept_though_their_stop_counts(desk: Desk) -> None:
    ids = await furnish(desk.database, "kanarie")
    await desk.erase("id-kanarie-4b1f")
    now = datetime.now(UTC)
    for number, sender in ((1, ids["phone"]), (2, "+15005550009")):
        message = InboundMessage("twilio", f"SM{number}", "sms", sender, "kanarie STOP", now)
        async with desk.database.transaction() as connection:
            await record_message(
                connection, message, customer_id=None, delivery=None, keyword="stop", now=now
            )
    found = await desk.rows("SELECT text, keyword FROM inbound_messages ORDER BY provider_id")
    assert found == [{"text": "", "keyword": "stop"}, {"text": "kanarie STOP", "keyword": "stop"}]


async def test_of_an_erasure_and_a_thousand_events_that_race_nothing_is_left(desk: Desk) -> None:
    await desk.send("ada", first_name="Ada", email="ada@example.com")

    async def stream() -> None:
        for _ in range(60):
            await desk.send("ada", "logged_in")

    async def forget() -> None:
        await asyncio.sleep(0.02)
        await desk.erase("ada")

    await asyncio.gather(stream(), stream(), forget())
    assert await desk.rows("SELECT 1 FROM customers") == []
    assert await desk.rows("SELECT 1 FROM events") == []
    [letter] = await desk.rows("SELECT times FROM dead_letters")
    assert isinstance(letter["times"], int)
    assert 0 < letter["times"] < 120


async def test_a_worker_carries_on_whatever_there_is_two_at_once_included(desk: Desk) -> None:
    for tag in ("kanarie", "meise", "zeisig"):
        await furnish(desk.database, tag)
        await desk.request(person(tag)["external_id"])
    loops = [asyncio.create_task(Erasing(desk.opening, desk.client).run()) for _ in range(2)]
    await eventually(
        lambda: desk.rows("SELECT state FROM erasures"),
        lambda rows: all(row["state"] == "done" for row in rows),
    )
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    assert await desk.rows("SELECT 1 FROM customers") == []
    counts = await desk.rows("SELECT detail -> 'rows' ->> 'events' AS n FROM erasures")
    assert [row["n"] for row in counts] == ["1", "1", "1"]


def test_tombstones_are_json() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    erasure = Erasure("a", "b", "c", "Grace", "asked", now, "done", now, None, {})
    told = json.loads(json.dumps(erasing_tombstones.tombstone(erasure)))
    assert told["finished_at"] == "2026-03-02T00:00:00+00:00"
    assert "reason" not in told
