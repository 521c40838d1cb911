"""Work that a team shares: fair though many workers give it out at once, taken by one, moved, reminded of, reported."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from activities.steps import StepOpening
from activities.tasks import HumanTasks
from activities.versions import Versions
from channels.settings import parse_smtp_url
from channels.smtp import SmtpChannel
from loops.notices import Notices
from loops.upkeep import Upkeep
from schemas.catalogue import load_catalogue
from schemas.errors import ConflictError, InputError
from schemas.incoming import IncomingEvent
from schemas.policy import Policy, Team, WorkingHours
from store.database import Database
from store.intake import take_in
from store.performance import read_performance
from store.sharing import reassign_task, release_task, take_task
from store.tasks import Report, complete_task
from tests.integration.plans import trigger
from tests.integration.step_desk import START, StepDesk, act, open_desk
from tests.standins.smtp import SmtpStandIn
from web.calls import reschedule

MEMBERS = ("anna@example.com", "ben@example.com", "carla@example.com", "dora@example.com", "emil@example.com")
CS = Team(members=MEMBERS, lead="lena@example.com")
POLICY = Policy(teams={"cs": CS})
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[StepDesk]:
    async with open_desk(database_url) as desk:
        yield desk


@pytest.mark.parametrize("by", ["round_robin", "load"])
async def test_two_workers_that_give_out_200_tasks_at_once_are_fair(desk: StepDesk, by: str) -> None:
    step = act("task", title="Look", assign={"team": "cs", "by": by})
    await desk.publish("helping", step, policy=POLICY, enter=trigger("helping_wanted"))
    now = desk.clock.now
    events = [
        IncomingEvent("test", f"m{n}", f"customer-{n}", "helping_wanted", now, now, now.date())
        for n in range(200)
    ]
    await take_in(desk.database, events, move=desk.opening.move)
    await desk.evaluate()
    runs = [str(row["id"]) for row in await desk.rows("SELECT id FROM runs ORDER BY random()")]
    assert len(runs) == 200
    other = Database(desk.database.url, connections=8, clock=desk.clock)
    workers = [HumanTasks(desk.opening), HumanTasks(StepOpening(other, load_catalogue(), Versions()))]
    try:
        results = await asyncio.gather(
            *(workers[number % 2].assign(desk.call(run, "task")) for number, run in enumerate(runs))
        )
        # Asked again, as after an answer that was lost, nobody gets anything more.
        await asyncio.gather(*(workers[1].assign(desk.call(run, "task")) for run in runs[:20]))
    finally:
        await other.close()
    assert {result.outcome for result in results} == {"open"}
    got = Counter(row["assignee"] for row in await desk.rows("SELECT assignee FROM tasks"))
    assert got == dict.fromkeys(MEMBERS, 40)
    assert await desk.rows("SELECT turns FROM team_turns") == [{"turns": 200}]


async def test_load_counts_what_is_open_and_who_took_it(desk: StepDesk) -> None:
    run = await desk.enter(
        act("task", "by-hand", title="Look", assign="anna@example.com"),
        act("task", "shared", title="Look", assign={"team": "cs"}),
        act("task", "least", title="Look", assign={"team": "cs", "by": "load"}),
        policy=Policy(teams={"cs": CS.model_copy(update={"members": MEMBERS[:3]})}),
    )
    await _assign(desk, run, "by-hand")
    shared = await _assign(desk, run, "shared")
    async with desk.database.transaction() as connection:
        await take_task(connection, shared, "ben@example.com", desk.clock.now)
    await _assign(desk, run, "least")
    [task] = await desk.rows("SELECT assignee, team, assigned_because FROM tasks WHERE step = 'least'")
    assert task == {
        "assignee": "carla@example.com", "team": "cs", "assigned_because": "least open work of 3 of cs: 0",
    }  # fmt: skip


async def test_only_one_takes_what_waits_on_the_teams_list(desk: StepDesk) -> None:
    run = await desk.enter(act("task", title="Look", assign={"team": "cs"}), policy=POLICY)
    task = await _assign(desk, run, "task")

    async def take(who: str) -> str:
        async with desk.database.transaction() as connection:
            return (await take_task(connection, task, who, desk.clock.now)).holder

    took = await asyncio.gather(*(take(who) for who in MEMBERS), return_exceptions=True)
    assert Counter(type(one) for one in took) == {str: 1, ConflictError: 4}
    [holder] = [one for one in took if isinstance(one, str)]
    assert await take(holder) == holder
    async with desk.database.transaction() as connection:
        assert (await release_task(connection, task, desk.clock.now)).holder == "cs"
        with pytest.raises(ConflictError, match="nobody took it"):
            await release_task(connection, task, desk.clock.now)
    assert await take("emil@example.com") == "emil@example.com"


async def test_what_is_handed_on_says_from_whom_and_an_escalation_takes_it_from_everybody(
    desk: StepDesk,
) -> None:
    step = act(
        "task", title="Look", assign={"team": "cs", "by": "round_robin"}, due="1h",
        escalate={"after": "2h", "to": "lead"},
    )  # fmt: skip
    run = await desk.enter(step, policy=POLICY)
    opened = await HumanTasks(desk.opening).assign(desk.call(run, "task"))
    assert opened.escalate_to == "lena@example.com"
    [row] = await desk.rows("SELECT id::text FROM tasks")
    async with desk.database.transaction() as connection:
        await reassign_task(connection, row["id"], "ben@example.com", "anna@example.com", desk.clock.now)
    desk.clock.now += 2 * HOUR
    await HumanTasks(desk.opening).escalate(desk.call(run, "task", to=opened.escalate_to))
    [task] = await desk.rows("SELECT taken_by, escalated_to, assigned_because FROM tasks")
    assert task == {
        "taken_by": None, "escalated_to": "lena@example.com",
        "assigned_because": "anna@example.com handed it on from anna@example.com",
    }  # fmt: skip


async def test_the_assignee_is_there_for_later_texts(desk: StepDesk) -> None:
    call = act("call", "ring", title="Call", assign={"team": "cs", "by": "round_robin"})
    run = await desk.enter(call, act("task", "after", title="Ask {{ steps.ring.assignee }}"), policy=POLICY)
    await complete_task(desk.database, await _assign(desk, run, "ring"), "reached", by="anna")
    await _assign(desk, run, "after")
    assert await desk.rows("SELECT title FROM tasks WHERE step = 'after'") == [
        {"title": "Ask anna@example.com"}
    ]


# Moving


async def test_a_run_waits_longer_for_what_was_agreed_to_be_done_later(desk: StepDesk) -> None:
    step = act("call", title="Call", due="1d", escalate={"after": "2d", "to": "cs-lead"}, give_up="3d")
    run = await desk.enter(step, policy=Policy())
    people = HumanTasks(desk.opening)
    opened = await people.assign(desk.call(run, "call"))
    assert (opened.escalate_at, opened.give_up_at) == (START + 2 * DAY, START + 4 * DAY)
    [row] = await desk.rows("SELECT id::text FROM tasks")
    begins = START + 6 * DAY
    async with desk.database.transaction() as connection:
        await reschedule(connection, row["id"], desk.clock.now, starts_at=begins, due_at=None)
    ends = begins + timedelta(minutes=30)
    desk.clock.now = START + 2 * DAY
    moved = await people.escalate(desk.call(run, "call", to="cs-lead"))
    assert (moved.outcome, moved.escalate_at, moved.give_up_at) == ("open", ends, ends + 3 * DAY)
    desk.clock.now = START + 4 * DAY
    assert (await people.close(desk.call(run, "call", outcome="overdue"))).outcome == "open"
    desk.clock.now = ends + 3 * DAY
    assert (await people.close(desk.call(run, "call", outcome="overdue"))).outcome == "overdue"


async def test_nobody_is_in_two_calls_at_once(desk: StepDesk) -> None:
    run = await desk.enter(act("call", "one", title="Call"), act("call", "two", title="Call"))
    one, two = await _assign(desk, run, "one"), await _assign(desk, run, "two")
    begins = START + DAY
    async with desk.database.transaction() as connection:
        await reschedule(connection, one, START, starts_at=begins, due_at=None)
    for minutes, free in ((0, False), (29, False), (-29, False), (30, True)):
        async with desk.database.transaction() as connection:
            at = begins + timedelta(minutes=minutes)
            if free:
                assert (await reschedule(connection, two, START, starts_at=at, due_at=None)).starts_at == at
            else:
                with pytest.raises(ConflictError, match="grace has another call then"):
                    await reschedule(connection, two, START, starts_at=at, due_at=None)
    async with desk.database.transaction() as connection:
        with pytest.raises(InputError, match="a moment to come"):
            await reschedule(connection, two, START, starts_at=START - HOUR, due_at=None)


# Reminders


async def test_whoever_has_it_is_reminded_once_before_it_is_due(desk: StepDesk) -> None:
    hours = WorkingHours(weekdays=(1, 2, 3, 4, 5), between=(540, 1020))
    run = await desk.enter(
        act("call", title="Call {{ customer.first_name }}", assign="anna@example.com", due="23h"),
        policy=Policy(working_hours=hours),
    )
    async with SmtpStandIn() as smtp:
        mail = SmtpChannel(parse_smtp_url(smtp.url), sender=("Holdfast", "care@example.com"))
        notices = Notices(desk.opening, mail, "https://care.example.com")
        desk.upkeep = Upkeep(desk.opening, notices)
        await _assign(desk, run, "call")
        # Due on Tuesday at 9:00, so four hours of work before are Monday at 13:00.
        assert await desk.upkeep.next_due() == datetime(2026, 3, 2, 13, tzinfo=UTC)
        await desk.pass_time(4 * HOUR - timedelta(seconds=1))
        assert not await notices.run_once()
        for passed in (timedelta(seconds=1), HOUR):
            await desk.pass_time(passed)
            await notices.run_once()
        await mail.close()
        [received] = smtp.accepted
    assert received.message["To"] == "anna@example.com"
    assert received.message["Subject"] == "A call is due 2026-03-03 09:00 UTC"
    # Who it is about is told on the page, behind its key; and no customer's ledger holds it.
    assert "Ada" not in received.message.as_string()
    assert await desk.rows("SELECT 1 FROM deliveries") == []
    [task] = await desk.rows("SELECT reminded_at FROM tasks")
    assert task["reminded_at"] == START + 4 * HOUR


async def test_two_workers_remind_once(desk: StepDesk) -> None:
    run = await desk.enter(
        *(act("task", f"t{n}", title="Look", assign="anna@example.com", due="4h") for n in range(20)),
        policy=Policy(),
    )
    for number in range(20):
        await _assign(desk, run, f"t{number}")
    desk.clock.now += 4 * HOUR
    async with SmtpStandIn() as smtp:
        mail = SmtpChannel(parse_smtp_url(smtp.url), sender=("Holdfast", "care@example.com"))
        both = [Notices(desk.opening, mail, "https://care.example.com") for _ in range(2)]
        await asyncio.gather(*(Upkeep(desk.opening, notices).run_once() for notices in both))
        await asyncio.gather(*(notices.run_once() for notices in both))
        await mail.close()
        told = [received.delivery for received in smtp.accepted]
    assert len(told) == len(set(told)) == 20


# How it went


async def test_a_follow_up_is_on_the_same_persons_list_and_no_run_waits_for_it(desk: StepDesk) -> None:
    run = await desk.enter(act("call", title="Call"))
    task = await _assign(desk, run, "call")
    again = START + 7 * DAY
    report = Report(notes="ask again", satisfaction_rating=4, duration_minutes=12, follow_up_at=again)
    for _ in range(2):
        await complete_task(desk.database, task, "reached", by="grace", report=report)
    done, more = await desk.rows(
        "SELECT state, assignee, run_id, follows::text, due_at, satisfaction_rating, duration_minutes, about "
        "FROM tasks ORDER BY created_at, run_id NULLS LAST"
    )
    assert (done["state"], done["satisfaction_rating"], done["duration_minutes"]) == ("done", 4, 12)
    assert (more["state"], more["assignee"], more["run_id"]) == ("open", "grace", None)
    assert (more["follows"], more["due_at"], more["about"]) == (task, again, "ask again")
    assert len(await desk.rows("SELECT 1 FROM run_inbox")) == 1
    [row] = await desk.rows("SELECT id::text FROM tasks WHERE run_id IS NULL")
    await complete_task(desk.database, row["id"], "done", by="grace")
    assert len(await desk.rows("SELECT 1 FROM run_inbox")) == 1


async def test_what_nobody_waits_for_leaves_the_lists_in_the_end(desk: StepDesk) -> None:
    run = await desk.enter(act("call", title="Call"))
    report = Report(follow_up_at=START + DAY)
    await complete_task(desk.database, await _assign(desk, run, "call"), "reached", by="grace", report=report)
    await desk.pass_time(30 * DAY)
    assert await desk.rows("SELECT 1 FROM tasks WHERE state = 'open'") != []
    await desk.pass_time(DAY)
    assert await desk.rows("SELECT outcome FROM tasks WHERE run_id IS NULL") == [{"outcome": "overdue"}]


async def test_performance_is_told_per_person_and_day(desk: StepDesk) -> None:
    run = await desk.enter(*(act("call", f"c{n}", title="Call", assign=MEMBERS[n % 2]) for n in range(3)))
    await desk.identify(csm="anna@example.com")
    keys = [await _assign(desk, run, f"c{n}") for n in range(3)]
    desk.clock.now += 2 * HOUR
    for rating, key in zip((5, 3, None), keys, strict=True):
        await complete_task(desk.database, key, "reached", by="x", report=Report(satisfaction_rating=rating))
    async with desk.database.transaction() as connection:
        # In place of what was worked out on the way.
        for table in ("churn_predictions", "customer_health", "signal_history"):
            await connection.execute(text(f"DELETE FROM {table}"))
        await connection.execute(
            text(
                "INSERT INTO churn_predictions (customer_id, prediction_date, churn_probability, risk_level, source, "
                "model_version, model_confidence, intervention_recommended, intervention_priority, ltv_at_risk, "
                "actual_churn, calculated_at) SELECT id, '2026-03-02', 0.8, 'critical', 'model', 'm', 'high', true, 5, "
                "400, false, :now FROM customers"
            ),
            {"now": START},
        )
        await connection.execute(
            text(
                "INSERT INTO customer_health (customer_id, day, health_score, model, calculated_at) "
                "SELECT id, day, score, 'm', :now FROM customers, "
                "(VALUES (DATE '2026-03-02', 30), (DATE '2026-03-10', 55)) AS h (day, score)"
            ),
            {"now": START},
        )
        await connection.execute(
            text(
                "INSERT INTO signal_history (customer_id, day, monthly_price, known_at) SELECT id, day, price, :now "
                "FROM customers, (VALUES (DATE '2026-03-01', 20), (DATE '2026-03-12', 49)) AS h (day, price)"
            ),
            {"now": START},
        )
        rows = await read_performance(connection, START.date(), START.date())
    anna, ben = rows
    assert anna.model_dump(by_alias=False) == {
        "agent": "anna@example.com", "metric_date": START.date(), "accounts_managed": 1, "interactions_completed": 2,
        "avg_satisfaction_rating": 5.0, "churn_prevented": 1, "accounts_upgraded": 1,
        "avg_time_to_resolution_hours": 2.0, "health_score_improvements": 1, "total_ltv_impact": 400.0,
    }  # fmt: skip
    assert (ben.agent, ben.accounts_managed, ben.avg_satisfaction_rating) == ("ben@example.com", 0, 3.0)


async def _assign(desk: StepDesk, run: str, step: str) -> str:
    """Carry out the step; the id of its task."""
    await HumanTasks(desk.opening).assign(desk.call(run, step))
    [row] = await desk.rows("SELECT id::text FROM tasks WHERE step = :step", step=step)
    return str(row["id"])
