"""What a step type is: one file in `activities/` declares one and so adds a word to the language."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.frozen import Frozen

CARRY_OUT = "Step.carry_out"


@dataclass(frozen=True)
class Work:
    """What one step of a registered type is to do, for one customer.

    `key` is the same for every attempt at this step of this run: hand it on, so that whoever receives the work can
    tell a repetition. `args` are the checked arguments, with their texts rendered. `customer`, `signals`, `run` and
    `steps` (outputs of earlier steps by id) are what templates see, too.
    """

    key: str
    now: datetime
    args: Mapping[str, Any]
    customer: Mapping[str, Any] = field(default_factory=dict)
    signals: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1


@dataclass(frozen=True)
class Done:
    """What came of it: one of the step type's outcomes, what later steps may use of it, and a line for the trace."""

    outcome: str = "done"
    output: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""


CarryOut = Callable[[Work], Awaitable[Done]]


@dataclass(frozen=True)
class StepType:
    """A word of the language that does something.

    `arguments` is the model of what may stand under the word (its docstring and field descriptions become the
    documentation and the editor's hover text); `outcomes` what it can end with; `shorthand` the argument that a plain
    scalar after the word means (`email: tips` is `email: {template: tips}`).

    `carry_out` does it, outside any transaction and within 10 s. It raises one of `channels.outcome`'s errors where it
    can't: a TransientError is tried again for six hours, an UnknownOutcomeError ends the step as `unknown` (it may have
    happened, so it isn't repeated), the others as `failed`. It is claimed in the ledger before and settled after.
    `repeatable`: doing it twice with the same `Work.key` does no harm, as whoever receives it can tell, or because it
    sets a value rather than adds to one; then what may or may not have happened is done again.

    The engine's own step types name an `activity` of theirs instead. `human`: a person completes it. `channel`: the
    message channel, if any. `sends`: it talks to somebody outside, and so belongs on the queue for sending.
    """

    word: str
    about: str
    arguments: type[Frozen]
    outcomes: tuple[str, ...] = ("done", "failed", "unknown")
    carry_out: CarryOut | None = None
    repeatable: bool = False
    activity: str = CARRY_OUT
    human: bool = False
    shorthand: str | None = None
    channel: str | None = None
    sends: bool = False


StepTypes = Mapping[str, StepType]
