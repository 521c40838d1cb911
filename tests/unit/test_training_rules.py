"""Training, pure: the calendar, when somebody left, folds that see no future, and the rules of promotion."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from math import nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import load_catalogue
from scoring.churn import probability_of, score_points
from scoring.churning.columns import Floats, Numbers, categories_of
from scoring.detection import Course
from scoring.features import feature_row, feature_table
from scoring.hazard.snapshots import Snapshots
from scoring.leaving import Stay
from scoring.promotion import chance_error, check_bands, check_calibration, check_ratio, compare
from scoring.signal_columns import SignalColumns
from scoring.succession import Craft, Serving, judge_challenger, judge_newcomer
from scoring.thumb import map_thumb, thumb_probability
from scoring.training import (
    EVERY_DAYS,
    Folds,
    TrialFold,
    left_after,
    make_folds,
    make_forward_folds,
    outcome_within,
    rows_of,
    training_days,
    treated_stretch,
    treated_within,
)
from scoring.trial import Judged, Trial, judge_rows, ratio_of, reports, run_trial

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_the_calendar_has_the_same_mondays_whenever_one_trains() -> None:
    first = date(2025, 1, 1)
    days = training_days(datetime(2026, 6, 3, 4, tzinfo=UTC), first)
    later = training_days(datetime(2026, 6, 29, 4, tzinfo=UTC), first)
    assert {day.weekday() for day in days} == {0}
    assert {(after - before).days for before, after in pairwise(days)} == {EVERY_DAYS}
    assert later[: len(days)] == days
    assert days[0] >= first
    # Of the newest at least a week is over.
    assert days[-1] <= date(2026, 5, 27) < days[-1] + timedelta(days=EVERY_DAYS)
    assert training_days(datetime(2026, 6, 3, tzinfo=UTC), date(2026, 6, 1)) == []


hours = st.integers(min_value=0, max_value=24 * 400).map(lambda hour: START + timedelta(hours=hour))


@given(
    logins=st.lists(hours, max_size=12), cancelled=st.lists(hours, max_size=3), returned=st.lists(hours, max_size=2),
    at=hours, days=st.sampled_from([7, 30, 60, 90]),
)  # fmt: skip
def test_when_somebody_leaves_agrees_with_whether(
    logins: list[datetime], cancelled: list[datetime], returned: list[datetime], at: datetime, days: int
) -> None:
    stay = Stay(
        Course("c", START, cancelled=sorted(cancelled), returned=sorted(returned)), tuple(sorted(logins))
    )
    if stay.is_gone(at):
        return
    left = left_after(stay, at)
    assert left is not None
    assert left > at
    assert (left <= at + days * DAY) == stay.leaves_within(at, days * DAY)


def test_stretches_of_treatment_that_touch_are_one() -> None:
    entries = [START, START + 50 * DAY, START + 300 * DAY]
    assert treated_stretch(entries, START + 10 * DAY) == (-10.0, 124.0)
    assert treated_stretch(entries, START + 134 * DAY) == (166.0, 250.0)
    assert treated_stretch(entries, START - 5 * DAY) == (5.0, 139.0)
    assert treated_stretch(entries, START + 400 * DAY) is None


def make_snapshots(
    customers: int = 200,
    months: int = 10,
    *,
    seed: int = 1,
    shift_from: int | None = None,
    shift: float = 0.0,
    held_out: float = 0.0,
) -> Snapshots:
    """Customers with a risk of their own, seen every four weeks until they leave; ordinal days from 28,000 on.

    From month `shift_from` on log-odds are higher by `shift`.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int, float, float]] = []
    end = 28_000 + months * 28 + 10
    for customer in range(customers):
        risk = float(rng.normal())
        gone = None
        for month in range(months):
            odds = -1.6 + 1.3 * risk + (shift if shift_from is not None and month >= shift_from else 0.0)
            rows.append((customer, 28_000 + 28 * month, risk, nan))
            if rng.random() < 1 / (1 + np.exp(-odds)):
                gone = 28_000 + 28 * month + float(rng.uniform(0.5, 27.5))
                break
        if gone is not None:
            rows = [(c, d, r, gone - d if c == customer else left) for c, d, r, left in rows]
    array = np.array(rows)
    day = array[:, 1].astype(np.int64)
    customer_of = array[:, 0].astype(np.int64)
    count = len(rows)
    return Snapshots(
        table={"risk": Numbers(array[:, 2])},
        customer=customer_of,
        day=day,
        left=array[:, 3],
        followed=(end - day).astype(np.float64),
        renewal=np.full(count, nan),
        treated_from=np.full(count, nan),
        treated_until=np.full(count, nan),
        held_out=customer_of < customers * held_out,
    )


END = 28_000.0 + 290


