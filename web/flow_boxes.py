"""What the picture of a playbook is made of: boxes, and the ways between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from store.reading_playbooks import StepFigures

# So many boxes still are taken in at a glance.
LARGE_FROM = 15


class Line(NamedTuple):
    """Something that a box says: in words, and as the playbook has it where that is another text."""

    told: str
    source: str = ""


@dataclass(frozen=True)
class Way:
    """One way on from a box: what leads into it, and the boxes on it; without any it just goes on."""

    label: Line
    nodes: Sequence[Node]


THEN, ELSE = Line("then"), Line("else")


@dataclass(frozen=True)
class Node:
    """One box. `kind` is how it looks: message, work, act, wait, choice, experiment, repeat, together, stop.

    `step` is the step's id, `line` where it stands in its file; `lines` say what it does, `after` what follows some of
    its outcomes. Where `open` runs stand and what was sent is in `figures`.
    """

    kind: str
    step: str
    word: str
    lines: Sequence[Line] = ()
    line: int | None = None
    ways: Sequence[Way] = ()
    after: Sequence[str] = ()
    figures: StepFigures | None = None


@dataclass(frozen=True)
class End:
    """What ends a run wherever it is: the goal or an exit."""

    outcome: str
    title: str
    lines: Sequence[Line]
    line: int | None


@dataclass(frozen=True)
class Flow:
    """The whole picture. `last` is what becomes of who comes to the end of the steps."""

    title: str
    enter: Sequence[Line]
    enter_line: int | None
    limits: Sequence[str]
    nodes: Sequence[Node]
    last: str
    ends: Sequence[End]

    @property
    def is_large(self) -> bool:
        """Whether one would rather see it smaller at first."""
        return len(walk_nodes(self.nodes)) > LARGE_FROM


def walk_nodes(nodes: Sequence[Node]) -> Sequence[Node]:
    """Every box, those on ways included, in the order of the file."""
    found: list[Node] = []
    for node in nodes:
        found.append(node)
        for way in node.ways:
            found += walk_nodes(way.nodes)
    return found
