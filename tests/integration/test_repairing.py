"""Late and corrected events: the past is made right, and what was known before stays on record."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from loops.backtest.past_customer import PastCustomer
from loops.backtest.span import Span
from loops.repairing import Repairing
from rules.needs import Needs
from schemas.catalogue import load_catalogue
from schemas.correction import Correction
from schemas.errors import ConflictError, InputError, NotFoundError
from schemas.facts import Event
from schemas.incoming import IncomingEvent
from scoring.moving import make_mover
from scoring.replay import DailySums, Replayed, replay_customer
from scoring.signals import tally_events
from store import signals
from store.corrections import record_correction
from store.intake import take_in
from store.outcomes import load_outcomes
from store.past_reading import load_pasts
from store.rollup import DAILY_DAYS
from tests.integration.evaluation_desk import START, Desk, open_desk, when

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
CATALOGUE = load_catalogue()
MOVE = make_mover(CATALOGUE)
# What a model foretold on a day stays as it was said then.
AGES = frozenset(name for name, signal in CATALOGUE.signals.items() if signal.age_of)
PROFILE = frozenset(name for name, signal in CATALOGUE.signals.items() if signal.group == "profile")
FORETOLD = frozenset(
    n for n, s in CATALOGUE.signals.items() if any(form.model == "churn" for form in s.derive)
)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as desk:
        yield desk


@dataclass
class Life:
    """One customer: what was told and when, what was said of it later, and what is believed in the end."""

    name: str
    told: list[tuple[datetime, str, Event]] = field(default_factory=list)
    corrections: list[tuple[datetime, Correction]] = field(default_factory=list)
    believed: dict[str, Event] = field(default_factory=dict)

    def tell(self, id_: str, event: Event, known_at: datetime) -> None:
        """Something is told, perhaps not for the first time."""
        self.told.append((known_at, id_, event))
        self.believed.setdefault(id_, event)

    def correct(self, id_: str, at: datetime, **said: Any) -> None:
        """Something is said of what was told; `said` as a correction has it."""
        self.corrections.append((at, Correction("test", id_, "it was wrong", **said)))
        before = self.believed.pop(id_, None) or next(event for _, one, event in self.told if one == id_)
        if not said.get("retract"):
            properties, moment = said.get("properties"), said.get("occurred_at")
            self.believed[id_] = Event(
                before.name, moment or before.at, before.properties if properties is None else properties
            )


def draw_properties(draw: random.Random, name: str) -> dict[str, Any]:
    return {
        "session_ended": {"minutes": draw.choice([5, 17, 40, "long"])},
        "feature_used": {"feature": draw.choice(["templates", "analytics", "maps"])},
        "client_imported": {"count": draw.randint(1, 5)},
        "milestone_completed": {"milestone": "m", "critical": draw.random() < 0.5},
        "ticket_rated": {"rating": draw.randint(1, 5)},
        "plan_changed": {"to": draw.choice(["free", "pro", "monthly"])},
        "identify": draw.choice(
            [
                {"plan": draw.choice(["starter", "pro", 7]), "team_size": draw.randint(1, 9)},
                {"tags": draw.sample(["a", "b", "c"], 2), "billing_period": "annual"},
            ]
        ),
    }.get(name, {})


NAMES = (
    "login", "session_ended", "feature_used", "client_imported", "client_removed", "form_created",
    "milestone_completed", "ticket_opened", "ticket_rated", "plan_changed", "subscription_started", "payment_failed",
    "identify", "help_wanted",
)  # fmt: skip


def invent(name: str, seed: int, start: datetime, days: int) -> Life:
    """A life of so many days: told late, twice, out of order, and corrected or taken back, perhaps more than once."""
    draw = random.Random(seed)
    life, end = Life(name), start + days * DAY

    def between(first: datetime, last: datetime) -> datetime:
        return first + draw.random() * (last - first)

    signed_up = {"signed_up_at": (start - 3 * DAY).isoformat(), "subscription_status": "active"}
    joined = between(start, start + 2 * DAY)
    life.tell(
        f"{name}-0", Event("identify", joined, signed_up), between(joined, joined + draw.choice([0, 2]) * DAY)
    )
    for number in range(1, draw.randint(5, 25)):
        id_, what = f"{name}-{number}", draw.choice(NAMES)
        at = between(joined, end)
        known_at = between(at, min(end, at + 4 * DAY)) if draw.random() < 0.4 else at
        event = Event(what, at, draw_properties(draw, what))
        life.tell(id_, event, known_at)
        if draw.random() < 0.2:
            life.tell(id_, event, between(known_at, min(end, known_at + DAY)))
        said_at = known_at
        while draw.random() < 0.35:
            said_at = between(said_at, end)
            said: dict[str, Any] = {}
            if draw.random() < 0.3:
                said["retract"] = True
            else:
                if draw.random() < 0.7:
                    said["properties"] = draw_properties(draw, what)
                if not said or draw.random() < 0.5:
                    said["occurred_at"] = between(joined, said_at)
            life.correct(id_, said_at, **said)
    return life


class Past:
    """Lives on a real database, in the order in which they became known."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.repairing = Repairing(desk.database, CATALOGUE)

    async def tell(self, customer: str, id_: str, event: Event) -> None:
        traits = event.properties if event.name == "identify" else {}
        incoming = IncomingEvent(
            "test", id_, customer, event.name, event.at, self.desk.clock.now, event.at.date(),
            {} if traits else event.properties, traits,
        )  # fmt: skip
        await take_in(self.desk.database, [incoming], move=MOVE)

    async def correct(self, id_: str, **said: Any) -> None:
        await record_correction(self.desk.database, Correction("test", id_, "it was wrong", **said), "kim")

    async def repair(self) -> int:
        """Everything that waits; returns of how many customers something was wrong."""
        changed = 0
        while (done := await self.repairing.run_once()).customers:
            assert done.failed == 0
            changed += done.changed
        await self.desk.evaluate()
        return changed

    async def stored(self, customer: str) -> tuple[dict[str, Any], dict[str, datetime]]:
        async with self.desk.database.transaction() as connection:
            id_ = await self.id(customer)
            row = (await signals.load(connection, [id_]))[id_]
        return {n: v for n, v in row.values.items() if n not in FORETOLD}, dict(row.stamps)

    async def id(self, customer: str) -> str:
        [(id_,)] = await self.desk.rows(f"SELECT id::text FROM customers WHERE external_id = '{customer}'")
        return str(id_)

    async def tallies(self, customer: str) -> set[tuple[Any, ...]]:
        rows = await self.desk.rows(
            "SELECT t.name, t.detail, t.day, t.count, t.total FROM tallies t JOIN customers c ON c.id = t.customer_id "
            f"WHERE c.external_id = '{customer}'"
        )
        return set(rows)

    async def days(self, customer: str, **known: Any) -> dict[date, dict[str, Any]]:
        """The history of all signals but what was foretold, by day."""
        names = sorted(CATALOGUE.signals.keys() - FORETOLD)
        found: dict[date, dict[str, Any]] = {}
        async with self.desk.database.transaction() as connection:
            id_ = await self.id(customer)
            series = await signals.load_history(connection, [id_], names, date(2000, 1, 1), **known)
        for name, values in series.get(id_, {}).items():
            for day, value in values:
                found.setdefault(day, {})[name] = CATALOGUE.signals[name].read(value)
        return found

    async def scores(self, customer: str) -> dict[date, int]:
        rows = await self.desk.rows(
            "SELECT h.day, h.midnight_score FROM customer_health h JOIN customers c ON c.id = h.customer_id "
            f"WHERE c.external_id = '{customer}' AND h.midnight_score IS NOT NULL"
        )
        return dict(rows)


