"""Where a run goes on whose execution was lost: worked out from what its steps came to, as the store has it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from schemas.nesting import inner
from schemas.plan import Repeat, Step, Steps, Together, Wait
from schemas.run import key_of

OVER = "over"


def waits_behind(steps: Steps, recorded: Mapping[tuple[str, int], datetime]) -> dict[str, str]:
    """The waits that are surely over, as `done` by occurrence: something that comes after them is on record.

    Waits of a fixed length leave no record of their own. Of branches that go on together none comes after another.
    `recorded` has when each occurrence of a step, by (id, occurrence), was last written of.
    """
    over: dict[str, str] = {}
    _mark(steps, 0, False, recorded, over)
    return over


def _mark(
    steps: Steps,
    occurrence: int,
    behind: bool,
    recorded: Mapping[tuple[str, int], datetime],
    over: dict[str, str],
) -> None:
    for index in range(len(steps) - 1, -1, -1):
        step = steps[index]
        if isinstance(step, Wait) and behind:
            over[key_of(step.id, occurrence)] = OVER
        if isinstance(step, Repeat):
            for number in range(step.at_most - 1, -1, -1):
                round_number = occurrence * step.at_most + number
                _mark(step.steps, round_number, behind, recorded, over)
                behind = behind or _is_recorded(step, occurrence, recorded, only=round_number)
        elif isinstance(step, Together):
            for branch in step.branches:
                _mark(branch, occurrence, behind, recorded, over)
        else:
            # Of the ways that a step branches into one was taken; what it branches on lies before all of them.
            for nested in inner(step):
                _mark(nested, occurrence, behind, recorded, over)
        behind = behind or _is_recorded(step, occurrence, recorded)


def _is_recorded(
    step: Step,
    occurrence: int,
    recorded: Mapping[tuple[str, int], datetime],
    *,
    only: int | None = None,
) -> bool:
    """Whether the step or anything inside it is on record for this occurrence (of a repeat: for one round of it)."""
    if isinstance(step, Repeat):
        rounds = [only] if only is not None else [occurrence * step.at_most + n for n in range(step.at_most)]
        return any(
            (step.id, number) in recorded or any(_is_recorded(one, number, recorded) for one in step.steps)
            for number in rounds
        )
    return (step.id, occurrence) in recorded or any(
        _is_recorded(one, occurrence, recorded) for nested in inner(step) for one in nested
    )
