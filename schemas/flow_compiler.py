"""The language's own steps but `wait`: branches, choices, rounds, branches at the same time, experiments."""

from __future__ import annotations

from typing import Any, cast

from schemas.compilation import DURATION, Compilation, listed, mapping_at
from schemas.flow_schema import MOST_ROUNDS, STOP_OUTCOMES
from schemas.outcome_compiler import CompileSteps, OutcomeCompiler
from schemas.plan import (
    BeforeDate,
    Branch,
    Case,
    Choose,
    Outcome,
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
from schemas.step_place import StepList
from schemas.wait_compiler import compile_wait
from schemas.yaml_source import Path

Position = tuple[StepList, int]


class FlowCompiler:
    """Compiles steps that have other steps inside, and those that only wait or end; `compile_steps` compiles a list."""

    def __init__(
        self, compilation: Compilation, outcomes: OutcomeCompiler, compile_steps: CompileSteps
    ) -> None:
        self.compilation = compilation
        self.report = compilation.report
        self.outcomes = outcomes
        self.compile_steps = compile_steps
        self._experiments: dict[str, tuple[Path, Any]] = {}

    def compile(self, word: str, step_id: str, data: dict[str, Any], path: Path, at: Position) -> Step | None:
        """One step whose word is the language's own; None where it can't be read."""
        match word:
            case "wait":
                return self._wait(step_id, data, path, at)
            case "wait_for":
                return self._wait_for(step_id, data, path, at)
            case "if":
                return self._branch(step_id, data, path, at)
            case "choose":
                return self._choose(step_id, data, path, at)
            case "repeat":
                return self._repeat(step_id, data, path, at)
            case "together":
                return self._together(step_id, data, path, at)
            case "experiment":
                return self._split(step_id, data, path, at)
        outcome = data["stop"]
        return Stop(id=step_id, outcome=cast("Outcome", outcome)) if outcome in STOP_OUTCOMES else None

    def _wait(self, step_id: str, data: dict[str, Any], path: Path, at: Position) -> Step | None:
        spec = compile_wait(data["wait"], (*path, "wait"), self.compilation)
        reactions = self.outcomes.for_wait(data, path, at, dated=isinstance(spec, BeforeDate)) if spec else {}
        return Wait(id=step_id, spec=spec, outcomes=reactions) if spec else None

    def _wait_for(self, step_id: str, data: dict[str, Any], path: Path, at: Position) -> Step | None:
        value, where = mapping_at(data, "wait_for"), (*path, "wait_for")
        event = when = seconds = None
        if value is not None:
            if ("event" in value) == ("when" in value) and not self.report.has_fault_within(where):
                what, hint = "`wait_for` awaits nothing.", "Write `event:` or `when:`."
                if "event" in value:
                    what = "`wait_for` has either `event` or `when`, not both."
                    hint = "Put the event under `when:` too, as a line `event:`."
                self.report.error(where, "PB230", what, hint, key=True)
            if "event" in value:
                event = self.compilation.conditions.parse_event(value["event"], (*where, "event"))
            when = self.compilation.condition(value, "when", where)
            seconds = self.compilation.form(DURATION, value, "for", where)
        then, otherwise = self._inside(data, "then", path, at), self._inside(data, "else", path, at)
        if seconds is None:
            return None
        return WaitFor(
            id=step_id, event=event, when=when, for_seconds=seconds, then=then, otherwise=otherwise
        )

    def _branch(self, step_id: str, data: dict[str, Any], path: Path, at: Position) -> Step | None:
        when = self.compilation.condition(data, "if", path)
        if "then" not in data and "else" not in data and not self.report.has_fault_within(path):
            hint = "Write `then:` and below it the steps, or put what is to be done beside `if:`."
            self.report.error((*path, "if"), "PB108", "This `if` decides nothing.", hint, key=True)
        then, otherwise = self._inside(data, "then", path, at), self._inside(data, "else", path, at)
        return Branch(id=step_id, when=when, then=then, otherwise=otherwise) if when else None

    def _choose(self, step_id: str, data: dict[str, Any], path: Path, at: Position) -> Step | None:
        cases: list[Case] = []
        for index, item in enumerate(listed(data, "choose")):
            if not isinstance(item, dict):
                continue
            where: Path = (*path, "choose", index)
            when = self.compilation.condition(item, "when", where)
            steps = self._inside(item, "steps", where, at)
            if when:
                cases.append(Case(when=when, steps=steps))
        otherwise = self._inside(data, "else", path, at)
        return Choose(id=step_id, cases=tuple(cases), otherwise=otherwise) if cases else None

    def _repeat(self, step_id: str, data: dict[str, Any], path: Path, at: Position) -> Step | None:
        value, where = mapping_at(data, "repeat"), (*path, "repeat")
        if value is None:
            return None
        until = self.compilation.condition(value, "until", where)
        steps = self._inside(value, "steps", where, at)
        rounds = self.compilation.whole(value, "at_most", 0)
        if not 1 <= rounds <= MOST_ROUNDS:
            return None
        return Repeat(id=step_id, at_most=rounds, until=until, steps=steps)

    def _together(self, step_id: str, data: dict[str, Any], path: Path, at: Position) -> Step | None:
        branches = [
            self._inside(item, "steps", (*path, "together", index), at, sealed=True)
            for index, item in enumerate(listed(data, "together"))
            if isinstance(item, dict)
        ]
        return Together(id=step_id, branches=tuple(branches)) if branches else None

    def _split(self, step_id: str, data: dict[str, Any], path: Path, at: Position) -> Step | None:
        name, given = data["experiment"], mapping_at(data, "variants")
        where: Path = (*path, "variants")
        if "variants" not in data:
            hint = "Write `variants:` and below it {weight: 50, steps: […]} for each."
            self.report.error(
                (*path, "experiment"), "PB103", "The experiment needs `variants`.", hint, key=True
            )
        variants: dict[str, Variant] = {}
        for label, arm in (given or {}).items():
            if isinstance(arm, dict):
                steps = self._inside(arm, "steps", (*where, label), at)
                variants[label] = Variant(weight=self.compilation.whole(arm, "weight", 0), steps=steps)
        weighed = any(arm.weight for arm in variants.values())
        if variants and not weighed and not self.report.has_fault_within(where):
            what = "All weights are 0, so that nobody gets any."
            self.report.error(where, "PB225", what, "Raise one.", key=True)
        if not isinstance(name, str) or not variants:
            return None
        self._compare_shares(name, {label: arm.weight for label, arm in variants.items()}, path)
        return Split(id=step_id, experiment=name, variants=variants)

    def _compare_shares(self, name: str, shares: dict[str, int], path: Path) -> None:
        """A customer's variant is found by name and weights, wherever an experiment is used."""
        first, before = self._experiments.setdefault(name, (path, shares))
        if before != shares:
            line = self.report.source.place((*first, "experiment"))[0]
            what = f"The experiment `{name}` has other variants on line {line}."
            hint = "Use the same variants and weights, or another name."
            self.report.error((*path, "experiment"), "PB234", what, hint)

    def _inside(
        self, data: dict[str, Any], key: str, path: Path, at: Position, *, sealed: bool = False
    ) -> Steps:
        return self.compile_steps(data.get(key), (*path, key), StepList(around=at, sealed=sealed))