def test_a_row_known_by_a_day_knows_nothing_that_came_later() -> None:
    snapshots = make_snapshots()
    known = rows_of(snapshots, np.arange(len(snapshots)), known_day=28_100.0)
    assert (known.followed <= np.maximum(28_100 - known.day, 0) + 1e9 * (known.day > 28_100)).all()
    seen = ~np.isnan(known.left)
    assert (known.day[seen] + known.left[seen] <= 28_100).all()
    assert 0 < seen.sum() < (~np.isnan(snapshots.left)).sum()


def test_an_outcome_is_known_only_when_its_window_is_over() -> None:
    snapshots = make_snapshots()
    outcome = outcome_within(snapshots, 90)
    open_ = snapshots.day + 90 > END
    assert np.isnan(outcome[open_]).all()
    # Also of those of whom it is known already that they left: else leavers would be counted before stayers.
    assert (~np.isnan(snapshots.left[open_])).any()
    assert not np.isnan(outcome[~open_]).any()


def test_folds_go_forward_and_never_predict_whom_they_learned_from() -> None:
    snapshots = make_snapshots()
    folds = make_folds(snapshots, END)
    assert folds is not None
    assert folds.forward
    assert folds.horizon_days == 90
    days = sorted({piece.day for piece in folds.pieces})
    assert len(days) == 3
    assert days[-1] + 91 <= END < days[-1] + 91 + 28
    for piece in folds.pieces:
        assert (snapshots.day[piece.train] < piece.day).all()
        assert (snapshots.day[piece.test] == piece.day).all()
        assert not set(snapshots.customer[piece.train]) & set(snapshots.customer[piece.test])
        assert piece.known_day == piece.day
    tested = np.concatenate([piece.test for piece in folds.pieces])
    assert sorted(tested) == np.flatnonzero(np.isin(snapshots.day, days)).tolist()


def test_a_short_history_is_tested_by_a_shorter_horizon_and_then_by_customers() -> None:
    short = make_snapshots(months=5, customers=400)
    as_of = 28_000.0 + 28 * 4 + 31
    short = replace(short, followed=as_of - short.day)
    folds = make_folds(short, as_of)
    assert folds is not None
    assert (folds.forward, folds.horizon_days) == (True, 30)
    assert {piece.day for piece in folds.pieces} == {28_112}
    short = make_snapshots(months=2, customers=400)
    single = rows_of(short, np.flatnonzero(short.day == 28_000))
    folds = make_folds(single, 28_000.0 + 66)
    assert folds is not None
    assert (folds.forward, folds.horizon_days) == (False, 60)
    assert not set(single.customer[folds.pieces[0].train]) & set(single.customer[folds.pieces[0].test])
    few = rows_of(single, np.flatnonzero(np.isnan(single.left)))
    assert make_folds(few, 28_000.0 + 66) is None


def test_a_challenger_is_judged_by_days_since_what_serves_was_trained() -> None:
    snapshots = make_snapshots()
    assert make_forward_folds(snapshots, END, 90, since_day=28_180.0) is not None
    folds = make_forward_folds(snapshots, END, 30, since_day=28_220.0)
    assert folds is not None
    assert {piece.day for piece in folds.pieces} == {28_000 + 28 * 8, 28_000 + 28 * 9} - {28_252 + 28}
    assert make_forward_folds(snapshots, END, 90, since_day=28_220.0) is None


def test_treated_rows_are_left_out_of_the_judging_and_held_out_ones_never() -> None:
    snapshots = make_snapshots(held_out=0.5)
    treated = np.where(snapshots.customer % 2 == 0, 40.0, nan)
    snapshots = replace(snapshots, treated_from=treated, treated_until=treated + 84)
    assert treated_within(snapshots, 30).sum() == 0
    inside = treated_within(snapshots, 60)
    assert inside.tolist() == ((snapshots.customer % 2 == 0) & ~snapshots.held_out).tolist()
    rows = np.flatnonzero(snapshots.day == 28_000)
    judged = judge_rows(snapshots, rows, 60)
    assert judged.treated_left_out == inside[rows].sum() > 0
    assert judged.held_out.sum() == snapshots.held_out[rows].sum()
    assert judge_rows(snapshots, rows, 30).treated_left_out == 0


signal_values = st.fixed_dictionaries(
    {},
    optional={
        "days_since_last_login": st.integers(0, 40),
        "unique_features_used": st.integers(0, 6),
        "avg_health_30d": st.integers(0, 100),
        "days_since_last_milestone": st.integers(0, 60),
        "health_trend": st.sampled_from(["improving", "stable", "declining"]),
    },
)


