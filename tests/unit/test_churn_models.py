"""Churn models: what they find, how little they need, what they refuse, and that reasons add up."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from schemas.errors import InputError
from scoring.churning.artifact import read_model, version_of, write_model
from scoring.churning.columns import Categories, Column, Floats, Numbers, categories_of, take
from scoring.churning.conjunctions import Above, Is, bin_table, grow
from scoring.churning.evaluation import evaluate
from scoring.churning.fitting import Fitted, Settings, check_events, fit
from scoring.churning.folds import forward, grouped, stratified
from scoring.churning.inspection import inspect
from scoring.churning.measures import area_under_curve, calibration_error, measure, recall_at
from scoring.churning.model import contributions, log_odds, predict, strongest
from scoring.churning.parts import Curve, make_part, spline
from scoring.churning.solving import sigmoid
from tests.unit.churn_customers import make_customers

SETTINGS = Settings("churned", "yes")


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(*make_customers(3000), SETTINGS)


def test_it_finds_bends_and_what_two_columns_do_together(fitted: Fitted) -> None:
    table, outcome = make_customers(5000, seed=99)
    found = measure(outcome, predict(fitted.model, table))
    assert found.auc is not None
    assert found.auc > 0.78
    assert found.ece < 0.03
    assert fitted.model.training.shape in ("pairs", "rules")
    columns = fitted.model.columns
    assert {"tickets", "plan"} in [{columns[pair.first], columns[pair.second]} for pair in fitted.model.pairs]


def test_the_same_data_give_the_same_bytes(fitted: Fitted) -> None:
    assert write_model(fit(*make_customers(3000), SETTINGS).model) == write_model(fitted.model)


def test_reasons_add_up_to_the_score(fitted: Fitted) -> None:
    table, _ = make_customers(500, seed=3)
    added = contributions(fitted.model, table)
    np.testing.assert_allclose(
        fitted.model.base + added.sum(axis=1), log_odds(fitted.model, table), atol=1e-12
    )
    places = strongest(added)
    assert places.shape == (500, 3)
    for row in range(20):
        order = sorted(range(added.shape[1]), key=lambda place: -abs(added[row, place]))
        assert places[row].tolist() == order[:3]


def test_a_model_comes_back_from_its_json(fitted: Fitted) -> None:
    written = write_model(fitted.model)
    again = read_model(written)
    assert again == fitted.model
    assert version_of(again) == version_of(fitted.model)
    table, _ = make_customers(200, seed=5)
    assert (predict(again, table) == predict(fitted.model, table)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.update(format="holdfast-churn/9"), "format 'holdfast-churn/9'"),
        (lambda model: model.pop("format"), "format None"),
        (lambda model: model.update(secret=1), "unknown field `secret`"),
        (lambda model: model["effects"][0].update(weights=[]), "0 weights where"),
        (lambda model: model["effects"][0].update(constant="1"), "Expected `float`"),
        (lambda model: model["pairs"][0].update(first=99), "isn't there"),
        (lambda model: model["effects"].append(model["effects"][0]), "appears twice"),
    ],
)
def test_what_is_no_model_of_this_format_is_refused(fitted: Fitted, change: object, message: str) -> None:
    assert callable(change)
    model = json.loads(write_model(fitted.model))
    change(model)
    with pytest.raises(InputError, match=message):
        read_model(json.dumps(model).encode(), "churn.json")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"\x80\x04pickle", b'{"format": "holdfast-churn/1", "intercept": NaN}']
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"churn\.json"):
        read_model(data, "churn.json")


def test_ten_events_are_enough_and_the_anchor_is_never_left_behind() -> None:
    """Averaged over draws: with 10 events an anchored model is as good as the recalibrated health score."""
    rng = np.random.default_rng(0)

    def draw(rows: int) -> tuple[dict[str, Column], Floats]:
        values = rng.normal(size=(rows, 8))
        outcome = (rng.random(rows) < sigmoid(values[:, 0] + 0.5 * values[:, 1] - 2.2)).astype(float)
        table: dict[str, Column] = {f"x{place}": Numbers(values[:, place]) for place in range(8)}
        table["health"] = Numbers(-10 * values[:, 0] + rng.normal(scale=4, size=rows))
        return table, outcome

    later, happened = draw(5000)
    base = measure(happened, np.full(5000, happened.mean())).log_loss
    losses = []
    for _ in range(6):
        table, outcome = draw(110)
        while outcome.sum() < 10:
            table, outcome = draw(110)
        anchored = fit(table, outcome, Settings("churned", "1", anchor="health")).model
        alone = fit({"health": table["health"]}, outcome, Settings("churned", "1", anchor="health")).model
        losses.append([measure(happened, predict(model, later)).log_loss for model in (anchored, alone)])
    mean = np.mean(losses, axis=0)
    assert mean[0] < mean[1] + 0.01
    assert mean[0] < base + 0.01


def test_noise_predicts_nothing() -> None:
    rng = np.random.default_rng(2)
    table: dict[str, Column] = {f"x{place}": Numbers(rng.normal(size=300)) for place in range(10)}
    outcome = (rng.random(300) < 0.15).astype(float)
    probability = predict(fit(table, outcome, SETTINGS).model, table)
    assert (
        measure(outcome, probability).log_loss
        < measure(outcome, np.full(300, outcome.mean())).log_loss + 1e-9
    )
    assert probability.std() < 0.08


def test_too_few_events_and_one_outcome_are_refused() -> None:
    with pytest.raises(InputError, match="9 of 200 rows have the event"):
        check_events(np.repeat([1.0, 0.0], [9, 191]), "churned")
    with pytest.raises(InputError, match="its absence"):
        check_events(np.repeat([1.0, 0.0], [191, 9]), "churned")
    with pytest.raises(InputError, match="same in every row"):
        fit({"x": Numbers(np.arange(20.0))}, np.zeros(20), SETTINGS)


def test_missing_and_unseen_values_are_scored(fitted: Fitted) -> None:
    table, _ = make_customers(50, seed=8)
    strange: dict[str, Column] = {
        name: Numbers(np.full(50, np.nan))
        if isinstance(column, Numbers)
        else categories_of(["unheard"] * 49 + [None])
        for name, column in table.items()
    }
    assert np.isfinite(log_odds(fitted.model, strange)).all()
    # Numbers beyond all that was seen say no more than the outermost that was.
    far = {**table, "price": Numbers(np.full(50, 1e12))}
    farther = {**table, "price": Numbers(np.full(50, 1e15))}
    assert (log_odds(fitted.model, far) == log_odds(fitted.model, farther)).all()


def test_that_a_value_is_missing_can_matter() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=2000)
    gone = rng.random(2000) < 0.3
    outcome = (rng.random(2000) < np.where(gone, 0.6, 0.1)).astype(float)
    values[gone] = np.nan
    model = fit({"x": Numbers(values)}, outcome, SETTINGS).model
    low, high = predict(model, {"x": Numbers(np.array([0.0, np.nan]))})
    assert low == pytest.approx(0.1, abs=0.03)
    assert high == pytest.approx(0.6, abs=0.05)


def test_columns_that_cannot_be_learned_from_are_named() -> None:
    table, outcome = make_customers(1000)
    logins = table["logins"]
    assert isinstance(logins, Numbers)
    table |= {
        "customer_id": categories_of([f"k{row}" for row in range(1000)]),
        "note": categories_of([f"text {row}" for row in range(1000)]),
        "constant": Numbers(np.full(1000, 4.0)),
        "empty": Numbers(np.full(1000, np.nan)),
        "logins_twice": Numbers(2 * logins.values + 1),
        "churned_again": categories_of(["gone" if one else "here" for one in outcome]),
        "cancelled_on": Numbers(np.where(outcome > 0, np.arange(1000.0), np.nan)),
        "nearly": Numbers(outcome + np.random.default_rng(0).normal(scale=0.2, size=1000)),
    }
    kept, notes = inspect(table, outcome)
    assert {note.column: note.kind for note in notes} == {
        "customer_id": "identifier", "note": "identifier", "constant": "constant", "empty": "constant",
        "logins_twice": "twin", "churned_again": "leak", "cancelled_on": "leak", "nearly": "suspicious",
    }  # fmt: skip
    assert sorted(kept) == sorted(["logins", "tickets", "price", "plan", "city", "nearly"])


def test_a_hundred_thousand_levels_are_no_trouble() -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 100_000, 120_000)
    levels, inverse = np.unique(codes, return_inverse=True)
    column = Categories(tuple(f"{level:06d}" for level in levels), inverse)
    outcome = (rng.random(120_000) < 0.1).astype(float)
    kept, notes = inspect({"x": column, "y": Numbers(rng.normal(size=120_000))}, outcome)
    assert [(note.column, note.left_out) for note in notes] == [("x", True)]
    assert kept == ["y"]


def test_rules_are_found_where_the_model_errs_and_none_in_noise() -> None:
    rng = np.random.default_rng(3)
    table: dict[str, Column] = {f"x{place}": Numbers(rng.normal(size=4000)) for place in range(6)}
    table["plan"] = categories_of([str(one) for one in rng.choice(["a", "b", "c"], 4000)])
    x1 = table["x1"]
    plan = table["plan"]
    assert isinstance(x1, Numbers)
    assert isinstance(plan, Categories)
    hit = (x1.values > 1.0) & (plan.codes == 1)
    outcome = (rng.random(4000) < np.where(hit, 0.8, 0.1)).astype(float)
    rules = grow(bin_table(table), outcome, np.full(4000, math.log(outcome.mean() / (1 - outcome.mean()))), 5)
    conditions = rules[0].conditions
    assert Is("plan", "b") in conditions
    (above,) = [one for one in conditions if isinstance(one, Above)]
    assert above.column == "x1"
    assert above.bound == pytest.approx(1.0, abs=0.1)
    assert (rules[0].holds(table) == hit).mean() > 0.98
    noise = (rng.random(4000) < 0.1).astype(float)
    assert len(grow(bin_table(table), noise, np.full(4000, math.log(0.1 / 0.9)), 20)) <= 2


def test_a_spline_is_straight_beyond_its_knots_and_smooth_within() -> None:
    knots = (0.1, 0.3, 0.5, 0.7, 0.9)
    x = np.linspace(-1, 2, 3001)
    bends = np.diff(spline(x, knots), n=2, axis=0)
    outside = (x[1:-1] < 0.09) | (x[1:-1] > 0.91)
    assert np.abs(bends[outside]).max() < 1e-9
    assert np.abs(bends[~outside]).max() > 1e-7
    part = make_part("x", Numbers(np.array([0.0, 1.0] * 50)), curved=True)
    assert isinstance(part, Curve)
    assert part.knots == ()


def test_knots_that_lie_as_good_as_together_are_one() -> None:
    far = np.concatenate([np.linspace(0, 1e-9, 50), [1.0] * 50])
    part = make_part("x", Numbers(np.repeat(far, 4)), curved=True)
    assert isinstance(part, Curve)
    assert part.knots == ()
    assert np.isfinite(part.basis({"x": Numbers(far)})).all()


def test_measures_are_those_of_the_textbook() -> None:
    outcome = np.array([0, 0, 1, 1, 0, 1, 0, 0, 0, 0], dtype=float)
    score = np.array([0.1, 0.4, 0.35, 0.8, 0.35, 0.9, 0.2, 0.1, 0.3, 0.05])
    # 3 × 7 pairs: 19 in order and one tie; .35 comes behind .4.
    assert area_under_curve(outcome, score) == pytest.approx(19.5 / 21)
    found = measure(outcome, score)
    assert found.accuracy == 0.9
    assert found.brier == pytest.approx(np.mean((score - outcome) ** 2))
    assert found.log_loss == pytest.approx(-np.mean(np.log(np.where(outcome > 0, score, 1 - score))))
    assert (found.recall_at_10, found.lift_at_10) == (pytest.approx(1 / 3), pytest.approx(10 / 3))
    # All tied: nobody can be told from anybody.
    assert recall_at(outcome, np.full(10, 0.3), 0.1) == pytest.approx(0.1)
    assert area_under_curve(outcome, np.full(10, 0.3)) == 0.5
    assert area_under_curve(np.zeros(4), score[:4]) is None
    assert calibration_error(np.array([1.0, 0.0] * 150), np.full(300, 0.5)) == pytest.approx(0.0)
    assert calibration_error(np.array([1.0, 0.0] * 150), np.full(300, 0.9)) == pytest.approx(0.4)


def test_folds_are_stratified_grouped_or_forward() -> None:
    rng = np.random.default_rng(4)
    outcome = (rng.random(600) < 0.1).astype(float)
    dealt = stratified(outcome, 5)
    assert sorted(np.concatenate([fold.test for fold in dealt]).tolist()) == list(range(600))
    assert {int(outcome[fold.test].sum()) for fold in dealt} <= {
        int(outcome.sum()) // 5,
        int(outcome.sum()) // 5 + 1,
    }

    groups = rng.integers(0, 150, 600)
    _, groups = np.unique(groups, return_inverse=True)
    for fold in grouped(outcome, groups, 5):
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert 80 <= len(fold.test) <= 160

    times = np.repeat(np.arange(12.0) * 30, 50)
    for fold in forward(outcome, times, 5, gap=60):
        assert times[fold.train].max() <= times[fold.test].min() - 60
    both = forward(outcome, times, 5, groups=groups)
    assert len({fold.number for fold in both}) == 5
    for fold in both:
        assert times[fold.train].max() < times[fold.test].min()
        assert not set(groups[fold.train]) & set(groups[fold.test])


def test_every_held_back_row_is_predicted_without_being_seen() -> None:
    """A column that gives each row's outcome away only to whoever learned from that very row."""
    rng = np.random.default_rng(9)
    outcome = (rng.random(400) < 0.3).astype(float)
    table: dict[str, Column] = {"x": Numbers(rng.normal(size=400)), "y": Numbers(rng.normal(size=400))}
    result = evaluate(table, outcome, stratified(outcome, 4), SETTINGS)
    assert len(result.predicted) == 400
    assert result.overall.auc is not None
    assert 0.35 < result.overall.auc < 0.65
    assert sum(fold.rows for fold in result.folds) == 400
    seen: list[int] = []
    evaluate(
        take(table, np.arange(400)), outcome, stratified(outcome, 4), SETTINGS,
        predictor=lambda before, learned, groups, after: np.full(len(after["x"]), len(learned) / 400),
        say=lambda line: seen.append(len(line)),
    )  # fmt: skip
    assert len(seen) == 4
