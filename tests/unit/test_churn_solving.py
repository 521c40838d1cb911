"""The solver is statsmodels' on the same design: coefficients agree to a millionth, and gradients vanish."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from scoring.churning.columns import Floats, Numbers, categories_of
from scoring.churning.design import add_pairs, add_rules, design_columns, encode_part
from scoring.churning.fitting import Settings, fit
from scoring.churning.model import contributions, log_odds
from scoring.churning.parts import make_part
from scoring.churning.solving import choose_penalties, sigmoid, solve
from tests.unit.churn_customers import make_customers


def by_statsmodels(design: Floats, outcome: Floats, penalty: Floats) -> Floats:
    """GLMGam with the penalty as a smoother's matrix; its alpha of 1/2 is our penalty of 1."""
    from statsmodels.gam.generalized_additive_model import GLMGam
    from statsmodels.gam.smooth_basis import GenericSmoothers, UnivariateGenericSmoother
    from statsmodels.genmod.families import Binomial

    smooth = UnivariateGenericSmoother(design[:, 0], design, design, design, np.diag(penalty), "all")
    smoother = GenericSmoothers(design[:, 0], [smooth])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GLMGam(
            outcome, exog=np.ones((len(outcome), 1)), smoother=smoother, alpha=[0.5], family=Binomial()
        )
        found = model.fit(tol=1e-13, maxiter=200)
    params: Floats = np.asarray(found.params)
    return params


def test_the_penalised_fit_is_that_of_statsmodels() -> None:
    table, outcome = make_customers(1200)
    parts = [make_part(name, column, curved=True) for name, column in table.items()]
    encodings = [encode_part(part, table) for part in parts if part is not None]
    encoded = [encoding.encode(table) for encoding in encodings]
    design = add_pairs(
        design_columns(encodings, table, least=0.1, anchor=None), encoded, [(0, 1), (1, 3)], 0.1
    )
    penalties, ours = choose_penalties(
        design.matrix, outcome, design.blocks, np.ones(len(design.floors)), floor=design.floors
    )
    penalty = np.minimum(penalties[design.blocks], 1e4)
    ours = solve(design.matrix, outcome, penalty)
    theirs = by_statsmodels(design.matrix, outcome, penalty)
    assert ours.converged
    np.testing.assert_allclose([ours.intercept, *ours.coefficients], theirs, atol=1e-6)


def test_without_a_penalty_it_is_the_ordinary_logistic_regression_of_statsmodels() -> None:
    from statsmodels.discrete.discrete_model import Logit
    from statsmodels.tools import add_constant

    rng = np.random.default_rng(3)
    design = rng.normal(size=(500, 4))
    outcome = (rng.random(500) < sigmoid(design[:, 0] - 1.0)).astype(float)
    ours = solve(design, outcome, np.zeros(4))
    theirs = Logit(outcome, add_constant(design)).fit(disp=False, tol=1e-12)
    np.testing.assert_allclose([ours.intercept, *ours.coefficients], theirs.params, atol=1e-8)


def test_separated_outcomes_still_have_a_minimum() -> None:
    design = np.linspace(-1, 1, 40)[:, None]
    outcome = (design[:, 0] > 0).astype(float)
    found = solve(design, outcome, np.array([0.1]))
    assert found.converged
    gradient = design.T @ (sigmoid(found.intercept + design @ found.coefficients) - outcome)
    np.testing.assert_allclose(gradient + 0.1 * found.coefficients, 0, atol=1e-6)


def test_columns_that_repeat_one_another_share_their_weight() -> None:
    rng = np.random.default_rng(4)
    one = rng.normal(size=300)
    outcome = (rng.random(300) < sigmoid(one)).astype(float)
    found = solve(np.column_stack([one, one]), outcome, np.ones(2))
    assert found.coefficients[0] == pytest.approx(found.coefficients[1], abs=1e-8)


def test_a_block_of_noise_is_shrunk_and_a_block_that_tells_is_not() -> None:
    rng = np.random.default_rng(5)
    design = rng.normal(size=(2000, 12))
    outcome = (rng.random(2000) < sigmoid(design[:, :6] @ np.linspace(0.4, 1.0, 6))).astype(float)
    blocks = np.repeat([0, 1], 6)
    penalties, found = choose_penalties(design, outcome, blocks, np.ones(2), floor=np.full(2, 0.01))
    assert penalties[1] > 20 * penalties[0]
    assert np.abs(found.coefficients[6:]).max() < 0.1


def test_the_model_says_what_its_design_says() -> None:
    """Scoring by knots, weights and rules is the design matrix times its coefficients."""
    from scoring.churning.conjunctions import Above, Conjunction
    from scoring.churning.design import terms_of
    from scoring.churning.model import FORMAT, Calibration, ChurnModel, Training

    table, _ = make_customers(600)
    parts = [make_part(name, column, curved=True) for name, column in table.items()]
    encodings = [encode_part(part, table) for part in parts if part is not None]
    encoded = [encoding.encode(table) for encoding in encodings]
    pairs, rules = [(0, 1), (1, 3)], [Conjunction((Above("logins", 3.0, turned=True),))]
    design = add_rules(
        add_pairs(design_columns(encodings, table, least=0.1, anchor=None), encoded, pairs, 0.1), table, rules
    )
    coefficients = np.random.default_rng(1).normal(size=design.matrix.shape[1])
    terms = terms_of(coefficients, encodings, encoded, pairs, rules, table)
    model = ChurnModel(
        FORMAT, "churned", "yes", -1.0, Calibration(0.2, 0.9), terms.effects, terms.pairs, terms.rules,
        Training(0, 0, "", ""),
    )  # fmt: skip
    expected = 0.2 + 0.9 * (-1.0 + design.matrix @ coefficients)
    np.testing.assert_allclose(log_odds(model, table), expected, atol=1e-6)
    np.testing.assert_allclose(contributions(model, table).mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(
        model.base + contributions(model, table).sum(axis=1), log_odds(model, table), atol=1e-12
    )


def test_order_of_columns_and_columns_left_out_change_nothing() -> None:
    from scoring.churning.artifact import write_model

    table, outcome = make_customers(800)
    settings = Settings("churned", "yes")
    one = write_model(fit(table, outcome, settings).model)
    turned = dict(reversed(list(table.items())))
    constant = {**turned, "nothing": Numbers(np.ones(800)), "word": categories_of(["a"] * 800)}
    assert write_model(fit(turned, outcome, settings).model) == one
    assert write_model(fit(constant, outcome, settings).model) == one
