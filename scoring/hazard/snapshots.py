"""What a hazard model is learned from: customers as they were on certain days, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass

from scoring.churning.columns import Flags, Floats, Integers, Table


@dataclass(frozen=True, slots=True)
class Snapshots:
    """One row per customer and day on which they were there. All durations are days from the row's day.

    `table` holds the features (see `scoring.features`); `customer` 0… says whose row it is, `day` the UTC day as an
    ordinal. `left` is when they left, nan if that wasn't seen; `followed` until when that is known. `renewal` is when
    the subscription renews next, nan unknown. `treated_from` and `treated_until` bound the first stretch, not over
    before the row's day, in which a playbook was treating them (nan: none); `held_out` says who never is, by the
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
