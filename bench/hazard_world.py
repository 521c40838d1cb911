"""Customers whose leaving follows a known weekly hazard: bent in logins, higher at renewals, lower under treatment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoring.churning.columns import Categories, Column, Flags, Floats, Integers, Numbers
from scoring.churning.solving import sigmoid
from scoring.hazard.snapshots import Snapshots

WEEKS = 52
FIRST_DAY = 739_000
# What treatment adds to the log-odds of a week's hazard.
RELIEF = -0.9


@dataclass(frozen=True, eq=False)
class World:
    """`index` is what is known of each customer, in log-odds; `hazards` the truth, shape (52, rows), untreated."""

    snapshots: Snapshots
    index: Floats
    hazards: Floats

    def within(self, weeks: int) -> Floats:
        """The true probability of leaving within so many weeks, untreated."""
        found: Floats = 1.0 - np.prod(1.0 - self.hazards[:weeks], axis=0)
        return found


def make_world(
    rows: int,
    seed: int = 1,
    *,
    level: float = -4.6,
    treated: Flags | None = None,
    per_customer: int = 1,
    followed: float | None = None,
) -> World:
    """So many snapshots, followed for a year; `treated` are treated for the first 13 weeks."""
    rng = np.random.default_rng(seed)
    people = -(-rows // per_customer)
    whose: Integers = np.repeat(np.arange(people), per_customer)[:rows]
    since = np.exp(np.repeat(rng.normal(1.6, 1.0, people), per_customer)[:rows] + rng.normal(0, 0.3, rows))
    since = np.minimum(np.floor(since), 200.0)
    features = rng.integers(0, 9, rows).astype(float)
    tickets = rng.poisson(1.0, rows).astype(float)
    rating = np.clip(rng.normal(4 - 0.4 * tickets, 0.8), 1, 5).round()
    rating[rng.random(rows) < 0.6] = np.nan
    annual = rng.random(rows) < 0.3
    renewal = np.where(annual, rng.integers(0, 365, rows), rng.integers(0, 30, rows)).astype(float)
    index = (
        1.4 * np.tanh((since - 8) / 6)
        - 0.22 * (features - 4)
        + np.where(annual, -0.8, 0.25 * (tickets - 1))
        - np.where(np.isnan(rating), 0.0, 0.3 * (rating - 3.5))
    )
    health = np.clip(np.round(60 - 14 * index + rng.normal(0, 14, rows)), 0, 100)
    every = np.where(annual, 365.25, 365.25 / 12)
    hazards = np.empty((WEEKS, rows))
    for week in range(WEEKS):
        times = np.maximum(np.ceil((7 * week - renewal) / every), 0)
        renews = renewal + times * every < 7 * week + 7
        extra = np.where(annual, 3.6, 0.7) * renews
        hazards[week] = sigmoid(level + index * (1 - 0.25 * min(week, 12) / 12) + extra)
    begun = np.zeros(rows, dtype=bool) if treated is None else treated
    lived = hazards.copy()
    lived[:13, begun] = sigmoid(np.log(lived[:13, begun]) - np.log1p(-lived[:13, begun]) + RELIEF)
    leaves = rng.random((WEEKS, rows)) < lived
    week = np.where(leaves.any(axis=0), leaves.argmax(axis=0), WEEKS)
    left = 7.0 * week + rng.random(rows) * 7.0
    watched = np.full(rows, 7.0 * WEEKS if followed is None else followed)
    left[(week == WEEKS) | (left > watched)] = np.nan
    table: dict[str, Column] = {
        "days_since_last_login": Numbers(since),
        "unique_features_used": Numbers(features),
        "support_tickets_30d": Numbers(tickets),
        "last_support_rating": Numbers(rating),
        "team_size": Numbers(rng.integers(1, 20, rows).astype(float)),
        "health_score": Numbers(health),
        "billing_period": Categories(("annual", "monthly", "other"), np.where(annual, 0, 1)),
        "plan": Categories(("business", "free", "pro"), rng.integers(-1, 3, rows)),
    }
    return World(
        Snapshots(
            table=table,
            customer=whose,
            day=FIRST_DAY + np.arange(rows) % per_customer * 28,
            left=left,
            followed=watched,
            renewal=np.where(rng.random(rows) < 0.1, np.nan, renewal),
            treated_from=np.where(begun, 0.0, np.nan),
            treated_until=np.where(begun, 91.0, np.nan),
            held_out=np.zeros(rows, dtype=bool) if treated is None else ~treated,
        ),
        index,
        hazards,
    )
