"""What follows the outcomes of steps, as the language's section Steps has it, played."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.simulated import POLICY, Theatre, on, open_theatre, span

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTE = "in_app: {title: A, text: b}"
AFTER = f"  - {{id: after, {NOTE}}}\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theatre() -> AsyncIterator[Theatre]:
    async with open_theatre() as theatre:
        yield theatre


def note(name: str) -> str:
    return f"{{id: {name}, {NOTE}}}"


# What follows an outcome

WITHOUT: dict[str, dict[str, Any]] = {
    "no_consent": {"consent": {"email": False}},
    "suppressed": {"suppressed": {"email": "hard_bounce"}},
    "unreachable": {"profile": {"first_name": "Ann"}},
    "failed": {},
}
MAIL = "  - id: mail\n    email: {subject: Hi, text: '{{ signals.plan }}'}\n"


@pytest.mark.parametrize("outcome", WITHOUT)
async def test_one_channels_failure_never_ends_a_run(theatre: Theatre, outcome: str) -> None:
    told = await theatre.play(f"steps:\n{MAIL}{AFTER}", **WITHOUT[outcome])
    assert told.of() == [("0m", "mail", outcome), ("0m", "after", "sent")]
    assert told.end == ("0m", "completed")


@pytest.mark.parametrize("outcome", WITHOUT)
@pytest.mark.parametrize(
    ("reaction", "sent", "end"),
    [
        ("next", ["between", "after"], "completed"),
        ("stop", [], "stopped"),
        ("{goto: after}", ["after"], "completed"),
        (f"{{fallback: [{note('instead')}]}}", ["instead", "between", "after"], "completed"),
        (f"{{fallback: [{note('instead')}, {{stop: lost}}]}}", ["instead"], "lost"),
    ],
)
async def test_what_happens_per_outcome_is_what_is_written(
    theatre: Theatre, outcome: str, reaction: str, sent: list[str], end: str
) -> None:
    text = f"steps:\n{MAIL}    outcomes: {{{outcome}: {reaction}}}\n  - {note('between')}\n{AFTER}"
    told = await theatre.play(text, **WITHOUT[outcome])
    assert ([step for _, step in told.sent], told.end) == (sent, ("0m", end))


async def test_an_outcome_that_didnt_come_changes_nothing(theatre: Theatre) -> None:
    text = f"steps:\n{MAIL}    outcomes: {{no_consent: stop, failed: stop}}\n{AFTER}"
    told = await theatre.play(text, signals={"plan": "pro"})
    assert [step for _, step in told.sent] == ["mail", "after"]


JUMP = f"""
steps:
  - if: {{influencer: {{is: missing}}}}
    then:
      - id: mail
        email: tips
        outcomes: {{no_consent: {{goto: last}}}}
      - {note("passed")}
  - {note("passed-too")}
  - id: last
    if: {{plan: pro}}
    {NOTE}
"""


async def test_goto_leads_out_of_a_branch_to_a_list_around_it_and_asks_the_guard_there(
    theatre: Theatre,
) -> None:
    refused: dict[str, Any] = {"consent": {"email": False}}
    pro = await theatre.play(JUMP + AFTER, signals={"plan": "pro"}, **refused)
    assert pro.sent == [("0m", "last"), ("0m", "after")]
    assert (await theatre.play(JUMP + AFTER, **refused)).sent == [("0m", "after")]


async def test_goto_leads_out_of_rounds_and_ends_them(theatre: Theatre) -> None:
    text = f"""
steps:
  - repeat:
      at_most: 3
      steps:
        - {note("round")}
        - id: mail
          email: tips
          outcomes: {{no_consent: {{goto: last}}}}
        - {note("passed")}
  - {note("passed-too")}
  - {note("last")}
