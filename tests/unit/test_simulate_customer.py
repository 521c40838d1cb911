"""What is known of a simulated customer at each moment, and what can happen to one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loops.simulation.customer import Customer
from loops.simulation.happening import Happening, HappeningError, parse_happening, read_happenings
from schemas.catalogue import load_catalogue
from schemas.facts_json import parse_facts

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
CATALOGUE = load_catalogue()


def customer(*happenings: Happening, past_of: tuple[str, ...] = (), **facts: Any) -> Customer:
    document = {"customer": "c1", "now": NOW.isoformat(), **facts}
    return Customer(parse_facts(document, CATALOGUE, now=NOW), happenings, CATALOGUE, past_of)


def test_an_age_is_true_at_now_and_counts_from_there() -> None:
    given = customer(signals={"days_since_last_login": 9})
    assert given.facts(NOW).signals["days_since_last_login"] == 9
    assert given.facts(NOW + 23 * timedelta(hours=1)).signals["days_since_last_login"] == 9
    assert given.facts(NOW + 3 * DAY).signals["days_since_last_login"] == 12


def test_an_event_moves_the_signals_that_follow_from_it_and_no_others() -> None:
    happenings = [Happening(NOW + DAY, "login"), Happening(NOW + 2 * DAY, "plan_changed", {"to": "annual"})]
    given = customer(*happenings, signals={"days_since_last_login": 9, "health_score": 30})
    given.advance(NOW + 3 * DAY)
    signals = given.facts(NOW + 3 * DAY).signals
    assert signals["days_since_last_login"] == 2
    assert signals["health_score"] == 30
    assert [event.name for event in given.facts(NOW + 3 * DAY).events] == ["login", "plan_changed"]


def test_a_total_that_was_never_given_stays_unknown() -> None:
    given = customer(Happening(NOW + DAY, "client_added"))
    given.advance(NOW + DAY)
    assert not {name for name in given.facts(NOW + DAY).signals if name.startswith("clients")}


def test_new_values_hold_from_then_on_and_null_is_missing() -> None:
    given = customer(
        Happening(NOW + DAY, signals={"health_score": 62}),
        Happening(NOW + 2 * DAY, signals={"health_score": None}),
        signals={"health_score": 30},
    )
    assert given.next_at == NOW + DAY
    given.advance(NOW + DAY)
    assert given.facts(NOW + DAY).signals["health_score"] == 62
    given.advance(NOW + 2 * DAY)
    assert "health_score" not in given.facts(NOW + 2 * DAY).signals
    assert given.next_at is None


def test_what_comes_before_now_is_history_and_fills_in_what_the_facts_leave_out() -> None:
    given = customer(
        Happening(NOW - 2 * DAY, "payment_failed", signals={"health_score": 52, "plan": "pro"}),
        Happening(NOW - DAY, consent={"sms": True, "email": True}),
        signals={"health_score": 35},
        consent={"email": False},
        past_of=("health_score",),
    )
    facts = given.facts(NOW)
    assert (facts.signals["health_score"], facts.signals["plan"]) == (35, "pro")
    assert [event.name for event in facts.events] == ["payment_failed"]
    assert facts.consent == {"sms": True, "email": False}
    assert facts.history["health_score"] == ((NOW - 2 * DAY, 52), (NOW, 35))


def test_an_age_follows_its_instant() -> None:
    given = customer(
        Happening(NOW + DAY, signals={"last_login": (NOW - DAY).isoformat()}),
        Happening(NOW + 2 * DAY, signals={"last_login": None}),
        signals={"days_since_last_login": 20},
    )
    given.advance(NOW + DAY)
    assert given.facts(NOW + DAY).signals["days_since_last_login"] == 2
    given.advance(NOW + 2 * DAY)
    assert "days_since_last_login" not in given.facts(NOW + 2 * DAY).signals


def test_traits_change_the_profile() -> None:
    given = customer(
        Happening(NOW, "identify", {"timezone": "Asia/Tokyo"}),
        Happening(NOW + DAY, "identify", {"phone": "+491"}),
    )
    given.advance(NOW + DAY)
    assert given.facts(NOW + DAY).profile["phone"] == "+491"


def test_what_a_person_does_comes_in_its_turn() -> None:
    pause = Happening(NOW + DAY, do="pause")
    given = customer(Happening(NOW + 2 * DAY, "login"), pause, Happening(NOW + DAY, "ticket_opened"))
    assert given.advance(NOW + 3 * DAY) is pause
    assert given.facts(NOW + DAY).events == ()
    assert given.advance(NOW + 3 * DAY) is None
    assert [event.name for event in given.facts(NOW + 3 * DAY).events] == ["ticket_opened", "login"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[]", "A happening is an object."),
        ('{"name": "login"}', "at: The time is missing"),
        ('{"at": "soon", "name": "login"}', "at: The time is no time"),
        ('{"at": "2026-03-02"}', "Nothing happens here"),
        ('{"at": "2026-03-02", "nmae": "login"}', "Did you mean `name`?"),
        ('{"at": "2026-03-02", "do": "pase"}', "Did you mean `pause`?"),
        ('{"at": "2026-03-02", "do": "complete", "step": "call"}', "outcome: Say what came of it"),
        ('{"at": "2026-03-02", "do": "stop", "outcome": "won"}', "outcome: A run is stopped as"),
        ('{"at": "2026-03-02", "name": "login", "step": "call"}', "step: `step` goes with `do`"),
        ('{"at": "2026-03-02", "consent": {"email": "yes"}}', "consent.email: This is not true"),
        ('{"at": "2026-03-02", "signals": [1]}', "signals: An object belongs here"),
        ('{"at": ', "This is no JSON"),
    ],
)
def test_a_bad_line_is_named_with_its_number(line: str, told: str) -> None:
    good = '{"at": "2026-03-02T09:00:00Z", "name": "login"}'
    with pytest.raises(HappeningError) as caught:
        read_happenings([good, "", line], "events.jsonl")
    assert caught.value.message.startswith("events.jsonl:3: ")
    assert told in caught.value.message


def test_every_kind_of_line_is_read() -> None:
    event = parse_happening(
        {"at": "2026-03-02T10:00:00+01:00", "name": "login", "signals": {"health_score": 3}}
    )
    assert (event.at, event.name, event.signals) == (NOW, "login", {"health_score": 3})
    assert parse_happening({"at": "2026-03-02", "suppressed": {"email": None}}).suppressed == {"email": None}
    done = parse_happening({"at": "2026-03-02", "do": "complete", "step": "call", "outcome": "reached"})
    assert (done.do, done.step, done.outcome) == ("complete", "call", "reached")
