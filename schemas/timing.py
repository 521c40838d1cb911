"""Warnings about steps that come too late to serve the goal, never, or several times at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

from schemas.form import format_duration
from schemas.nesting import walk
from schemas.outcome_compiler import GUARD_SUFFIX
from schemas.plan import (
    Act,
    Branch,
    Choose,
    Goal,
    Reaction,
    Repeat,
    Split,
    Step,
    Steps,
    Stop,
    Together,
    Wait,
    WaitFor,
)
from schemas.problem import Report
from schemas.wait_compiler import earliest_seconds
from schemas.yaml_source import Path

_NEVER = math.inf


class StepTiming:
    """Walks the compiled steps with the least time that can have gone by since entry."""

    def __init__(self, report: Report, goal: Goal | None, paths: dict[str, Path]) -> None:
        self._report = report
        self._window = goal.within_seconds if goal else None
        self._paths = paths
        self._arrivals: dict[str, float] = {}
        self._warned = False

    def check(self, steps: Steps) -> None:
        """Warn of the first step after the goal's window, of steps never reached, of rounds without a wait."""
        self._walk(steps, 0)

    def _walk(self, steps: Steps, at: float) -> float:
        ended = False
        for step in steps:
            at = min(at, self._arrivals.get(step.id, _NEVER))
            if at == _NEVER and not ended:
                ended = True
                self._warn_unreachable(step)
            elif at != _NEVER:
                ended = False
                self._warn_late(step, at)
                at = self._pass(step, at)
        return at

    def _pass(self, step: Step, at: float) -> float:
        match step:
            case Wait():
                self._note_jumps(step.outcomes, at)
                return at + earliest_seconds(step.spec)
            case WaitFor():
                return min(self._walk(step.then, at), self._walk(step.otherwise, at + step.for_seconds))
            case Branch():
                return min(self._walk(step.then, at), self._walk(step.otherwise, at))
            case Split():
                return min(self._walk(arm.steps, at) for arm in step.variants.values())
            case Choose():
                ways = [self._walk(case.steps, at) for case in step.cases]
                return min(*ways, self._walk(step.otherwise, at))
            case Repeat():
                return self._repeat(step, at)
            case Together():
                return max(self._walk(branch, at) for branch in step.branches)
            case Stop():
                return _NEVER
            case Act():
                return self._react(step, at)
        return at

    def _repeat(self, step: Repeat, at: float) -> float:
        """Steps are looked at in the first round; with `until` that may be the only one."""
        path = self._path(step)
        if (
            step.at_most > 1
            and path is not None
            and not any(_takes_time(inside) for inside in walk(step.steps))
        ):
            what = "Nothing in this round takes time, so that all rounds come at once."
            hint = "Put a `wait` among its steps."
            self._report.warn((*path, "repeat"), "PB243", what, hint, key=True)
        after = self._walk(step.steps, at)
        return after if step.until or after == _NEVER else at + (after - at) * step.at_most

    def _react(self, step: Act, at: float) -> float:
        self._note_jumps(step.outcomes, at)
        after = _NEVER
        for reaction in step.outcomes.values():
            if reaction.do == "fallback":
                after = min(after, self._walk(reaction.steps, at))
            elif reaction.do in ("next", "hold"):
                after = at
        return after

    def _note_jumps(self, outcomes: Mapping[str, Reaction], at: float) -> None:
        for reaction in outcomes.values():
            if reaction.do == "goto" and reaction.goto:
                self._arrivals[reaction.goto] = min(at, self._arrivals.get(reaction.goto, _NEVER))

    def _warn_late(self, step: Step, at: float) -> None:
        if self._window is None or at <= self._window or self._warned:
            return
        self._warned = True
        path = self._path(step)
        if path is not None:
            earliest, window = format_duration(int(at)), format_duration(self._window)
            what = f"This step comes {earliest} after entry at the earliest; the goal's window is {window}."
            hint = "It runs all the same; lengthen `within`, or move it forwards."
            self._report.warn(path, "PB231", what, hint)

    def _warn_unreachable(self, step: Step) -> None:
        path = self._path(step)
        if path is not None:
            what = "This step is never reached: every way before it ends the run or leads elsewhere."
            self._report.warn(path, "PB232", what, "Move it, or delete it.")

    def _path(self, step: Step) -> Path | None:
        return self._paths.get(step.id.removesuffix(GUARD_SUFFIX))


def _takes_time(step: Step) -> bool:
    return isinstance(step, (Wait, WaitFor)) or (isinstance(step, Act) and step.human)
