"""From the `steps` of a file to the steps of a plan."""

from __future__ import annotations

from typing import Any

from schemas.act_compiler import ActCompiler
from schemas.compilation import Compilation
from schemas.flow_compiler import FlowCompiler
from schemas.outcome_compiler import GUARD_SUFFIX, OutcomeCompiler
from schemas.plan import Branch, SendWindow, Step, Steps
from schemas.problem import join_words
from schemas.step_place import StepList, StepPlaces
from schemas.step_schema import FLOW_STEPS
from schemas.yaml_source import Path, format_path

# What a key of a step goes with, and which words those are.
_COMPANIONS = {
    "then": ("`if` or `wait_for`", ("if", "wait_for")),
    "else": ("`if`, `wait_for` or `choose`", ("if", "wait_for", "choose")),
    "variants": ("`experiment: NAME`", ("experiment",)),
}


class StepCompiler:
    """Compiles all steps of one playbook."""

    def __init__(self, compilation: Compilation, send: SendWindow | None, *, explicit_ids: bool) -> None:
        self.compilation = compilation
        self.report = compilation.report
        self.places = StepPlaces(self.report)
        guarded = frozenset(_guarded_ids(self.report.source.data))
        self.outcomes = OutcomeCompiler(compilation, self.places, self.compile_list, guarded)
        self.acts = ActCompiler(compilation, self.outcomes, send)
        self.flow = FlowCompiler(compilation, self.outcomes, self.compile_list)
        self._explicit_ids = explicit_ids

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
        step = self.flow.compile(word, step_id, data, path, at)
        if step is None or guard is None:
            return step
        return Branch(id=step_id + GUARD_SUFFIX, when=guard, then=(step,))

    def _find_word(self, data: dict[str, Any], path: Path) -> str | None:
        """What the step does; a step does one thing."""
        words = [key for key in data if key in self.compilation.language.step_types or key in FLOW_STEPS]
        if len(words) > 1:
            what = f"A step does one thing, and this does {join_words(words, 'and')}."
            self.report.error((*path, words[1]), "PB108", what, "Begin a new step with `- `.", key=True)
            return None
        if words:
            return words[0]
        if "if" in data:
            return "if"
        if not self.report.has_fault_within(path):
            usable = ", ".join(sorted([*self.compilation.language.step_types, *FLOW_STEPS, "if"]))
            self.report.error(path, "PB108", "This step doesn't say what it does.", f"Write one of {usable}.")
        return None

    def _check_companions(self, word: str, data: dict[str, Any], path: Path) -> None:
        """Refuse keys that go with another kind of step."""
        for key, (partner, words) in _COMPANIONS.items():
            if key in data and word not in words:
                hint = f"It goes with {partner}."
                if "if" in data and key != "variants":
                    hint = f"Put `{word}` into a list under `{key}:`."
                self.report.error((*path, key), "PB109", f"`{key}` doesn't go with `{word}`.", hint, key=True)
        if word in self.compilation.language.step_types:
            return
        for key in ("send", "critical", "topic"):
            if key in data:
                hint = "It goes with a message."
                self.report.error((*path, key), "PB109", f"`{key}` doesn't go with `{word}`.", hint, key=True)
        if word != "wait":
            self.outcomes.refuse(data, path, word)


def _guarded_ids(data: Any) -> list[str]:
    """The chosen ids of steps that end up inside a Branch because of their own `if`."""
    found: list[str] = []
    rest = [data]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            if isinstance(item.get("id"), str) and "if" in item and any(word in item for word in FLOW_STEPS):
                found.append(item["id"])
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)
    return found
