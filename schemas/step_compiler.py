"""From the `steps` of a file to the steps of a plan."""

from __future__ import annotations

from typing import Any, cast

from schemas.act_compiler import ActCompiler
from schemas.compilation import DURATION, Compilation, mapping_at
from schemas.outcome_compiler import GUARD_SUFFIX, OutcomeCompiler
from schemas.plan import (
    BeforeDate,
    Branch,
    Outcome,
    SendWindow,
    Split,
    Step,
    Steps,
    Stop,
    Variant,
    Wait,
    WaitFor,
)
from schemas.problem import join_words
from schemas.step_place import StepList, StepPlaces
from schemas.step_schema import STOP_OUTCOMES
from schemas.wait_compiler import compile_wait
from schemas.yaml_source import Path, format_path

FLOW_WORDS = ("wait", "wait_for", "experiment", "stop")


class StepCompiler:
    """Compiles all steps of one playbook."""

    def __init__(self, compilation: Compilation, send: SendWindow | None, *, explicit_ids: bool) -> None:
        self.compilation = compilation
        self.report = compilation.report
        self.places = StepPlaces(self.report)
        guarded = frozenset(_guarded_ids(self.report.source.data))
        self.outcomes = OutcomeCompiler(compilation, self.places, self.compile_list, guarded)
        self.acts = ActCompiler(compilation, self.outcomes, send)
        self._explicit_ids = explicit_ids
        self._experiments: dict[str, tuple[Path, Any]] = {}

    def compile(self, data: Any) -> Steps:
        """The playbook's steps; what concerns several of them is checked at the end."""
        steps = self.compile_list(data, ("steps",), StepList())
        self.places.check_jumps()
        self.acts.check_texts(self.places.written)
        return steps

    def compile_list(self, data: Any, path: Path, into: StepList) -> Steps:
        """One list of steps; `into` gathers their ids."""
        if not isinstance(data, list):
            return ()
        steps = [self._step(item, (*path, index), into, index) for index, item in enumerate(data)]
        return tuple(step for step in steps if step is not None)

    def _step(self, data: Any, path: Path, into: StepList, index: int) -> Step | None:
        given = data.get("id") if isinstance(data, dict) else None
        step_id = given if isinstance(given, str) else format_path(path)
        into.ids.append(step_id)
        if not isinstance(data, dict):
            return None
        self.places.add(step_id, path, chosen=isinstance(given, str))
        if given is None and self._explicit_ids:
            what = "With `on_change: migrate` every step needs an `id`, and this has none."
            self.report.error((*path, "id"), "PB236", what, "Give it one that stays, such as id: first-mail.")
        word = self._find_word(data, path)
        if word is None:
            return None
        guard = self.compilation.condition(data, "if", path) if "if" in data and word != "if" else None
        self._check_companions(word, data, path)
        at = (into, index)
        if word in self.compilation.language.step_types:
            return self.acts.compile(word, step_id, data, path, at, guard)
        step = self._flow(word, step_id, data, path, at)
        if step is None or guard is None:
            return step
        return Branch(id=step_id + GUARD_SUFFIX, when=guard, then=(step,))

    def _find_word(self, data: dict[str, Any], path: Path) -> str | None:
        """What the step does; a step does one thing."""
        words = [key for key in data if key in self.compilation.language.step_types or key in FLOW_WORDS]
        if len(words) > 1:
            what = f"A step does one thing, and this does {join_words(words, 'and')}."
            self.report.error((*path, words[1]), "PB108", what, "Begin a new step with `- `.", key=True)
            return None
        if words:
            return words[0]
        if "if" in data:
            return "if"
        if not self.report.has_fault_within(path):
            usable = ", ".join(sorted([*self.compilation.language.step_types, *FLOW_WORDS, "if"]))
            self.report.error(path, "PB108", "This step doesn't say what it does.", f"Write one of {usable}.")
        return None

    def _check_companions(self, word: str, data: dict[str, Any], path: Path) -> None:
        """Refuse keys that go with another kind of step."""
        for key in ("then", "else"):
            if key in data and word not in ("if", "wait_for"):
                hint = (
                    f"Put `{word}` into a list under `{key}:`."
                    if "if" in data
                    else "It goes with `if` or `wait_for`."
                )
                self.report.error((*path, key), "PB109", f"`{key}` doesn't go with `{word}`.", hint, key=True)
        if "variants" in data and word != "experiment":
            hint = "It goes with `experiment: NAME`."
            self.report.error(
                (*path, "variants"), "PB109", f"`variants` doesn't go with `{word}`.", hint, key=True
            )
        if word in self.compilation.language.step_types:
            return
        for key in ("send", "critical", "topic"):
            if key in data:
                hint = "It goes with a message."
                self.report.error((*path, key), "PB109", f"`{key}` doesn't go with `{word}`.", hint, key=True)
        if word != "wait":
            self.outcomes.refuse(data, path, word)

    def _flow(
        self, word: str, step_id: str, data: dict[str, Any], path: Path, at: tuple[StepList, int]
    ) -> Step | None:
        match word:
            case "wait":
                spec = compile_wait(data["wait"], (*path, "wait"), self.compilation)
                dated = isinstance(spec, BeforeDate)
                reactions = self.outcomes.for_wait(data, path, at, dated=dated) if spec else {}
                return Wait(id=step_id, spec=spec, outcomes=reactions) if spec else None
            case "wait_for":
                return self._wait_for(step_id, data, path, at)
            case "if":
                return self._branch(step_id, data, path, at)
            case "experiment":
                return self._split(step_id, data, path, at)
        outcome = data["stop"]
        return Stop(id=step_id, outcome=cast("Outcome", outcome)) if outcome in STOP_OUTCOMES else None

    def _wait_for(
        self, step_id: str, data: dict[str, Any], path: Path, at: tuple[StepList, int]
    ) -> Step | None:
        value, where = mapping_at(data, "wait_for"), (*path, "wait_for")
        event = when = seconds = None
        if value is not None:
            if ("event" in value) == ("when" in value) and not self.report.has_fault_within(where):
                both = "event" in value
                what = (
                    "`wait_for` has either `event` or `when`, not both."
                    if both
                    else "`wait_for` awaits nothing."
                )
                hint = (
                    "Put the event under `when:` too, as a line `event:`."
                    if both
                    else "Write `event:` or `when:`."
                )
                self.report.error(where, "PB230", what, hint, key=True)
            if "event" in value:
                event = self.compilation.conditions.parse_event(value["event"], (*where, "event"))
            when = self.compilation.condition(value, "when", where)
            seconds = self.compilation.form(DURATION, value, "for", where)
        then, otherwise = self._both_ways(data, path, at)
        if seconds is None:
            return None
        return WaitFor(
            id=step_id, event=event, when=when, for_seconds=seconds, then=then, otherwise=otherwise
        )

    def _branch(
        self, step_id: str, data: dict[str, Any], path: Path, at: tuple[StepList, int]
    ) -> Step | None:
        when = self.compilation.condition(data, "if", path)
        if "then" not in data and "else" not in data and not self.report.has_fault_within(path):
            hint = "Write `then:` and below it the steps, or put what is to be done beside `if:`."
            self.report.error((*path, "if"), "PB108", "This `if` decides nothing.", hint, key=True)
        then, otherwise = self._both_ways(data, path, at)
        return Branch(id=step_id, when=when, then=then, otherwise=otherwise) if when else None

    def _both_ways(self, data: dict[str, Any], path: Path, at: tuple[StepList, int]) -> tuple[Steps, Steps]:
        then = self.compile_list(data.get("then"), (*path, "then"), StepList(around=at))
        return then, self.compile_list(data.get("else"), (*path, "else"), StepList(around=at))

    def _split(self, step_id: str, data: dict[str, Any], path: Path, at: tuple[StepList, int]) -> Step | None:
        name, given = data["experiment"], mapping_at(data, "variants")
        where: Path = (*path, "variants")
        if "variants" not in data:
            hint = "Write `variants:` and below it {weight: 50, steps: […]} for each."
            self.report.error(
                (*path, "experiment"), "PB103", "The experiment needs `variants`.", hint, key=True
            )
        variants: dict[str, Variant] = {}
        for label, arm in (given or {}).items():
            if not isinstance(arm, dict):
                continue
            steps = self.compile_list(arm.get("steps"), (*where, label, "steps"), StepList(around=at))
            variants[label] = Variant(weight=self.compilation.whole(arm, "weight", 0), steps=steps)
        if (
            variants
            and not any(arm.weight for arm in variants.values())
            and not self.report.has_fault_within(where)
        ):
            self.report.error(
                where, "PB225", "All weights are 0, so that nobody gets any.", "Raise one.", key=True
            )
        if not isinstance(name, str) or not variants:
            return None
        shares = {label: arm.weight for label, arm in variants.items()}
        first, before = self._experiments.setdefault(name, (path, shares))
        if before != shares:
            line = self.report.source.place((*first, "experiment"))[0]
            what = f"The experiment `{name}` has other variants on line {line}."
            hint = "Use the same variants and weights, or another name."
            self.report.error((*path, "experiment"), "PB234", what, hint)
        return Split(id=step_id, experiment=name, variants=variants)


def _guarded_ids(data: Any) -> list[str]:
    """The chosen ids of steps that end up inside a Branch because of their own `if`."""
    found: list[str] = []
    rest = [data]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            if isinstance(item.get("id"), str) and "if" in item and any(word in item for word in FLOW_WORDS):
                found.append(item["id"])
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)
    return found
