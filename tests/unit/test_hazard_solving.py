"""The hazard is statsmodels' on the same design: coefficients, covariance; and drawing weeks moves the level alone."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from bench.hazard_world import FIRST_DAY, make_world
from scoring.churning.columns import Floats
from scoring.churning.planning import plan_shapes
from scoring.churning.solving import sigmoid, solve
from scoring.hazard.preparing import HazardSettings, prepare
from scoring.hazard.snapshots import Snapshots
from scoring.hazard.uncertainty import covariance, invert_curvature, measure_uncertainty, read_covariance
from scoring.hazard.weeks import count_weeks, draw_weeks, period_basis, renews_in, treated_in


def snapshots_with_treatment() -> Snapshots:
    rng = np.random.default_rng(4)
    return make_world(900, treated=rng.random(900) < 0.4, per_customer=3, level=-3.6).snapshots


def test_coefficients_and_covariance_are_those_of_statsmodels_on_the_same_weeks() -> None:
    from statsmodels.gam.generalized_additive_model import GLMGam
    from statsmodels.gam.smooth_basis import GenericSmoothers, UnivariateGenericSmoother
    from statsmodels.genmod.families import Binomial

    prepared = prepare(snapshots_with_treatment(), HazardSettings(most_weeks=5000))
    outcome = prepared.weeks.outcome
    plans = plan_shapes(
        prepared.table, outcome, ["nothing", "columns", "pairs"], anchor="health_score", fixed=prepared.fixed
    )
    plan = plans["pairs"]
    assert plan.fixed_coefficients.shape == prepared.centres.shape
    design = plan.design.matrix
    penalty = np.minimum(plan.penalty, 1e4)
    ours = solve(design, outcome, penalty)
    smooth = UnivariateGenericSmoother(design[:, 0], design, design, design, np.diag(penalty), "all")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = GLMGam(
            outcome,
            exog=np.ones((len(outcome), 1)),
            smoother=GenericSmoothers(design[:, 0], [smooth]),
            alpha=[0.5],
            family=Binomial(),
        ).fit(tol=1e-13, maxiter=200)
    np.testing.assert_allclose([ours.intercept, *ours.coefficients], theirs.params, atol=1e-6)
    eta = ours.intercept + design @ ours.coefficients
    np.testing.assert_allclose(
        invert_curvature(design, eta, penalty), theirs.normalized_cov_params, rtol=1e-4, atol=1e-7
    )


def test_the_covariance_by_customer_is_the_cluster_robust_one_of_statsmodels() -> None:
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(300), 5)
    design = rng.normal(size=(1500, 4)) + rng.normal(size=(300, 4))[groups]
    outcome = (rng.random(1500) < sigmoid(design[:, 0] - 1.0 + rng.normal(size=300)[groups])).astype(float)
    ours = solve(design, outcome, np.zeros(4))
    eta = ours.intercept + design @ ours.coefficients
    theirs = GLM(outcome, np.column_stack([np.ones(1500), design]), family=Binomial()).fit(
        tol=1e-13, cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    found = covariance(design, outcome, eta, np.zeros(4), groups)
    np.testing.assert_allclose(found, theirs.cov_params(), rtol=1e-6, atol=1e-9)


def test_the_artifacts_covariance_is_the_fits_to_a_thousandth() -> None:
    prepared = prepare(snapshots_with_treatment(), HazardSettings())
    plan = plan_shapes(
        prepared.table, prepared.weeks.outcome, ["lines"], anchor="health_score", fixed=prepared.fixed
    )["lines"]
    told = measure_uncertainty(
        plan, prepared.table, prepared.weeks.outcome, prepared.customers, prepared.centres
    )
    eta = plan.solution.intercept + plan.design.matrix @ plan.solution.coefficients
    exact = covariance(plan.design.matrix, prepared.weeks.outcome, eta, plan.penalty, prepared.customers)
    scale = np.sqrt(np.diag(exact))
    np.testing.assert_allclose(
        read_covariance(told) / scale[:, None] / scale, exact / scale[:, None] / scale, atol=6e-4
    )
    assert told.rest == 0.0


def fitted_weights(snapshots: Snapshots, most: int | None) -> tuple[float, Floats]:
    """Level and weights of plain columns, by weeks as drawn."""
    weeks = draw_weeks(snapshots, most, 1)
    columns = [
        snapshots.table["unique_features_used"].values[weeks.row],  # type: ignore[union-attr]
        snapshots.table["support_tickets_30d"].values[weeks.row],  # type: ignore[union-attr]
        *period_basis(weeks.week).T,
    ]
    found = solve(np.column_stack(columns), weeks.outcome, np.full(5, 1e-6))
    return found.intercept - weeks.offset, found.coefficients


def test_leaving_out_weeks_moves_the_level_by_what_is_taken_back() -> None:
    snapshots = make_world(20_000).snapshots
    level, weights = fitted_weights(snapshots, None)
    thin_level, thin_weights = fitted_weights(snapshots, 20_000)
    np.testing.assert_allclose(thin_weights[:2], weights[:2], atol=0.05)
    assert abs(thin_level - level) < 0.12
    drawn = draw_weeks(snapshots, 20_000, 1)
    assert len(drawn.row) == 20_000
    assert drawn.outcome.sum() == count_weeks(snapshots)[1].sum()
    assert drawn.offset > 1.0
    # Even where those who left are too many they are drawn, and the level still comes out right.
    few_level, few_weights = fitted_weights(snapshots, 3_000)
    np.testing.assert_allclose(few_weights[:2], weights[:2], atol=0.15)
    assert abs(few_level - level) < 0.4


def test_a_week_counts_once_it_is_over_for_those_who_left_and_those_who_stayed() -> None:
    base = make_world(6).snapshots
    snapshots = dataclasses.replace(
        base,
        left=np.array([np.nan, 0.0, 6.9, 7.0, 15.0, 200.0]),
        followed=np.array([20.9, 364.0, 7.0, 13.9, 21.0, 364.0]),
    )
    stayed, left = count_weeks(snapshots)
    assert stayed.tolist() == [2, 0, 0, 1, 2, 13]
    assert left.tolist() == [False, True, True, False, True, False]
    weeks = draw_weeks(snapshots, None, 1)
    assert weeks.total == len(weeks.row) == 2 + 1 + 1 + 1 + 3 + 13
    assert list(zip(weeks.row[weeks.outcome > 0], weeks.week[weeks.outcome > 0], strict=True)) == [
        (1, 0), (2, 0), (4, 2),
    ]  # fmt: skip


def test_renewals_come_again_where_the_billing_period_is_known() -> None:
    weeks = np.arange(60)

    def due(renewal: float, every: float) -> list[int]:
        shape = np.full(60, 1.0)
        return [int(week) for week in weeks[renews_in(renewal * shape, every * shape, weeks)]]

    assert due(0.0, np.nan) == [0]
    assert due(6.999, np.nan) == [0]
    assert due(7.0, np.nan) == [1]
    assert due(-1.0, np.nan) == due(np.nan, 30.4375) == []
    assert due(3.0, 365.25) == [0, 52]
    assert due(5.0, 30.4375)[:5] == [0, 5, 9, 13, 18]


def test_weeks_of_treatment_are_those_that_it_touches() -> None:
    base = make_world(4).snapshots
    snapshots = dataclasses.replace(
        base,
        treated_from=np.array([-10.0, 7.0, np.nan, 20.0]),
        treated_until=np.array([7.0, 14.1, np.nan, np.nan]),
    )
    found = [
        np.flatnonzero(treated_in(snapshots, np.full(5, row), np.arange(5))).tolist() for row in range(4)
    ]
    assert found == [[0], [1, 2], [], [2, 3, 4]]
    assert snapshots.day[0] == FIRST_DAY
