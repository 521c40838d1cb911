"""One customer of the past, moved on in time: at each moment what the live system knew then, by its own definitions."""

from __future__ import annotations

import bisect
import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Self

from activities.facts import HISTORY_DAYS, Known, assemble
from activities.past_scores import DAYS as SCORE_DAYS
from activities.past_scores import SCORE
from loops.backtest.kept_days import KeptDays
from loops.backtest.reworking import believe
from loops.backtest.span import Span, utc_midnight_before
from loops.simulation.happening import Happening
from rules.needs import Needs
from schemas.catalogue import Catalogue
from schemas.facts import Event, Facts
from scoring.health import Scorer
from scoring.replay import DailySums, rightly_typed
from scoring.signals import move_signals, tally_events
from store.customers import PROFILE_TRAITS, Customer
from store.kept_past import KeptPast, KnownEvent
from store.repairs import first_midnight
from store.signals import StoredSignals

_DAY = timedelta(days=1)
# What no window reaches any more costs little to keep for some days.
_TIDY_DAYS = 5


class PastCustomer:
    """What was known of one customer, from the start of a span on; stands in for a simulated customer in a run.

    Events count from the moment they became known (as_happened: from the moment they happened). `untold` names runs
    whose effects on the customer are left out: those that are played anew.
    """

    def __init__(
        self,
        past: KeptPast,
        needs: Needs,
        catalogue: Catalogue,
        span: Span,
        *,
        as_happened: bool = False,
        untold: Collection[str] = (),
        scorer: Scorer | None = None,
    ) -> None:
        self._catalogue, self._span, self._needs, self._scorer = catalogue, span, needs, scorer
        told = [one for one in past.events if one.caused_by is None or one.caused_by not in untold]
        if as_happened:
            told = [replace(one, corrects=False) for one in believe(told)]
        self._arrivals = sorted(
            ((event.at if as_happened else event.known_at, event) for event in told),
            key=lambda one: (one[0], one[1].corrects, one[1].at, one[1].message_id),
        )
        self._taken: list[KnownEvent] = []
        first = self._arrivals[0][0] if self._arrivals else past.created_at
        self.id = past.customer.id
        self.born = first if as_happened else past.created_at
        self._next = 0
        self._row = StoredSignals(past.customer.id)
        self._sums = DailySums()
        self._events: list[tuple[datetime, str, Event]] = []
        self._days = KeptDays(needs.history, catalogue, scorer)
        self._consents, self._suppressed = past.consents, past.suppressed
        traits = {name for event in past.events for name in event.traits}
        base = {name: value for name, value in past.customer.profile.items() if name not in traits}
        self._customer = Customer(past.customer.id, past.customer.external_id, base, past.customer.demo)
        self._known: Known | None = None
        self._midnight = span.start
        self._ahead: list[Happening] = []
        self.effects: list[Happening] = []
        self._begin(past)

    @property
    def given(self) -> Facts:
        """Who this is."""
        return Facts(self._customer.external_id, self.now)

    @property
    def told(self) -> Iterable[Event]:
        """Everything that ever happened to the customer, as the signals are moved on by it."""
        return (event.event for _, event in self._arrivals)

    @property
    def next_at(self) -> datetime | None:
        """When something happens next, or everybody is looked at; None: not in this span."""
        moments = [self._midnight]
        if self._next < len(self._arrivals):
            moments.append(self._arrivals[self._next][0])
        if self._ahead:
            moments.append(self._ahead[0].at)
        moment = max(min(moments), self.now)
        return moment if moment < self._span.end else None

    def fork(self, deeds: Iterable[Happening] = ()) -> Self:
        """The same customer at the same moment, to be moved on by a run; people do `deeds`."""
        other = copy.copy(self)
        other._sums = self._sums.copy()
        other._days = self._days.copy()
        other._events, other._taken = list(self._events), list(self._taken)
        other._ahead = sorted([*self._ahead, *deeds], key=lambda one: one.at)
        other.effects = []
        return other

    # What happens.

    def pass_to(self, moment: datetime) -> tuple[frozenset[str], bool]:
        """Go on to `moment`, not beyond the next one; returns what changed, and whether everybody is looked at."""
        changed: set[str] = set()
        self.now = moment
        batch: list[KnownEvent] = []
        while self._next < len(self._arrivals) and self._arrivals[self._next][0] <= moment:
            batch.append(self._arrivals[self._next][1])
            self._next += 1
        if batch:
            changed |= self._take(batch)
        while self._ahead and self._ahead[0].at <= moment:
            changed |= self._apply(self._ahead.pop(0))
        daily = moment >= self._midnight
        if daily:
            self._midnight = utc_midnight_before(moment) + _DAY
        return frozenset(changed), daily

    def look(self, *, daily: bool = False) -> Known:
        """What is known now; `daily`: as everybody is looked at, which the day keeps."""
        before = self._row
        known = self._assemble(self.now)
        self._row = known.stored if known.moved else before
        if daily:
            self._keep_day(known)
        return known

    def _take(self, batch: list[KnownEvent]) -> set[str]:
        """Take events in as the store does, and make right what is another by what came late or was corrected."""
        wrong = [first_midnight(one.at) for one in batch if one.corrects or one.at < one.known_at]
        if any(one.corrects for one in batch):
            before = {one.key: one for one in believe(self._taken)}
            wrong += [first_midnight(before[one.key].at) for one in batch if one.key in before]
            everything, self._taken = believe([*self._taken, *batch]), []
            self._row, self._sums, self._events = StoredSignals(self._row.customer_id), DailySums(), []
            changed = self._move([replace(one, corrects=False) for one in everything])
        else:
            changed = self._move(batch)
        since = min(wrong, default=None)
        if since is not None and since <= self.now.date():
            happened = [one.event for one in self._taken]
            if self._days.rework(happened, since, self.now, self.born):
                changed |= {SCORE, *self._needs.history}
        return changed

    def _move(self, batch: list[KnownEvent]) -> set[str]:
        self._known = None
        self._taken += batch
        batch = sorted(batch, key=lambda event: event.at)
        events = [one.event for one in batch]
        moved = move_signals(self._row.values, self._row.stamps, events, self._catalogue)
        self._row = StoredSignals(
            self._row.customer_id, {**self._row.values, **moved.signals}, {**self._row.stamps, **moved.stamps}
        )
        self._sums.add(tally_events(events, self._catalogue))
        changed = {*moved.signals, *(one.name for one in batch)}
        for one in batch:
            if one.name in self._needs.events:
                bisect.insort(
                    self._events,
                    (one.at, one.message_id, Event(one.name, one.at, one.properties)),
                    key=lambda kept: kept[:2],
                )
            if one.traits:
                self._customer = replace(self._customer, profile=_merge(self._customer.profile, one.traits))
                changed |= {name for name in PROFILE_TRAITS if name in one.traits}
        return changed

    def _apply(self, happening: Happening) -> set[str]:
        if not happening.name:
            return set()
        traits = happening.properties if happening.name == "identify" else {}
        properties = {} if traits else happening.properties
        return self._take([KnownEvent("", happening.name, happening.at, happening.at, properties, traits)])

    # What is known.

    def facts(self, now: datetime) -> Facts:
        """What is known at `now`, which isn't before what has happened."""
        return self._assemble(now).facts

    def _assemble(self, now: datetime) -> Known:
        if self._known is None or self._known.facts.now != now:
            seen = bisect.bisect_right(self._events, now, key=lambda kept: kept[0])
            known = assemble(
                self._customer,
                self._row,
                self._sums.rows,
                now=now,
                catalogue=self._catalogue,
                scores=self._days.scores,
                scorer=self._scorer,
                history={name: tuple(days) for name, days in self._days.history.items()},
                events=tuple(kept[2] for kept in self._events[:seen]),
            )
            facts = replace(
                known.facts,
                consent={word: yes for word, yes, since in self._consents if since <= now},
                suppressed={channel: why for channel, why, since in self._suppressed if since <= now},
            )
            self._known = replace(known, facts=facts)
        return self._known

    def _keep_day(self, known: Known) -> None:
        """The first daily look of a day is what the day's row keeps."""
        day = self.now.date()
        if day in self._days or self.born > utc_midnight_before(self.now):
            return
        self._days.keep(day, rightly_typed(known.stored.values))
        if day.toordinal() % _TIDY_DAYS == 0:
            self._sums.forget_before(day - timedelta(days=self._catalogue.tally_days))
        self._known = None

    # The past before the span.

    def _begin(self, past: KeptPast) -> None:
        """Bring everything up to the start of the span, or to the customer's first moment in it."""
        start = self._span.start
        if past.days:
            self._days.restore(past.days, start.date())
        elif self.born < start:
            self._work_out_days(start)
        self.now = max(start, self.born)
        # At the start everybody is looked at.
        self._midnight = start if self.born <= start else utc_midnight_before(self.born) + _DAY
        while self._next < len(self._arrivals) and self._arrivals[self._next][0] < start:
            self._next += 1
        before = believe([event for known_at, event in self._arrivals[: self._next]])
        self._row, self._sums, self._events = StoredSignals(self._row.customer_id), DailySums(), []
        self._taken = []
        if before:
            # The days before are as they were known then, repairs among them.
            self._move([replace(one, corrects=False) for one in before])
        self._sums.forget_before(start.date() - timedelta(days=self._catalogue.tally_days))

    def _work_out_days(self, start: datetime) -> None:
        """No days were recorded: what each midnight's look would have kept."""
        days = HISTORY_DAYS if self._needs.history else SCORE_DAYS
        midnight = utc_midnight_before(start)
        for back in range(days, 0 if midnight == start else -1, -1):
            moment = midnight - back * _DAY
            if self.born > moment:
                continue
            self._midnight = moment
            self.pass_to(moment)
            self.look(daily=True)
        self._next, self._known = 0, None
        traits = {name for _, event in self._arrivals for name in event.traits}
        profile = {name: value for name, value in self._customer.profile.items() if name not in traits}
        self._customer = replace(self._customer, profile=profile)

    # As a run sees it.

    def advance(self, to: datetime) -> Happening | None:
        """Let everything happen up to and including `to`; stops at what a person does, and returns it."""
        while (moment := self.next_at) is not None and moment <= to:
            deed = next((one for one in self._ahead if one.at <= moment and one.do), None)
            if deed is not None:
                self._ahead.remove(deed)
                return deed
            _, daily = self.pass_to(moment)
            if daily:
                self.look(daily=True)
        self.now = max(self.now, min(to, self._span.end))
        return None

    def advance_before(self, start: datetime) -> None:
        """A run begins: it is at `start` already."""

    def add(self, happening: Happening) -> None:
        """Let this happen, too."""
        self.effects.append(happening)
        bisect.insort(self._ahead, happening, key=lambda one: one.at)

    def happen(self, happening: Happening) -> None:
        """Let this happen now: a step brought it about."""
        self.effects.append(happening)
        self._apply(happening)

    def undergo(self, effects: Iterable[Happening]) -> None:
        """Let happen what a run brought about, each in its time."""
        self._ahead = sorted([*self._ahead, *effects], key=lambda one: one.at)


def _merge(profile: Mapping[str, Any], traits: Mapping[str, Any]) -> dict[str, Any]:
    """The profile after an identify call, as the store keeps it: what is null is no longer known."""
    merged = {**profile, **traits}
    return {name: value for name, value in merged.items() if value is not None}
