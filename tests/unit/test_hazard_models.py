"""Hazard models on customers whose law is known: ranking, calibration, dates, reasons, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.hazard_world import World, make_world
from schemas.errors import InputError
from scoring.churning.columns import Categories, Column, Floats, Numbers, categories_of
from scoring.churning.measures import area_under_curve, calibration_error, log_losses
from scoring.hazard import (
    HazardModel,
    HazardSettings,
    Snapshots,
    coverages,
    covers,
    fit_hazard,
    interval,
    outlook,
    outlooks,
    read_hazard,
    recalibrate,
    version_of,
    within_days,
    write_hazard,
)
from scoring.hazard.outlook import Outlooks
from scoring.hazard.preparing import prepare

Features = dict[str, float | str | None]


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(9000)


@pytest.fixture(scope="module")
def model(world: World) -> HazardModel:
    return fit_hazard(world.snapshots, catalogue_digest="0123456789abcdef")


@pytest.fixture(scope="module")
def later() -> World:
    return make_world(15_000, seed=2)


@pytest.fixture(scope="module")
def said(model: HazardModel, later: World) -> Outlooks:
    return outlooks(model, later.snapshots.table, later.snapshots.renewal)


def gone_by(snapshots: Snapshots, days: float) -> Floats:
    return (np.where(np.isnan(snapshots.left), np.inf, snapshots.left) < days).astype(float)


def row_of(snapshots: Snapshots, row: int) -> tuple[Features, float | None]:
    features: Features = {}
    for name, column in snapshots.table.items():
        if isinstance(column, Numbers):
            value = float(column.values[row])
            features[name] = None if math.isnan(value) else value
        else:
            features[name] = None if column.codes[row] < 0 else column.levels[column.codes[row]]
    renewal = float(snapshots.renewal[row])
    return features, None if math.isnan(renewal) else renewal


def test_it_ranks_nearly_as_well_as_the_truth_and_far_better_than_the_health_score(
    later: World, said: Outlooks
) -> None:
    happened = gone_by(later.snapshots, 91)
    health = later.snapshots.table["health_score"]
    assert isinstance(health, Numbers)
    ours = area_under_curve(happened, said.within[:, 2])
    anchor = area_under_curve(happened, -health.values)
    truth = area_under_curve(happened, later.within(13))
    assert ours is not None
    assert anchor is not None
    assert truth is not None
    assert ours > anchor + 0.04
    assert ours > truth - 0.015


@pytest.mark.parametrize(("place", "days"), [(0, 30), (1, 60), (2, 90)])
def test_probabilities_come_true(later: World, said: Outlooks, place: int, days: int) -> None:
    happened, told = gone_by(later.snapshots, days), said.within[:, place]
    assert 0.93 < told.mean() / happened.mean() < 1.07
    assert calibration_error(happened, told) < 0.015
    top = told >= np.quantile(told, 0.8)
    assert 0.9 < told[top].mean() / happened[top].mean() < 1.1


def test_the_interval_of_dates_holds_most_of_those_who_leave_and_the_median_is_near_them(
    later: World, said: Outlooks
) -> None:
    left = later.snapshots.left
    some = ~np.isnan(left) & ~np.isnan(said.expected)
    inside = ((said.earliest <= left) & (left <= said.latest))[some].mean()
    assert 0.7 <= inside <= 0.9
    miss = np.abs(said.expected - left)[some].mean()
    assert miss < 0.96 * np.abs(np.median(left[some]) - left[some]).mean()
    assert ((said.earliest <= said.expected) & (said.expected <= said.latest))[some].all()
    assert (said.earliest[some] >= 0).all()
    assert (said.latest[some] <= 364).all()
    # Yearly subscriptions mostly end when they would have renewed.
    billing = later.snapshots.table["billing_period"]
    assert isinstance(billing, Categories)
    renewal = later.snapshots.renewal
    known = (renewal > 30) & (renewal < 91) & (said.within[:, 2] > 0.4) & (billing.codes == 0)
    assert known.sum() > 20
    assert np.median(np.abs(said.expected - renewal)[known]) < 7


def test_one_customer_and_many_are_told_the_same(model: HazardModel, later: World, said: Outlooks) -> None:
    rng = np.random.default_rng(0)
    for row in rng.integers(0, len(later.snapshots), 300).tolist():
        one = outlook(model, *row_of(later.snapshots, row))
        np.testing.assert_allclose(one.within, said.within[row], rtol=1e-9, atol=1e-12)
        assert one.score == pytest.approx(said.score[row], abs=1e-9)
        np.testing.assert_allclose(
            np.array([one.expected, one.earliest, one.latest], dtype=float),
            [said.expected[row], said.earliest[row], said.latest[row]],
            atol=2e-6,
        )
        told = {reason.signal: reason.effect for reason in one.reasons}
        np.testing.assert_allclose([told[name] for name in said.sources], said.effects[row], atol=1e-9)


def random_model(seed: int) -> tuple[HazardModel, Snapshots]:
    """A model of every kind of part with weights drawn at random, and customers with odd values."""
    rng = np.random.default_rng(seed)
    snapshots = make_world(1200, seed, level=-3.5, treated=rng.random(1200) < 0.3).snapshots
    found = fit_hazard(snapshots, catalogue_digest="d", settings=HazardSettings(most_weeks=4000))
    from scoring.churning.conjunctions import Above, Conjunction, Is
    from scoring.churning.model import Pair, Rule

    effects = found.effects
    widths = [effect.part.width for effect in effects]
    pairs = tuple(
        Pair(one, two, tuple(map(tuple, rng.normal(0, 0.2, (widths[one] + 1, widths[two] + 1)).tolist())))
        for one, two in [(0, 1), (2, len(effects) - 1), (1, 3)]
    )
    rules = (
        Rule(Conjunction((Above("team_size", 7.0), Is("plan", None))), 0.7, 0.2),
        Rule(Conjunction((Above("last_support_rating", 3.0, turned=True),)), -0.4, 0.1),
        Rule(Conjunction((Is("plan", "pro", turned=True), Is("billing_period", "annual"))), 0.3, 0.5),
    )
    calibration = msgspec.structs.replace(found.calibration, shift=0.1, slope=1.2, fade=-0.4)
    changed = msgspec.structs.replace(found, pairs=pairs, rules=rules, calibration=calibration)
    odd = dict(snapshots.table)
    odd["team_size"] = Numbers(np.where(rng.random(1200) < 0.3, np.nan, rng.normal(0, 1e4, 1200)))
    odd["plan"] = Categories(("free", "other", "pro"), rng.integers(-1, 3, 1200))
    return changed, dataclasses.replace(snapshots, table=odd, renewal=rng.uniform(-20, 400, 1200))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_model_the_two_ways_agree_and_reasons_add_up(seed: int) -> None:
    model, snapshots = random_model(seed)
    said = outlooks(model, snapshots.table, snapshots.renewal)
    np.testing.assert_allclose(said.base + said.effects.sum(axis=1), said.score, atol=1e-9)
    for row in range(0, 1200, 13):
        one = outlook(model, *row_of(snapshots, row))
        np.testing.assert_allclose(one.within, said.within[row], rtol=1e-9, atol=1e-12)
        assert one.base + sum(reason.effect for reason in one.reasons) == pytest.approx(one.score, abs=1e-9)
        sizes = [abs(reason.effect) for reason in one.reasons]
        assert sizes == sorted(sizes, reverse=True)
        np.testing.assert_allclose(
            np.array([one.expected, one.earliest, one.latest], dtype=float),
            [said.expected[row], said.earliest[row], said.latest[row]],
            atol=2e-6,
        )
    for days in (3.0, 7.0, 30.0, 90.0, 200.0, 364.0):
        found = within_days(model, snapshots.table, snapshots.renewal, days)
        assert ((found >= 0) & (found <= 1)).all()
        if days in (30.0, 90.0):
            np.testing.assert_allclose(found, said.within[:, 0 if days == 30.0 else 2], atol=1e-12)
    assert (np.diff(said.within, axis=1) >= 0).all()
    whole = read_hazard(write_hazard(model), allowed=set(snapshots.table))
    assert version_of(whole) == version_of(model)


def test_the_score_is_the_log_odds_of_the_coming_week(model: HazardModel, later: World) -> None:
    said = outlooks(model, later.snapshots.table, later.snapshots.renewal, dates=False)
    week = within_days(model, later.snapshots.table, later.snapshots.renewal, 7.0)
    np.testing.assert_allclose(np.log(week) - np.log1p(-week), said.score, atol=1e-9)
    assert np.isnan(said.expected).all()
    renews = said.effects[:, said.sources.index("renewal_date")]
    with np.errstate(invalid="ignore"):
        assert (renews[~(later.snapshots.renewal < 7)] == 0).all()
        assert (renews[later.snapshots.renewal < 7] > 0).all()


def test_where_hardly_anybody_leaves_no_date_is_told(model: HazardModel) -> None:
    safe = msgspec.structs.replace(model, intercept=-12.0)
    one = outlook(safe, {"health_score": 90.0}, None)
    assert (one.expected, one.earliest, one.latest) == (None, None, None)
    assert one.within[2] < 0.05


def test_the_interval_holds_the_truth_and_widens_where_less_is_known(
    model: HazardModel, later: World
) -> None:
    few = fit_hazard(make_world(500, seed=9).snapshots, catalogue_digest="d")
    truth = later.within(12)
    held, widths = [], []
    for row in range(0, 4000, 20):
        features, renewal = row_of(later.snapshots, row)
        low, high = interval(model, features, renewal, 84)
        middle = within_days(
            model, {name: column.take(np.array([row])) for name, column in later.snapshots.table.items()},
            later.snapshots.renewal[[row]], 84,
        )[0]  # fmt: skip
        assert 0 <= low <= middle <= high <= 1
        if renewal is not None:
            held.append(low <= truth[row] <= high)
        wide = interval(few, features, renewal, 84)
        widths.append(((high - low), wide[1] - wide[0]))
    assert 0.8 < np.mean(held) <= 1.0
    narrow, wide_ones = np.mean(widths, axis=0)
    assert wide_ones > 1.5 * narrow


def test_the_same_data_in_any_order_give_the_same_bytes(world: World) -> None:
    small = world.snapshots.take(np.arange(1500))
    one = write_hazard(fit_hazard(small, catalogue_digest="d"))
    assert write_hazard(fit_hazard(small, catalogue_digest="d")) == one
    turned = small.take(np.random.default_rng(1).permutation(1500))
    turned = dataclasses.replace(turned, table=dict(reversed(list(turned.table.items()))))
    assert write_hazard(fit_hazard(turned, catalogue_digest="d")) == one


def test_the_artifact_tells_what_it_was_learned_from(model: HazardModel, world: World) -> None:
    training = model.training
    assert training.snapshots == training.customers == 9000
    _, left = np.unique(world.snapshots.left[world.snapshots.left < 91], return_counts=True)
    assert training.events == left.sum()
    assert training.weeks > training.weeks_fitted == 60_000
    assert model.allow_list == "0123456789abcdef"
    assert "held_back_log_loss_anchor" in model.metrics
    assert len(write_hazard(model)) < 50_000
    assert len(version_of(model)) == 16


def test_terms_are_zero_on_average_over_the_customers_learned_from(world: World, model: HazardModel) -> None:
    said = outlooks(model, world.snapshots.table, world.snapshots.renewal, dates=False)
    np.testing.assert_allclose(said.effects[:, :-1].mean(axis=0), 0, atol=1e-6)


def test_health_alone_is_the_health_score_recalibrated(world: World, later: World) -> None:
    found = fit_hazard(world.snapshots, catalogue_digest="d", settings=HazardSettings(shape="health"))
    assert (found.kind, found.columns) == ("health", ("health_score",))
    scores = np.linspace(20, 90, 10)
    table: dict[str, Column] = {"health_score": Numbers(scores)}
    assert (np.diff(within_days(found, table, np.full(10, np.nan), 90)) < 0).all()
    happened = gone_by(later.snapshots, 90)
    told = within_days(found, later.snapshots.table, later.snapshots.renewal, 90)
    assert 0.9 < told.mean() / happened.mean() < 1.1


def test_ten_who_left_are_enough_and_never_worse_than_the_health_score(later: World) -> None:
    """Averaged over draws, as one draw of ten is luck."""
    happened = gone_by(later.snapshots, 90)
    losses = []
    for seed in range(4):
        snapshots = make_world(160, seed=50 + seed, level=-4.8).snapshots
        enough = np.unique(snapshots.left[snapshots.left < 91])
        if len(enough) < 10:
            continue
        losses.append(
            [
                log_losses(
                    happened,
                    within_days(
                        fit_hazard(snapshots, catalogue_digest="d", settings=settings),
                        later.snapshots.table, later.snapshots.renewal, 90,
                    ),
                ).mean()
                for settings in (HazardSettings(), HazardSettings(shape="health"))
            ]
        )  # fmt: skip
    assert len(losses) >= 3
    ours, health = np.mean(losses, axis=0)
    assert ours < health + 0.01


def test_treatment_is_told_apart_and_nobody_is_scored_with_it() -> None:
    rng = np.random.default_rng(6)
    world = make_world(9_000, seed=4, treated=rng.random(9_000) < 0.4)
    plain = HazardSettings(rules=False, most_weeks=20_000)
    found = fit_hazard(world.snapshots, catalogue_digest="d", settings=plain)
    assert -1.3 < found.treated < -0.5
    told = within_days(found, world.snapshots.table, world.snapshots.renewal, 84)
    assert 0.93 < told.mean() / world.within(12).mean() < 1.07
    blind = dataclasses.replace(world.snapshots, treated_from=np.full(9_000, np.nan))
    naive = fit_hazard(blind, catalogue_digest="d", settings=plain)
    assert naive.treated == 0.0
    low = within_days(naive, world.snapshots.table, world.snapshots.renewal, 84)
    assert low.mean() < 0.9 * world.within(12).mean()


def test_recalibration_brings_back_a_model_whose_world_has_changed(model: HazardModel) -> None:
    worse = make_world(8000, seed=8, level=-3.9)
    snapshots = worse.snapshots
    before = within_days(model, snapshots.table, snapshots.renewal, 84)
    again = recalibrate(model, snapshots)
    after = within_days(again, snapshots.table, snapshots.renewal, 84)
    assert before.mean() / worse.within(12).mean() < 0.7
    assert 0.95 < after.mean() / worse.within(12).mean() < 1.05
    assert version_of(again) != version_of(model)
    assert recalibrate(model, snapshots).calibration == again.calibration
    # Too few to say anything of the slope: it stays.
    few = recalibrate(model, snapshots.take(np.arange(100)))
    assert few.calibration.slope == model.calibration.slope
    assert few.calibration.fade == model.calibration.fade
    with pytest.raises(InputError, match="customers left"):
        recalibrate(model, snapshots.take(np.arange(8)))


def test_coverage_counts_what_is_known(model: HazardModel, later: World) -> None:
    assert covers(model, {}) == 0.0
    features, _ = row_of(later.snapshots, 0)
    known = sum(features[name] is not None for name in model.columns)
    assert covers(model, features) == known / len(model.columns)
    shares = coverages(model, later.snapshots.table)
    for row in range(50):
        assert shares[row] == pytest.approx(covers(model, row_of(later.snapshots, row)[0]))
    assert covers(model, dict.fromkeys(model.columns, math.nan)) == 0.0


def changed(**columns: Any) -> Callable[[Snapshots], Snapshots]:
    return lambda snapshots: dataclasses.replace(snapshots, **columns)


def with_feature(name: str, column: Column) -> Callable[[Snapshots], Snapshots]:
    return lambda snapshots: dataclasses.replace(snapshots, table={**snapshots.table, name: column})


N = 400


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda snapshots: snapshots.take(np.arange(0)), "no snapshots"),
        (lambda snapshots: snapshots.take(np.arange(1)), "customers left within 13 weeks"),
        (lambda snapshots: snapshots.take(np.arange(N) // 2), "same customer and day"),
        (changed(left=np.full(N, np.nan)), "0 customers left"),
        (changed(left=np.full(N, 500.0)), "400 of 400 rows have left after"),
        (changed(left=np.full(N, 1.0)), "Next to nobody stayed"),
        (changed(left=np.full(N, -1.0)), "left before"),
        (changed(followed=np.full(N, np.nan)), "no finite time"),
        (changed(left=np.full(N, 9.0), followed=np.full(N, 9.0)), "should go on to the end"),
        (changed(renewal=np.full(N, np.inf)), "infinite time"),
        (changed(treated_from=np.full(N, 9.0), treated_until=np.full(N, 3.0)), "ends before"),
        (changed(day=np.arange(3)), "another length"),
        (with_feature("visits", Numbers(np.full(N, np.inf))), "visits is infinite"),
        (with_feature("visits", Numbers(np.ones(3))), "visits has 3 rows"),
    ],
)
def test_what_cant_be_learned_from_is_refused_in_words(
    spoil: Callable[[Snapshots], Snapshots], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fit_hazard(spoil(make_world(N, level=-3.5).snapshots), catalogue_digest="d")


@pytest.mark.parametrize(
    "odd",
    [
        with_feature("visits", Numbers(np.ones(N))),
        with_feature("visits", Numbers(np.full(N, np.nan))),
        with_feature("visits", Numbers(np.arange(float(N)) * 1e300)),
        with_feature("visits", categories_of([f"level {row}" for row in range(N)])),
        with_feature("health_score", Numbers(np.full(N, 50.0))),
        changed(table={}),
        changed(renewal=np.full(N, np.nan)),
        changed(renewal=np.full(N, 3.0)),
        changed(followed=np.full(N, 364.0), renewal=np.full(N, -5.0)),
    ],
)
def test_odd_columns_are_lived_with(odd: Callable[[Snapshots], Snapshots]) -> None:
    snapshots = odd(make_world(N, level=-3.5).snapshots)
    found = fit_hazard(snapshots, catalogue_digest="d")
    said = outlooks(found, snapshots.table, snapshots.renewal)
    assert np.isfinite(said.within).all()
    assert 0.5 < said.within[:, 2].mean() / gone_by(snapshots, 90).mean() < 1.5
    one = outlook(found, *row_of(snapshots, 0))
    np.testing.assert_allclose(one.within, said.within[0], atol=1e-12)


def test_a_column_that_is_the_answer_is_left_out() -> None:
    snapshots = make_world(2000, level=-3.5).snapshots
    leak = categories_of(["gone" if one else "there" for one in snapshots.left < 91])
    table: dict[str, Column] = {**snapshots.table, "status": leak}
    lines: list[str] = []
    fit_hazard(dataclasses.replace(snapshots, table=table), catalogue_digest="d", say=lines.append)
    assert any("status" in line and "tells the label" in line for line in lines)


def test_health_alone_needs_a_health_score_that_says_something() -> None:
    snapshots = make_world(N, level=-3.5).snapshots
    flat = dataclasses.replace(snapshots, table={**snapshots.table, "health_score": Numbers(np.full(N, 5.0))})
    with pytest.raises(InputError, match="health_score is the same in every snapshot"):
        fit_hazard(flat, catalogue_digest="d", settings=HazardSettings(shape="health"))


def test_the_health_score_stays_where_another_column_says_the_same() -> None:
    snapshots = make_world(2000, level=-3.5).snapshots
    table: dict[str, Column] = {**snapshots.table, "avg_health_30d": snapshots.table["health_score"]}
    prepared = prepare(dataclasses.replace(snapshots, table=table), HazardSettings())
    assert "health_score" in prepared.table
    assert "avg_health_30d" not in prepared.table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.update(format="holdfast-hazard/9"), "format 'holdfast-hazard/9'"),
        (lambda model: model.update(secret=1), "unknown field `secret`"),
        (lambda model: model["effects"][0].update(weights=[]), "0 weights where"),
        (lambda model: model["effects"][0]["part"].update(column="country"), "reads country"),
        (lambda model: model.update(period=[1.0]), "the weeks have 1"),
        (lambda model: model["calibration"].update(slope=-1.0), "turns the order"),
        (lambda model: model["uncertainty"].update(deviations=[1.0]), "covariance doesn't fit"),
        (lambda model: model.pop("training"), "training"),
    ],
)
def test_a_damaged_artifact_is_refused(
    model: HazardModel, world: World, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    plain = json.loads(write_hazard(model))
    change(plain)
    with pytest.raises(InputError, match=message):
        read_hazard(json.dumps(plain).encode(), "model 1", allowed=set(world.snapshots.table))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_arent_finite_are_refused(model: HazardModel, world: World, number: str) -> None:
    text = write_hazard(model).decode()
    start = text.index('"intercept":') + len('"intercept":')
    spoiled = text[:start] + number + text[text.index(",", start) :]
    with pytest.raises(InputError, match="model 1 is damaged"):
        read_hazard(spoiled, "model 1", allowed=set(world.snapshots.table))


@pytest.mark.parametrize("data", [b"", b"[]", b"\x80\x04pickle", b"{}"])
def test_other_data_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="model 1"):
        read_hazard(data, "model 1", allowed=())
