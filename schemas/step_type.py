"""What a step type is: one file in `activities/` declares one and so adds a word to the language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.frozen import Frozen


@dataclass(frozen=True)
class StepType:
    """A word of the language that does something.

    `arguments` is the model of what may stand under the word (its docstring and field descriptions become the
    documentation and the editor's hover text); `activity` the name of the Temporal activity that carries it out;
    `outcomes` what it can end with; `human` whether a person completes it; `shorthand` the argument that a plain
    scalar after the word means (`email: tips` is `email: {template: tips}`); `channel` the message channel, if any;
    `sends` whether it talks to a provider, and so belongs on the queue for sending.
    """

    word: str
    about: str
    arguments: type[Frozen]
    activity: str
    outcomes: tuple[str, ...]
    human: bool = False
    shorthand: str | None = None
    channel: str | None = None
    sends: bool = False


StepTypes = Mapping[str, StepType]
