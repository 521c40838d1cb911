"""What triggers are asked about a part of the population, and what they answer; whose they are isn't known here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rules.column_data import Columns
from rules.needs import Needs
from schemas.condition import Condition
from scoring.churning.columns import Flags
from store.database import Connection
from store.population_standings import StoredReached, StoredRuns, StoredStandings


@dataclass(frozen=True)
class Looked:
    """What triggers and milestones are asked about: customers now and `later` if nothing happens, what was decided
    before, and which milestones were reached.

    `changed` says, by signal, whose value is another than the stored one.
    """

    columns: Columns
    later: Columns
    changed: Mapping[str, Flags]
    standings: StoredStandings
    runs: StoredRuns
    reached: StoredReached


@dataclass(frozen=True)
class Judged:
    """Whom the evaluator is to look at, what changed of them, and `count` of any others by their first failing line."""

    asked: Flags
    names: Mapping[int, frozenset[str]]
    count: Callable[[Flags], Counter[tuple[str, str, str]]]


class Judge(Protocol):
    """Triggers and milestones as they are live."""

    @property
    def needs(self) -> Needs:
        """What they look at."""
        ...

    @property
    def conditions(self) -> Sequence[Condition]:
        """What they say."""
        ...

    @property
    def milestones(self) -> Collection[str]:
        """Those that are reached once a condition holds."""
        ...

    @property
    def holdout_percent(self) -> float:
        """How many of a hundred customers no playbook ever treats."""
        ...

    async def note_runs(self, connection: Connection, runs: StoredRuns) -> None:
        """Have what these open runs look at ready."""
        ...

    def judge(self, looked: Looked) -> Judged:
        """Who is to be looked at by the evaluator."""
        ...
