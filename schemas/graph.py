"""A playbook as a picture: Mermaid, which GitHub, GitLab and most editors draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.condition import Condition
from schemas.form import WEEKDAYS, format_duration
from schemas.plan import (
    Act,
    BeforeDate,
    Branch,
    CalendarDays,
    Choose,
    CompiledPlaybook,
    Elapsed,
    EventMatch,
    Reaction,
    Repeat,
    Split,
    Step,
    Steps,
    Stop,
    Together,
    UntilWeekday,
    Wait,
    WaitFor,
    WaitSpec,
)

LABEL_LENGTH = 90
# Which argument says best what a step does; the first that it has.
MAIN_ARGUMENTS = ("template", "title", "subject", "feature", "playbook", "url", "text", "content_sid")

Describe = Callable[[Condition], str]
# A node whose next one isn't known yet, and what its arrow will say.
Loose = list[tuple[str, str]]


def draw_graph(playbook: CompiledPlaybook, describe: Describe) -> str:
    """The playbook as a Mermaid flowchart, ending with a newline.

    describe: puts a condition into words, as `rules.wording.sentence` does. Ids are ours and labels quoted and
    escaped, so that whatever a playbook says is a label and nothing else.
    """
    return _Graph(playbook, describe).draw()


class _Graph:
    def __init__(self, playbook: CompiledPlaybook, describe: Describe) -> None:
        self._playbook = playbook
        self._describe = describe
        self._lines: list[str] = []
        self._nodes: dict[str, str] = {}
        self._count = 0

    def draw(self) -> str:
        playbook = self._playbook
        enter = playbook.enter
        lines = [playbook.title]
        lines += self._lines_of(enter.when) if enter else ["started by hand, by the API or by start"]
        self._add("enter", '(["{}"])', *lines)
        loose = self._steps(playbook.steps, [("enter", "")])
        if loose:
            last = "completed"
            if playbook.goal:
                last = f"expired, {format_duration(playbook.goal.within_seconds)} after entry"
            self._join(loose, self._end(last))
        self._always()
        return "\n".join(["flowchart TD", *(f"  {line}" for line in self._lines)]) + "\n"

    def _always(self) -> None:
        """Goal and exits, which end a run wherever it is."""
        goal, exits = self._playbook.goal, self._playbook.exits
        if not goal and not exits:
            return
        self._lines.append('subgraph always ["at any time"]')
        if goal:
            what = [*(self._lines_of(goal.when) if goal.when else ()), *self._event(goal.event)]
            self._add("goal", '(["{}"])', f"goal {goal.name}: success", *what)
        for number, item in enumerate(exits, start=1):
            what = [*(self._lines_of(item.when) if item.when else ()), *self._event(item.event)]
            self._add(f"exit{number}", '(["{}"])', f"exit: {item.outcome}", *what)
        self._lines.append("end")

    def _steps(self, steps: Steps, loose: Loose) -> Loose:
        for step in steps:
            loose = self._step(step, loose)
        return loose

    def _step(self, step: Step, loose: Loose) -> Loose:
        match step:
            case Act():
                return self._act(step, loose)
            case Wait():
                node = self._node(step, '{{{{"{}"}}}}', f"wait {wait_words(step.spec)}")
                self._join(loose, node)
                return self._react(node, step.outcomes, always=True)
            case WaitFor():
                what = self._event(step.event) or (self._lines_of(step.when) if step.when else [])
                node = self._node(
                    step, '{{{{"{}"}}}}', "wait for", *what, f"at most {format_duration(step.for_seconds)}"
                )
                self._join(loose, node)
                return self._steps(step.then, [(node, "then")]) + self._steps(
                    step.otherwise, [(node, "else")]
                )
            case Branch():
                node = self._node(step, '{{"{}"}}', "if", *self._lines_of(step.when))
                self._join(loose, node)
                return self._steps(step.then, [(node, "then")]) + self._steps(
                    step.otherwise, [(node, "else")]
                )
            case Choose():
                return self._choose(step, loose)
            case Repeat():
                return self._repeat(step, loose)
            case Together():
                return self._together(step, loose)
            case Split():
                return self._split(step, loose)
            case Stop():
                node = self._node(step, '(["{}"])', f"stop: {step.outcome}")
                self._join(loose, node)
        return []

    def _act(self, step: Act, loose: Loose) -> Loose:
        skipped: Loose = []
        if step.guard:
            # Under the step's own key: a `goto` to the step asks its `if` first.
            asked = self._node(step, '{{"{}"}}', "if", *self._lines_of(step.guard))
            self._join(loose, asked)
            loose, skipped = [(asked, "then")], [(asked, "else")]
        shape = '[["{}"]]' if step.human else '["{}"]'
        node = self._add(self._place(None if step.guard else step.id), shape, *act_words(step))
        self._join(loose, node)
        return self._react(node, step.outcomes) + skipped

    def _react(self, node: str, outcomes: Mapping[str, Reaction], *, always: bool = False) -> Loose:
        """The arrows of a step's outcomes; what just goes on, and what is held, shares one without words."""
        loose: Loose = []
        if always or any(reaction.do in ("next", "hold") for reaction in outcomes.values()):
            loose.append((node, ""))
        grouped: dict[tuple[str, str | None], list[str]] = {}
        for name, reaction in outcomes.items():
            if reaction.do in ("stop", "goto"):
                grouped.setdefault((reaction.do, reaction.goto), []).append(name)
            elif reaction.do == "fallback":
                loose += self._steps(reaction.steps, [(node, name)])
        for (_, target), names in grouped.items():
            # A `goto` leads forwards: its step is drawn later, under the place kept for it here.
            self._join([(node, ", ".join(names))], self._place(target) if target else self._end("stopped"))
        return loose

    def _choose(self, step: Choose, loose: Loose) -> Loose:
        node = self._node(step, '{{"{}"}}', "choose")
        self._join(loose, node)
        after: Loose = []
        for case in step.cases:
            after += self._steps(case.steps, [(node, self._describe(case.when))])
        return after + self._steps(step.otherwise, [(node, "else")])

    def _repeat(self, step: Repeat, loose: Loose) -> Loose:
        until = [f"until {self._describe(step.until)}"] if step.until else []
        node = self._node(step, '{{"{}"}}', f"repeat, at most {step.at_most} rounds", *until)
        self._join(loose, node)
        self._join(self._steps(step.steps, [(node, "round")]), node)
        return [(node, "done")]

    def _together(self, step: Together, loose: Loose) -> Loose:
        node = self._node(step, '[/"{}"\\]', "together")
        self._join(loose, node)
        ends: Loose = []
        for number, branch in enumerate(step.branches, start=1):
            ends += self._steps(branch, [(node, str(number))])
        if not ends:
            return []
        joined = self._add(self._place(None), '[\\"{}"/]', "when all are done")
        self._join(ends, joined)
        return [(joined, "")]

    def _split(self, step: Split, loose: Loose) -> Loose:
        node = self._node(step, '{{"{}"}}', f"experiment {step.experiment}")
        self._join(loose, node)
        total = sum(arm.weight for arm in step.variants.values()) or 1
        after: Loose = []
        for name, arm in step.variants.items():
            after += self._steps(arm.steps, [(node, f"{name}: {100 * arm.weight / total:.3g} %")])
        return after

    def _event(self, event: EventMatch | None) -> list[str]:
        if event is None:
            return []
        return [f"event {event.name}" + (f" where {self._describe(event.where)}" if event.where else "")]

    def _lines_of(self, condition: Condition) -> list[str]:
        items: Sequence[Condition] = condition.items if condition.kind == "all" else (condition,)
        return [self._describe(item) for item in items]

    def _end(self, what: str) -> str:
        return self._nodes.get(f"end {what}") or self._add(self._place(f"end {what}"), '(["{}"])', what)

    def _node(self, step: Step, shape: str, *lines: str) -> str:
        return self._add(self._place(step.id), shape, *lines)

    def _place(self, key: str | None) -> str:
        """The node of a step's id (or another key), the same each time; a new one for None."""
        if key is not None and key in self._nodes:
            return self._nodes[key]
        self._count += 1
        node = f"s{self._count}"
        if key is not None:
            self._nodes[key] = node
        return node

    def _add(self, node: str, shape: str, *lines: str) -> str:
        self._lines.append(node + shape.format("<br/>".join(_escape(line) for line in lines if line)))
        return node

    def _join(self, loose: Loose, node: str) -> None:
        for origin, label in loose:
            words = f'|"{_escape(label)}"|' if label else ""
            self._lines.append(f"{origin} -->{words} {node}")


