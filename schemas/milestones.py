"""What customers are to reach on their way to success (`playbooks/milestones.yaml`), in the order of the path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property

from schemas.condition import AllOf
from schemas.frozen import Frozen
from schemas.health_model import Segment


class Milestone(Frozen):
    """One thing to reach. `type` is what other systems call it; it holds from the moment at which `when` does.

    It is meant to be reached within `target_days` of the sign-up. `weight` is how much it counts beside the others.
    `segments`: only customers of these are to reach it; empty: everybody.
    """

    type: str
    name: str
    description: str = ""
    when: AllOf | None = None
    target_days: int
    critical: bool = False
    weight: float = 10.0
    segments: tuple[Segment, ...] = ()

    def concerns(self, segment: object) -> bool:
        """Whether a customer of this segment is to reach it; whose segment isn't known is taken to be new."""
        return not self.segments or (segment or "new_user") in self.segments


class Milestones(Frozen):
    """All of them, in the order of the path.

    `watched`: whether their conditions are looked at; those that ship are reached only by being told of, until a file
    of one's own is published.
    """

    milestones: tuple[Milestone, ...] = ()
    watched: bool = True

    @cached_property
    def by_type(self) -> dict[str, Milestone]:
        """Each by its type."""
        return {one.type: one for one in self.milestones}

    @cached_property
    def digest(self) -> str:
        """The same for what means the same."""
        written = [one.model_dump(mode="json") for one in self.milestones]
        return hashlib.sha256(json.dumps([written, self.watched], sort_keys=True).encode()).hexdigest()[:16]

    def path_of(self, segment: object) -> Sequence[Milestone]:
        """What a customer of this segment is to reach, in its order."""
        return [one for one in self.milestones if one.concerns(segment)]
