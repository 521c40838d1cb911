"""Published versions by step, kept in memory: a version never changes, so it is read once per process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from rules.generated import compile_condition
from rules.needs import Needs, run_needs
from schemas.condition import Condition
from schemas.facts import Facts
from schemas.nesting import walk
from schemas.plan import CompiledPlaybook, Step
from store.database import Connection
from store.playbooks import load_version

KEPT = 5000
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
        self._known: OrderedDict[tuple[str, str], Version] = OrderedDict()

    async def load(self, connection: Connection, playbook: str, version: str) -> Version:
        """The version, from memory or the database. Raises NotFoundError."""
        key = (playbook, version)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Version(await load_version(connection, playbook, version))
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found
