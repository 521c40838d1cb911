"""The demo base: the same for the same seed, plausible, harmless, and with the three stories in it."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime, timedelta

import pytest

from loops.demo.behaviour import call_outcome, coming_events, respond
from loops.demo.personas import STORY_ABSENCE, STORY_DECLINE, STORY_FIRST_STEPS
from loops.demo.population import generate
from loops.demo.record import DemoEvent
from schemas.condition import Value
from schemas.facts import Event
from scoring.replay import replay_customer
from tests.unit.demo_base import CATALOGUE, UNTIL, base, replayed


def facts_of(customer: str) -> dict[str, Value]:
    return replayed()[customer].signals


def story(customer: str, until: datetime) -> dict[str, Value]:
    """What is known of a persona when the demo begins at `until`."""
    told = [event for event in generate(1, 3, until=until).events if event.customer == customer]
    past = [Event(event.name, event.at, event.properties) for event in told]
    return replay_customer(past, until=until, days=31, catalogue=CATALOGUE).signals


def as_bytes(events: list[DemoEvent]) -> bytes:
    rows = [[e.message_id, e.customer, e.name, e.at.isoformat(), dict(e.properties)] for e in events]
    return json.dumps(rows).encode()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    one, two, other = (generate(seed, 60, until=UNTIL) for seed in (5, 5, 6))
    assert as_bytes(one.events) == as_bytes(two.events)
    assert one.customers == two.customers
    assert as_bytes(one.events) != as_bytes(other.events)


def test_a_larger_base_holds_the_smaller_one() -> None:
    small, large = generate(5, 20, until=UNTIL), generate(5, 40, until=UNTIL)
    assert large.customers[:20] == small.customers


def test_the_base_has_its_size() -> None:
    assert len(base().customers) == len({customer.external_id for customer in base().customers}) == 500
    assert 60_000 <= len(base().events) <= 130_000
    assert len({event.message_id for event in base().events}) == len(base().events)


def test_nothing_happens_before_sign_up_or_after_now_and_identify_comes_first() -> None:
    first: dict[str, DemoEvent] = {}
    for event in base().events:
        first.setdefault(event.customer, event)
        assert UNTIL - timedelta(days=121) <= event.at <= UNTIL
        assert event.at >= first[event.customer].at
    assert {event.name for event in first.values()} == {"identify"}
    assert len(first) == 500
    assert all(a.at <= b.at for a, b in zip(base().events, base().events[1:], strict=False))


def test_every_event_is_one_that_the_catalogue_knows() -> None:
    assert {event.name for event in base().events} - {"identify"} <= set(CATALOGUE.events)


def test_nobody_real_can_be_reached() -> None:
    numbers = re.compile(
        r"\+1\d{3}55501\d\d|\+447700900\d{3}|\+493023125\d{3}|\+336399800\d\d|\+3532091\d{5}|\+6149157\d{4}"
    )
    for customer in base().customers:
        assert re.fullmatch(r"[a-z0-9.-]+@([a-z0-9-]+\.)*example\.(com|test)", customer.traits["email"])
        phone = customer.traits.get("phone")
        assert phone is None or numbers.fullmatch(phone), phone
        assert customer.traits["csm"].endswith("@example.com")


def test_those_whose_use_declines_cancel_several_times_as_often() -> None:
    """Two weeks of logins against the four before them, and who leaves in the two after."""
    logins: dict[str, list[datetime]] = {}
    cancelled: dict[str, datetime] = {}
    for event in base().events:
        if event.name == "login":
            logins.setdefault(event.customer, []).append(event.at)
        elif event.name == "subscription_cancelled":
            cancelled[event.customer] = event.at
    seen: Counter[bool] = Counter()
    left: Counter[bool] = Counter()
    for back in range(14, 71, 14):
        moment = UNTIL - timedelta(days=back)
        for customer, times in logins.items():
            ages = [(moment - at).days for at in times if at < moment]
            before, lately = sum(14 <= age < 42 for age in ages) / 2, sum(age < 14 for age in ages)
            leaves = cancelled.get(customer)
            if before < 2 or (leaves is not None and leaves < moment):
                continue
            declining = lately <= before * 0.6
            seen[declining] += 1
            left[declining] += leaves is not None and leaves < moment + timedelta(days=14)
    assert min(seen.values()) > 100
    decliners, others = left[True] / seen[True], left[False] / seen[False]
    assert decliners > 4 * others, (decliners, others)


def test_nobody_does_anything_after_cancelling() -> None:
    gone: set[str] = set()
    for event in base().events:
        if event.name in ("login", "feature_used", "form_created"):
            assert event.customer not in gone, event
        if event.name == "subscription_cancelled":
            gone.add(event.customer)


def test_the_base_is_a_plausible_mixture() -> None:
    statuses = Counter(str(one.signals["subscription_status"]) for one in replayed().values())
    risks = Counter(
        str(one.signals["risk_level"])
        for one in replayed().values()
        if one.signals["subscription_status"] != "cancelled"
    )
    assert statuses["active"] > 350
    assert 20 <= statuses["cancelled"] <= 120
    assert min(risks["healthy"], risks["at_risk"], risks["critical"]) >= 30
    trades = Counter(customer.traits["vendor_type"] for customer in base().customers)
    assert len(trades) == 8
    assert {customer.traits["country"] for customer in base().customers} >= {"US", "GB", "DE", "AU"}


def test_story_1_signed_up_two_weeks_ago_and_is_at_risk() -> None:
    facts = facts_of(STORY_FIRST_STEPS)
    assert facts["vendor_type"] == "photographer"
    assert (facts["account_age_days"], facts["clients_imported"], facts["forms_created"]) == (14, 5, 1)
    assert (facts["risk_level"], facts["segment"]) == ("at_risk", "new_user")


@pytest.mark.parametrize("hour", [0, 3, 11, 23])
def test_story_2_declines_and_is_expected_to_leave_at_any_hour_of_the_day(hour: int) -> None:
    until = UNTIL.replace(hour=hour)
    past = [
        Event(e.name, e.at, e.properties)
        for e in generate(1, 3, until=until).events
        if e.customer == STORY_DECLINE
    ]
    facts = replay_customer(past, until=until, days=31, catalogue=CATALOGUE).signals
    probability = facts["churn_probability"]
    assert isinstance(probability, float)
    assert 0.7 < probability < 0.8
    assert facts["health_trend"] == "declining"
    assert facts["best_templates"] == ("Client invitation: short and warm", "Timeline questionnaire")


@pytest.mark.parametrize("hour", [0, 3, 11, 23])
def test_story_3_has_been_away_for_12_days_and_scores_35(hour: int) -> None:
    until = UNTIL.replace(hour=hour)
    past = [
        Event(e.name, e.at, e.properties)
        for e in generate(1, 3, until=until).events
        if e.customer == STORY_ABSENCE
    ]
    facts = replay_customer(past, until=until, days=31, catalogue=CATALOGUE).signals
    assert (facts["days_since_last_login"], facts["health_score"], facts["risk_level"]) == (
        12,
        35,
        "critical",
    )
    assert facts["critical_milestones_done"] == facts["critical_milestones_total"] == 4


def test_the_coming_days_lie_on_the_half_hour_and_are_the_same_twice() -> None:
    events = coming_events(base(), start=UNTIL)
    assert as_bytes(events) == as_bytes(coming_events(base(), start=UNTIL))
    assert {(event.at.minute, event.at.second) for event in events} == {(0, 0), (30, 0)}
    assert all(UNTIL <= event.at <= UNTIL + timedelta(days=30) for event in events)
    assert not {event.message_id for event in events} & {event.message_id for event in base().events}
    assert not {event.customer for event in events} & {STORY_FIRST_STEPS, STORY_DECLINE, STORY_ABSENCE}


def test_decliners_go_on_declining() -> None:
    lives = base().lives
    decliners = {name for name, life in lives.items() if life.kind == "decliner" and not life.cancelled}
    recent = sum(
        event.customer in decliners and event.name == "login" and event.at > UNTIL - timedelta(days=30)
        for event in base().events
    )
    events = coming_events(base(), start=UNTIL)
    coming = sum(event.customer in decliners and event.name == "login" for event in events)
    assert coming < recent * 0.6
    left = {event.customer for event in events if event.name == "subscription_cancelled"}
    assert len(left & decliners) / len(decliners) > 3 * len(left - decliners) / (500 - len(decliners))


def test_story_1_imports_after_the_mail_so_that_the_goal_is_met() -> None:
    answer = respond(
        1, STORY_FIRST_STEPS, channel="email", playbook="first-steps", step="first-mail", at=UNTIL
    )
    assert any(event.name == "client_imported" and event.properties["count"] >= 15 for event in answer)
    assert all(UNTIL < event.at <= UNTIL + timedelta(days=1) for event in answer)
    assert not respond(1, STORY_FIRST_STEPS, channel="in_app", playbook="first-steps", step="x", at=UNTIL)


def test_story_2_converts_to_annual_after_the_templates_mail() -> None:
    playbook = "rescue-declining-supplier"
    assert call_outcome(1, STORY_DECLINE, playbook) == "reached"
    call = respond(1, STORY_DECLINE, channel="call", playbook=playbook, step="success-call", at=UNTIL)
    mail = respond(1, STORY_DECLINE, channel="email", playbook=playbook, step="own-templates", at=UNTIL)
    assert call[0].name == "login"
    assert [e.properties["to"] for e in mail if e.name == "plan_changed"] == ["annual"]


def test_story_3_is_back_once_the_session_was_offered() -> None:
    assert not respond(
        1, STORY_ABSENCE, channel="email", playbook="come-back", step="personal-mail", at=UNTIL
    )
    back = respond(1, STORY_ABSENCE, channel="email", playbook="come-back", step="set-up-session", at=UNTIL)
    assert back[0].name == "login"


def test_most_messages_go_unanswered_and_each_answer_is_the_same_twice() -> None:
    def answers(channel: str) -> list[bytes]:
        return [
            as_bytes(
                respond(1, f"demo-{number:04d}", channel=channel, playbook="come-back", step="s", at=UNTIL)
            )
            for number in range(1, 301)
        ]

    mail = answers("email")
    assert mail == answers("email")
    answered = sum(one != b"[]" for one in mail)
    assert 45 <= answered <= 100


def test_calls_end_in_each_way() -> None:
    outcomes = Counter(call_outcome(1, f"demo-{number:04d}", "come-back") for number in range(200))
    assert set(outcomes) == {"reached", "no_answer", "declined"}
    assert outcomes["reached"] > outcomes["no_answer"] > outcomes["declined"] > 5


def test_who_is_called_in_vain_does_not_answer() -> None:
    for number in range(200):
        name = f"demo-{number:04d}"
        if call_outcome(1, name, "come-back") != "reached":
            assert not respond(1, name, channel="call", playbook="come-back", step="set-up-call", at=UNTIL)