def act_words(step: Act) -> list[str]:
    """What a step does, in two lines: its word, and the argument that says most."""
    args = {name: _plain(value) for name, value in step.args.items()}
    main = next((args[name] for name in MAIN_ARGUMENTS if name in args), None)
    if main is None:
        main = ", ".join(f"{name}: {value}" for name, value in args.items())
    lasts = step.args.get("for_seconds")
    return [step.word, f"{main} for {format_duration(lasts)}" if isinstance(lasts, int) else main]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        text = value.get("text")
        return text if isinstance(text, str) else ", ".join(f"{key}: {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def wait_words(spec: WaitSpec) -> str:
    """How long, or until when, as people write it."""
    at = getattr(spec, "at_minute", None)
    clock = "" if at is None else f" at {at // 60:02}:{at % 60:02}"
    match spec:
        case Elapsed():
            return format_duration(spec.seconds)
        case CalendarDays():
            kind = "business day" if spec.business else "day"
            return f"{spec.days} {kind}{'' if spec.days == 1 else 's'}{clock}"
        case UntilWeekday():
            return f"until {WEEKDAYS[spec.weekday - 1]}{clock}"
        case BeforeDate():
            lead = f"{format_duration(spec.seconds)} before" if spec.seconds else "until"
            return f"{lead} {spec.signal}{clock}"


# What ends a quoted label, or means something inside one: HTML, comments, Markdown and entities.
_ENTITIES = str.maketrans({char: f"#{ord(char)};" for char in '#"<>&%`\\'})


def _escape(text: str) -> str:
    """`text` as a part of a quoted Mermaid label: one line, bounded, without anything that has a meaning."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(line) > LABEL_LENGTH:
        line = line[: LABEL_LENGTH - 1].rstrip() + "…"
    return line.translate(_ENTITIES)
