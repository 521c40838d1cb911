"""The signal catalogue: every signal's name, type, meaning, origin, and who may use it.

Conditions, editor completion, the signals' columns, feature extraction, privacy checks and docs/signals.md
all follow from the one file `schemas/signals.yaml`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.condition import Value
from schemas.derivation import Derivation
from schemas.errors import PlaybookError, Problem
from schemas.frozen import Frozen
from schemas.signal_value import SignalType, WrongType, normalise
from schemas.yaml_source import Source, format_path, load_bytes

CATALOGUE_FILE = Path(__file__).parent / "signals.yaml"
# Who and where somebody is: never learned from, whatever a catalogue declares of them.
NAMES_AND_PLACES = frozenset((
    "email", "phone", "name", "first_name", "last_name", "full_name", "business_name", "supplier_name", "company",
    "company_name", "country", "city", "region", "state", "postcode", "zip", "address", "location", "timezone",
    "locale", "language", "vendor_type",
))  # fmt: skip


class Signal(Frozen):
    """One thing that is known of a customer.

    `values` are the texts in use (others are merely unequal); `derive` says where it comes from (empty: set
    only from outside); `playbooks`, `learning` whether conditions and models may use it; `personal` means
    conditions may only ask whether it is there; `core` signals have a typed column of their own.
    """

    name: str
    type: SignalType
    about: str
    unit: str | None = None
    group: str = "other"
    values: tuple[str, ...] | None = None
    derive: tuple[Derivation, ...] = ()
    playbooks: bool = True
    learning: bool = False
    personal: bool = False
    core: bool = True

    @property
    def age_of(self) -> str | None:
        """The time signal whose age in days this is."""
        return next((form.age_of for form in self.derive if form.age_of), None)

    def read(self, raw: Any) -> Value | None:
        """`raw` (JSON or Python) as a value of this signal, times in UTC; None where it isn't one."""
        value = normalise(raw, self.type)
        return None if isinstance(value, WrongType) else value


def refuse_learning(signal: Signal) -> str | None:
    """Why no model may learn from this signal, as the end of a sentence; None if one may."""
    if signal.personal:
        return "it is personal"
    if signal.name in NAMES_AND_PLACES:
        return "it says who or where somebody is"
    if any(form.model == "churn" for form in signal.derive):
        return "it is a model's own answer"
    if signal.type == "text" and not signal.values:
        return "a text without declared `values` may say anything"
    if signal.type not in ("number", "bool", "text"):
        return f"a {signal.type} is neither a number, a bool, nor a text with declared `values`"
    return None


class EventKind(Frozen):
    """A core event; daily tallies keep it apart by property `detail`, or add up property `measure`."""

    about: str
    detail: str | None = None
    measure: str | None = None


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All signals and core events, by name. Compared by identity, so that plans can be cached for it."""

    signals: Mapping[str, Signal]
    events: Mapping[str, EventKind]
    core_features: tuple[str, ...]

    @cached_property
    def tally_days(self) -> int:
        """How many days of daily tallies any signal looks back on, today included."""
        return max((form.days() for signal in self.signals.values() for form in signal.derive), default=0)

    def nearest(self, name: str) -> tuple[str, ...]:
        """Up to three known signals that look like `name`."""
        return tuple(difflib.get_close_matches(name, self.signals, n=3, cutoff=0.5))


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Read the catalogue from `path` (default: the one that ships, read once).

    Raises PlaybookError with every problem found, each with its line (codes SC001 to SC007).
    """
    return _shipped() if path is None else _load(path)


@cache
def _shipped() -> Catalogue:
    return _load(CATALOGUE_FILE)


def _load(path: Path) -> Catalogue:
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "Check the path and its permissions."
        problem = Problem(
            str(path), 1, 1, "SC001", "", f"The signal catalogue can't be read: {error.strerror}.", hint
        )
        raise PlaybookError([problem]) from error
    return _Reader(load_bytes(content, str(path))).read()


