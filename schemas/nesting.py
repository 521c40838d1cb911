"""Which steps stand inside a step, and which conditions it asks: the one place that knows how plans nest."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.condition import AllOf
from schemas.plan import Act, Branch, Choose, Repeat, Split, Step, Steps, Together, WaitFor


def inner(step: Step) -> Iterator[Steps]:
    """The lists of steps that stand directly inside `step`, in the order of the file; fallbacks of outcomes last."""
    match step:
        case WaitFor() | Branch():
            yield step.then
            yield step.otherwise
        case Choose():
            for case in step.cases:
                yield case.steps
            yield step.otherwise
        case Repeat():
            yield step.steps
        case Together():
            yield from step.branches
        case Split():
            for variant in step.variants.values():
                yield variant.steps
    for reaction in getattr(step, "outcomes", {}).values():
        if reaction.steps:
            yield reaction.steps


def walk(steps: Steps) -> Iterator[Step]:
    """Every step, nested ones included, in the order of the file."""
    for step in steps:
        yield step
        for nested in inner(step):
            yield from walk(nested)


def conditions(step: Step) -> Iterator[AllOf]:
    """The conditions that `step` itself asks."""
    match step:
        case Act() if step.guard:
            yield step.guard
        case WaitFor() if step.when:
            yield step.when
        case Branch():
            yield step.when
        case Choose():
            yield from (case.when for case in step.cases)
        case Repeat() if step.until:
            yield step.until


def arms_of(steps: Steps) -> dict[str, str]:
    """The arm of each step inside an experiment, by the step's id; of arms inside each other the inner one."""
    found: dict[str, str] = {}
    for step in walk(steps):
        if isinstance(step, Split):
            for name, variant in step.variants.items():
                found |= dict.fromkeys((nested.id for nested in walk(variant.steps)), name)
    return found