@given(customers=st.lists(signal_values, min_size=1, max_size=8))
def test_the_rule_of_thumb_in_columns_is_the_one_that_serves(customers: list[dict[str, Any]]) -> None:
    catalogue = load_catalogue()
    numbers = {
        name: np.array([float(one.get(name, nan)) for one in customers])
        for name in (
            "days_since_last_login", "unique_features_used", "avg_health_30d", "days_since_last_milestone",
        )
    }  # fmt: skip
    texts = {"health_trend": categories_of([one.get("health_trend") for one in customers])}
    table = feature_table(SignalColumns(len(customers), numbers, texts), catalogue)
    assert thumb_probability(table, len(customers)).tolist() == [
        probability_of(score_points(one)) for one in customers
    ]
    assert set(feature_row(customers[0], catalogue)) == set(table)


def test_the_mapped_rule_of_thumb_says_what_happened() -> None:
    rng = np.random.default_rng(3)
    said = rng.choice([0.1, 0.5, 0.9], 4000)
    outcome = (rng.random(4000) < 0.3 * said).astype(np.float64)
    mapped = map_thumb(said, outcome, np.array([0.1, 0.9]))
    assert mapped == pytest.approx([0.03, 0.27], abs=0.04)
    assert map_thumb(said, np.zeros(4000), np.array([0.1])).tolist() == [0.0]


