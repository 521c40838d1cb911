"""How far features have become habits."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import load_catalogue
from schemas.facts import Event
from scoring.adoption import (
    UseDay,
    abandonment_risk,
    adopt_features,
    frequency_of,
    stage_of,
    value_of,
)
from scoring.signals import derive_signals, tally_events

TODAY = date(2026, 6, 30)
CORE = load_catalogue().core_features


def used(*days_ago: int, feature: str = "analytics", count: int = 1) -> list[UseDay]:
    return [UseDay(feature, TODAY - timedelta(days=back), count) for back in days_ago]


def test_every_core_feature_has_a_row_and_others_follow() -> None:
    found = adopt_features([*used(1), *used(2, feature="beta_thing")], CORE, TODAY)
    assert [one.feature_key for one in found] == [*CORE, "beta_thing"]
    untouched = found[0]
    assert (untouched.adoption_stage, untouched.usage_count, untouched.first_used_at) == (
        "never_used",
        0,
        None,
    )
    assert (untouched.usage_frequency, untouched.abandonment_risk) == (None, None)


def test_a_row_says_when_and_how_often() -> None:
    [row] = [one for one in adopt_features(used(40, 9, 2, 2, count=3), CORE, TODAY) if one.usage_count]
    assert (row.first_used_at, row.last_used_at) == (date(2026, 5, 21), date(2026, 6, 28))
    assert (row.usage_count, row.days_used_30d) == (12, 2)
    assert (row.adoption_stage, row.usage_frequency) == ("trial", "monthly")


@pytest.mark.parametrize(
    ("days", "stage", "frequency"),
    [
        (0, "churned", "rarely"), (1, "trial", "monthly"), (2, "trial", "monthly"), (3, "adopting", "monthly"),
        (4, "adopting", "weekly"), (11, "adopting", "weekly"), (12, "power_user", "weekly"),
        (20, "power_user", "daily"), (30, "power_user", "daily"),
    ],
)  # fmt: skip
def test_stages_and_frequencies(days: int, stage: str, frequency: str) -> None:
    assert (stage_of(days), frequency_of(days)) == (stage, frequency)


def test_a_feature_that_is_30_days_silent_has_churned() -> None:
    assert [one.adoption_stage for one in adopt_features(used(29), ["analytics"], TODAY)] == ["trial"]
    [gone] = adopt_features(used(30, 31, 32), ["analytics"], TODAY)
    assert (gone.adoption_stage, gone.abandonment_risk, gone.value_realization_score) == ("churned", 1.0, 0)


@given(st.sets(st.tuples(st.sampled_from(CORE), st.integers(0, 59))))
def test_adopted_features_are_those_that_the_signal_counts(found: set[tuple[str, int]]) -> None:
    now = datetime(2026, 6, 30, 9, tzinfo=UTC)
    events = [Event("feature_used", now - timedelta(days=back), {"feature": name}) for name, back in found]
    tallies = tally_events(events, load_catalogue())
    signals = derive_signals({}, tallies, now=now, catalogue=load_catalogue())
    uses = [UseDay(one.detail, one.day, one.count) for one in tallies]
    adopted = [
        one
        for one in adopt_features(uses, CORE, TODAY)
        if one.feature_key in CORE and one.adoption_stage in ("adopting", "power_user")
    ]
    assert len(adopted) == signals["features_adopted"]


def test_value_is_habit_depth_and_duration() -> None:
    assert value_of(12, 60, 90) == 100
    assert value_of(6, 30, 0) == 55
    assert value_of(1, 1, 0) == 10
    assert value_of(0, 0, 400) == 0


@given(st.integers(1, 30), st.integers(1, 300), st.integers(0, 900))
def test_value_grows_with_habit_and_time(days: int, count: int, age: int) -> None:
    assert 0 <= value_of(days, count, age) <= 100
    assert value_of(days, count, age) <= value_of(days, count + 10, age)
    assert value_of(days, count, age) <= value_of(days, count, age + 10)


def test_silence_is_measured_by_the_customers_own_rhythm() -> None:
    weekly, daily = used(8, 15, 22, 29), used(8, 9, 10, 11, 12)
    [calm], [alarming] = (adopt_features(uses, ["analytics"], TODAY) for uses in (weekly, daily))
    assert calm.abandonment_risk == 0.125
    assert alarming.abandonment_risk == 0.875


@given(st.integers(0, 29), st.integers(0, 300), st.integers(1, 60), st.integers(0, 30))
def test_the_risk_grows_with_silence_and_stays_between_0_and_1(
    silent: int, span: int, days: int, before: int
) -> None:
    def risk(silent_days: int) -> float:
        return abandonment_risk(
            silent_days=silent_days, span_days=span, days_used=days, recent=1, before=before
        )

    assert 0 <= risk(silent) <= risk(silent + 1) <= 1


def test_a_decline_counts_and_uses_to_come_do_not() -> None:
    steady = abandonment_risk(silent_days=0, span_days=59, days_used=20, recent=10, before=10)
    halved = abandonment_risk(silent_days=0, span_days=59, days_used=15, recent=5, before=10)
    assert (steady, halved) == (0.0, 0.25)
    assert adopt_features(used(-1), ["analytics"], TODAY)[0].adoption_stage == "never_used"
