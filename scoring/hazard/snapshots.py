"""What a hazard model is learned from: customers as they were on certain days, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schemas.errors import InputError
from scoring.churning.columns import Flags, Floats, Integers, Numbers, Table, take


@dataclass(frozen=True, slots=True, eq=False)
class Snapshots:
    """One row per customer and day on which they were there. All durations are days from the row's day.

    `table` holds the features (see `scoring.features`); `customer` 0… says whose row it is, `day` the UTC day as an
    ordinal. `left` is when they left, nan if that wasn't seen; `followed` until when that is known: the end of what
    was observed, which goes on after somebody has left. `renewal` is when the subscription renews next, nan unknown
    (below 0 counts as unknown). `treated_from` and `treated_until` bound the first stretch, not over before the row's
    day, in which a playbook was treating them (nan: none, or without an end); `held_out` says who never is, by the
    permanent hashed holdout.
    """

    table: Table
    customer: Integers
    day: Integers
    left: Floats
    followed: Floats
    renewal: Floats
    treated_from: Floats
    treated_until: Floats
    held_out: Flags

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, rows: Integers) -> Snapshots:
        """These rows alone, in this order; customers keep their numbers."""
        return Snapshots(
            take(self.table, rows), self.customer[rows], self.day[rows], self.left[rows], self.followed[rows],
            self.renewal[rows], self.treated_from[rows], self.treated_until[rows], self.held_out[rows],
        )  # fmt: skip


def check_snapshots(snapshots: Snapshots) -> None:
    """Raises InputError, with the number of rows concerned, where the columns contradict themselves."""
    rows = len(snapshots)
    if rows == 0:
        raise InputError("There are no snapshots to learn from.", remedy=_REMEDY)
    for name in ("day", "left", "followed", "renewal", "treated_from", "treated_until", "held_out"):
        if getattr(snapshots, name).shape != (rows,):
            raise InputError(f"Snapshots: {name} has another length than customer ({rows}).", remedy=_REMEDY)
    for name, column in snapshots.table.items():
        if len(column) != rows:
            raise InputError(
                f"Snapshots: the feature {name} has {len(column)} rows instead of {rows}.", remedy=_REMEDY
            )
        if isinstance(column, Numbers) and np.isinf(column.values).any():
            raise InputError(f"Snapshots: the feature {name} is infinite in some row.", remedy=_REMEDY)
    order = np.lexsort((snapshots.day, snapshots.customer))
    whose, when = snapshots.customer[order], snapshots.day[order]
    with np.errstate(invalid="ignore"):
        faults = {
            "the same customer and day as another": int(((np.diff(whose) == 0) & (np.diff(when) == 0)).sum()),
            "a customer below 0": int((snapshots.customer < 0).sum()),
            "no finite time until which they were followed": int((~np.isfinite(snapshots.followed)).sum()),
            "followed before their day": int((snapshots.followed < 0).sum()),
            "left before their day": int((snapshots.left < 0).sum()),
            "left after the time until which they were followed": int(
                (snapshots.left > snapshots.followed).sum()
            ),
            "an infinite time": int(
                sum(
                    np.isinf(getattr(snapshots, name)).sum()
                    for name in ("left", "renewal", "treated_from", "treated_until")
                )
            ),
            "a treatment that ends before it begins": int(
                (snapshots.treated_until < snapshots.treated_from).sum()
            ),
        }
    for what, count in faults.items():
        if count:
            raise InputError(f"Snapshots: {count} of {rows} rows have {what}.", remedy=_REMEDY)


_REMEDY = "Correct how the snapshots are made."