def judged_of(outcome: Floats, *, each: int = 1) -> Judged:
    """Rows at 90 days, `each` of every customer."""
    rows = len(outcome)
    return Judged(90, np.arange(rows), outcome, np.arange(rows) // each, np.zeros(rows, dtype=np.bool_), 0)


def said_of(probability: Floats) -> Floats:
    return np.tile(probability[:, None], (1, 3))


@pytest.fixture(scope="module")
def truth() -> tuple[Floats, Floats]:
    """Probabilities, and what came of them."""
    rng = np.random.default_rng(8)
    probability = rng.beta(1.2, 5.0, 4000)
    return probability, (rng.random(4000) < probability).astype(np.float64)


def test_the_truth_is_better_than_a_guess_and_customers_count_once(truth: tuple[Floats, Floats]) -> None:
    probability, outcome = truth
    guess = np.full(4000, outcome.mean())
    found = compare(judged_of(outcome), said_of(probability), said_of(guess))
    assert found.better
    assert found.gain.value == pytest.approx(found.other_log_loss - found.log_loss)
    # Four rows of each customer that say the same are no more than one.
    many = compare(
        judged_of(np.repeat(outcome[:500], 4), each=4),
        said_of(np.repeat(probability[:500], 4)),
        said_of(np.repeat(guess[:500], 4)),
    )
    once = compare(judged_of(outcome[:500]), said_of(probability[:500]), said_of(guess[:500]))
    assert many.customers == once.customers == 500
    assert many.gain == once.gain
    same = compare(judged_of(outcome), said_of(probability), said_of(probability))
    assert not same.better


def test_expecting_twice_too_many_fails_and_few_rows_cannot_tell(truth: tuple[Floats, Floats]) -> None:
    probability, outcome = truth
    assert check_ratio(judged_of(outcome), said_of(probability)).holds
    wrong = check_ratio(judged_of(outcome), said_of(probability * 0.7))
    assert not wrong.holds
    assert "outside 0.9 to 1.1" in wrong.told
    vague = check_ratio(judged_of(outcome[:150]), said_of(probability[:150] * 0.85))
    assert vague.holds
    assert "too few" in vague.told
    held = replace(judged_of(outcome), held_out=np.arange(4000) < 2000)
    # What becomes of the others is a playbook's doing.
    half = np.where(np.arange(4000) < 2000, probability, probability * 0.2)
    assert check_ratio(held, said_of(half)).holds
    assert not check_ratio(judged_of(outcome), said_of(half)).holds


def test_calibration_is_measured_against_what_chance_gives(truth: tuple[Floats, Floats]) -> None:
    probability, outcome = truth
    assert check_calibration(judged_of(outcome), said_of(probability), None).holds
    bent = np.clip(probability * 2.5, 0, 0.99)
    assert not check_calibration(judged_of(outcome), said_of(bent), None).holds
    assert check_calibration(judged_of(outcome), said_of(bent), said_of(np.clip(bent * 1.5, 0, 0.99))).holds
    assert chance_error(probability[:100]) > 0.05 > chance_error(probability)


def test_levels_that_do_not_rise_are_noticed(truth: tuple[Floats, Floats]) -> None:
    probability, outcome = truth
    assert check_bands(judged_of(outcome), said_of(probability)).holds
    assert not check_bands(judged_of(outcome), said_of(1 - probability)).holds


def test_a_ratio_is_of_sums_and_the_same_each_time() -> None:
    rng = np.random.default_rng(2)
    upper, lower = rng.random(300), rng.random(300) + 1
    found = ratio_of(upper, lower, np.arange(300) // 3)
    assert found.value == pytest.approx(upper.sum() / lower.sum())
    assert found.low < found.value < found.high
    assert found == ratio_of(upper, lower, np.arange(300) // 3)


# A model that can be written down in a test: weekly log-odds = level + slope · risk.
Line = tuple[float, float]


def forecast(model: Line, snapshots: Snapshots) -> Floats:
    column = snapshots.table["risk"]
    assert isinstance(column, Numbers)
    odds = model[0] + model[1] * column.values
    stays = 1 / (1 + np.exp(odds))
    return np.column_stack([1 - stays ** (days / 28) for days in (30, 60, 90)])


def recalibrate(model: Line, snapshots: Snapshots) -> Line:
    known = outcome_within(snapshots, 30)
    rows = rows_of(snapshots, np.flatnonzero(~np.isnan(known)))
    outcome = known[~np.isnan(known)]
    level = model[0]
    for _ in range(30):
        said = forecast((level, model[1]), rows)[:, 0]
        level += float((outcome.sum() - said.sum()) / (said * (1 - said)).sum())
    return level, model[1]


CRAFT: Craft[Line] = Craft(forecast, recalibrate)
TRUE, POOR = (-1.6, 1.3), (-1.6, 0.0)


def trial_of(snapshots: Snapshots, **said: Line) -> Trial:
    folds = make_folds(snapshots, END)
    assert folds is not None
    return run_trial(
        snapshots,
        folds,
        {name: (lambda train, m=model: lambda rows: forecast(m, rows)) for name, model in said.items()},
    )


def test_a_newcomer_that_proves_better_is_promoted_and_one_that_does_not_is_refused() -> None:
    snapshots = make_snapshots(customers=600)
    trial = trial_of(snapshots, model=TRUE, health=POOR, wild=(0.5, 1.3))
    promoted = judge_newcomer(snapshots, trial, "model", "health", "the health score")
    assert promoted.outcome == "promoted"
    assert "better by" in promoted.reason
    assert all(check.holds for check in promoted.checks)
    refused = judge_newcomer(snapshots, trial, "health", "model", "the model")
    assert refused.outcome == "refused"
    assert "worse by" in refused.reason
    wild = judge_newcomer(snapshots, trial, "wild", "health", "the health score")
    assert {check.name for check in wild.checks if not check.holds} >= {
        "observed_over_expected",
        "calibration",
    }
    told = {(one.forecaster, one.days) for one in reports(snapshots, trial)}
    assert told == {(name, days) for name in ("model", "health", "wild") for days in (30, 60, 90)}


def test_what_serves_goes_when_a_challenger_is_better_and_stays_when_nothing_can_be_told() -> None:
    snapshots = make_snapshots(customers=600)
    poor, true = Serving(POOR, 28_150.0), Serving(TRUE, 28_150.0)
    better = judge_challenger(snapshots, END, lambda train: lambda rows: forecast(TRUE, rows), poor, CRAFT)
    assert better.outcome == "promoted"
    same = judge_challenger(snapshots, END, lambda train: lambda rows: forecast(TRUE, rows), true, CRAFT)
    assert same.outcome == "kept"
    assert "Kept what serves. The challenger: log loss" in same.reason
    fresh = judge_challenger(
        snapshots, END, lambda train: lambda rows: forecast(TRUE, rows), Serving(POOR, END - 7), CRAFT
    )
    assert fresh.outcome == "kept"
    assert "trained 7 days ago" in fresh.reason


def test_what_serves_is_calibrated_anew_when_the_world_has_moved_and_no_challenger_knows_it() -> None:
    snapshots = make_snapshots(customers=600, shift_from=6, shift=0.9)
    served = Serving(TRUE, 28_000.0 + 28 * 6)
    found = judge_challenger(snapshots, END, lambda train: lambda rows: forecast(TRUE, rows), served, CRAFT)
    assert found.outcome == "recalibrated"
    assert found.recalibrated is not None
    # The newest month alone is a small sample; but it says that more leave than before.
    assert -1.5 < found.recalibrated[0] < -0.4
    assert "Calibrated what serves anew" in found.reason
    again = judge_challenger(
        snapshots, END, lambda train: lambda rows: forecast(TRUE, rows),
        Serving(found.recalibrated, 28_000.0 + 28 * 6), CRAFT,
    )  # fmt: skip
    assert again.outcome == "kept"
    assert "doesn't help surely" in again.reason


def test_too_few_who_left_among_the_rows_are_no_proof() -> None:
    snapshots = make_snapshots()
    rows = np.flatnonzero((snapshots.day == 28_000) & np.isnan(snapshots.left))
    folds = Folds((TrialFold(1, 28_000, 28_000.0, rows, rows),), True, 90)
    trial = run_trial(snapshots, folds, {"model": lambda train: lambda given: forecast(TRUE, given)})
    found = judge_newcomer(snapshots, trial, "model", "model", "itself")
    assert found.outcome == "refused"
    assert "0 left" in found.reason
