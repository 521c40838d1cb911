"""The language's section Goal and exit, played."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.simulated import Theatre, on, open_theatre

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOAL = 'goal: {name: better, when: {health_score: ">= 60"}, within: 10d}\n'
LOGIN = "goal: {event: {name: login}, within: 10d}\n"
MAIL = "steps:\n  - {id: mail, email: tips}\n"
LATER = "  - {id: stand, wait: 3d}\n  - {id: later, email: tips}\n"
WELL = {"signals": {"health_score": 70}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theatre() -> AsyncIterator[Theatre]:
    async with open_theatre() as theatre:
        yield theatre


async def test_the_window_of_a_goal_is_counted_from_entry(theatre: Theatre) -> None:
    told = await theatre.play(f"{GOAL}{MAIL}{LATER}")
    assert told.end == ("10d", "expired")


async def test_after_the_last_step_a_run_stays_open_silently_until_the_goals_window_closes(
    theatre: Theatre,
) -> None:
    told = await theatre.play(f"{GOAL}{MAIL}")
    assert told.of() == [("0m", "mail", "sent")]
    assert told.end == ("10d", "expired")
    reached = await theatre.play(f"{GOAL}{MAIL}", on("9d23h", **WELL))
    assert (reached.of(), reached.end) == (told.of(), ("9d23h", "success"))
    assert reached.reason == "goal better"


async def test_without_a_goal_it_ends_at_the_last_step(theatre: Theatre) -> None:
    told = await theatre.play(f"{MAIL}{LATER}")
    assert (told.sent, told.end) == ([("0m", "mail"), ("3d", "later")], ("3d", "completed"))


async def test_exits_end_a_run_that_only_stays_open_for_its_goal(theatre: Theatre) -> None:
    text = f"{GOAL}exit: [{{event: {{name: export_requested}}, outcome: lost}}]\n{MAIL}"
    assert (await theatre.play(text, on("5d", name="export_requested"))).end == ("5d", "lost")


async def test_steps_that_come_after_the_window_still_run_and_the_goal_counts_no_more(
    theatre: Theatre,
) -> None:
    text = f"goal: {{event: {{name: login}}, within: 2d}}\n{MAIL}{LATER}"
    told = await theatre.play(text, on("2d1h", name="login"))
    assert (told.sent, told.end) == ([("0m", "mail"), ("3d", "later")], ("3d", "expired"))


@pytest.mark.parametrize(
    ("after", "end"), [("9d", ("9d", "success")), ("10d", ("10d", "success")), ("10d1s", ("10d", "expired"))]
)
async def test_at_the_instant_at_which_the_window_closes_the_event_comes_first(
    theatre: Theatre, after: str, end: tuple[str, str]
) -> None:
    assert (await theatre.play(f"{LOGIN}{MAIL}", on(after, name="login"))).end == end


async def test_goal_events_count_from_entry(theatre: Theatre) -> None:
    text = f"{LOGIN}{MAIL}{LATER}"
    assert (await theatre.play(text, on("-1h", name="login"))).end == ("10d", "expired")
    assert (await theatre.play(text, on("1h", name="login"))).end == ("1h", "success")


async def test_only_an_event_whose_properties_fit_reaches_the_goal(theatre: Theatre) -> None:
    text = f"goal: {{event: {{name: plan_changed, where: {{to: annual}}}}, within: 10d}}\n{MAIL}"
    events = [on("1d", name="plan_changed", properties={"to": "free"}), on("2d", name="plan_changed")]
    assert (await theatre.play(text, *events)).end == ("10d", "expired")
    annual = on("3d", name="plan_changed", properties={"to": "annual"})
    assert (await theatre.play(text, *events, annual)).end == ("3d", "success")


async def test_of_a_goal_with_condition_and_event_either_reaches_it(theatre: Theatre) -> None:
    text = f'goal: {{when: {{health_score: ">= 60"}}, event: {{name: login}}, within: 10d}}\n{MAIL}'
    assert (await theatre.play(text, on("2d", **WELL))).end == ("2d", "success")
    assert (await theatre.play(text, on("3d", name="login"))).end == ("3d", "success")


@pytest.mark.parametrize("outcome", ["success", "stopped", "lost"])
async def test_an_exit_ends_the_run_with_its_outcome_and_stopped_where_none_is_written(
    theatre: Theatre, outcome: str
) -> None:
    word = "" if outcome == "stopped" else f", outcome: {outcome}"
    text = f"exit: [{{when: {{subscription_status: cancelled}}{word}}}]\n{MAIL}{LATER}"
    told = await theatre.play(text, on("1d", signals={"subscription_status": "cancelled"}))
    assert (told.sent, told.end) == ([("0m", "mail")], ("1d", outcome))


BOTH = f"{GOAL}exit: [{{when: {{subscription_status: cancelled}}, outcome: lost}}]\n"


async def test_if_both_hold_the_goal_wins(theatre: Theatre) -> None:
    both = {"signals": {"health_score": 70, "subscription_status": "cancelled"}}
    assert (await theatre.play(f"{BOTH}{MAIL}{LATER}", on("1d", **both))).end == ("1d", "success")


@pytest.mark.parametrize(
    ("signals", "outcome"),
    [({"health_score": 70}, "success"), ({"subscription_status": "cancelled"}, "lost")],
)
async def test_they_also_end_a_paused_run(theatre: Theatre, signals: dict[str, object], outcome: str) -> None:
    told = await theatre.play(f"{BOTH}{MAIL}{LATER}", on("1d", do="pause"), on("2d", signals=signals))
    assert (told.sent, told.end) == ([("0m", "mail")], ("2d", outcome))


@pytest.mark.parametrize(
    "waits",
    [
        "wait: 5d", "wait: {days: 5, at: '10:00'}", "wait: {until: sunday}", "wait: {business_days: 4}",
        "wait: {before: renewal_date}", "wait_for: {event: {name: client_imported}, for: 5d}",
        "wait_for: {when: {plan: pro}, for: 5d}", "call: {title: Ring}", "repeat: {at_most: 9, steps: [{wait: 1d}]}",
        "together: [{steps: [{wait: 5d}]}, {steps: [{wait: 6d}]}]",
    ],
)  # fmt: skip
async def test_they_end_every_kind_of_wait_at_once(theatre: Theatre, waits: str) -> None:
    text = f"{GOAL}steps:\n  - {waits}\n  - {{id: later, email: tips}}\n"
    told = await theatre.play(text, on("1d7m", **WELL), signals={"renewal_date": "2026-03-30"})
    assert (told.sent, told.end) == ([], ("1d7m", "success"))


async def test_they_end_a_run_whose_message_is_held(theatre: Theatre) -> None:
    text = f"{GOAL}send: {{days: friday}}\n{MAIL}"
    told = await theatre.play(text, on("1d", **WELL))
    assert (told.sent, told.end) == ([], ("1d", "success"))


async def test_they_are_looked_at_before_each_step(theatre: Theatre) -> None:
    """What a step itself brings about ends the run before the next one."""
    text = (
        "goal: {when: {tags: {contains: vip}}, within: 10d}\n"
        "steps:\n  - set: {tag: vip}\n  - {id: later, email: tips}\n"
    )
    told = await theatre.play(text)
    assert (told.sent, told.end) == ([], ("0m", "success"))


async def test_time_alone_reaches_a_goal(theatre: Theatre) -> None:
    text = f"goal: {{when: {{last_login: {{older_than: 2d}}}}, within: 10d}}\n{MAIL}"
    told = await theatre.play(text, signals={"last_login": "2026-03-02T09:00:00Z"})
    assert (told.sent, told.end) == ([("0m", "mail")], ("2d", "success"))