def replay(life: Life, until: datetime) -> Replayed:
    """What the customer comes to when everything is told at once and right."""
    days = (until.date() - START.date()).days + 5
    events = sorted(life.believed.values(), key=lambda event: event.at)
    return replay_customer(events, until=until, days=days, catalogue=CATALOGUE)


def told(days: Mapping[date, Mapping[str, Any]]) -> dict[date, dict[str, Any]]:
    return {day: {n: v for n, v in values.items() if n not in FORETOLD} for day, values in days.items()}


@pytest.mark.parametrize("first", [0, 100])
async def test_whatever_the_order_of_arrival_the_past_is_that_of_a_replay_in_order(
    desk: Desk, first: int
) -> None:
    days, past = 9, Past(desk)
    lives = [invent(f"c{seed}", seed, START, days) for seed in range(first, first + 7)]
    happenings: list[tuple[datetime, int, Any]] = [
        (at, 0, (life.name, id_, event)) for life in lives for at, id_, event in life.told
    ]
    happenings += [(at, 1, one) for life in lives for at, one in life.corrections]
    draw, then = random.Random(first), []
    for at, kind, one in sorted(happenings, key=lambda happening: happening[:2]):
        await desk.go_to(at)
        if kind == 0:
            await past.tell(*one)
        else:
            await record_correction(desk.database, one, "kim")
        # Some repairs are made soon, some late, with others between.
        if draw.random() < 0.3:
            await past.repair()
        elif kind == 0 and draw.random() < 0.15:
            then.append((one[0], desk.clock.now, await past.days(one[0])))
    until = START + (days + 1) * DAY
    await desk.go_to(until)
    await past.repair()
    await desk.evaluate(everybody=True)
    assert await desk.rows("SELECT * FROM repairs") == []
    assert await desk.rows("SELECT * FROM scoring_failures") == []
    for life in lives:
        await assert_as_replayed(past, life, until)
        await assert_played_back(past, life, until)
    for customer, moment, known in then:
        assert await past.days(customer, known_by=moment) == known
    assert sum(len(life.corrections) for life in lives) > 30
    assert sum(bool(known) for _, _, known in then) > 5


