"""A simulation governs messages as the live system does: by topics' caps, silence, answers, and quiet hours."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.simulated import Theatre, on, open_theatre

HEAD = "goal: {event: {name: saved}, within: 30d}\nsteps:\n"
MAIL = "  - email: {subject: Hi, text: Hi}\n    id: %s\n"


@pytest.fixture
async def theatre() -> AsyncIterator[Theatre]:
    async with open_theatre() as theatre:
        yield theatre


async def test_caps_on_topics_and_silence_hold_in_a_simulation_too(theatre: Theatre) -> None:
    policy = "consent: {email: assumed}\ncaps: {topics: {tips: 1 per 1d}}\n"
    policy += "silence: {after_reply: 6h, open_ticket: true}\n"
    tips = MAIL.rstrip("\n") + "\n    topic: tips\n"
    steps = tips % "first" + tips % "second" + MAIL % "third" + "  - wait: 2d\n" + MAIL % "fourth"
    told = await theatre.play(
        HEAD + steps, on("2d23h", name="message_replied"), on("2d", signals={"open_tickets": 1}),
        on("3d10h", signals={"open_tickets": 0}), policy=policy,
    )  # fmt: skip
    # The second waits a day for the cap; then an answer and a ticket keep the last one back, looked at by the hour.
    assert told.sent == [("0m", "first"), ("1d", "second"), ("1d", "third"), ("3d10h", "fourth")]
    talk = await theatre.play(
        HEAD + "  - wait: 1d\n" + MAIL % "mail", on("23h", name="message_replied"), policy=policy
    )
    assert talk.sent == [("1d5h", "mail")]
    [line] = [line for line in talk.lines if line.get("kind") == "email"]
    assert line["held"] == "held_quiet_hours"
    ticket = await theatre.play(
        HEAD + MAIL % "mail",
        on("90m", signals={"open_tickets": 0}),
        policy=policy,
        signals={"open_tickets": 2},
    )
    assert ticket.sent == [("2h", "mail")]


async def test_an_answered_call_of_the_run_is_contact_and_an_unanswered_one_is_none(theatre: Theatre) -> None:
    policy = "consent: {email: assumed}\nsilence: {after_call: 6h}\n"
    steps = "  - id: talk\n    call: {title: Talk, due: 1h, give_up: 3d}\n" + MAIL % "mail"
    talked = await theatre.play(
        HEAD + steps, on("1h", do="complete", step="talk", outcome="reached"), policy=policy
    )
    assert talked.sent == [("7h", "mail")]
    missed = await theatre.play(
        HEAD + steps, on("1h", do="complete", step="talk", outcome="no_answer"), policy=policy
    )
    assert missed.sent == [("1h", "mail")]