class _Reader:
    """Turns a parsed file into a Catalogue and gathers what is wrong with it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []

    def read(self) -> Catalogue:
        data = self.source.data
        if not isinstance(data, dict):
            self.report((), "SC002", "The catalogue is a mapping.", "Start with `signals:`.")
            raise PlaybookError(self.problems)
        for key in set(data) - {"signals", "events", "core_features"}:
            self.report(
                (key,),
                "SC002",
                f"`{key}` isn't a word of the catalogue.",
                "Use signals, events, core_features.",
            )
        events = self.read_events(data.get("events") or {})
        signals = self.read_signals(data.get("signals") or {})
        features = data.get("core_features") or []
        if not (isinstance(features, list) and all(isinstance(name, str) for name in features)):
            self.report(
                ("core_features",), "SC002", "core_features is a list of names.", "Write `- name` lines."
            )
            features = []
        catalogue = Catalogue(signals, events, tuple(features))
        self.check_references(catalogue)
        if self.problems:
            raise PlaybookError(sorted(self.problems, key=lambda problem: (problem.line, problem.column)))
        return catalogue

    def read_events(self, data: Any) -> dict[str, EventKind]:
        events: dict[str, EventKind] = {}
        for name, body in data.items() if isinstance(data, dict) else ():
            body = {"about": body} if isinstance(body, str) else body
            kind = self.build(EventKind, body, ("events", name))
            if isinstance(kind, EventKind):
                if kind.detail and kind.measure:
                    hint = "Keep one of them."
                    self.report(
                        ("events", name), "SC004", "An event has a detail or a measure, not both.", hint
                    )
                events[name] = kind
        return events

    def read_signals(self, data: Any) -> dict[str, Signal]:
        signals: dict[str, Signal] = {}
        if not isinstance(data, dict):
            self.report(
                ("signals",), "SC002", "signals maps groups to signals.", "Write `account: {plan: {…}}`."
            )
            return signals
        for group, members in data.items():
            if not isinstance(members, dict):
                self.report(("signals", group), "SC002", f"The group {group} maps names to signals.", "")
                continue
            for name, body in members.items():
                path = ("signals", group, name)
                if name in signals:
                    self.report(path, "SC003", f"{name} is declared twice.", "Keep one of them.")
                if isinstance(body, dict):
                    derive = body.get("derive", [])
                    body = {**body, "name": name, "group": group}
                    body["derive"] = derive if isinstance(derive, list) else [derive]
                signal = self.build(Signal, body, path)
                if isinstance(signal, Signal):
                    signals[name] = signal
        return signals

    def build(self, model: type[Frozen], body: Any, path: tuple[str, ...]) -> Frozen | None:
        try:
            return model.model_validate(body)
        except ValidationError as error:
            for fault in error.errors():
                where = [*path, *fault["loc"]]
                what = fault["msg"].removeprefix("Value error, ")
                self.report(
                    tuple(where), "SC002", f"{what}.", "docs/signals.md shows the form of every entry."
                )
            return None

    def check_references(self, catalogue: Catalogue) -> None:
        for signal in catalogue.signals.values():
            path = ("signals", signal.group, signal.name, "derive")
            if signal.personal and signal.learning:
                hint = "Set `learning: false`."
                self.report(path[:-1], "SC006", "A model never learns from a personal signal.", hint)
            elif signal.learning and (reason := refuse_learning(signal)):
                hint = "Set `learning: false`, or declare the signal as what may be learned from."
                self.report(path[:-1], "SC007", f"A model can't learn from {signal.name}: {reason}.", hint)
            for form in signal.derive:
                for name in form.events():
                    if name not in catalogue.events:
                        close = difflib.get_close_matches(name, catalogue.events, n=3)
                        hint = f"Nearest: {', '.join(close)}." if close else "Declare it under `events:`."
                        self.report(path, "SC005", f"There is no event {name}.", hint)
                base = catalogue.signals.get(form.age_of or signal.name)
                if form.age_of and (base is None or base.type != "time"):
                    hint = "age_of names a signal of type time."
                    self.report(path, "SC005", f"{form.age_of} is no time signal.", hint)
                read = form.mean or form.distinct or form.recent
                kind = catalogue.events.get(read.event) if read else None
                needed = "measure" if form.mean else "detail"
                if read and kind and not getattr(kind, needed):
                    hint = f"Declare its {needed} under `events:`."
                    self.report(path, "SC005", f"The event {read.event} has no {needed}.", hint)

    def report(self, path: tuple[str | int, ...], code: str, message: str, hint: str) -> None:
        line, column = self.source.place(path)
        self.problems.append(Problem(self.source.file, line, column, code, format_path(path), message, hint))


__all__ = [
    "CATALOGUE_FILE", "NAMES_AND_PLACES", "Catalogue", "EventKind", "Signal", "SignalType", "load_catalogue",
    "refuse_learning",
]  # fmt: skip