async def assert_as_replayed(past: Past, life: Life, until: datetime) -> None:
    """Signals, tallies, history and scores are those of the clean replay."""
    clean = replay(life, until)
    values, stamps = await past.stored(life.name)
    assert values == {n: v for n, v in clean.signals.items() if n not in FORETOLD | AGES}, life
    assert stamps == clean.stamps, life
    sums = DailySums()
    sums.add(tally_events(life.believed.values(), CATALOGUE))
    assert await past.tallies(life.name) == {tuple(row) for row in sums.rows}, life
    kept, wanted = await past.days(life.name), told(clean.days)
    assert {day: kept.get(day) for day in wanted} == wanted, life
    scores = {day: row["health_score"] for day, row in wanted.items() if "health_score" in row}
    assert {day: one for day, one in (await past.scores(life.name)).items() if day in scores} == scores


async def assert_played_back(past: Past, life: Life, until: datetime) -> None:
    """Moved on through the same time, a customer of a backtest comes to the same: repairs are part of the past."""
    id_, span, names = await past.id(life.name), Span(START, until), ["clients_imported", "active_days_30d"]
    async with past.desk.database.transaction() as connection:
        begun = (START.date() - DAY, START.date() + DAY)
        kept = await load_pasts(
            connection, [id_], history=["health_score", *names], days=begun, known_by=START
        )
    customer = PastCustomer(kept[id_], Needs(history=frozenset(names)), CATALOGUE, span)
    while (moment := customer.next_at) is not None:
        _, daily = customer.pass_to(moment)
        customer.look(daily=daily)
    facts = customer.facts(until)
    values, _ = await past.stored(life.name)
    unlike = FORETOLD | AGES | PROFILE
    assert {n: v for n, v in facts.signals.items() if n not in unlike} == values, life
    days = await past.days(life.name)
    for name in names:
        since = min((day for day, _ in facts.history[name]), default=until.date())
        assert dict(facts.history[name]) == {
            day: row[name] for day, row in days.items() if day >= since and name in row
        }, life


async def test_a_late_event_corrects_the_days_since_and_what_was_known_before_stays_on_record(
    desk: Desk,
) -> None:
    past = Past(desk)
    await past.tell("ada", "1", Event("identify", START, {"plan": "pro"}))
    await desk.go_to(START + 4 * DAY)
    before = await past.days("ada")
    assert [before[day]["forms_created"] for day in sorted(before)] == [0, 0, 0, 0]
    await past.tell("ada", "2", Event("form_created", START + 2 * DAY, {}))
    assert await desk.rows("SELECT since::text, whole, reason FROM repairs") == [
        ("2026-03-05", False, "late")
    ]
    assert await past.repair() == 1
    after = await past.days("ada")
    assert [after[day]["forms_created"] for day in sorted(after)] == [0, 0, 1, 1]
    assert await past.days("ada", as_first_known=True) == before
    assert await past.days("ada", known_by=desk.clock.now - HOUR) == before
    assert await desk.rows("SELECT day::text, revision FROM signal_history WHERE revision > 0 ORDER BY day") == [
        ("2026-03-05", 1), ("2026-03-06", 1),
    ]  # fmt: skip
    # A backtest that begins before that knows nothing of it.
    async with desk.database.transaction() as connection:
        id_ = await past.id("ada")
        for known_by, forms in ((desk.clock.now - HOUR, [0, 0, 0, 0]), (None, [0, 0, 1, 1])):
            kept = await load_pasts(
                connection, [id_], history=["forms_created"], days=(START.date(), desk.clock.now.date() + DAY),
                known_by=known_by,
            )  # fmt: skip
            assert [value for _, value in kept[id_].days["forms_created"]] == forms


