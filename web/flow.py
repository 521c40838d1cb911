"""A playbook as a picture: who enters, what is done in which order and on which way, and what ends it; nested boxes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import inf

from rules.wording import sentence
from schemas.condition import Condition
from schemas.form import format_duration
from schemas.graph import act_words, wait_words
from schemas.outcome_compiler import GUARD_SUFFIX
from schemas.plan import (
    Act,
    Branch,
    Choose,
    CompiledPlaybook,
    EventMatch,
    Reaction,
    Repeat,
    Split,
    Step,
    Steps,
    Stop,
    Together,
    Variant,
    Wait,
    WaitFor,
)
from store.reading_playbooks import StepFigures
from web.condition_words import tell_condition, tell_durations
from web.flow_boxes import ELSE, THEN, End, Flow, Line, Node, Way

# How long what a step grants lasts, at the end of what it says.
_LASTS = re.compile(r" for \d+[mhd]$")


def make_flow(
    playbook: CompiledPlaybook,
    lines: Mapping[str, int] | None = None,
    figures: Mapping[str, StepFigures] | None = None,
) -> Flow:
    """The picture of a playbook; `lines` has the line of each step's id in the file, `figures` what came of it."""
    return _Painter(playbook, lines or {}, figures or {}).paint()


class _Painter:
    def __init__(
        self, playbook: CompiledPlaybook, lines: Mapping[str, int], figures: Mapping[str, StepFigures]
    ) -> None:
        self._playbook, self._lines, self._figures = playbook, lines, figures

    def paint(self) -> Flow:
        playbook = self._playbook
        enter, goal = playbook.enter, playbook.goal
        last = f"expired, {_lasting(goal.within_seconds)} after entry" if goal else "completed"
        ends = []
        if goal:
            told = [*_conditions(goal.when), *_event(goal.event)]
            ends.append(End("success", f"goal {goal.name}", told, self._lines.get("goal")))
        for index, one in enumerate(playbook.exits):
            told = [*_conditions(one.when), *_event(one.event)]
            ends.append(End(one.outcome, "exit", told, self._lines.get(f"exit[{index}]")))
        return Flow(
            title=playbook.title,
            enter=_conditions(enter.when) if enter else [Line("started by hand, by the API or by `start`")],
            enter_line=self._lines.get("enter"),
            limits=_limits(playbook),
            nodes=self._nodes(playbook.steps),
            last=last,
            ends=ends,
        )

    def _nodes(self, steps: Steps) -> list[Node]:
        return [self._node(step) for step in steps]

    def _node(self, step: Step) -> Node:
        match step:
            case Act():
                return self._act(step)
            case Wait():
                after, ways = self._reactions(step.outcomes)
                written = wait_words(step.spec)
                told = [Line(tell_durations(written).replace("_", " "), written)]
                return self._make(step, "wait", "wait", told, ways, after)
            case WaitFor():
                what = _event(step.event) or _conditions(step.when)
                told = [*what, Line(f"at most {_lasting(step.for_seconds)}")]
                ways = [Way(THEN, self._nodes(step.then)), Way(ELSE, self._nodes(step.otherwise))]
                return self._make(step, "wait", "wait for", told, _meant(ways))
            case Branch():
                ways = [Way(THEN, self._nodes(step.then)), Way(ELSE, self._nodes(step.otherwise))]
                return self._make(step, "choice", "if", _conditions(step.when), _meant(ways))
            case Choose():
                ways = [Way(_line(case.when), self._nodes(case.steps)) for case in step.cases]
                return self._make(
                    step,
                    "choice",
                    "choose",
                    [Line("the first that is true")],
                    [*ways, Way(ELSE, self._nodes(step.otherwise))],
                )
            case Repeat():
                told = [Line(f"at most {step.at_most} rounds")]
                if step.until:
                    told.append(Line(f"until {tell_condition(step.until)}", sentence(step.until)))
                return self._make(
                    step, "repeat", "repeat", told, [Way(Line("each round"), self._nodes(step.steps))]
                )
            case Together():
                ways = [
                    Way(Line(f"branch {number}"), self._nodes(branch))
                    for number, branch in enumerate(step.branches, start=1)
                ]
                return self._make(step, "together", "together", [Line("goes on when all are done")], ways)
            case Split():
                total = sum(arm.weight for arm in step.variants.values()) or 1
                ways = [
                    Way(Line(f"{name}: {100 * arm.weight / total:.3g} %"), self._nodes(arm.steps))
                    for name, arm in self._in_order(step)
                ]
                return self._make(step, "experiment", "experiment", [Line(step.experiment)], ways)
            case Stop():
                return self._make(step, "stop", "stop", [Line(step.outcome.replace("_", " "))])

    def _in_order(self, step: Split) -> list[tuple[str, Variant]]:
        """The variants as the file has them, as far as their first steps tell: what is stored has lost their order."""

        def line_of(item: tuple[str, Variant]) -> float:
            found = self._line(item[1].steps[0].id) if item[1].steps else None
            return inf if found is None else found

        return sorted(step.variants.items(), key=line_of)

    def _act(self, step: Act) -> Node:
        after, ways = self._reactions(step.outcomes)
        kind = "work" if step.human else "message" if step.sends or step.word == "in_app" else "act"
        word, *told = act_words(step)
        lines = [Line(_LASTS.sub(lambda found: tell_durations(found[0]), one), one) for one in told]
        node = self._make(step, kind, word.replace("_", "-"), lines, ways, after)
        if step.guard is None:
            return node
        guard = step.id + GUARD_SUFFIX
        return Node(
            "choice", guard, "if", _conditions(step.guard), self._line(step.id),
            [Way(THEN, [node])], figures=self._figures.get(guard),
        )  # fmt: skip

    def _reactions(self, outcomes: Mapping[str, Reaction]) -> tuple[list[str], list[Way]]:
        """What follows outcomes, in words, where it isn't just the next step; and the ways of fallbacks."""
        after: dict[str, list[str]] = {}
        ways = []
        for name, reaction in outcomes.items():
            told = name.replace("_", " ")
            if reaction.do == "stop":
                after.setdefault("the run stops", []).append(told)
            elif reaction.do == "goto":
                after.setdefault(f"goes on at {reaction.goto}", []).append(told)
            elif reaction.do == "fallback":
                ways.append(Way(Line(f"if {told}"), self._nodes(reaction.steps)))
        return [f"{', '.join(names)}: {what}" for what, names in after.items()], ways

    def _make(
        self,
        step: Step,
        kind: str,
        word: str,
        lines: Sequence[Line],
        ways: Sequence[Way] = (),
        after: Sequence[str] = (),
    ) -> Node:
        return Node(
            kind, step.id, word, [line for line in lines if line.told], self._line(step.id), ways, after,
            self._figures.get(step.id),
        )  # fmt: skip

    def _line(self, step: str) -> int | None:
        return self._lines.get(step.removesuffix(GUARD_SUFFIX))


