"""One signal's past made ready for many questions, as generated code asks them; answers are those of `rules.series`."""

from __future__ import annotations

from bisect import bisect_left
from datetime import timedelta
from functools import cached_property
from itertools import accumulate
from typing import cast

from rules.instants import later
from rules.kleene import Truth
from rules.series import earlier_points, far_enough
from schemas.condition import Change, Crossing
from schemas.facts import Facts


class Past:
    """The points before `facts.now`; what is worked out of them is worked out once."""

    def __init__(self, signal: str, facts: Facts) -> None:
        self.facts = facts
        self.points = earlier_points(signal, facts)
        self.current = cast("int | float", facts.signals.get(signal))

    @cached_property
    def highest(self) -> list[int | float]:
        """The highest of the newest so many points."""
        return list(accumulate((value for _, value in reversed(self.points)), max))

    @cached_property
    def deepest(self) -> list[int | float]:
        """The lowest of the newest so many points, with its sign turned."""
        return list(accumulate((-value for _, value in reversed(self.points)), max))

    def crossed(self, leaf: Crossing, held: timedelta) -> Truth:
        """As `rules.series.crossed`, where there are points and the value is beyond the level now; `held` is the leaf's
        own time span.
        """
        points = self.points
        if leaf.direction == "below":
            beyond = bisect_left(self.highest, leaf.level)
        else:
            beyond = bisect_left(self.deepest, -leaf.level)
        if beyond == len(points):
            return False
        now = self.facts.now
        if now - (points[-beyond][0] if beyond else now) < held:
            return False
        return leaf.rearm is None or self._counts(leaf, leaf.rearm, len(points) - 1 - beyond)

    def _counts(self, leaf: Crossing, rearm: int | float, last: int) -> bool:
        """Whether, back from the newest point not beyond the level, `rearm` is passed before another crossing."""
        sign = -1 if leaf.direction == "below" else 1
        level, rearm = sign * leaf.level, sign * rearm
        values = [sign * value for _, value in self.points[: last + 1]]
        for place in range(last, 0, -1):
            if values[place] > level and not values[place - 1] > level:
                return False
            if values[place] < rearm:
                return True
        return True

    def changed(self, leaf: Change, window: timedelta) -> Truth:
        """As `rules.series.changed`, where the value is a number now; `window` is the leaf's own time span."""
        start = later(self.facts.now, -window)
        first = 0 if start is None else bisect_left(self.points, start, key=lambda point: point[0])
        inside = len(self.points) - first
        if not inside:
            return None
        before = self.highest[inside - 1] if leaf.direction == "drop" else -self.deepest[inside - 1]
        return far_enough(leaf, before, self.current)
