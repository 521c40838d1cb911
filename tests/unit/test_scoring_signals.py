"""Signals out of events: totals and latest values as events come, windows and ages at a moment."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import load_catalogue
from schemas.condition import Value
from schemas.facts import Event
from schemas.signal_value import WrongType
from scoring.replay import replay_customer
from scoring.signals import ages, derive_signals, move_signals, tally_events

NOW = datetime(2026, 6, 30, 15, 0, tzinfo=UTC)
CATALOGUE = load_catalogue()


def ago(days: float, name: str, **properties: Any) -> Event:
    return Event(name, NOW - timedelta(days=days), properties)


def signals_of(*events: Event, now: datetime = NOW) -> dict[str, Value]:
    moved = move_signals({}, {}, events, CATALOGUE)
    tallies = tally_events(events, CATALOGUE)
    return {**moved.signals, **derive_signals(moved.signals, tallies, now=now, catalogue=CATALOGUE)}


def test_totals_count_and_imports_count_what_they_brought() -> None:
    signals = signals_of(
        ago(9, "form_created"), ago(8, "form_created"), ago(7, "client_imported", count=5),
        ago(6, "client_added"),
        ago(5, "client_removed"), ago(4, "client_imported", count="many"),
    )  # fmt: skip
    assert signals["forms_created"] == 2
    assert signals["clients_imported"] == 6
    assert signals["clients_total"] == 6
    assert isinstance(signals["clients_total"], int)


def test_what_never_happened_is_0_and_what_has_no_value_is_missing() -> None:
    signals = signals_of(ago(1, "identify", plan="pro"))
    assert signals["forms_created"] == signals["support_tickets_30d"] == signals["features_adopted"] == 0
    for name in (
        "last_login",
        "days_since_last_login",
        "avg_session_minutes",
        "usage_drop_percent",
        "renewal_date",
    ):
        assert name not in signals, name


def test_critical_milestones_are_told_apart() -> None:
    signals = signals_of(
        ago(9, "milestone_completed", milestone="first_form", critical=True),
        ago(2, "milestone_completed", milestone="fifty_clients", critical=False),
        ago(1, "milestone_completed", milestone="x"),
    )
    assert (signals["milestones_completed"], signals["critical_milestones_done"]) == (3, 1)
    assert signals["days_since_last_milestone"] == 1


def test_only_what_changed_comes_back() -> None:
    moved = move_signals({"plan": "pro", "forms_created": 4}, {}, [ago(1, "identify", plan="pro")], CATALOGUE)
    assert moved.signals == {}
    assert set(moved.stamps) == {"plan"}


def test_a_late_event_does_not_undo_a_later_one() -> None:
    stored: dict[str, Value] = {"plan": "business", "last_login": NOW - timedelta(days=1)}
    stamps = {"plan": NOW - timedelta(days=1)}
    late = [ago(3, "plan_changed", to="starter"), ago(4, "login")]
    assert move_signals(stored, stamps, late, CATALOGUE).signals == {}


EVENTS = [
    ago(20, "identify", plan="starter", subscription_status="trial", team_size=2),
    ago(18, "subscription_started"),
    ago(15, "login"),
    ago(12, "plan_changed", to="pro"),
    ago(11, "plan_changed", to="annual", renewal_date="2027-06-19"),
    ago(10, "client_imported", count=7),
    ago(9, "ticket_opened"),
    ago(8, "ticket_closed"),
    ago(7, "ticket_rated", rating=2),
    ago(6, "payment_failed"),
    ago(5, "payment_succeeded"),
    ago(4, "login"),
    ago(3, "identify", team_size=3, plan=None),
]


@given(st.permutations(EVENTS), st.integers(1, 5))
def test_signals_do_not_depend_on_the_order_of_arrival(order: list[Event], size: int) -> None:
    stored: dict[str, Value] = {}
    stamps: dict[str, datetime] = {}
    for start in range(0, len(order), size):
        moved = move_signals(stored, stamps, order[start : start + size], CATALOGUE)
        stored.update(moved.signals)
        stamps.update(moved.stamps)
    assert stored == {
        "plan": "pro", "billing_period": "annual", "subscription_status": "active", "team_size": 3,
        "last_login": NOW - timedelta(days=4), "renewal_date": stored["renewal_date"], "clients_imported": 7,
        "clients_total": 7, "open_tickets": 0, "last_support_rating": 2,
    }  # fmt: skip
    assert str(stored["renewal_date"]) == "2027-06-19"


def test_a_value_of_the_wrong_type_is_there_and_the_latest_that_is_known() -> None:
    wrong = ago(1, "identify", plan=3, team_size="two", tags="vip", renewal_date="soon", email=["x"])
    moved = move_signals({"team_size": 2}, {"team_size": ago(2, "").at}, [wrong], CATALOGUE)
    assert moved.signals == {
        "plan": WrongType(3), "team_size": WrongType("two"), "tags": WrongType("vip"),
        "renewal_date": WrongType("soon"),
    }  # fmt: skip
    mended = move_signals(moved.signals, moved.stamps, [ago(0, "identify", team_size=2)], CATALOGUE)
    assert mended.signals == {"team_size": 2}
    late = move_signals({"team_size": 2}, {"team_size": NOW}, [wrong], CATALOGUE)
    assert "team_size" not in late.signals


def test_of_names_for_one_trait_the_one_of_the_right_type_counts() -> None:
    told = ago(1, "identify", team_size="two", teamSize=2)
    assert move_signals({}, {}, [told], CATALOGUE).signals == {"team_size": 2}


def test_an_event_whose_property_means_another_signal_says_nothing() -> None:
    assert move_signals({}, {}, [ago(1, "plan_changed", to=5)], CATALOGUE).signals == {}


def test_a_window_of_30_days_is_today_and_the_29_before() -> None:
    midnight = NOW.replace(hour=0, minute=0)
    inside = Event("ticket_opened", midnight - timedelta(days=29))
    outside = Event("ticket_opened", midnight - timedelta(days=29, seconds=1))
    assert signals_of(inside, outside)["support_tickets_30d"] == 1


def test_days_elapse_in_whole_days_from_the_instant() -> None:
    login = ago(12.9, "login")
    assert signals_of(login)["days_since_last_login"] == 12
    assert signals_of(login, now=login.at + timedelta(days=13))["days_since_last_login"] == 13
    stored = {"last_login": login.at}
    assert ages(stored, NOW, CATALOGUE) == {"days_since_last_login": (login.at, 86400)}


def test_means_leave_out_what_was_not_rated() -> None:
    signals = signals_of(
        ago(3, "ticket_rated", rating=4), ago(2, "ticket_rated", rating=1), ago(1, "ticket_rated"),
        ago(40, "ticket_rated", rating=5),
    )  # fmt: skip
    assert signals["avg_support_rating_30d"] == 2.5
    assert signals["last_support_rating"] == 1


def test_features_are_adopted_on_three_days_and_only_core_ones_count() -> None:
    uses = [("templates", 1), ("templates", 2), ("templates", 3), ("analytics", 1), ("analytics", 1.01)]
    uses += [("secret_lab", day) for day in range(1, 9)] + [("form_builder", day) for day in (2, 3, 40)]
    signals = signals_of(*(ago(day, "feature_used", feature=name) for name, day in uses))
    assert signals["features_adopted"] == 1
    assert signals["unique_features_used"] == 4
    assert signals["recent_features"] == ("analytics", "secret_lab", "templates")


def test_active_clients_are_counted_once_each() -> None:
    signals = signals_of(
        *(ago(day, "client_active", client=name) for name, day in (("a", 1), ("a", 2), ("b", 3), ("c", 31)))
    )
    assert signals["clients_active_30d"] == 2


def test_usage_drop_compares_thirty_days_with_the_thirty_before() -> None:
    before = [ago(day, "login") for day in range(31, 51)]
    assert signals_of(*before, *(ago(day, "login") for day in range(1, 6)))["usage_drop_percent"] == 75
    assert signals_of(*before, *(ago(day / 2, "login") for day in range(1, 41)))["usage_drop_percent"] == -100
    assert "usage_drop_percent" not in signals_of(ago(1, "login"))


def test_active_days_are_days_with_anything_at_all() -> None:
    signals = signals_of(
        ago(1, "login"), ago(1.01, "feature_used", feature="analytics"), ago(2, "form_created"),
        ago(3, "ticket_opened"),
    )  # fmt: skip
    assert signals["active_days_30d"] == 2


def test_a_referral_is_viral_activity_for_30_days() -> None:
    assert signals_of(ago(3, "referral_made"))["recent_viral_activity"] is True
    assert signals_of(ago(33, "referral_made"))["recent_viral_activity"] is False


def test_tallies_of_parts_add_up_to_those_of_the_whole() -> None:
    rng = random.Random(5)
    events = [ago(rng.uniform(0, 70), rng.choice(("login", "session_ended")), minutes=3) for _ in range(200)]
    whole = {tally[:3]: tally[3:] for tally in tally_events(events, CATALOGUE)}
    added: dict[Any, tuple[int, float]] = {}
    for part in (events[:90], events[90:]):
        for tally in tally_events(part, CATALOGUE):
            count, total = added.get(tally[:3], (0, 0.0))
            added[tally[:3]] = (count + tally.count, total + tally.total)
    assert added == whole


def test_events_that_no_window_reads_leave_no_tallies() -> None:
    assert tally_events([ago(1, "identify", plan="pro"), ago(1, "something_else")], CATALOGUE) == []


def test_health_follows_from_the_signals_and_its_trend_from_the_days_before() -> None:
    stored: dict[str, Value] = {"signed_up_at": NOW - timedelta(days=300), "subscription_status": "active"}
    today = NOW.date()
    falling = {today - timedelta(days=back): 32 + 2 * back for back in range(1, 30)}
    signals = derive_signals(stored, [], now=NOW, catalogue=CATALOGUE, previous=falling)
    assert (signals["health_score"], signals["risk_level"], signals["segment"]) == (
        30,
        "critical",
        "established",
    )
    assert signals["health_trend"] == "declining"
    assert "health_trend" not in derive_signals(stored, [], now=NOW, catalogue=CATALOGUE)


def test_a_replay_ends_where_the_same_events_end_at_once() -> None:
    past = [*EVENTS, *(ago(day, "feature_used", feature="templates") for day in range(1, 15))]
    replayed = replay_customer(past, until=NOW, days=31, catalogue=CATALOGUE)
    at_once = signals_of(*past)
    for name in ("health_score", "features_adopted", "plan", "clients_total", "days_since_last_login"):
        assert replayed.signals[name] == at_once[name], name
    scores = replayed.history("health_score")
    assert [day for day, _ in scores] == [NOW.date() - timedelta(days=back) for back in range(19, -1, -1)]
    assert "health_trend" in replayed.signals


def test_a_day_of_a_replay_stands_for_its_midnight_as_the_daily_look_records_it() -> None:
    midnight = NOW.replace(hour=0)
    past = [
        *EVENTS,
        Event("ticket_opened", midnight, {}),
        Event("ticket_opened", midnight + timedelta(hours=1), {}),
    ]
    days = replay_customer(past, until=NOW, days=31, catalogue=CATALOGUE).days
    at_midnight = [event for event in past if event.at <= midnight]
    then = replay_customer(at_midnight, until=midnight, days=31, catalogue=CATALOGUE).signals
    assert days[NOW.date()]["open_tickets"] == then["open_tickets"]
    assert days[NOW.date()]["health_score"] == then["health_score"]
    # Ages go on by themselves: no day keeps them.
    assert "days_since_last_login" in then
    assert "days_since_last_login" not in days[NOW.date()]


def test_a_value_of_the_wrong_type_is_worked_with_nowhere_and_kept_by_no_day() -> None:
    past = [*EVENTS, ago(3, "identify", monthly_price="a lot")]
    replayed = replay_customer(past, until=NOW, days=31, catalogue=CATALOGUE)
    assert isinstance(replayed.signals["monthly_price"], WrongType)
    assert "monthly_price" not in replayed.days[NOW.date()]
    assert "ltv_at_risk" not in replayed.signals
