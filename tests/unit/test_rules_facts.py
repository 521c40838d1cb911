"""Facts as they come in JSON: what is read, what is refused, and where the message points."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from rules.normalise import WrongType
from schemas.catalogue import load_catalogue
from schemas.facts import Event, Facts
from schemas.facts_json import FactsError, read_facts

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
CATALOGUE = load_catalogue()


def read(text: str | bytes) -> Facts:
    return read_facts(text, CATALOGUE, now=NOW)


def test_all_of_it() -> None:
    facts = read("""
        {"customer": "c1", "now": "2026-03-02T10:00:00+01:00",
         "signals": {"health_score": 35, "plan": "pro", "last_login": "2026-03-01",
                     "renewal_date": "2026-04-01",
                     "days_since_last_login": 1, "tags": ["vip"], "influencer": true, "open_tickets": null},
         "events": [{"name": "login", "at": "2026-03-01T10:00:00Z", "properties": {"device": "phone"}},
                    {"name": "signup", "at": "2026-02-01"}],
         "history": {"health_score": [["2026-02-28", 40], ["2026-02-27", 52], ["2026-02-26", null]]},
         "profile": {"first_name": "Ada", "timezone": "Europe/Berlin", "country": "DE", "email": null},
         "consent": {"email": true, "email:tips": false, "sms": null}, "suppressed": {"email": "hard_bounce"}}
    """)
    assert (facts.customer, facts.now) == ("c1", datetime(2026, 3, 2, 9, tzinfo=UTC))
    assert facts.signals["last_login"] == datetime(2026, 3, 1, tzinfo=UTC)
    assert facts.signals["renewal_date"] == date(2026, 4, 1)
    assert facts.signals["tags"] == ("vip",)
    assert facts.signals["country"] == "DE"
    assert "open_tickets" not in facts.signals
    assert "email" not in facts.signals
    assert facts.ages == {"days_since_last_login": (facts.now - timedelta(days=1), 86_400)}
    assert [event.name for event in facts.events] == ["signup", "login"]
    assert facts.events[1] == Event("login", datetime(2026, 3, 1, 10, tzinfo=UTC), {"device": "phone"})
    assert facts.history == {"health_score": ((date(2026, 2, 27), 52), (date(2026, 2, 28), 40))}
    assert facts.profile["timezone"] == "Europe/Berlin"
    assert facts.consent == {"email": True, "email:tips": False}
    assert facts.suppressed == {"email": "hard_bounce"}


def test_all_but_the_customer_may_be_left_out() -> None:
    assert read('{"customer": "c1"}') == Facts("c1", NOW)
    nulls = ", ".join(
        f'"{key}": null' for key in ("signals", "events", "history", "profile", "consent", "now")
    )
    assert read(f'{{"customer": "c1", {nulls}}}') == Facts("c1", NOW)


def test_what_the_profile_holds_is_a_signal_unless_signals_say_otherwise() -> None:
    facts = read(
        '{"customer": "c1", "signals": {"country": "FR"}, "profile": {"country": "DE", "phone": "+49"}}'
    )
    assert (facts.signals["country"], facts.signals["phone"]) == ("FR", "+49")


@pytest.mark.parametrize(
    "value", ['"35"', "true", "NaN", "Infinity", "-1e999", "9007199254740993", "1" * 5_000, "{}"]
)
def test_values_that_cannot_be_compared_are_kept_as_such(value: str) -> None:
    facts = read(
        f'{{"customer": "c1", "signals": {{"health_score": {value}, "days_since_last_login": {value}}}}}'
    )
    assert isinstance(facts.signals["health_score"], WrongType)
    assert facts.ages == {}


def test_an_age_older_than_the_calendar_is_harmless() -> None:
    facts = read('{"customer": "c1", "signals": {"days_since_last_login": 9007199254740992}}')
    assert (facts.signals["days_since_last_login"], facts.ages) == (2**53, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("{", "column 2"),
        ("[]", "Facts are an object, and this is a list"),
        ("{}", "customer: The customer's id is missing"),
        ('{"customer": 5}', "customer: "),
        ('{"customer": ""}', "customer: "),
        ('{"customer": "c", "customer": "d"}', "`customer` stands twice"),
        ('{"customer": "c", "signals": {"plan": 1, "plan": 2}}', "`plan` stands twice"),
        ('{"customer": "c", "signal": {}}', "signal: `signal` isn't a word of facts. Did you mean"),
        ('{"customer": "c", "signals": []}', "signals: An object belongs here, and this is a list"),
        ('{"customer": "c", "now": "soon"}', 'now: "soon" is no time'),
        ('{"customer": "c", "now": 5}', "now: 5 is no time"),
        ('{"customer": "c", "events": {}}', "events: Events are a list, and this is an object"),
        ('{"customer": "c", "events": [5]}', "events[0]: An event is an object, and this is a number"),
        ('{"customer": "c", "events": [{"at": "2026-03-01"}]}', "events[0].name: "),
        ('{"customer": "c", "events": [{"name": "login"}]}', "events[0].at: The event has no time"),
        ('{"customer": "c", "events": [{"name": "a", "at": "x"}]}', 'events[0].at: "x" is no time'),
        (
            '{"customer": "c", "events": [{"name": "a", "at": "2026-03-01", "propertys": {}}]}',
            "events[0].propertys: ",
        ),
        (
            '{"customer": "c", "events": [{"name": "a", "at": "2026-03-01", "properties": 5}]}',
            "events[0].properties: ",
        ),
        ('{"customer": "c", "history": {"health_score": 5}}', "history.health_score: A history is a list"),
        (
            '{"customer": "c", "history": {"health_score": [5]}}',
            "history.health_score[0]: Each entry is a pair",
        ),
        (
            '{"customer": "c", "history": {"health_score": [["x", 5]]}}',
            'history.health_score[0]: "x" is no time',
        ),
        ('{"customer": "c", "consent": {"email": "yes"}}', 'consent.email: "yes" is not true or false'),
        ('{"customer": "c", "suppressed": {"email": true}}', "suppressed.email: true is not a text"),
        (b'{"customer": "\xff"}', "no UTF-8 text: byte 15"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str | bytes, message: str) -> None:
    with pytest.raises(FactsError) as raised:
        read(text)
    assert message in raised.value.message


def test_a_byte_order_mark_and_lone_surrogates_are_no_trouble() -> None:
    assert read(b'\xef\xbb\xbf{"customer": "c"}').customer == "c"
    assert read(r'{"customer": "\ud800"}').customer == "\ud800"
