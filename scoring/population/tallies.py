"""What many customers did, day by day: their tallies as columns of fixed width, an entry each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt

from scoring.churning.columns import Floats
from scoring.derivations import DerivationPlan
from scoring.signals import UNMEASURED, Tally

# Codes of a tally's detail: none at all, and the mark of an event that should carry a measure and doesn't.
NO_DETAIL_CODE = 0
UNMEASURED_CODE = 1


@dataclass(frozen=True, slots=True, eq=False)
class TallyColumns:
    """How often what happened to whom on a UTC day, an entry of all arrays each, in any order.

    `row` is the customer's row, `name` a place in `names`, `age_days` how many days before today the day lies (below 0:
    after today), `count` how many events, `total` the sum of their measures. `detail` is a 64-bit number that stands
    for the text, a hash of it for instance: NO_DETAIL_CODE for none, UNMEASURED_CODE for the mark of a missing measure,
    and another for every other text. `texts` says what the numbers mean where that matters: for the core features, and
    for events whose texts are listed (`events_to_read`).

    No two entries are alike in row, name, detail and day, as in the table that they come from. Entries of names or days
    that no signal looks at do no harm.
    """

    names: tuple[str, ...]
    row: npt.NDArray[np.int32]
    name: npt.NDArray[np.int16]
    detail: npt.NDArray[np.int64]
    age_days: npt.NDArray[np.int16]
    count: npt.NDArray[np.int32]
    total: Floats
    texts: Mapping[int, str] = field(default_factory=dict)


def events_to_read(plan: DerivationPlan) -> frozenset[str]:
    """The events whose details are listed or looked up as text; of all others a number will do."""
    slots = {reading.slot for reading in plan.readings if reading.core or reading.form == "recent"}
    return frozenset(
        name for name, reached in plan.slots.items() if any(slot.position in slots for slot in reached)
    )


def tally_columns(tallies: Sequence[Iterable[Tally]], today: date) -> TallyColumns:
    """The tallies of some customers, in order of their rows, as columns."""
    names: dict[str, int] = {}
    codes = {"": NO_DETAIL_CODE, UNMEASURED: UNMEASURED_CODE}
    entries = [
        (
            row,
            names.setdefault(tally.name, len(names)),
            codes.setdefault(tally.detail, len(codes)),
            (today - tally.day).days,
            tally.count,
            tally.total,
        )
        for row, own in enumerate(tallies)
        for tally in own
    ]
    row, name, detail, age_days, count, total = zip(*entries, strict=True) if entries else [()] * 6
    return TallyColumns(
        tuple(names),
        np.array(row, np.int32),
        np.array(name, np.int16),
        np.array(detail, np.int64),
        np.array(age_days, np.int16),
        np.array(count, np.int32),
        np.array(total, np.float64),
        {code: text for text, code in codes.items()},
    )
