"""Penalised binomial regression by Newton's method, and the penalties themselves from the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scoring.churning.columns import Floats, Integers

# Rows at a time when the curvature is summed: keeps the weighted copy of the design small.
CHUNK_ROWS = 8192
LOWEST_PENALTY, HIGHEST_PENALTY = 1e-2, 1e6
_STEPS = 100
_HALVINGS = 30
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Intercept and coefficients, shape (columns,), on the log-odds scale, and the penalised deviance reached."""

    intercept: float
    coefficients: Floats
    objective: float
    steps: int
    converged: bool


def sigmoid(log_odds: Floats) -> Floats:
    """Probabilities from log-odds, without overflow."""
    half: Floats = 0.5 * (1.0 + np.tanh(0.5 * log_odds))
    return half


def log_loss_sum(log_odds: Floats, outcome: Floats) -> float:
    """Sum of -log likelihood over the rows, in nats."""
    return float(np.sum(np.logaddexp(0.0, log_odds) - outcome * log_odds))


def solve(
    design: Floats,
    outcome: Floats,
    penalty: Floats,
    *,
    start: Solution | None = None,
    steps: int = _STEPS,
) -> Solution:
    """Minimise -log likelihood + ½ Σ penalty·coefficient² over intercept and coefficients; the intercept is free.

    `design` has shape (rows, columns) and no constant column, `outcome` is 0 or 1, `penalty` has shape (columns,)
    and is at least 0. Newton's method with halved steps: the problem is convex, so what it finds is the minimum.
    """
    intercept = _log_odds(outcome.mean()) if start is None else start.intercept
    beta = np.zeros(design.shape[1]) if start is None else start.coefficients.copy()
    eta = intercept + design @ beta
    value = _objective(eta, outcome, beta, penalty)
    for step in range(1, steps + 1):
        gradient, curvature = _derivatives(design, outcome, eta)
        gradient[1:] += penalty * beta
        curvature[np.arange(1, len(gradient)), np.arange(1, len(gradient))] += penalty
        move = -_solve_symmetric(curvature, gradient)
        decrement = -float(gradient @ move)
        if decrement <= _TOLERANCE * (1.0 + abs(value)) * 1e-4:
            return Solution(intercept, beta, value, step, converged=True)
        moved = move[0] + design @ move[1:]
        length = 1.0
        for _ in range(_HALVINGS):
            trial = _objective(eta + length * moved, outcome, beta + length * move[1:], penalty)
            if trial <= value - 1e-4 * length * decrement:
                break
            length /= 2
        else:
            # No shorter step helps: the rest is rounding.
            return Solution(intercept, beta, value, step, converged=True)
        intercept, beta = intercept + length * float(move[0]), beta + length * move[1:]
        eta = eta + length * moved
        value = trial
    return Solution(intercept, beta, value, steps, converged=False)


def curvature_of(design: Floats, solution: Solution) -> Floats:
    """Fisher information of intercept and coefficients at the solution, without the penalty; shape (1+columns,)*2."""
    eta = solution.intercept + design @ solution.coefficients
    _, curvature = _derivatives(design, np.zeros(len(design)), eta)
    return curvature


def choose_penalties(
    design: Floats,
    outcome: Floats,
    blocks: Integers,
    start: Floats,
    *,
    floor: Floats | None = None,
    rounds: int = 25,
    step: Callable[[], None] = lambda: None,
) -> tuple[Floats, Solution]:
    """A penalty per block of columns, such that the block's coefficients are as large as their spread says.

    `blocks` gives each column's block (0…), `start` the first penalty of each block. Generalised Fellner–Schall
    (Wood and Fasiolo, 2017, Biometrics 73:1071): penalty = (edf of the block) / (sum of its squared coefficients).
    Returns the penalties per block and the solution under them.
    """
    penalties = start.copy()
    count = len(penalties)
    sizes = np.bincount(blocks, minlength=count)
    solution = solve(design, outcome, penalties[blocks], steps=8)
    for _ in range(rounds):
        step()
        curvature = curvature_of(design, solution)
        curvature[np.arange(1, len(curvature)), np.arange(1, len(curvature))] += penalties[blocks]
        spread = np.diag(np.linalg.inv(curvature))[1:]
        traces = np.bincount(blocks, weights=spread, minlength=count)
        squares = np.bincount(blocks, weights=solution.coefficients**2, minlength=count)
        edf = np.maximum(sizes - penalties * traces, 1e-8)
        wanted = np.clip(edf / np.maximum(squares, 1e-12), LOWEST_PENALTY, HIGHEST_PENALTY)
        if floor is not None:
            wanted = np.maximum(wanted, floor)
        change = np.abs(np.log(wanted / penalties))
        penalties = wanted
        solution = solve(design, outcome, penalties[blocks], start=solution, steps=4)
        if np.max(np.where(penalties > 1e4, 0.0, change), initial=0.0) < 0.05:
            break
    return penalties, solve(design, outcome, penalties[blocks], start=solution)


def _derivatives(design: Floats, outcome: Floats, eta: Floats) -> tuple[Floats, Floats]:
    probability = sigmoid(eta)
    residual = probability - outcome
    weight = probability * (1.0 - probability)
    width = design.shape[1] + 1
    gradient = np.empty(width)
    gradient[0] = residual.sum()
    gradient[1:] = design.T @ residual
    curvature = np.zeros((width, width))
    curvature[0, 0] = weight.sum()
    curvature[0, 1:] = curvature[1:, 0] = design.T @ weight
    inner = curvature[1:, 1:]
    for first in range(0, len(design), CHUNK_ROWS):
        rows = design[first : first + CHUNK_ROWS]
        scaled = rows * np.sqrt(weight[first : first + CHUNK_ROWS])[:, None]
        inner += scaled.T @ scaled
    return gradient, curvature


def _solve_symmetric(matrix: Floats, vector: Floats) -> Floats:
    # Scaled to a unit diagonal, and a whisper added, so that columns that repeat one another do no harm.
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = matrix * scale[:, None] * scale[None, :]
    try:
        found = np.linalg.solve(scaled, vector * scale)
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(scaled, vector * scale, rcond=None)[0]
    result: Floats = scale * found
    return result


def _objective(eta: Floats, outcome: Floats, beta: Floats, penalty: Floats) -> float:
    return log_loss_sum(eta, outcome) + 0.5 * float(penalty @ (beta * beta))


def _log_odds(share: float) -> float:
    return float(np.log(share) - np.log1p(-share))
