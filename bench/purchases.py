"""CDNOW's purchases as snapshots of its customers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from scoring.churning.columns import Column, Floats, Integers, Numbers

HORIZON_DAYS = 90


@dataclass(frozen=True, eq=False)
class Purchases:
    """A row per customer and cut (a day, as an ordinal): features, and days until the next purchase, nan never."""

    table: dict[str, Column]
    customer: Integers
    cut: Floats
    next_purchase: Floats


def read_purchases(path: Path) -> tuple[dict[str, Column], Floats, Floats]:
    """Snapshots of CDNOW's customers at seven cuts, whether 90 days without a purchase followed, and when."""
    found = read_snapshots(path)
    gone = ~(found.next_purchase < HORIZON_DAYS)
    return found.table, gone.astype(float), found.cut


def read_snapshots(path: Path) -> Purchases:
    """The same, with the days until the next purchase."""
    lines = [line.split() for line in path.read_text().splitlines()[1:]]
    moments = np.array([date.fromisoformat(line[1]).toordinal() for line in lines], dtype=float)
    _, customers = np.unique([line[0] for line in lines], return_inverse=True)
    discs, spent = (np.array([float(line[place]) for line in lines]) for place in (2, 3))
    count = int(customers.max()) + 1
    columns: dict[str, list[Floats]] = {}
    nexts, times, people = [], [], []
    for month in (7, 8, 9, 10, 13, 14, 15):
        cut = float(date(1997 + (month - 1) // 12, (month - 1) % 12 + 1, 1).toordinal())
        past = moments < cut
        known = np.unique(customers[past])

        def total(values: Floats, chosen: Any, known: Integers = known) -> Floats:
            sums: Floats = np.bincount(customers[chosen], weights=values[chosen], minlength=count)[known]
            return sums

        ones = np.ones(len(moments))
        first, last = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(first, customers[past], moments[past])
        np.maximum.at(last, customers[past], moments[past])
        orders = total(ones, past)
        features = {
            "days_since_last": cut - last[known],
            "days_since_first": cut - first[known],
            "orders": orders,
            "orders_30d": total(ones, past & (moments >= cut - 30)),
            "orders_90d": total(ones, past & (moments >= cut - 90)),
            "discs": total(discs, past),
            "spent": total(spent, past),
            "mean_order": total(spent, past) / orders,
            "days_per_order": (last[known] - first[known]) / np.maximum(orders - 1, 1),
        }
        for name, values in features.items():
            columns.setdefault(name, []).append(values)
        upcoming = np.full(count, np.inf)
        np.minimum.at(upcoming, customers[~past], moments[~past])
        nexts.append(np.where(np.isfinite(upcoming[known]), upcoming[known] - cut, np.nan))
        times.append(np.full(len(known), cut))
        people.append(known)
    return Purchases(
        {name: Numbers(np.concatenate(parts)) for name, parts in columns.items()},
        np.concatenate(people),
        np.concatenate(times),
        np.concatenate(nexts),
    )
