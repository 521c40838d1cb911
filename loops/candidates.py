"""Whom the evaluator is to look at after a run over the population: whoever's answers may be others than they were.

The triggers' lines are answered for all customers of a part at once. Who isn't a candidate is counted here, by the
first failing line, as the evaluator would have. Whose milestone holds without having been reached, by time or by what
came without an event, is a candidate too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from activities.facts import TOLD_AS
from activities.population_judging import Judged, Looked
from activities.steps import StepOpening
from activities.versions import Version
from loops.milestones import MilestoneWatch
from loops.triggers import Triggers, prepare_triggers
from rules.columns import match_columns
from rules.needs import Needs, needs_of
from schemas.condition import Condition
from scoring.churning.columns import Flags
from store.bulk import Array
from store.database import Connection
from store.live_milestones import load_milestones
from store.playbooks import load_published, read_stamp
from store.population_standings import StoredRuns

_HOLDS = -1
_MILESTONE = "milestone"
# With these the evaluator has noted when it will look again by itself, or an edit alone changes the answer.
_SETTLED = ("again_rule", "entries", "waiting", "paused")


@dataclass
class _Counts:
    """How many customers fail at which line of each trigger: `failing` has a row per trigger.

    `settled` are the rows who fulfil a trigger, by playbook and the reason that keeps them out as before.
    """

    triggers: Triggers
    failing: Array
    settled: Mapping[tuple[str, str], Array]

    def __call__(self, rows: Flags) -> Counter[tuple[str, str, str]]:
        counts: Counter[tuple[str, str, str]] = Counter()
        for trigger, failing in zip(self.triggers.triggers, self.failing, strict=True):
            of_line = np.bincount(failing[rows] + 1, minlength=len(trigger.lines) + 1)[1:]
            for (line, _, _), count in zip(trigger.lines, of_line.tolist(), strict=True):
                if count:
                    counts[(trigger.playbook.name, "condition", line.path)] += count
        for (playbook, reason), kept_out in self.settled.items():
            counts[(playbook, reason, "")] += int(rows[kept_out].sum())
        return +counts


class Candidates:
    """One process's triggers and milestones, as they are live."""

    def __init__(self, opening: StepOpening) -> None:
        self._opening = opening
        self._triggers: Triggers | None = None
        self._milestones: Mapping[str, Condition] = {}

    async def prepare(self, connection: Connection) -> Prepared:
        """The triggers and milestones as they are live now."""
        stamp = await read_stamp(connection)
        if self._triggers is None or self._triggers.published.stamp != stamp:
            self._triggers = prepare_triggers(
                await load_published(connection), self._opening.catalogue, "generated"
            )
            self._milestones = MilestoneWatch(await load_milestones(connection)).conditions
        return Prepared(self._triggers, self._milestones, self._opening)