async def test_what_comes_on_its_own_day_or_before_anybody_looked_asks_for_nothing(desk: Desk) -> None:
    past = Past(desk)
    await past.tell("ada", "1", Event("login", START, {}))
    await desk.go_to(START + 2 * HOUR)
    await past.tell("ada", "2", Event("login", START + HOUR, {}))
    assert await desk.rows("SELECT * FROM repairs") == []
    await desk.go_to(datetime(2026, 3, 3, tzinfo=UTC), daily=False)
    desk.clock.now += timedelta(minutes=2)
    await past.tell("ada", "3", Event("login", desk.clock.now - 5 * timedelta(minutes=1), {}))
    assert len(await desk.rows("SELECT * FROM repairs")) == 1
    # The day's look at everybody is still to come.
    assert await past.repair() == 0
    assert await desk.rows("SELECT * FROM repairs") == []


async def test_a_loaded_past_asks_for_no_repair(desk: Desk) -> None:
    event = IncomingEvent("test", "1", "ada", "login", START - 50 * DAY, START, (START - 50 * DAY).date())
    await take_in(desk.database, [event], move=MOVE, evaluate=False)
    assert await desk.rows("SELECT * FROM repairs") == []


async def test_days_from_before_we_heard_of_a_customer_are_made_good(desk: Desk) -> None:
    past = Past(desk)
    for number in range(0, 200, 10):
        await past.tell("ada", str(number), Event("login", START - number * DAY, {}))
    await past.repair()
    days = await past.days("ada")
    # Not for ever back: what is older than the days that are kept daily isn't needed.
    assert min(days) == START.date() - timedelta(days=DAILY_DAYS)
    assert len(days) == DAILY_DAYS + 1
    assert len(await past.scores("ada")) == DAILY_DAYS + 1
    assert await past.days("ada", known_by=START - HOUR) == {}
    [(trend,)] = await desk.rows("SELECT health_trend FROM signals")
    assert trend is not None


