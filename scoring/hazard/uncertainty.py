"""How sure a hazard model is: the covariance of its coefficients, and an interval for a probability.

Snapshots of one customer overlap, so weeks aren't independent. With H the curvature of the log likelihood, P the
penalties and M the sum over customers of the squares of their gradients, the covariance is (H+P)⁻¹ (M+P) (H+P)⁻¹: where
rows are independent that is the Bayesian covariance (H+P)⁻¹ (Wood, Generalized Additive Models, 2nd ed., 6.10),
without penalties the cluster-robust one (Liang and Zeger, 1986).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from scoring.churning.columns import Column, Floats, Integers, Numbers, Table, categories_of
from scoring.churning.parts import Curve
from scoring.churning.planning import Plan, spread_rows
from scoring.churning.solving import CHUNK_ROWS, invert_symmetric, sigmoid
from scoring.hazard.model import HazardModel, Spread, Uncertainty
from scoring.hazard.weeks import fading, period_basis

THOUSANDTHS = 1000
_REST_ROWS = 5_000
_Z95 = 1.959963984540054
_WIDEST = 50.0


def covariance(design: Floats, outcome: Floats, eta: Floats, penalty: Floats, groups: Integers) -> Floats:
    """Of intercept and coefficients, shape (columns + 1, columns + 1); `groups` (0…) are the customers, whose
    rows stand together.
    """
    residual = outcome - sigmoid(eta)
    width = design.shape[1] + 1
    scores = np.zeros((int(groups.max()) + 1, width))
    for first in range(0, len(design), CHUNK_ROWS):
        chunk = slice(first, first + CHUNK_ROWS)
        # Rows of a customer stand together.
        starts = np.flatnonzero(np.append(True, np.diff(groups[chunk]) != 0))
        scores[groups[chunk][starts]] += np.add.reduceat(
            _with_ones(design[chunk]) * residual[chunk, None], starts
        )
    middle = scores.T @ scores
    places = np.arange(1, width)
    middle[places, places] += penalty
    bread = invert_curvature(design, eta, penalty)
    found: Floats = bread @ middle @ bread
    return (found + found.T) / 2.0


def invert_curvature(design: Floats, eta: Floats, penalty: Floats) -> Floats:
    """(H+P)⁻¹: the Bayesian covariance of intercept and coefficients if all rows are independent."""
    probability = sigmoid(eta)
    weight = probability * (1.0 - probability)
    width = design.shape[1] + 1
    curvature = np.zeros((width, width))
    for first in range(0, len(design), CHUNK_ROWS):
        rows = _with_ones(design[first : first + CHUNK_ROWS])
        curvature += (rows * weight[first : first + CHUNK_ROWS, None]).T @ rows
    places = np.arange(1, width)
    curvature[places, places] += penalty
    return invert_symmetric(curvature)


def _with_ones(design: Floats) -> Floats:
    return np.column_stack([np.ones(len(design)), design])


def measure_uncertainty(
    plan: Plan, table: Table, outcome: Floats, groups: Integers, centres: Floats
) -> Uncertainty:
    """The covariance of a plan as it was fitted, in the form of the artifact."""
    matrix = plan.design.matrix
    eta = plan.solution.intercept + matrix @ plan.solution.coefficients
    every = covariance(matrix, outcome, eta, plan.penalty, groups)
    alone = (
        1
        + len(centres)
        + sum(encoding.part.width + (encoding.missing is not None) for encoding in plan.encodings)
    )
    rest = 0.0
    if alone < len(every):
        rows = spread_rows(len(matrix), _REST_ROWS)
        full = _with_ones(matrix[rows])
        plain = full[:, :alone]
        total = np.einsum("ij,ij->i", full @ every, full)
        columns = np.einsum("ij,ij->i", plain @ every[:alone, :alone], plain)
        rest = max(0.0, float((total - columns).mean()))
    kept = every[:alone, :alone]
    deviations = np.sqrt(np.maximum(np.diag(kept), 0.0))
    scale = np.where(deviations > 0, deviations, 1.0)
    below = (kept / scale[:, None] / scale[None, :])[np.tril_indices(alone, -1)]
    return Uncertainty(
        deviations=tuple(_short(value) for value in deviations.tolist()),
        correlations=tuple(int(value) for value in np.rint(np.clip(below, -1, 1) * THOUSANDTHS)),
        centres=tuple(_short(value) for value in centres.tolist()),
        spreads=tuple(
            Spread(
                tuple(_short(value) for value in encoding.means.tolist()),
                tuple(tuple(_short(value) for value in row) for row in encoding.turn.tolist()),
                None if encoding.missing is None else _short(encoding.missing),
            )
            for encoding in plan.encodings
        ),
        rest=_short(rest),
    )


def read_covariance(uncertainty: Uncertainty) -> Floats:
    """The matrix that the artifact describes, shape (columns alone, columns alone)."""
    width = len(uncertainty.deviations)
    found = np.eye(width)
    found[np.tril_indices(width, -1)] = np.array(uncertainty.correlations, dtype=np.float64) / THOUSANDTHS
    found = found + np.tril(found, -1).T
    deviations = np.array(uncertainty.deviations)
    scaled: Floats = found * deviations[:, None] * deviations[None, :]
    return scaled


def interval(
    model: HazardModel, features: Mapping[str, float | str | None], renewal_days: float | None, days: float
) -> tuple[float, float]:
    """The 95 % interval of the probability of leaving within `days` (at most 364), by the delta method.

    On the complementary log-log scale: with Λ the cumulated hazard, d log Λ is the mean of the weeks' d log-odds, each
    weighted by its probability of leaving. Calibration is taken as known.
    """
    from scoring.hazard.compiled import compile_model

    shares, renewing = compile_model(model).weekly(features, renewal_days, days)
    total = sum(-math.log1p(-share) * part for share, part in shares)
    if not total > 0.0:
        return 0.0, 0.0
    weight = np.array([share * part for share, part in shares]) / total
    faded = model.calibration.slope + model.calibration.fade * fading(np.arange(len(weight)))
    told = float(weight @ faded)
    row = _design_row(model, features, model.calibration.slope * weight, told, np.array(renewing))
    variance = float(row @ read_covariance(model.uncertainty) @ row) + model.uncertainty.rest * told * told
    spread = min(_Z95 * math.sqrt(max(variance, 0.0)), _WIDEST)
    return -math.expm1(-total * math.exp(-spread)), -math.expm1(-total * math.exp(spread))


def _design_row(
    model: HazardModel,
    features: Mapping[str, float | str | None],
    weight: Floats,
    told: float,
    renewing: Floats,
) -> Floats:
    """The sum of the weeks' rows of the design, weighted: intercept, weeks, renewals, treatment; columns by `told`."""
    table = _row_table(model, features)
    centres = np.array(model.uncertainty.centres)
    whole = float(weight.sum())
    fixed = np.concatenate([weight @ period_basis(np.arange(len(weight))), weight @ renewing, [0.0]])
    parts = [np.array([whole]), fixed - whole * centres]
    for effect, spread in zip(model.effects, model.uncertainty.spreads, strict=True):
        encoded = (effect.part.basis(table) - np.array(spread.means)) @ np.array(spread.turn)
        parts.append(told * encoded[0])
        if spread.missing is not None:
            column = table[effect.part.column]
            assert isinstance(column, Numbers)
            parts.append(np.array([told * (float(np.isnan(column.values[0])) - spread.missing)]))
    return np.concatenate(parts)


def _row_table(model: HazardModel, features: Mapping[str, float | str | None]) -> Table:
    table: dict[str, Column] = {}
    for effect in model.effects:
        name = effect.part.column
        value = features.get(name)
        if isinstance(effect.part, Curve):
            number = float(value) if isinstance(value, int | float) else math.nan
            table[name] = Numbers(np.array([number]))
        else:
            table[name] = categories_of([value if isinstance(value, str) else None])
    return table


def _short(value: float) -> float:
    return float(f"{value:.8g}") + 0.0
