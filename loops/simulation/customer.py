"""One simulated customer: what is known of them at each moment, from the facts given and what happens afterwards."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from loops.simulation.happening import Happening
from rules.ages import units_elapsed
from rules.normalise import instant_of, normalise, normalise_untyped
from rules.series import is_number
from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.facts import Event, Facts
from scoring.derivations import compile_derivations
from scoring.signals import move_signals

_DAY_SECONDS = 86_400


class Customer:
    """The facts of one customer, moved on in time.

    What is given holds until something changes it: `signals` of a happening, or an event that the catalogue says moves
    a stored signal (a login the last login, a plan_changed the plan). Ages count on by themselves. Scores and windows
    aren't worked out anew: their inputs aren't given.
    """

    def __init__(
        self,
        facts: Facts,
        happenings: Iterable[Happening],
        catalogue: Catalogue,
        past_of: Collection[str] = (),
    ) -> None:
        """`past_of` names the signals whose history conditions look at."""
        self._catalogue = catalogue
        self._derivations = compile_derivations(catalogue)
        self.given = facts
        self._signals: dict[str, Value] = dict(facts.signals)
        self._ages = dict(facts.ages)
        # An age that was given is as given at that moment, and a whole number from then on.
        self._aged_at: dict[str, datetime | None] = dict.fromkeys(facts.ages, facts.now)
        self._profile: dict[str, Any] = dict(facts.profile)
        self._consent: dict[str, bool] = dict(facts.consent)
        self._suppressed: dict[str, str] = dict(facts.suppressed)
        self._history: dict[str, list[tuple[date, Value]]] = {
            name: list(days) for name, days in facts.history.items()
        }
        self._events = [event for event in facts.events if event.at <= facts.now]
        ahead = [
            Happening(event.at, event.name, event.properties)
            for event in facts.events
            if event.at > facts.now
        ]
        self._ahead = sorted([*ahead, *happenings], key=lambda one: one.at)
        self._cached: Facts | None = None
        self._settle_past(past_of)

    @property
    def next_at(self) -> datetime | None:
        """When something happens next."""
        return self._ahead[0].at if self._ahead else None

    def add(self, happening: Happening) -> None:
        """Let this happen, too."""
        bisect.insort(self._ahead, happening, key=lambda one: one.at)

    def advance(self, to: datetime) -> Happening | None:
        """Let everything happen up to and including `to`; stops at what a person does, and returns it."""
        while self._ahead and self._ahead[0].at <= to:
            happening = self._ahead.pop(0)
            if happening.do is not None:
                return happening
            self._apply(happening)
        return None

    def advance_before(self, start: datetime) -> None:
        """Let everything happen that comes before a run, or as it begins; what a person would do before is left out."""
        while self._ahead and self._ahead[0].at <= start:
            happening = self._ahead[0]
            if happening.do is not None and happening.at == start:
                return
            self._ahead.pop(0)
            if happening.do is None:
                self._apply(happening)

    def happen(self, happening: Happening) -> None:
        """Let this happen now: a step brought it about."""
        self._apply(happening)

    def facts(self, now: datetime) -> Facts:
        """What is known at `now`, which isn't before what has happened."""
        if self._cached is None or self._cached.now != now:
            signals = dict(self._signals)
            for name, (since, unit) in self._ages.items():
                if self._aged_at.get(name) != now:
                    signals[name] = units_elapsed(since, unit, now)
            self._cached = Facts(
                customer=self.given.customer, now=now, signals=signals, events=tuple(self._events),
                history={name: tuple(days) for name, days in self._history.items()}, ages=dict(self._ages),
                profile=dict(self._profile), consent=dict(self._consent), suppressed=dict(self._suppressed),
            )  # fmt: skip
        return self._cached

    def _settle_past(self, past_of: Collection[str]) -> None:
        """What happened before the facts were true is history; of values it fills in what the facts leave out."""
        base = self.given.now
        while self._ahead and self._ahead[0].at <= base:
            past = self._ahead.pop(0)
            if past.name:
                bisect.insort(
                    self._events, Event(past.name, past.at, past.properties), key=lambda event: event.at
                )
            for name, raw in past.signals.items():
                value = self._typed(name, raw)
                if value is None:
                    continue
                bisect.insort(self._history.setdefault(name, []), (past.at, value), key=_instant)
                if name not in self.given.signals:
                    self._set(name, value, past.at)
            for word, yes in past.consent.items():
                if yes is not None and word not in self.given.consent:
                    self._consent[word] = yes
            for channel, reason in past.suppressed.items():
                if reason is not None and channel not in self.given.suppressed:
                    self._suppressed[channel] = reason
        for name in past_of:
            if is_number(value := self._signals.get(name)):
                self._history.setdefault(name, []).append((base, value))

    def _apply(self, happening: Happening) -> None:
        self._cached = None
        at = happening.at
        changed: dict[str, Value | None] = {}
        if happening.name:
            event = Event(happening.name, at, happening.properties)
            bisect.insort(self._events, event, key=lambda one: one.at)
            for name, value in move_signals(self._signals, {}, [event], self._catalogue).signals.items():
                # How many there were before isn't known: one more is no number.
                if name in self._signals or name not in self._derivations.totals:
                    changed[name] = value
            if happening.name == "identify":
                self._take_traits(happening.properties, changed)
        changed |= {name: self._typed(name, raw) for name, raw in happening.signals.items()}
        for name, fresh in changed.items():
            self._set(name, fresh, at)
            if fresh is not None:
                self._history.setdefault(name, []).append((at, fresh))
        for age, base in self._derivations.ages:
            if base in changed and age not in changed:
                self._set(age, None, at)
                if isinstance(since := changed[base], datetime):
                    self._ages[age], self._aged_at[age] = (since, _DAY_SECONDS), None
        for word, yes in happening.consent.items():
            _put(self._consent, word, yes)
        for channel, reason in happening.suppressed.items():
            _put(self._suppressed, channel, reason)

    def _set(self, name: str, value: Value | None, at: datetime) -> None:
        self._ages.pop(name, None)
        self._aged_at.pop(name, None)
        if value is None:
            self._signals.pop(name, None)
            return
        self._signals[name] = value
        signal = self._catalogue.signals.get(name)
        if signal is not None and signal.age_of is not None and is_number(value):
            self._ages[name], self._aged_at[name] = (at - timedelta(days=value), _DAY_SECONDS), at

    def _take_traits(self, traits: Mapping[str, Any], changed: dict[str, Value | None]) -> None:
        for name, value in traits.items():
            _put(self._profile, name, value)
            signal = self._catalogue.signals.get(name)
            if signal is not None and signal.personal:
                changed[name] = self._typed(name, value)

    def _typed(self, name: str, raw: Any) -> Value | None:
        signal = self._catalogue.signals.get(name)
        return normalise_untyped(raw) if signal is None else normalise(raw, signal.type)


def _instant(point: tuple[date, Value]) -> Any:
    return instant_of(point[0])


def _put(known: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        known.pop(name, None)
    else:
        known[name] = value