@dataclass
class Prepared:
    """Triggers and milestones, ready to be asked about parts of the population; `reached_by` is when by type."""

    triggers: Triggers
    reached_by: Mapping[str, Condition]
    opening: StepOpening
    # The conditions of open runs, by playbook and version.
    versions: dict[tuple[str, str], Version] = field(default_factory=dict)

    @property
    def needs(self) -> Needs:
        """What the triggers look at, with conditions of their goals, and what the milestones do."""
        return self.triggers.needs | needs_of(self.reached_by.values())

    @property
    def conditions(self) -> list[Condition]:
        """All that is asked."""
        goals = (one.playbook.goal.when for one in self.triggers.triggers if one.playbook.goal)
        lines = [line for one in self.triggers.triggers for line, _, _ in one.lines]
        return [*lines, *(goal for goal in goals if goal is not None), *self.reached_by.values()]

    @property
    def milestones(self) -> Collection[str]:
        """Those that are reached once a condition holds."""
        return self.reached_by.keys()

    @property
    def holdout_percent(self) -> float:
        """How many of a hundred customers no playbook ever treats."""
        return self.triggers.published.policy.holdout_percent

    async def note_runs(self, connection: Connection, runs: StoredRuns) -> None:
        """Have the versions of these runs at hand."""
        for key in set(zip(runs.playbook, runs.version, strict=True)) - self.versions.keys():
            self.versions[key] = await self.opening.versions.load_or_empty(connection, *key)

    def judge(self, looked: Looked) -> Judged:
        """Who is a candidate, and why; in a thread, as it takes a while."""
        named: dict[str, Condition] = {}
        for trigger in self.triggers.triggers:
            for at, (line, _, _) in enumerate(trigger.lines):
                named[f"{trigger.place}:{at}"] = line
            if trigger.playbook.goal and trigger.playbook.goal.when:
                named[f"{trigger.place}:goal"] = trigger.playbook.goal.when
        named |= {f"{_MILESTONE}:{type_}": condition for type_, condition in self.reached_by.items()}
        answers = match_columns(named, looked.columns)
        n, many = looked.columns.n, len(self.triggers.triggers)
        failing = np.empty((many, n), np.int16)
        asked = self._moved_runs(looked) | self._reach(looked, answers)
        concerned = [np.zeros(0, np.int64)] * many
        standings = _by_playbook(looked)
        open_runs = _open_runs(looked.runs, n)
        groups = _open_groups(looked.runs, n)
        kept_out: dict[tuple[str, str], Array] = {}
        for place, trigger in enumerate(self.triggers.triggers):
            own = failing[place]
            own[:] = _HOLDS
            for at in reversed(range(len(trigger.lines))):
                own[answers[f"{trigger.place}:{at}"] != 1] = at
            holds = own == _HOLDS
            none = np.zeros(n, np.bool_)
            stands, settled = none.copy(), none.copy()
            for reason, listed in standings.get(trigger.playbook.name, {}).items():
                rows = np.array(listed)
                stands[rows] = True
                as_before = none
                if reason in _SETTLED:
                    as_before = ~none
                elif reason == "already_running":
                    as_before = open_runs.get(trigger.playbook.name, none)
                elif reason == "group" and trigger.playbook.group:
                    as_before = groups.get(trigger.playbook.group, none)
                elif reason == "goal_met" and f"{trigger.place}:goal" in answers:
                    as_before = answers[f"{trigger.place}:goal"] == 1
                rows = rows[as_before[rows] & holds[rows]]
                settled[rows] = True
                kept_out[(trigger.playbook.name, reason)] = rows
            news = (holds & ~settled) | (stands & ~holds)
            asked |= news
            concerned[place] = np.flatnonzero(news)
        for place, soon in self._soon(looked, failing).items():
            concerned[place] = np.concatenate([concerned[place], soon])
            asked[soon] = True
        return Judged(asked, self._names(looked, asked, concerned), _Counts(self.triggers, failing, kept_out))

    def _moved_runs(self, looked: Looked) -> Flags:
        """Whose open runs look at a signal that is another now. Ages are left out: time has its own queue."""
        moved = np.zeros(looked.columns.n, np.bool_)
        runs = looked.runs
        for row, playbook, version, attended in zip(
            runs.row.tolist(), runs.playbook, runs.version, runs.attended.tolist(), strict=True
        ):
            if attended and not moved[row]:
                needs = self.versions[(playbook, version)].needs
                moved[row] = any(
                    looked.changed[name][row]
                    for name in needs.signals | needs.history
                    if name in looked.changed
                )
        return moved

    def _reach(self, looked: Looked, answers: Mapping[str, Array]) -> Flags:
        """Who fulfils a milestone that they haven't reached yet."""
        reaching = np.zeros(looked.columns.n, np.bool_)
        rows_of: defaultdict[str, list[int]] = defaultdict(list)
        for row, type_ in zip(looked.reached.row.tolist(), looked.reached.milestone, strict=True):
            rows_of[type_].append(row)
        for type_ in self.reached_by:
            holds = answers[f"{_MILESTONE}:{type_}"] == 1
            holds[rows_of[type_]] = False
            reaching |= holds
        return reaching

    def _soon(self, looked: Looked, failing: Array) -> dict[int, Array]:
        """By trigger, who doesn't fulfil it now and would later by time alone: the evaluator finds out when."""
        passing = [t for t in self.triggers.triggers if any(passes for _, passes, _ in t.lines)]
        if not passing:
            return {}
        named = {f"{t.place}:{at}": line for t in passing for at, (line, _, _) in enumerate(t.lines)}
        answers = match_columns(named, looked.later)
        found = {}
        for trigger in passing:
            lines = [answers[f"{trigger.place}:{at}"] == 1 for at in range(len(trigger.lines))]
            will = reduce(np.logical_and, lines) & (failing[trigger.place] != _HOLDS)
            if will.any():
                found[trigger.place] = np.flatnonzero(will)
        return found

    def _names(self, looked: Looked, asked: Flags, concerned: list[Array]) -> Mapping[int, frozenset[str]]:
        """Of everyone who is asked about, what changed, and what the triggers look at that are news."""
        names: defaultdict[int, set[str]] = defaultdict(set)
        for name, flags in looked.changed.items():
            told = {name, TOLD_AS[name]} if name in TOLD_AS else {name}
            for row in np.flatnonzero(flags & asked).tolist():
                names[row] |= told
        for trigger, rows in zip(self.triggers.triggers, concerned, strict=True):
            for row in rows.tolist():
                names[row] |= trigger.looks_at
        return {row: frozenset(names[row]) for row in np.flatnonzero(asked).tolist()}


def _by_playbook(looked: Looked) -> Mapping[str, Mapping[str, list[int]]]:
    """Rows by playbook and the reason that stands."""
    found: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    standings = looked.standings
    for row, playbook, reason in zip(
        standings.row.tolist(), standings.playbook, standings.reason, strict=True
    ):
        found[playbook][reason].append(row)
    return found


def _open_runs(runs: StoredRuns, n: int) -> dict[str, Flags]:
    found: dict[str, Flags] = {}
    for row, playbook in zip(runs.row.tolist(), runs.playbook, strict=True):
        found.setdefault(playbook, np.zeros(n, np.bool_))[row] = True
    return found


def _open_groups(runs: StoredRuns, n: int) -> dict[str, Flags]:
    found: dict[str, Flags] = {}
    for row, group, shadow in zip(runs.row.tolist(), runs.run_group, runs.shadow.tolist(), strict=True):
        if group and not shadow:
            found.setdefault(group, np.zeros(n, np.bool_))[row] = True
    return found
