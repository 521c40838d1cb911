"""Links in simulated messages: as long as real ones, the same every time, and leading nowhere."""

from __future__ import annotations

from tests.integration.simulated import ANN, START, on, open_theatre

STEPS = """steps:
  - {id: mail, email: {subject: Hi, text: "{{ links.unsubscribe }} {{ links.preferences }} {{ links.booking }}"}}
  - {id: text, sms: {text: "{{ links.unsubscribe }}"}}
  - {id: ring, call: {title: "Book at {{ links.booking }}", assign: csm}}
"""


async def test_links_are_examples_but_for_the_place_that_the_facts_name() -> None:
    async with open_theatre() as theatre:
        first = await theatre.play(STEPS, on("1h", do="complete", outcome="done"))
        again = await theatre.play(STEPS, on("1h", do="complete", outcome="done"))
        booked = await theatre.play(
            STEPS, profile={**ANN, "booking_url": "https://calendar.example.com/grace"}
        )
    assert first.lines == again.lines
    assert first.start == START
    mail, text, call, *_ = first.lines
    unsubscribe, preferences, booking = mail["text"].split()
    assert unsubscribe.startswith("https://example.invalid/u/")
    assert preferences.startswith("https://example.invalid/preferences/")
    assert booking == "https://example.invalid/booking"
    assert text["text"].startswith("https://example.invalid/u/")
    assert text["text"] != unsubscribe
    assert call["title"] == "Book at https://example.invalid/booking"
    assert booked.lines[2]["title"] == "Book at https://calendar.example.com/grace"
