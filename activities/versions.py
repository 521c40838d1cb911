"""Published versions by step, kept in memory.

What a run keeps of its version never changes. What makes no version (title, limits, `max_overdue`) may; it is read
again after a while.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from rules.generated import compile_condition
from rules.needs import Needs, run_needs
from schemas.condition import Condition
from schemas.errors import NotFoundError
from schemas.facts import Facts
from schemas.nesting import walk
from schemas.plan import CompiledPlaybook, Step
from store.database import Connection
from store.playbooks import load_version

log = logging.getLogger(__name__)

KEPT = 5000
FRESH_SECONDS = 30.0
Evaluate = Callable[[Facts], bool | None]


@dataclass(frozen=True)
class Version:
    """One version of a playbook, its steps by id, and its conditions compiled."""

    playbook: CompiledPlaybook

    @cached_property
    def steps(self) -> Mapping[str, Step]:
        """Every step by its id."""
        return {step.id: step for step in walk(self.playbook.steps)}

    @cached_property
    def needs(self) -> Needs:
        """What a run of this version looks at."""
        return run_needs(self.playbook)

    @cached_property
    def watched(self) -> tuple[Condition, ...]:
        """The conditions that end a run: its goal's and its exits'."""
        goal = (self.playbook.goal,) if self.playbook.goal else ()
        return tuple(one.when for one in (*goal, *self.playbook.exits) if one.when)

    @cached_property
    def _compiled(self) -> dict[int, Evaluate]:
        return {}

    def holds(self, condition: Condition, facts: Facts) -> bool | None:
        """What this condition of the version comes to."""
        evaluate = self._compiled.get(id(condition))
        if evaluate is None:
            evaluate = self._compiled[id(condition)] = compile_condition(condition)
        return evaluate(facts)


class Versions:
    """The versions that this process has met."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[float, Version]] = OrderedDict()
        self._gone: dict[tuple[str, str], tuple[float, Version]] = {}

    async def load(self, connection: Connection, playbook: str, version: str) -> Version:
        """The version, from memory or the database. Raises NotFoundError."""
        key = (playbook, version)
        read_at, found = self._known.get(key, (0.0, None))
        if found is None or time.monotonic() - read_at > FRESH_SECONDS:
            read = await load_version(connection, playbook, version)
            # What was compiled of it is kept along with it.
            found = found if found is not None and found.playbook == read else Version(read)
            self._known[key] = (time.monotonic(), found)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return found

    async def load_or_empty(self, connection: Connection, playbook: str, version: str) -> Version:
        """The version; one that is gone from the database is an empty one, without goal, exits and steps.

        So its runs are left as they are, whoever is looked at together with them doesn't wait for them, and they can be
        ended. It is logged, and becomes an alert (`loops.stuck_runs`).
        """
        key = (playbook, version)
        read_at, gone = self._gone.get(key, (0.0, None))
        if gone is not None and time.monotonic() - read_at <= FRESH_SECONDS:
            return gone
        try:
            found = await self.load(connection, playbook, version)
        except NotFoundError as error:
            log.error("runs of %s %s are left out: %s", playbook, version, error.message)  # noqa: TRY400
            found = gone or Version(
                CompiledPlaybook(name=playbook, title=playbook, owner="", status="live", steps=())
            )
            self._gone[key] = (time.monotonic(), found)
        else:
            self._gone.pop(key, None)
        return found
