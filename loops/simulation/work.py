"""The work that a simulated run puts on people's lists, and what they say came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.run import StepResult

# An occurrence of a step.
Place = tuple[str, int]


@dataclass
class Task:
    """Work on a person's list; `outcome` is None while it waits for them."""

    kind: str
    title: str
    outcomes: Sequence[str]
    opened: StepResult
    assignee: str = ""
    outcome: str | None = None


@dataclass
class Work:
    """One run's tasks by place, and who of a team got its work last."""

    tasks: dict[Place, Task] = field(default_factory=dict)
    turns: dict[str, str] = field(default_factory=dict)

    @property
    def still_open(self) -> dict[Place, Task]:
        """What waits for somebody."""
        return {place: task for place, task in self.tasks.items() if task.outcome is None}

    def count_open(self) -> dict[str, int]:
        """How much of it each person has open."""
        return Counter(task.assignee for task in self.still_open.values())

    def find_open(self, step: str | None) -> Place | None:
        """What waits longest of that step, or of any."""
        return next((place for place in self.still_open if step in (None, place[0])), None)
