"""Penalised binomial regression by Newton's method, and the penalties themselves from the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoring.churning.columns import Floats, Integers

# Rows at a time when the curvature is summed: keeps the weighted copy of the design small.
CHUNK_ROWS = 8192
HIGHEST_PENALTY = 1e6
_STEPS = 100
_HALVINGS = 30
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Intercept and coefficients, shape (columns,), on the log-odds scale."""

    intercept: float
    coefficients: Floats
    steps: int
    converged: bool


def sigmoid(log_odds: Floats) -> Floats:
    """Probabilities from log-odds, exact to the last digits at both ends."""
    probability: Floats = np.exp(-np.logaddexp(0.0, -log_odds))
    return probability


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
            return Solution(intercept, beta, step, converged=True)
        moved = move[0] + design @ move[1:]
        length = 1.0
        for _ in range(_HALVINGS):
            trial = _objective(eta + length * moved, outcome, beta + length * move[1:], penalty)
            if trial <= value - 1e-4 * length * decrement:
                break
            length /= 2
        else:
            # No shorter step helps: the rest is rounding.
            return Solution(intercept, beta, step, converged=True)
        intercept, beta = intercept + length * float(move[0]), beta + length * move[1:]
        eta = eta + length * moved
        value = trial
    return Solution(intercept, beta, steps, converged=False)


def choose_penalties(
    design: Floats,
    outcome: Floats,
    blocks: Integers,
    start: Floats,
    *,
    floor: Floats,
    rounds: int = 20,
) -> tuple[Floats, Solution]:
    """A penalty per block of columns, such that the block's coefficients are as large as their spread says.

    `blocks` gives each column's block (0…); `start` and `floor` hold each block's first and least penalty.
    Generalised Fellner–Schall (Wood and Fasiolo, 2017, Biometrics 73:1071), one Newton step between updates:
    penalty = (effective degrees of freedom of the block) / (sum of its squared coefficients).
    Returns the penalties per block and the solution under them.
    """
    count = len(start)
    sizes = np.bincount(blocks, minlength=count)
    penalties = np.maximum(start, floor)
    solution = solve(design, outcome, penalties[blocks], steps=3)
    eta = solution.intercept + design @ solution.coefficients
    intercept, beta = solution.intercept, solution.coefficients
    diagonal = np.arange(1, design.shape[1] + 1)
    for _ in range(rounds):
        penalty = penalties[blocks]
        gradient, curvature = _derivatives(design, outcome, eta)
        gradient[1:] += penalty * beta
        curvature[diagonal, diagonal] += penalty
        inverse = invert_symmetric(curvature)
        move = -inverse @ gradient
        moved = move[0] + design @ move[1:]
        length, value = 1.0, _objective(eta, outcome, beta, penalty)
        while (
            length > 1e-3
            and _objective(eta + length * moved, outcome, beta + length * move[1:], penalty) > value
        ):
            length /= 2
        intercept, beta, eta = (
            intercept + length * float(move[0]),
            beta + length * move[1:],
            eta + length * moved,
        )
        traces = np.bincount(blocks, weights=np.diag(inverse)[1:], minlength=count)
        squares = np.bincount(blocks, weights=beta * beta, minlength=count)
        freedom = np.maximum(sizes - penalties * traces, 1e-8)
        wanted = np.clip(freedom / np.maximum(squares, 1e-12), floor, HIGHEST_PENALTY)
        # What is as good as gone may go on shrinking without keeping the others waiting.
        alive = (freedom > 0.05) & (sizes > 0)
        change = np.abs(np.log(wanted / penalties))[alive].max(initial=0.0)
        penalties = wanted
        if change < 0.15:
            break
    started = Solution(intercept, beta, 0, converged=False)
    return penalties, solve(design, outcome, penalties[blocks], start=started)


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
    # Scaled to a unit diagonal, so that columns that repeat one another do no harm.
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = matrix * scale[:, None] * scale[None, :]
    try:
        found = np.linalg.solve(scaled, vector * scale)
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(scaled, vector * scale, rcond=None)[0]
    result: Floats = scale * found
    return result


def invert_symmetric(matrix: Floats) -> Floats:
    """The inverse of a positive definite matrix, or what comes nearest to it."""
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = matrix * scale[:, None] * scale[None, :]
    try:
        found = np.linalg.inv(scaled)
    except np.linalg.LinAlgError:
        found = np.linalg.pinv(scaled, hermitian=True)
    result: Floats = found * scale[:, None] * scale[None, :]
    return result


def _objective(eta: Floats, outcome: Floats, beta: Floats, penalty: Floats) -> float:
    return log_loss_sum(eta, outcome) + 0.5 * float(penalty @ (beta * beta))


def _log_odds(share: float) -> float:
    return float(np.log(share) - np.log1p(-share))
