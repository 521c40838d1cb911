"""What follows each outcome of a step: what the file says, over what the language says."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from schemas.compilation import DURATION, Compilation
from schemas.form import DAY
from schemas.message_part import HELD_OUTCOMES
from schemas.plan import Reaction, Step
from schemas.problem import did_you_mean, join_words, nearest
from schemas.step_place import StepList, StepPlaces
from schemas.step_type import StepType
from schemas.yaml_source import Path

HOLD_SECONDS = 2 * DAY
NO_DATE = "no_date"
# A guarded step that isn't an Act stands inside a Branch; this makes the Branch's id of the step's.
GUARD_SUFFIX = ".if"

# Where what follows a step without outcomes stands.
_FOLLOWS = {
    **dict.fromkeys(("if", "wait_for"), "What follows stands under `then` and `else`."),
    "choose": "What follows stands under each way's `steps`, and under `else`.",
    "experiment": "What follows stands under each variant's `steps`.",
    **dict.fromkeys(("repeat", "together"), "Its steps have outcomes of their own."),
}

CompileSteps = Callable[[Any, Path, StepList], tuple[Step, ...]]


class OutcomeCompiler:
    """Compiles the `outcomes` of steps; `compile_steps` is for the steps of a fallback."""

    def __init__(
        self,
        compilation: Compilation,
        places: StepPlaces,
        compile_steps: CompileSteps,
        guarded: Collection[str],
    ) -> None:
        self.compilation = compilation
        self.report = compilation.report
        self.places = places
        self.compile_steps = compile_steps
        # Steps inside a Branch of their own: a `goto` leads to the Branch, so that their `if` is asked.
        self.guarded = guarded

    def for_type(
        self, step_type: StepType, data: dict[str, Any], path: Path, at: tuple[StepList, int]
    ) -> dict[str, Reaction]:
        """All outcomes of a step type with what follows."""
        reactions = {name: Reaction(do="next") for name in step_type.outcomes}
        hold = Reaction(do="hold", hold_seconds=HOLD_SECONDS)
        reactions |= {name: hold for name in HELD_OUTCOMES if name in reactions}
        if step_type.human and "declined" in reactions:
            reactions["declined"] = Reaction(do="stop")
        own = self._read(data, path, at)
        for name in own:
            self._check_name(step_type, name, (*path, "outcomes", name))
        for name, reaction in own.items():
            if reaction.do == "hold" and name not in HELD_OUTCOMES:
                what = f"`{name}` can't be held: only {join_words(HELD_OUTCOMES, 'and')} pass by themselves."
                self.report.error(
                    (*path, "outcomes", name), "PB227", what, "Write next, stop, goto or fallback."
                )
        return reactions | own

    def for_wait(
        self, data: dict[str, Any], path: Path, at: tuple[StepList, int], *, dated: bool
    ) -> dict[str, Reaction]:
        """What follows a wait whose date is missing."""
        own = self._read(data, path, at)
        for name in own:
            where = (*path, "outcomes", name)
            if not dated or name != NO_DATE:
                what = f"This wait never ends with `{name}`."
                hint = (
                    "Only {before: …} can fail, with `no_date`."
                    if not dated
                    else "Its one outcome is `no_date`."
                )
                self.report.error(where, "PB226", what, hint, key=True)
            elif own[name].do == "hold":
                self.report.error(
                    where, "PB227", "A missing date can't be held.", "Write next, stop, goto or fallback."
                )
        return {NO_DATE: Reaction(do="stop"), **own} if dated else {}

    def refuse(self, data: dict[str, Any], path: Path, word: str) -> None:
        """Report outcomes of a step that has none."""
        if "outcomes" in data:
            hint = _FOLLOWS.get(word, "Leave it out.")
            self.report.error((*path, "outcomes"), "PB226", f"`{word}` has no outcomes.", hint, key=True)

    def _check_name(self, step_type: StepType, name: str, path: Path) -> None:
        if name in step_type.outcomes:
            return
        hint = did_you_mean(name, step_type.outcomes)
        if not step_type.human:
            self.report.error(path, "PB226", f"`{step_type.word}` never ends with `{name}`.", hint, key=True)
        elif nearest(name, step_type.outcomes):
            # People may use words of their own.
            self.report.warn(path, "PB226", f"`{name}` is not among the usual outcomes.", hint, key=True)

    def _read(self, data: dict[str, Any], path: Path, at: tuple[StepList, int]) -> dict[str, Reaction]:
        given = data.get("outcomes")
        found: dict[str, Reaction] = {}
        for name, value in given.items() if isinstance(given, dict) else ():
            reaction = self._reaction(value, (*path, "outcomes", name), at)
            if reaction:
                found[name] = reaction
        return found

    def _reaction(self, value: Any, path: Path, at: tuple[StepList, int]) -> Reaction | None:
        if self.report.is_faulty(path):
            return None
        if isinstance(value, str):
            if value in ("next", "stop"):
                return Reaction(do="next" if value == "next" else "stop")
            # `no_answer: "goto: next-call"` is how the word is spoken of; take it for {goto: next-call}.
            spoken = re.fullmatch(r"(goto|hold):?\s*(\S.*)", value)
            if not spoken:
                return None
            return self._goto_or_hold(spoken[1], {spoken[1]: spoken[2].strip()}, path, at, spoken=True)
        if not isinstance(value, dict) or len(value) != 1:
            return None
        word = next(iter(value))
        if word == "fallback":
            steps = self.compile_steps(value["fallback"], (*path, "fallback"), StepList(around=at))
            return Reaction(do="fallback", steps=steps)
        return self._goto_or_hold(word, value, path, at)

    def _goto_or_hold(
        self, word: str, value: dict[str, Any], path: Path, at: tuple[StepList, int], *, spoken: bool = False
    ) -> Reaction | None:
        if word == "goto" and isinstance(value["goto"], str):
            self.places.jump(path if spoken else (*path, "goto"), value["goto"], *at)
            target = value["goto"]
            return Reaction(do="goto", goto=f"{target}{GUARD_SUFFIX}" if target in self.guarded else target)
        if word == "hold":
            seconds = self.compilation.form(DURATION, value, "hold", path)
            return Reaction(do="hold", hold_seconds=seconds) if seconds else None
        return None
