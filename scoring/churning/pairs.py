"""Which two columns matter together: products of their bases, screened by a score test on what the columns leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoring.churning.columns import Floats

# Flags of more levels than this make products too thin to learn from.
MOST_FLAGS = 8


@dataclass(frozen=True, slots=True)
class Screened:
    """Two columns by their places, and how far their score statistic lies above chance, in standard deviations."""

    first: int
    second: int
    z: float


def multiply(first: Floats, second: Floats) -> Floats:
    """All products of a column of one with a column of the other, shape (rows, widths multiplied)."""
    return (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)


def screen_pairs(bases: Sequence[Floats], design: Floats, residual: Floats, weight: Floats) -> list[Screened]:
    """All pairs of `bases` (centred, shape (rows, width)), the strongest first.

    `residual` is outcome minus probability under the columns alone, `weight` its variance, `design` what was fitted.
    The statistic is Rao's efficient score for the products given the design; with df products its mean under
    chance is df and its variance 2·df, so z = (statistic - df) / √(2·df).
    """
    root = np.sqrt(weight)[:, None]
    fitted = np.column_stack([root, root * design])
    # Orthonormal columns of the weighted design: what they explain is taken out of every product.
    values, vectors = np.linalg.eigh(fitted.T @ fitted)
    good = values > values[-1] * 1e-10
    explained = fitted @ (vectors[:, good] / np.sqrt(values[good]))
    left = (residual[:, None] / root)[:, 0]
    left = left - explained @ (explained.T @ left)
    found = []
    able = [place for place, basis in enumerate(bases) if 0 < basis.shape[1] <= MOST_FLAGS]
    for rank, first in enumerate(able[:-1]):
        # All partners of a column at once: one large product of matrices instead of many thin ones.
        partners = able[rank + 1 :]
        products = root * multiply(bases[first], np.hstack([bases[second] for second in partners]))
        products -= explained @ (explained.T @ products)
        scores = products.T @ left
        widths = [bases[second].shape[1] for second in partners]
        grid = np.arange(products.shape[1]).reshape(bases[first].shape[1], -1)
        for second, start, width in zip(partners, np.cumsum([0, *widths[:-1]]), widths, strict=True):
            mine = grid[:, start : start + width].ravel()
            statistic, df = _statistic(products[:, mine], scores[mine])
            if df:
                found.append(Screened(first, second, (statistic - df) / float(np.sqrt(2 * df))))
    return sorted(found, key=lambda one: (-round(one.z, 6), one.first, one.second))


def _statistic(products: Floats, score: Floats) -> tuple[float, int]:
    """Rao's score statistic and its degrees of freedom, products that say nothing new left out."""
    information = products.T @ products
    scale = np.sqrt(np.maximum(np.diag(information), 1e-12))
    values, vectors = np.linalg.eigh(information / scale[:, None] / scale[None, :])
    used = values > 1e-6
    statistic = float(np.sum((vectors[:, used].T @ (score / scale)) ** 2 / values[used]))
    return statistic, int(used.sum())
