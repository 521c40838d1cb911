"""What is known of many customers while they are scored: columns that are asked for by the type they must have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from scoring.churning.columns import Categories, Flags, Floats
from scoring.signal_columns import NO_INSTANT, SignalColumns


@dataclass(frozen=True, slots=True)
class Known:
    """Signals as columns, and which of those among the numbers are booleans: these count as numbers nowhere."""

    columns: SignalColumns
    bools: Collection[str]
    _valid: dict[str, Flags] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """How many customers there are."""
        return self.columns.n

    def numbers(self, name: str) -> tuple[Floats, Flags] | None:
        """The signal's numbers, and where there are any; None where it is no number."""
        return None if name in self.bools else self._counted(name)

    def flags(self, name: str) -> tuple[Floats, Flags] | None:
        """As `numbers`, of a boolean: 0 and 1."""
        return self._counted(name) if name in self.bools else None

    def texts(self, name: str) -> Categories | None:
        """The signal's texts; None where it is no text."""
        return self.columns.texts.get(name)

    def filled(self, name: str, missing: float) -> Floats:
        """The signal's numbers, `missing` where there are none."""
        found = self.numbers(name)
        if found is None:
            return np.full(self.n, missing)
        values, valid = found
        return np.where(valid, values, missing)

    def present(self, name: str) -> Flags:
        """Where the signal has a value, of whatever type."""
        columns = self.columns
        if name in columns.numbers:
            return self._validity(name)
        if name in columns.texts:
            return np.asarray(columns.texts[name].codes >= 0)
        if name in columns.instants:
            return np.asarray(columns.instants[name] != NO_INSTANT)
        if name in columns.lists:
            return np.array([value is not None for value in columns.lists[name]], np.bool_)
        return np.zeros(self.n, np.bool_)

    def _counted(self, name: str) -> tuple[Floats, Flags] | None:
        values = self.columns.numbers.get(name)
        return None if values is None else (values, self._validity(name))

    def _validity(self, name: str) -> Flags:
        if name not in self._valid:
            self._valid[name] = ~np.isnan(self.columns.numbers[name])
        return self._valid[name]
