"""Where steps stand to each other: their ids, and which `goto` leads where."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.problem import Report, did_you_mean
from schemas.yaml_source import Path


@dataclass
class StepList:
    """One list of steps; `around` is the list and the position that it stands in.

    `sealed`: a branch of `together`, which no `goto` leaves: the others would go on without it.
    """

    around: tuple[StepList, int] | None = None
    sealed: bool = False
    ids: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Jump:
    path: Path
    target: str
    steps: StepList
    index: int


class StepPlaces:
    """All ids of a playbook, and the jumps between them."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._written: dict[str, Path] = {}
        # Every id, chosen or not, and where its step stands.
        self.paths: dict[str, Path] = {}
        self._jumps: list[_Jump] = []

    @property
    def written(self) -> list[str]:
        """The ids that somebody chose."""
        return list(self._written)

    def add(self, step_id: str, path: Path, *, chosen: bool) -> None:
        """Note a step's id; it must be the only one of its name."""
        if chosen and step_id in self._written:
            line = self._report.source.place((*self._written[step_id], "id"))[0]
            what = f"The id `{step_id}` is taken by the step on line {line}."
            self._report.error((*path, "id"), "PB221", what, "Choose another.")
        if chosen:
            self._written.setdefault(step_id, path)
        self.paths.setdefault(step_id, path)

    def jump(self, path: Path, target: str, steps: StepList, index: int) -> None:
        """Note a `goto` at `path`, of the step that stands in `steps` at `index`."""
        self._jumps.append(_Jump(path, target, steps, index))

    def check_jumps(self) -> None:
        """Report every `goto` that doesn't lead forwards to a step beside it or beside what is around it."""
        for jump in self._jumps:
            if jump.target not in self.paths:
                none = "" if self.written else "Give the step to go on at an `id`."
                hint = did_you_mean(jump.target, self.written, otherwise=none)
                self._report.error(jump.path, "PB222", f"There is no step with the id `{jump.target}`.", hint)
            else:
                forwards, leaves = _follow(jump)
                if forwards and leaves:
                    self._refuse_leaving(jump)
                elif not forwards:
                    self._refuse(jump)

    def _refuse_leaving(self, jump: _Jump) -> None:
        line = self._report.source.place(self._written.get(jump.target, jump.path))[0]
        what = f"`{jump.target}` on line {line} lies outside this branch of `together`."
        hint = (
            "The other branches would go on without it: let this one end (`next`), or end the run (`stop`); "
            "what comes after all of them stands below `together`."
        )
        self._report.error(jump.path, "PB223", what, hint)

    def _refuse(self, jump: _Jump) -> None:
        own = self._report.source.place(jump.path)[0]
        target = self._written.get(jump.target, jump.path)
        line = self._report.source.place(target)[0]
        if line <= own:
            what = f"`{jump.target}` on line {line} comes before this, and `goto` leads forwards only."
            self._report.error(
                jump.path, "PB223", what, "Name a step further down, or write the steps out again."
            )
            return
        what = f"`{jump.target}` on line {line} lies inside another step, where `goto` can't lead."
        self._report.error(jump.path, "PB223", what, "Name a step of this list, or of one around it.")


def _follow(jump: _Jump) -> tuple[bool, bool]:
    """Whether a jump leads forwards to a step beside it or around it, and whether it leaves a sealed list so."""
    steps, index, leaves = jump.steps, jump.index, False
    while jump.target not in steps.ids[index + 1 :]:
        if steps.around is None:
            return False, leaves
        leaves = leaves or steps.sealed
        steps, index = steps.around
    return True, leaves