async def test_totals_outlive_events_that_are_no_longer_kept(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    past = Past(desk)
    await past.tell("ada", "1", Event("identify", START, {"plan": "starter", "billing_period": "annual"}))
    for number in range(3):
        await past.tell("ada", f"form{number}", Event("form_created", START, {}))
    await desk.go_to(START + 3 * DAY)
    for number in range(2):
        await past.tell("ada", f"late{number}", Event("form_created", desk.clock.now, {}))
    await past.tell("ada", "plan", Event("plan_changed", desk.clock.now, {"to": "pro"}))
    await desk.go_to(START + 5 * DAY)
    async with desk.database.transaction() as connection:
        await connection.execute(text("DELETE FROM events WHERE day < '2026-03-04'"))
    await past.correct("late0", retract=True)
    await past.correct("plan", occurred_at=START + 2 * DAY)
    await past.tell("ada", "4", Event("client_imported", START + 4 * DAY, {"count": 7}))
    await past.repair()
    assert "from before the events that are kept" in caplog.text
    values, _ = await past.stored("ada")
    assert (values["forms_created"], values["clients_imported"], values["plan"]) == (4, 7, "pro")
    assert values["billing_period"] == "annual"
    days = await past.days("ada")
    assert [
        (days[day]["forms_created"], days[day]["clients_imported"], days[day]["plan"], days[day]["billing_period"])
        for day in sorted(days)
    ] == [
        (3, 0, "starter", "annual"), (3, 0, "starter", "annual"), (3, 0, "pro", "annual"), (4, 0, "pro", "annual"),
        (4, 7, "pro", "annual"),
    ]  # fmt: skip


async def test_conditions_look_at_events_as_they_are_believed_to_have_been(desk: Desk) -> None:
    past = Past(desk)
    await desk.publish(when("event: {name: help_wanted, within: 3d}"))
    await past.tell("ada", "1", Event("help_wanted", START, {}))
    await past.correct("1", retract=True)
    await past.repair()
    assert (await desk.explain("helping", "ada"))["result"] == "false"
    await past.correct("1", occurred_at=START - 5 * DAY)
    await past.repair()
    assert (await desk.explain("helping", "ada"))["result"] == "false"
    await past.correct("1", occurred_at=START - DAY)
    await past.repair()
    assert (await desk.explain("helping", "ada"))["result"] == "true"


async def test_a_corrected_identify_call_corrects_the_profile(desk: Desk) -> None:
    past = Past(desk)
    await past.tell("ada", "1", Event("identify", START, {"first_name": "Ada", "email": "a@example.com"}))
    await past.tell(
        "ada", "2", Event("identify", START + HOUR, {"first_name": "Bea", "phone": "+15005550001"})
    )
    await past.correct("2", retract=True)
    await past.repair()
    assert await desk.rows("SELECT first_name, email, phone, traits->>'first_name' FROM customers") == [
        ("Ada", "a@example.com", None, "Ada")
    ]
    await past.correct("2", properties={"first_name": "Cleo"})
    await past.repair()
    assert await desk.rows("SELECT first_name, phone FROM customers") == [("Cleo", None)]


async def test_the_event_stays_as_sent_and_the_correction_says_who_and_why(desk: Desk) -> None:
    past = Past(desk)
    await past.tell("ada", "1", Event("client_imported", START, {"count": 50}))
    for bad in ({}, {"retract": True, "properties": {}}, {"occurred_at": START + DAY}):
        with pytest.raises(InputError):
            await past.correct("1", **bad)
    with pytest.raises(InputError):
        await past.correct("1", properties={"a": "\x00"})
    with pytest.raises(NotFoundError, match="'2'"):
        await past.correct("2", retract=True)
    assert await desk.rows("SELECT * FROM corrections") == []
    await past.correct("1", properties={"count": 5})
    await past.correct("1", occurred_at=START - HOUR)
    await past.repair()
    assert await desk.rows("SELECT clients_imported FROM signals") == [(5.0,)]
    assert await desk.rows("SELECT properties, at FROM events") == [({"count": 50}, START)]
    assert await desk.rows("SELECT properties, occurred_at, reason, author FROM corrections ORDER BY id") == [
        ({"count": 5}, None, "it was wrong", "kim"), ({"count": 5}, START - HOUR, "it was wrong", "kim"),
    ]  # fmt: skip
    # A second event of this id, of another day, makes it unclear which is meant.
    other = IncomingEvent("test", "1", "ada", "login", START - 3 * DAY, START, (START - 3 * DAY).date())
    await take_in(desk.database, [other], move=MOVE)
    with pytest.raises(ConflictError):
        await past.correct("1", retract=True)


async def test_a_customer_whose_repair_fails_is_noted_and_passed_over(
    desk: Desk,
) -> None:
    past = Past(desk)
    for customer in ("ada", "bea"):
        await past.tell(customer, f"{customer}1", Event("form_created", START, {}))
        await past.correct(f"{customer}1", retract=True)
    ada = await past.id("ada")
    # A date that Python can't hold.
    async with desk.database.transaction() as connection:
        await connection.execute(
            text("UPDATE events SET at = 'infinity' WHERE customer_id = :id"), {"id": ada}
        )
    done = await past.repairing.run_once()
    assert (done.customers, done.changed, done.failed) == (2, 1, 1)
    [(id_, code)] = await desk.rows("SELECT customer_id::text, code FROM scoring_failures")
    assert (id_, code) == (ada, "repair")
    assert await desk.rows("SELECT * FROM repairs") == []
    assert await desk.rows(
        f"SELECT coalesce(forms_created, 0) FROM signals WHERE customer_id <> '{ada}'"
    ) == [(0.0,)]


async def test_outcomes_are_told_by_what_is_believed_now(desk: Desk) -> None:
    past = Past(desk)
    await past.tell("ada", "1", Event("subscription_cancelled", START, {}))
    await past.tell("ada", "2", Event("login", START, {}))
    await past.correct("2", occurred_at=START - DAY)
    await past.correct("1", retract=True)
    async with desk.database.transaction() as connection:
        id_ = await past.id("ada")
        found = await load_outcomes(connection, [id_], ["login", "subscription_cancelled"], START)
    assert [(name, at) for name, at, _ in found[id_].events] == [("login", START - DAY)]