"""
    told = await theatre.play(text, consent={"email": False})
    assert told.sent == [("0m", "round"), ("0m", "last")]


async def test_what_a_round_waits_for_has_to_come_in_that_round(theatre: Theatre) -> None:
    text = (
        "steps:\n  - repeat: {at_most: 2, steps: [{id: await, wait_for: {event: {name: login}, for: 2d}}]}\n"
    )
    told = await theatre.play(text, on("1d", name="login"))
    assert told.of() == [
        ("0m", "await", "waiting"), ("1d", "await", "then"), ("1d", "await", "waiting"), ("3d", "await", "else"),
    ]  # fmt: skip


# Holding

NIGHT = POLICY + 'quiet_hours: "09:30-09:00"\n'  # but for half an hour in the morning


async def test_caps_hold_up_to_2_days_and_then_the_message_is_passed_over_at_once(theatre: Theatre) -> None:
    text, policy = f"steps:\n  - {{id: mail, email: tips}}\n{AFTER}", POLICY + "caps: {email: 1 per 7d}\n"
    held = await theatre.play(text, policy=policy, sent=[("email", "5d")])
    assert held.of() == [("2d", "mail", "sent"), ("2d", "after", "sent")]
    passed = await theatre.play(text, policy=policy, sent=[("email", "4d23h")])
    assert passed.of() == [("0m", "mail", "capped"), ("0m", "after", "sent")]


async def test_quiet_hours_hold_up_to_2_days(theatre: Theatre) -> None:
    text = f"steps:\n  - {{id: mail, email: tips}}\n{AFTER}"
    assert (await theatre.play(text, policy=NIGHT)).sent == [("23h", "mail"), ("23h", "after")]


@pytest.mark.parametrize(("hold", "sent"), [("12h", ["after"]), ("1d", ["mail", "after"])])
async def test_a_hold_may_be_shorter(theatre: Theatre, hold: str, sent: list[str]) -> None:
    outcomes = f"{{held_quiet_hours: {{hold: {hold}}}, capped: {{hold: {hold}}}}}"
    text = f"steps:\n  - id: mail\n    email: tips\n    outcomes: {outcomes}\n{AFTER}"
    assert [step for _, step in (await theatre.play(text, policy=NIGHT)).sent] == sent
    capped = POLICY + "caps: {email: 1 per 1d}\n"
    told = await theatre.play(text, policy=capped, sent=[("email", "2h")])
    assert [step for _, step in told.sent] == sent


@pytest.mark.parametrize("reaction", ["next", "{hold: 12h}"])
async def test_caps_and_quiet_hours_are_held_each_as_it_is_written(theatre: Theatre, reaction: str) -> None:
    text = f"steps:\n  - id: mail\n    email: tips\n    outcomes: {{%s: {reaction}}}\n{AFTER}"
    capped = POLICY + "caps: {email: 1 per 1d}\n"
    told = await theatre.play(text % "capped", policy=capped, sent=[("email", "2h")])
    assert told.of() == [("0m", "mail", "capped"), ("0m", "after", "sent")]
    told = await theatre.play(text % "held_quiet_hours", policy=NIGHT)
    assert told.of() == [("0m", "mail", "held_quiet_hours"), ("0m", "after", "sent")]
    # What is written of the one says nothing of the other.
    assert (await theatre.play(text % "capped", policy=NIGHT)).sent[0] == ("23h", "mail")
    told = await theatre.play(text % "held_quiet_hours", policy=capped, sent=[("email", "2h")])
    assert told.sent[0] == ("22h", "mail")


# People

CALL = "steps:\n  - id: ring\n    call: {title: Ring, due: 24h, escalate: {after: 36h, to: lead}}\n"


async def test_a_call_waits_for_its_outcome_and_is_overdue_7_days_after_it_was_due(theatre: Theatre) -> None:
    told = await theatre.play(CALL + AFTER)
    assert told.of() == [
        ("0m", "ring", "open"), ("1d12h", "ring", "escalated"), ("8d", "ring", "overdue"), ("8d", "after", "sent"),
    ]  # fmt: skip


async def test_escalation_counts_from_assignment_and_giving_up_from_the_due_time(theatre: Theatre) -> None:
    """Friday afternoon: a day later nobody works, so that it is due on Monday at nine."""
    policy = POLICY + 'working_hours: {days: weekdays, between: "09:00-17:00"}\n'
    call = "call: {title: Ring, due: 24h, escalate: {after: 36h, to: lead}, give_up: 2d}"
    told = await theatre.play(f"steps:\n  - wait: 99h\n  - id: ring\n    {call}\n", policy=policy)
    assert told.of("call", "escalation") == [
        ("4d3h", "ring", "open"), ("5d15h", "ring", "escalated"), ("8d23h", "ring", "overdue"),
    ]  # fmt: skip
    assert told.lines[1]["due_at"] - told.start == span("6d23h")


@pytest.mark.parametrize("said", ["reached", "no_answer", "rescheduled", "done"])
async def test_everything_a_person_says_but_declined_goes_to_the_next_step(
    theatre: Theatre, said: str
) -> None:
    told = await theatre.play(CALL + AFTER, on("5h", do="complete", outcome=said))
    assert told.sent == [("5h", "after")]
    declined = await theatre.play(CALL + AFTER, on("5h", do="complete", outcome="declined"))
    assert (declined.sent, declined.end) == ([], ("5h", "stopped"))


async def test_a_declined_call_goes_on_where_the_step_says_so(theatre: Theatre) -> None:
    text = f"{CALL}    outcomes: {{declined: next}}\n{AFTER}"
    assert (await theatre.play(text, on("5h", do="complete", outcome="declined"))).sent == [("5h", "after")]


async def test_a_person_may_use_the_steps_own_words(theatre: Theatre) -> None:
    text = f"{CALL}    outcomes: {{wants_annual: {{goto: annual}}}}\n{AFTER}  - {note('annual')}\n"
    told = await theatre.play(text, on("5h", do="complete", outcome="wants_annual"))
    assert told.sent == [("5h", "annual")]


async def test_a_task_is_taken_off_the_list_when_the_goal_ends_the_run(theatre: Theatre) -> None:
    text = f"goal: {{event: {{name: login}}, within: 9d}}\n{CALL}"
    told = await theatre.play(text, on("5h", name="login"))
    assert (told.of()[-1], told.end) == (("5h", "ring", "cancelled"), ("5h", "success"))


async def test_later_texts_speak_of_the_outcomes_of_earlier_steps(theatre: Theatre) -> None:
    text = f"{CALL}  - {{id: mail, in_app: {{title: A, text: 'It was {{{{ steps.ring.outcome }}}}'}}}}\n"
    told = await theatre.play(text, on("5h", do="complete", outcome="no_answer"))
    assert told.lines[-2]["text"] == "It was no_answer"
