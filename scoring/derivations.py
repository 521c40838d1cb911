"""The catalogue's derivations, compiled once into flat tables, so that one customer costs microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

from schemas.catalogue import Catalogue, Signal
from schemas.condition import Value
from schemas.derivation import Derivation, Total

# Events that carry traits as their properties.
TRAIT_EVENTS = ("identify", "group")


class Move(NamedTuple):
    """What one event does to one stored signal."""

    kind: Literal["add", "latest", "property", "constant", "trait"]
    signal: Signal
    sign: int = 1
    total: Total | None = None
    names: tuple[str, ...] = ()
    among: frozenset[str] = frozenset()
    value: Value | None = None


class Slot(NamedTuple):
    """What an event adds to one accumulator, from tallies whose age in days is `first <= age < last`."""

    kind: int
    position: int
    first: int
    last: int


COUNT, DAYS, MEASURE, DETAILS = range(4)


class Reading(NamedTuple):
    """How a windowed signal's value is read from the accumulators."""

    signal: str
    form: str
    slot: int
    other: int = 0
    at_least_days: int = 1
    keep: int = 0
    core: bool = False
    flag: bool = False


@dataclass(frozen=True, eq=False)
class DerivationPlan:
    """The compiled catalogue: `moves` by event name, `slots` by event name, and how each signal is read.

    `reach` says the same as `slots` for one day: kind and index of every slot that an event of this name reaches which
    is so many days old (0 is today). It is what the hot loop over tallies looks up.
    """

    moves: Mapping[str, tuple[Move, ...]]
    slots: Mapping[str, tuple[Slot, ...]]
    reach: Mapping[tuple[str, int], tuple[tuple[int, int], ...]]
    kinds: tuple[int, ...]
    readings: tuple[Reading, ...]
    totals: tuple[str, ...]
    ages: tuple[tuple[str, str], ...]
    details: Mapping[str, str]
    measures: Mapping[str, str]
    core_features: frozenset[str]
    horizon_days: int
    last_writer: frozenset[str]


@cache
def compile_derivations(catalogue: Catalogue) -> DerivationPlan:
    """The plan of `catalogue`, compiled on first use."""
    return _Compiler(catalogue).compile()


class _Compiler:
    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.moves: dict[str, list[Move]] = {}
        self.slots: dict[str, list[Slot]] = {}
        self.kinds: list[int] = []
        self.known: dict[tuple[int, tuple[str, ...], int, int], int] = {}
        self.readings: list[Reading] = []

    def compile(self) -> DerivationPlan:
        signals = self.catalogue.signals.values()
        for signal in signals:
            # Personal data stays in the profile, where it can be found again to be erased.
            if signal.personal:
                continue
            for form in signal.derive:
                if form.stored:
                    self.add_moves(signal, form)
                else:
                    self.add_reading(signal, form)
        events = self.catalogue.events.items()
        return DerivationPlan(
            moves={name: tuple(moves) for name, moves in self.moves.items()},
            slots={name: tuple(slots) for name, slots in self.slots.items()},
            reach={
                (name, age): tuple(
                    (slot.kind, slot.position) for slot in slots if slot.first <= age < slot.last
                )
                for name, slots in self.slots.items()
                for age in range(self.catalogue.tally_days)
            },
            kinds=tuple(self.kinds),
            readings=tuple(self.readings),
            totals=tuple(s.name for s in signals if any(form.total for form in s.derive)),
            ages=tuple((s.name, s.age_of) for s in signals if s.age_of),
            details={name: kind.detail for name, kind in events if kind.detail},
            measures={name: kind.measure for name, kind in events if kind.measure},
            core_features=frozenset(self.catalogue.core_features),
            horizon_days=self.catalogue.tally_days,
            last_writer=frozenset(
                move.signal.name
                for moves in self.moves.values()
                for move in moves
                if move.kind not in ("add", "latest")
            ),
        )

    def add_moves(self, signal: Signal, form: Derivation) -> None:
        if form.total:
            for name in form.total.events:
                self.move(name, Move("add", signal, 1, form.total))
            for name in form.total.minus:
                self.move(name, Move("add", signal, -1, form.total))
        elif form.latest:
            for name in form.latest.events:
                self.move(name, Move("latest", signal))
        elif form.from_property:
            part = form.from_property
            self.move(part.event, Move("property", signal, names=(part.name,), among=frozenset(part.among)))
        elif form.trait:
            for name in TRAIT_EVENTS:
                self.move(name, Move("trait", signal, names=form.trait))
        elif form.constant:
            for name, raw in form.constant.items():
                value = signal.read(raw)
                self.move(name, Move("constant", signal, value=value))

    def move(self, event: str, move: Move) -> None:
        self.moves.setdefault(event, []).append(move)

    def add_reading(self, signal: Signal, form: Derivation) -> None:
        if form.count:
            slot = self.slot(COUNT, form.count.events, 0, form.count.days)
            self.readings.append(Reading(signal.name, "count", slot, flag=signal.type == "bool"))
        elif form.days_with:
            slot = self.slot(DAYS, form.days_with.events, 0, form.days_with.days)
            self.readings.append(Reading(signal.name, "days_with", slot))
        elif form.mean:
            slot = self.slot(MEASURE, (form.mean.event,), 0, form.mean.days)
            self.readings.append(Reading(signal.name, "mean", slot))
        elif form.distinct:
            part = form.distinct
            slot = self.slot(DETAILS, (part.event,), 0, part.days)
            reading = Reading(signal.name, "distinct", slot, at_least_days=part.at_least_days, core=part.core)
            self.readings.append(reading)
        elif form.recent:
            slot = self.slot(DETAILS, (form.recent.event,), 0, form.recent.days)
            self.readings.append(Reading(signal.name, "recent", slot, keep=form.recent.keep))
        elif form.drop_percent:
            days = form.drop_percent.days
            now = self.slot(COUNT, form.drop_percent.events, 0, days)
            before = self.slot(COUNT, form.drop_percent.events, days, 2 * days)
            self.readings.append(Reading(signal.name, "drop_percent", now, before))

    def slot(self, kind: int, events: tuple[str, ...], first: int, last: int) -> int:
        """The accumulator for these events and days; signals that need the same one share it."""
        key = (kind, tuple(sorted(set(events))), first, last)
        if key not in self.known:
            self.known[key] = len(self.kinds)
            self.kinds.append(kind)
            for name in key[1]:
                self.slots.setdefault(name, []).append(Slot(kind, self.known[key], first, last))
        return self.known[key]


def read_amount(total: Total, properties: Mapping[str, Any]) -> float:
    """How many an event counts for: 0 where `where` doesn't hold, else its amount (1 if unusable)."""
    for name, wanted in total.where.items():
        found = properties.get(name)
        if found != wanted or isinstance(found, bool) != isinstance(wanted, bool):
            return 0
    if total.amount is None:
        return 1
    amount = properties.get(total.amount)
    usable = isinstance(amount, (int, float)) and not isinstance(amount, bool) and 0 <= amount <= 1_000_000
    return amount if usable and amount is not None else 1
