"""Signals of many customers, a row each, as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from scoring.churning.columns import Categories, Floats

Longs = npt.NDArray[np.int64]

# A row without this instant.
NO_INSTANT = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True)
class SignalColumns:
    """`n` customers. A signal without a column is missing in every row.

    `numbers` holds numbers and, as 0 and 1, booleans; nan is missing. `texts` holds codes, -1 missing. `instants` are
    microseconds since 1970-01-01 UTC, NO_INSTANT missing; a date stands at its midnight, UTC. `lists` are there only
    where somebody looks at them; None is missing.
    """

    n: int
    numbers: Mapping[str, Floats] = field(default_factory=dict)
    texts: Mapping[str, Categories] = field(default_factory=dict)
    instants: Mapping[str, Longs] = field(default_factory=dict)
    lists: Mapping[str, list[tuple[str, ...] | None]] = field(default_factory=dict)
