"""One part of the population: read as of one moment, and worked out without a database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from activities.facts import HISTORY_DAYS
from activities.health import load_predictors, load_scorer
from activities.population_columns import (
    Given,
    at_later,
    look_back,
    occurrences,
    rule_columns,
    signal_columns,
    tally_columns,
)
from activities.population_judging import Judge, Judged, Looked
from activities.population_rows import (
    changed_signals,
    written_lists,
)
from rules.needs import needs_of
from schemas.catalogue import Catalogue
from schemas.condition import Condition, EventCount, leaves
from scoring.churning.columns import Flags
from scoring.derivations import compile_derivations
from scoring.health import Scorer
from scoring.population.days import DAYS, DayScores
from scoring.population.deriving import Derived, derive_columns
from scoring.population.tallies import events_to_read
from scoring.predictors import Predictors
from store.bulk import Array
from store.database import Connection
from store.population_past import StoredEvents, load_event_columns, load_series
from store.population_reading import (
    Bounds,
    StoredPart,
    StoredTallies,
    load_part,
    load_score_columns,
    load_tally_columns,
    load_texts,
)
from store.population_standings import (
    StoredReached,
    StoredRuns,
    StoredStandings,
    load_reached_columns,
    load_run_columns,
    load_standing_columns,
)

# Until the next run, and a little more: who will fulfil a trigger by then, by time alone.
LOOK_AHEAD = timedelta(hours=26)
# Days of history that are read of everybody, and those before, which few questions lead back to.
RECENT_DAYS, OLDER_DAYS = range(32), range(32, HISTORY_DAYS + 1)


@dataclass(frozen=True)
class ReadPart:
    """Everything about one part, as of `now`."""

    now: datetime
    bounds: Bounds
    judge: Judge
    scorer: Scorer
    predictors: Predictors
    part: StoredPart
    tally_names: Sequence[str]
    tallies: StoredTallies
    texts: Mapping[int, str]
    scores: Array
    history: Mapping[str, Array]
    event_names: Sequence[str]
    events: StoredEvents
    standings: StoredStandings
    runs: StoredRuns
    reached: StoredReached


@dataclass(frozen=True)
class DerivedPart:
    """What follows from it; `changed` says, by signal, whose value is another than the stored one."""

    given: Given
    derived: Derived
    changed: Mapping[str, Flags]


class Texts:
    """What the hashes of tallies' details stand for, kept by one process: there are few, and all parts have them."""

    KEPT = 100_000

    def __init__(self) -> None:
        self.known: dict[int, str] = {}

    async def load(
        self,
        connection: Connection,
        bounds: Bounds,
        names: Sequence[str],
        read: Collection[str],
        tallies: StoredTallies,
        since: datetime,
    ) -> Mapping[int, str]:
        """The texts of these tallies, as far as their events are among `read`."""
        places = np.array([place for place, name in enumerate(names) if name in read], np.int16)
        codes = np.unique(tallies.detail[np.isin(tallies.name, places)])
        codes = codes[(codes != 0) & (codes != 1)]
        missing = np.array([code for code in codes.tolist() if code not in self.known], np.int64)
        if len(self.known) > self.KEPT:
            self.known.clear()
            missing = codes
        self.known |= await load_texts(connection, bounds, sorted(read), since.date(), missing)
        return {code: self.known[code] for code in codes.tolist()}


async def read_part(
    connection: Connection, bounds: Bounds, now: datetime, judge: Judge, catalogue: Catalogue, texts: Texts
) -> ReadPart:
    """Read all that scoring and triggers look at, in a transaction that sees one moment."""
    plan, needs, today = compile_derivations(catalogue), judge.needs, now.astimezone(UTC).date()
    of_profile = {
        name
        for name in needs.signals
        if name in catalogue.signals and (catalogue.signals[name].personal or name in ("timezone", "locale"))
    }
    part = await load_part(connection, bounds, profile=of_profile)
    since = now - timedelta(days=catalogue.tally_days)
    names = sorted(plan.slots)
    tallies = await load_tally_columns(connection, bounds, names, since.date(), today)
    event_names = sorted(needs.events)
    windows = [needs.events[name] for name in event_names]
    # An event of unknown age may count for as long as anybody looks back.
    longest = None if None in windows else max((window or 0 for window in windows), default=0)
    runs = await load_run_columns(connection, bounds)
    await judge.note_runs(connection, runs)
    return ReadPart(
        now=now,
        bounds=bounds,
        judge=judge,
        scorer=await load_scorer(connection),
        predictors=await load_predictors(connection, catalogue),
        part=part,
        tally_names=names,
        tallies=tallies,
        texts=await texts.load(connection, bounds, names, events_to_read(plan), tallies, since),
        scores=await load_score_columns(connection, bounds, part.n, DAYS, today),
        history=await load_series(connection, bounds, sorted(needs.history), part.n, RECENT_DAYS, today),
        event_names=event_names,
        events=await load_event_columns(
            connection, bounds, event_names, _property_keys(judge.conditions).keys(),
            None if longest is None else now - timedelta(seconds=longest), now,
        ),
        standings=await load_standing_columns(connection, bounds),
        runs=runs,
        reached=await load_reached_columns(connection, bounds, judge.milestones),
    )  # fmt: skip


def derive_part(read: ReadPart, catalogue: Catalogue) -> DerivedPart:
    """Signals, health and churn of all customers of the part at once; takes a moment, and no database."""
    given = signal_columns(read.part, catalogue)
    derived = derive_columns(
        given.signals,
        tally_columns(read.tally_names, read.tallies, read.texts),
        DayScores(read.scores),
        now=read.now,
        catalogue=catalogue,
        scorer=read.scorer,
        predictors=read.predictors,
        lists=written_lists(catalogue),
    )
    return DerivedPart(given, derived, changed_signals(read.part, derived, catalogue))


async def read_older(connection: Connection, read: ReadPart, found: DerivedPart) -> Mapping[str, Array]:
    """The history before the recent days, of those whose answers may depend on it; nan of all others."""
    rows = np.flatnonzero(look_back(read.judge.conditions, found.derived.signals, read.history))
    if not len(rows):
        return {}
    return await load_series(
        connection, read.bounds, sorted(read.history), read.part.n, OLDER_DAYS,
        read.now.astimezone(UTC).date(), only=(rows, read.part.ids[rows]),
    )  # fmt: skip


def judge_part(
    read: ReadPart, found: DerivedPart, older: Mapping[str, Array], catalogue: Catalogue
) -> Judged:
    """What all triggers come to."""
    happened = occurrences(read.event_names, read.events, read.part.n, _property_keys(read.judge.conditions))
    history = {
        name: np.concatenate([grid, older[name]]) if name in older else grid
        for name, grid in read.history.items()
    }
    signals = found.derived.signals
    columns = rule_columns(
        signals,
        found.given.wrong,
        read.part.profile,
        read.judge.needs,
        read.now,
        catalogue,
        history,
        happened,
    )
    later = at_later(columns, signals, read.now + LOOK_AHEAD, catalogue)
    looked = Looked(columns, later, found.changed, read.standings, read.runs, read.reached)
    return read.judge.judge(looked)


def _property_keys(conditions: Sequence[Condition]) -> dict[str, set[str]]:
    """The properties that conditions look at, by event; events of which none is looked at are left out."""
    keys: dict[str, set[str]] = {}
    for line in leaves(conditions):
        if isinstance(line, EventCount) and line.where is not None:
            keys.setdefault(line.name, set()).update(needs_of([line.where]).signals)
    return keys