def _meant(ways: Sequence[Way]) -> list[Way]:
    """Ways that differ: where none has a step on it, there is nothing to choose from."""
    return list(ways) if any(way.nodes for way in ways) else []


def _line(condition: Condition) -> Line:
    told = tell_condition(condition)
    return Line(told[:1].upper() + told[1:], sentence(condition))


def _conditions(condition: Condition | None) -> list[Line]:
    if condition is None:
        return []
    items: Sequence[Condition] = condition.items if condition.kind == "all" else (condition,)
    return [_line(item) for item in items]


def _event(event: EventMatch | None) -> list[Line]:
    if event is None:
        return []
    told, source = f"“{event.name.replace('_', ' ')}” happens", f"event {event.name}"
    if event.where:
        told += f" where {tell_condition(event.where)}"
        source += f" where {sentence(event.where)}"
    return [Line(told, source)]


def _lasting(seconds: int) -> str:
    return tell_durations(format_duration(seconds))


def _limits(playbook: CompiledPlaybook) -> list[str]:
    enter = playbook.enter
    if enter is None:
        return []
    again: Callable[[], str] = {
        "after": lambda: f"again after {_lasting(enter.again.seconds)}",
        "never": lambda: "never again",
        "always": lambda: "again at any time",
        "times": lambda: f"at most {enter.again.times} times in {_lasting(enter.again.seconds)}",
    }[enter.again.kind]
    told = [again()]
    if enter.at_most_per_day is not None:
        told.append(f"at most {enter.at_most_per_day} a day")
    if enter.holdout_percent:
        told.append(f"{enter.holdout_percent:g}\N{NO-BREAK SPACE}% held out")
    if playbook.group:
        told.append(f"group {playbook.group}, priority {playbook.priority}")
    return told
