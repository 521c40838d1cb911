"""Monitoring of churn predictions, by examples worked out by hand and by simulated worlds."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from cli.model_picture import draw
from cli.model_telling import describe
from scoring.detection import Course
from scoring.leaving import Stay
from scoring.model_report import (
    Champion,
    Coverage,
    Freshness,
    HealthQuality,
    ModelReport,
    Quality,
)
from scoring.model_status import MODEL_STALE_DAYS, find_alarms, judge_status
from scoring.monitoring import Fate, Judgeable, Told, Watch, choose_days, find_fate, judge_quality
from scoring.observed_expected import Drift, Ratio, compare, find_drift, stability_index, within
from scoring.separation import Judged, judge_bands

DAY = date(2026, 3, 2)
AT = datetime(2026, 3, 2, 1, tzinfo=UTC)


def told(
    probability: float = 0.2, *, day: date = DAY, within_30d: float | None = 0.1, **more: object
) -> Told:
    given = {
        "level": "low", "source": "model", "version": "v1", "segment": "established", "held_out": False,
        "sent": False, "left": None,
    } | more  # fmt: skip
    at = datetime(day.year, day.month, day.day, 1, tzinfo=UTC)
    return Told(day=day, at=at, probability=probability, within_30d=within_30d, **given)  # type: ignore[arg-type]


def watch(*, early: list[date] | None = None, matured: list[date] | None = None) -> Watch:
    return Watch(90, [DAY] if early is None else early, [DAY] if matured is None else matured)


def ratio(z: float | None) -> Ratio:
    return Ratio(rows=100, observed=10, expected=10.0, ratio=1.0, spread=0.1, z=z)


class TestObservedOverExpected:
    def test_z_counts_standard_deviations(self) -> None:
        # 100 rows of .2: 20 expected, variance 16, so 28 are two standard deviations more.
        outcome = np.array([1.0] * 28 + [0.0] * 72)
        found = compare(outcome, np.full(100, 0.2))
        assert (found.rows, found.observed) == (100, 28)
        assert found.expected == pytest.approx(20)
        assert found.ratio == pytest.approx(1.4)
        assert found.spread == pytest.approx(4 / 20)
        assert found.z == pytest.approx(2.0)

    def test_where_few_are_expected_there_is_a_ratio_and_no_z(self) -> None:
        found = compare(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
        assert (found.ratio, found.z) == (1.0, None)
        assert compare(np.zeros(0), np.zeros(0)).ratio is None

    def test_z_of_a_true_model_is_standard_normal(self) -> None:
        random = np.random.default_rng(7)
        zs = []
        for _ in range(2000):
            probability = random.beta(1, 20, size=500)
            zs.append(compare((random.random(500) < probability).astype(float), probability).z)
        assert np.mean(zs) == pytest.approx(0, abs=0.08)
        assert np.std(zs) == pytest.approx(1, abs=0.06)
        assert np.mean(np.abs(zs) > 3) < 0.01  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("zs", "drift"),
        [
            ([], "unknown"),
            ([None], "unknown"),
            ([5.0, None], "unknown"),
            ([0.5, 2.9], "none"),
            ([2.1, 2.2], "warning"),
            ([-2.1, -2.9], "warning"),
            ([-2.1, 2.1], "none"),
            ([2.5, 1.9], "none"),
            ([2.5, None, 2.5], "warning"),
            ([0.0, 3.1], "alarm"),
            ([-3.1], "alarm"),
            ([9.0, 0.0], "none"),
        ],
    )
    def test_drift(self, zs: list[float | None], drift: Drift) -> None:
        assert find_drift([ratio(z) for z in zs]) == drift

    def test_a_probability_of_30_days_tells_one_of_28_by_a_constant_hazard(self) -> None:
        assert within(0.36, 2, 1) == pytest.approx(0.2)
        assert within(0.1, 30, 30) == pytest.approx(0.1)
        assert within(0.1, 30, 28) == pytest.approx(1 - 0.9 ** (28 / 30))
        assert within(0.0, 30, 28) == 0
        assert math.isfinite(within(1.0, 30, 28))

    def test_the_stability_index(self) -> None:
        before = np.linspace(0, 1, 1000)
        assert stability_index(before, before) == pytest.approx(0, abs=1e-9)
        # Half of all rows move from the lower half into the upper: (.0 - .5) ln … by two bins of five each.
        moved = stability_index(before, before / 2 + 0.5)
        assert moved is not None
        assert moved > 1
        assert stability_index(np.zeros(0), before) is None
        # All the same score: one bin, nothing to compare.
        assert stability_index(np.full(10, 0.5), np.full(10, 0.5)) == pytest.approx(0)


class TestFates:
    SINCE = AT - timedelta(days=400)

    def stay(self, *logins: float, cancelled: tuple[float, ...] = ()) -> Stay:
        course = Course("c", self.SINCE, cancelled=[AT + timedelta(days=day) for day in cancelled])
        return Stay(course, tuple(AT + timedelta(days=day) for day in sorted(logins)))

    def fate(self, stay: Stay, *entries: float, until: float = 100, held_out: bool = False) -> Fate | None:
        return find_fate(
            stay, [AT + timedelta(days=day) for day in entries], AT, AT + timedelta(days=until), held_out=held_out
        )  # fmt: skip

    def test_leaving_is_cancelling_or_60_days_of_silence_as_far_as_it_is_known(self) -> None:
        assert self.fate(self.stay(-1, cancelled=(20,))) == Fate(20.0, math.inf)
        assert self.fate(self.stay(-10)) == Fate(50.0, math.inf)
        # Silence that isn't over yet isn't leaving.
        assert self.fate(self.stay(-10), until=49) == Fate(math.inf, math.inf)
        assert self.fate(self.stay(-10, *range(0, 100, 10))) == Fate(math.inf, math.inf)

    def test_who_had_left_has_no_fate(self) -> None:
        assert self.fate(self.stay(-60)) is None
        assert self.fate(self.stay(-1, cancelled=(-0.5,))) is None

    def test_treatment_lasts_84_days_from_entering(self) -> None:
        stay = self.stay(-1, 30, 60, 90)
        assert self.fate(stay, 10) == Fate(math.inf, 10.0)
        assert self.fate(stay, -83) == Fate(math.inf, -83.0)
        assert self.fate(stay, -85) == Fate(math.inf, math.inf)
        assert self.fate(stay, 10, held_out=True) == Fate(math.inf, math.inf)

    @pytest.mark.parametrize(
        ("left", "treated", "untreated"),
        [
            (math.inf, math.inf, True),
            (20, math.inf, True),
            (math.inf, 0, False),
            (math.inf, -5, False),
            (math.inf, 30, False),
            (20, 30, True),
            (40, 30, False),
            (math.inf, 90, True),
        ],
    )
    def test_untreated_until_they_left_or_it_was_over(
        self, left: float, treated: float, untreated: bool
    ) -> None:
        assert Fate(left, treated).is_untreated(90) is untreated


class TestWatch:
    def test_weeks_are_told_apart_for_everybody_and_for_the_untreated(self) -> None:
        one = watch(matured=[])
        one.add(0, told(), Fate(10, math.inf))
        one.add(1, told(), Fate(math.inf, math.inf))
        one.add(2, told(), Fate(math.inf, -3))
        # Followed for half of the 28 days: half of the hazard is expected of them.
        one.add(3, told(level="high"), Fate(20, 14))
        early = one.tell_early()
        [week] = early.weeks
        p = within(0.1, 30, 28)
        assert (week.everybody.rows, week.everybody.observed) == (4, 2)
        assert week.everybody.expected == pytest.approx(4 * p)
        assert (week.untreated.rows, week.untreated.observed) == (3, 1)
        assert week.untreated.expected == pytest.approx(2 * p + 1 - math.sqrt(1 - p))
        assert {name: (one.rows, one.observed) for name, one in early.levels.items()} == {
            "low": (2, 1),
            "high": (1, 0),
        }
        assert list(early.segments) == ["established"]
        # Weeks of the same customers are no independent rows: together they have a ratio and no z.
        assert early.overall == replace(week.untreated, spread=None, z=None)

    def test_a_sent_intervention_is_treatment(self) -> None:
        one = watch()
        one.add(0, told(sent=True, left=True), Fate(10, math.inf))
        assert one.tell_early().weeks[0].untreated.rows == 0
        matured = one.tell_matured(0.1)
        assert matured is not None
        assert matured.untreated is None
        assert matured.everybody is not None

    def test_the_rule_of_thumb_is_no_probability_that_drift_could_be_told_by(self) -> None:
        one = watch()
        one.add(0, told(within_30d=None, source="rule_of_thumb", left=False), Fate(math.inf, math.inf))
        assert one.tell_early().weeks == ()
        matured = one.tell_matured(0.1)
        assert matured is not None
        assert matured.sources == {"rule_of_thumb": 1}

    def test_kinds_are_of_the_newest_four_weeks(self) -> None:
        days = [DAY + timedelta(weeks=week) for week in range(6)]
        one = watch(early=days, matured=[])
        for number, day in enumerate(days):
            one.add(0, told(day=day, level="low" if number < 2 else "medium"), Fate(math.inf, math.inf))
        early = one.tell_early()
        assert [week.day for week in early.weeks] == days
        assert early.days == tuple(days[2:])
        assert list(early.levels) == ["medium"]

    def test_dates_are_judged_of_those_who_left(self) -> None:
        one = watch()
        dates = {"earliest": date(2026, 3, 10), "latest": date(2026, 3, 20)}
        one.add(0, told(left=True, **dates), Fate(10, math.inf))
        one.add(1, told(left=True, **dates), Fate(40, math.inf))
        one.add(2, told(left=False, **dates), Fate(math.inf, math.inf))
        one.add(3, told(left=True), Fate(10, math.inf))
        matured = one.tell_matured(0.1)
        assert matured is not None
        assert (matured.inside, matured.dated) == (1, 2)

    def test_what_isnt_labelled_isnt_judged(self) -> None:
        one = watch()
        one.add(0, told(left=None), Fate(10, math.inf))
        assert one.tell_matured(0.1) is None


def rows(probability: list[float], left: list[int], level: list[int] | None = None) -> Judgeable:
    n = len(left)
    return Judgeable(
        np.arange(n), np.array(probability), np.array(left, dtype=float), np.zeros(n, dtype=bool),
        np.array(level or [0] * n),
    )  # fmt: skip


class TestQuality:
    def test_by_hand(self) -> None:
        found = judge_quality(rows([0.1, 0.2, 0.3, 0.4, 0.9], [0, 0, 0, 1, 1], [0, 0, 0, 1, 3]), capacity=0.2)
        assert found is not None
        assert (found.rows, found.customers, found.left, found.customers_left) == (5, 5, 2, 2)
        assert found.base_rate == pytest.approx(0.4)
        assert found.majority_rate == pytest.approx(0.6)
        assert found.accuracy == pytest.approx(0.8)
        assert found.auc == 1.0
        losses = -math.log(0.9 * 0.8 * 0.7 * 0.4 * 0.9) / 5
        base = -(0.4 * math.log(0.4) + 0.6 * math.log(0.6))
        assert found.log_loss == pytest.approx(losses)
        assert found.base_log_loss == pytest.approx(base)
        assert found.skill == pytest.approx(1 - losses / base)
        assert found.brier == pytest.approx((0.01 + 0.04 + 0.09 + 0.36 + 0.01) / 5)
        # One of five is called, and is one of the two who left.
        assert found.recall == pytest.approx(0.5)
        assert found.lift == pytest.approx(2.5)
        assert found.ratio.ratio == pytest.approx(2 / 1.9)
        assert [(one.name, one.rows, one.rate) for one in found.levels] == [
            ("low", 3, 0.0), ("medium", 1, 1.0), ("critical", 1, 1.0),
        ]  # fmt: skip
        assert found.monotone
        assert found.gains[0] == (0.0, 0.0)
        assert found.gains[-1] == (1.0, 1.0)
        assert dict(found.gains)[0.4] == 1.0

    def test_levels_out_of_order_are_seen(self) -> None:
        found = judge_quality(rows([0.1, 0.1, 0.5, 0.5], [1, 1, 0, 1], [0, 0, 1, 1]))
        assert found is not None
        assert not found.monotone

    def test_nobody_left(self) -> None:
        found = judge_quality(rows([0.1, 0.2], [0, 0]))
        assert found is not None
        assert (found.auc, found.skill, found.recall, found.lift, found.gains) == (None, None, None, None, ())
        assert judge_quality(rows([], [])) is None

    def test_always_saying_the_base_rate_has_no_skill(self) -> None:
        found = judge_quality(rows([0.25] * 8, [1, 0, 0, 0] * 2))
        assert found is not None
        assert found.skill == pytest.approx(0)
        assert found.auc == pytest.approx(0.5)

    def test_days_of_one_customer_count_once_in_intervals(self) -> None:
        single = judge_quality(rows([0.2] * 10, [1] * 5 + [0] * 5))
        repeated = rows([0.2] * 40, ([1] * 5 + [0] * 5) * 4)
        found = judge_quality(replace(repeated, customer=np.tile(np.arange(10), 4)))
        assert single is not None
        assert found is not None
        assert (found.levels[0].low, found.levels[0].high) == (single.levels[0].low, single.levels[0].high)
        assert (found.rows, found.customers, found.customers_left) == (40, 10, 5)


def quality(**more: object) -> Quality:
    found = judge_quality(rows([0.1, 0.9] * 40, [0, 1] * 40))
    assert found is not None
    return found.model_copy(update=more)


class TestStatus:
    @pytest.mark.parametrize(
        ("accuracy", "majority", "auc", "status"),
        [
            (0.90, 0.86, 0.80, "healthy"),
            (0.85, 0.80, 0.60, "healthy"),
            (0.849, 0.80, 0.80, "warning"),
            (0.75, 0.70, 0.80, "warning"),
            (0.749, 0.70, 0.80, "critical"),
            # No better than always saying no, however accurate.
            (0.95, 0.95, 0.90, "warning"),
            (0.94, 0.95, 0.90, "warning"),
            (0.95, 0.90, 0.59, "warning"),
            (0.95, 0.90, None, "warning"),
            (0.70, 0.90, 0.50, "critical"),
        ],
    )
    def test_accuracy_never_speaks_alone(
        self, accuracy: float, majority: float, auc: float | None, status: str
    ) -> None:
        found, why = judge_status(quality(accuracy=accuracy, majority_rate=majority, auc=auc))
        assert found == status
        assert f"{accuracy:.1%}" in why[0]
        assert any("more frequent outcome" in one for one in why) == (accuracy <= majority)
        assert any("AUC" in one for one in why) == (auc is None or auc < 0.6)

    def test_too_few_to_judge(self) -> None:
        assert judge_status(None)[0] == "unknown"
        assert judge_status(quality(customers_left=9))[0] == "unknown"
        assert judge_status(quality(customers_left=10))[0] == "healthy"
        assert judge_status(quality(customers=49))[0] == "unknown"

    def alarms(self, **more: object) -> list[str]:
        given: dict[str, object] = {
            "status": "healthy", "why": (), "drift": "none", "newest": (DAY, ratio(4.0)), "freshness": Freshness(),
            "today": DAY, "horizon_days": 90,
        }  # fmt: skip
        return [alarm.kind for alarm in find_alarms(**(given | more))]  # type: ignore[arg-type]

    def test_alarms(self) -> None:
        assert self.alarms() == []
        assert self.alarms(drift="warning", status="warning") == []
        assert self.alarms(drift="alarm", status="critical", why=("Bad.",)) == [
            "model_drift",
            "model_critical",
        ]

    def test_stale(self) -> None:
        def model(age: float, kind: str = "model") -> Freshness:
            return Freshness(champions=(Champion(kind=kind, version="v", trained_at=AT, age_days=age),))

        assert self.alarms(freshness=model(MODEL_STALE_DAYS)) == []
        assert self.alarms(freshness=model(MODEL_STALE_DAYS + 1)) == ["model_stale"]
        assert self.alarms(freshness=model(400, "health")) == []
        assert self.alarms(freshness=Freshness(newest_label=DAY, newest_label_age_days=98)) == []
        assert self.alarms(freshness=Freshness(newest_label=DAY, newest_label_age_days=99)) == ["model_stale"]

    def test_a_model_is_stale_when_its_predictions_are_no_longer_told_with_high_confidence(self) -> None:
        from activities.health import STALE_AFTER

        assert timedelta(days=MODEL_STALE_DAYS) == STALE_AFTER

    def test_unscored(self) -> None:
        assert self.alarms(freshness=Freshness(last_run=DAY, last_run_age_hours=36)) == []
        assert self.alarms(freshness=Freshness(last_run=DAY, last_run_age_hours=37)) == ["scoring_stale"]
        assert self.alarms(freshness=Freshness(watched_since=DAY - timedelta(days=1))) == []
        assert self.alarms(freshness=Freshness(watched_since=DAY - timedelta(days=2))) == ["scoring_stale"]


def test_of_each_week_the_day_with_most_predictions_is_taken() -> None:
    monday = date(2026, 3, 2)
    counts = {
        monday: 5, monday + timedelta(days=2): 9, monday + timedelta(days=6): 9,
        monday + timedelta(days=7): 1, monday + timedelta(days=21): 2,
    }  # fmt: skip
    assert choose_days(dict(reversed(counts.items()))) == [
        monday + timedelta(days=2), monday + timedelta(days=7), monday + timedelta(days=21),
    ]  # fmt: skip


def simulated(*, factor: float = 1.0, seed: int = 3, customers: int = 3000) -> Watch:
    """Ten weeks of predictions of a world whose hazard is `factor` times what is said from the sixth week on."""
    random = np.random.default_rng(seed)
    days = [DAY + timedelta(weeks=week) for week in range(10)]
    one = Watch(90, days, days[:4])
    for week, day in enumerate(days):
        hazard = random.gamma(0.5, 0.004, size=customers) + 1e-5
        times = random.exponential(1 / (hazard * (factor if week >= 5 else 1)))
        for number in range(customers):
            p90 = float(-np.expm1(-90 * hazard[number]))
            left = float(times[number]) if times[number] < 90 else math.inf
            prediction = told(
                p90, day=day, within_30d=float(-np.expm1(-30 * hazard[number])), left=left < 90,
                level="low" if p90 < 0.4 else "medium" if p90 < 0.6 else "high" if p90 < 0.8 else "critical",
            )  # fmt: skip
            one.add(number, prediction, Fate(left, math.inf))
    return one


class TestSimulatedWorlds:
    def test_a_true_model_is_calibrated_and_in_order(self) -> None:
        one = simulated()
        early = one.tell_early()
        assert find_drift([week.untreated for week in early.weeks]) in ("none", "warning")
        assert all(abs(week.untreated.z or 0) < 4 for week in early.weeks)
        matured = one.tell_matured(0.1)
        assert matured is not None
        found = matured.untreated
        assert found is not None
        assert found.ratio.ratio == pytest.approx(1, abs=0.06)
        assert found.ece < 0.02
        assert found.auc is not None
        assert found.auc > 0.7
        assert found.monotone
        assert found.skill is not None
        assert found.skill > 0.1

    def test_a_world_that_changes_is_told_by_the_first_week_after(self) -> None:
        weeks = [week.untreated for week in simulated(factor=1.6).tell_early().weeks]
        assert find_drift(weeks[:5]) in ("none", "warning")
        assert [find_drift(weeks[: 6 + n]) for n in range(5)] == ["alarm"] * 5

    def test_treatment_that_works_doesnt_look_like_drift_among_the_untreated(self) -> None:
        # A third is treated after 10 days on average, and nobody treated leaves: of everybody far fewer leave.
        random = np.random.default_rng(11)
        one = watch(matured=[])
        for number in range(40_000):
            hazard = 0.004
            left = float(random.exponential(1 / hazard))
            treated = float(random.exponential(10)) if number % 3 == 0 else math.inf
            fate = Fate(left if left < min(28, treated) else math.inf, treated)
            one.add(number, told(within_30d=1 - math.exp(-30 * hazard)), fate)
        [week] = one.tell_early().weeks
        assert week.everybody.z is not None
        assert week.everybody.z < -3
        assert week.untreated.z is not None
        assert abs(week.untreated.z) < 2.5


def report(one: Watch, **more: object) -> ModelReport:
    matured = one.tell_matured(0.1)
    status, why = judge_status(matured.untreated if matured else None)
    health = judge_bands(
        Judged(str(score), score, "healthy" if score > 74 else "at_risk" if score > 49 else "critical", score % 9 == 0)
        for score in range(100)
    ).to_json()  # fmt: skip
    given: dict[str, object] = {
        "day": DAY, "at": AT, "horizon_days": 90, "customers": 3000, "customers_of": 3000, "status": status, "why": why,
        "drift": find_drift([week.untreated for week in one.tell_early().weeks]), "early": one.tell_early(),
        "matured": matured, "health": HealthQuality(models=("d",), untreated=health, everybody=health),
        "coverage": Coverage(active=10, predicted={"model": 9}), "freshness": Freshness(), "stability": None,
    }  # fmt: skip
    return ModelReport(**(given | more))  # type: ignore[arg-type]


class TestTelling:
    def test_a_report_is_the_same_after_it_was_kept(self) -> None:
        found = report(simulated(customers=300))
        assert ModelReport.model_validate_json(found.model_dump_json()) == found

    def test_accuracy_stands_beside_the_majority_rate(self) -> None:
        found = report(simulated(customers=300))
        lines = list(describe(found))
        assert found.matured is not None
        assert found.matured.untreated is not None
        told_so = next(line for line in lines if line.startswith("  Accuracy") and "beside" in line)
        assert (
            f"{found.matured.untreated.accuracy:.1%} beside {found.matured.untreated.majority_rate:.1%}"
            in told_so
        )
        names = [line.split()[0] for line in lines if line.strip()]
        for name in ("AUC", "Brier", "ECE", "observed/expected", "lift"):
            assert name in names
        assert any("9 of 10 active customers have a prediction of today (90%)" in line for line in lines)

    def test_nothing_matured_yet_is_said(self) -> None:
        lines = "\n".join(describe(report(watch(), health=None)))
        assert "UNKNOWN" in lines
        assert "No prediction is 91 days old yet" in lines
        assert "No model serves yet" in lines
        assert "No population run has finished yet" in lines

    @pytest.mark.parametrize("empty", [False, True])
    def test_pictures(self, empty: bool, tmp_path: Path) -> None:
        found = report(watch(), health=None) if empty else report(simulated(customers=300))
        first, second = tmp_path / "a.svg", tmp_path / "b.svg"
        draw(found, first)
        draw(found, second)
        drawn = first.read_text()
        assert drawn == second.read_text()
        assert ("no prediction is old enough" in drawn) is empty
        assert "observed over expected within 28 days" in drawn
        draw(found, tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
