"""A compiled playbook: what the files say, with every default filled in and every duration in seconds.

The compiler (`schemas.compiler`) makes it from YAML; its digest is the version. `CompiledPlaybook.steps` is the
part that a run's workflow interprets; conditions inside are evaluated by activities, never by the workflow.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.condition import AllOf
from schemas.frozen import Frozen

Outcome = Literal["success", "stopped", "lost", "completed", "expired", "failed"]
Status = Literal["draft", "shadow", "live", "paused", "retired"]


class Reaction(Frozen):
    """What follows an outcome of a step; `hold_seconds` bounds how long a held message may wait."""

    do: Literal["next", "stop", "goto", "hold", "fallback"]
    goto: str | None = None
    hold_seconds: int | None = None
    steps: tuple[Step, ...] = ()


class SendWindow(Frozen):
    """When a message may leave, in the customer's zone: minutes of the day, ISO weekdays (1 Monday)."""

    between: tuple[int, int] | None = None
    weekdays: tuple[int, ...] | None = None
    at_most_late_seconds: int | None = None
    topic: str | None = None
    # The hour at which this customer answers best, inside the window, at most `at_most_late_seconds` after it was due.
    best_time: bool = False


class Act(Frozen):
    """One step that does something: its `word` names a registered step type, `args` are its checked arguments."""

    kind: Literal["act"] = "act"
    id: str
    word: str
    # The activity that carries it out and whether it talks to a provider; the compiler takes both from the step type.
    activity: str = ""
    sends: bool = False
    args: dict[str, Any] = {}
    guard: AllOf | None = None
    human: bool = False
    outcomes: dict[str, Reaction] = {}
    send: SendWindow | None = None


class Elapsed(Frozen):
    """A wait of so many seconds."""

    kind: Literal["elapsed"] = "elapsed"
    seconds: int


class CalendarDays(Frozen):
    """So many calendar days (or business days) on in the customer's zone, at `at_minute` of the day."""

    kind: Literal["days"] = "days"
    days: int
    business: bool = False
    at_minute: int | None = None


class UntilWeekday(Frozen):
    """The next `weekday` (ISO, 1 Monday) in the customer's zone, at `at_minute`."""

    kind: Literal["until"] = "until"
    weekday: int
    at_minute: int | None = None


class BeforeDate(Frozen):
    """`seconds` before the date or time in `signal`."""

    kind: Literal["before"] = "before"
    signal: str
    seconds: int
    at_minute: int | None = None


WaitSpec = Annotated[Elapsed | CalendarDays | UntilWeekday | BeforeDate, Field(discriminator="kind")]


class Wait(Frozen):
    """Stand still until a moment."""

    kind: Literal["wait"] = "wait"
    id: str
    spec: WaitSpec
    outcomes: dict[str, Reaction] = {}


class EventMatch(Frozen):
    """An event by name, and what its properties must satisfy."""

    name: str
    where: AllOf | None = None


class WaitFor(Frozen):
    """Stand still until an event comes or a condition holds (exactly one is given), at most `for_seconds`."""

    kind: Literal["wait_for"] = "wait_for"
    id: str
    event: EventMatch | None = None
    when: AllOf | None = None
    for_seconds: int
    then: tuple[Step, ...] = ()
    otherwise: tuple[Step, ...] = ()


class Branch(Frozen):
    """Go one way if `when` is true, the other if it is false or unknown. A step's own `if` compiles to this too."""

    kind: Literal["if"] = "if"
    id: str
    when: AllOf
    then: tuple[Step, ...] = ()
    otherwise: tuple[Step, ...] = ()


class Case(Frozen):
    """One way of a choice."""

    when: AllOf
    steps: tuple[Step, ...] = ()


class Choose(Frozen):
    """Go the first way whose `when` is true, or `otherwise`; unknown is not true."""

    kind: Literal["choose"] = "choose"
    id: str
    cases: tuple[Case, ...]
    otherwise: tuple[Step, ...] = ()


class Repeat(Frozen):
    """Rounds of the same steps: `at_most` of them, fewer if `until` is true after one."""

    kind: Literal["repeat"] = "repeat"
    id: str
    at_most: int
    until: AllOf | None = None
    steps: tuple[Step, ...] = ()


class Together(Frozen):
    """Branches at the same time; it goes on when all are done."""

    kind: Literal["together"] = "together"
    id: str
    branches: tuple[tuple[Step, ...], ...]


class Variant(Frozen):
    """One arm of an experiment; weights are relative."""

    weight: int
    steps: tuple[Step, ...] = ()


class Split(Frozen):
    """Take the steps of the arm that this customer was assigned at entry."""

    kind: Literal["experiment"] = "experiment"
    id: str
    experiment: str
    variants: dict[str, Variant]


class Stop(Frozen):
    """End the run with an outcome."""

    kind: Literal["stop"] = "stop"
    id: str
    outcome: Outcome = "stopped"


Step = Annotated[
    Act | Wait | WaitFor | Branch | Choose | Repeat | Together | Split | Stop, Field(discriminator="kind")
]
Steps = tuple[Step, ...]

for _model in (Reaction, Act, Wait, WaitFor, Branch, Case, Choose, Repeat, Together, Variant, Split):
    _model.model_rebuild()


class Again(Frozen):
    """When a customer may enter again: after so many seconds, never, always, or so many times per period."""

    kind: Literal["after", "never", "always", "times"] = "after"
    seconds: int = 7 * 86400
    times: int = 1


class Enter(Frozen):
    """Who enters, and under which limits. The limits are live: they make no version."""

    when: AllOf
    signals: tuple[str, ...] = ()
    key: str | None = None
    again: Again = Again()
    at_most_per_day: int | None = None
    holdout_percent: float = 0.0


class Goal(Frozen):
    """What counts as success, and within how many seconds of entry; a condition, an event, or both (either)."""

    name: str = "goal"
    when: AllOf | None = None
    event: EventMatch | None = None
    within_seconds: int


class Exit(Frozen):
    """What ends a run early, and how that counts."""

    when: AllOf | None = None
    event: EventMatch | None = None
    outcome: Literal["success", "stopped", "lost"] = "stopped"


class CompiledPlaybook(Frozen):
    """One playbook as the engine runs it; `templates` holds the source parts of every template it uses."""

    format: Literal[1] = 1
    name: str
    title: str
    owner: str
    about: str = ""
    status: Status
    group: str | None = None
    priority: int = 50
    enter: Enter | None = None
    goal: Goal | None = None
    exits: tuple[Exit, ...] = ()
    steps: Steps
    send: SendWindow | None = None
    on_change: Literal["finish", "migrate", "stop"] = "finish"
    max_overdue_seconds: int = 86400
    templates: dict[str, dict[str, dict[str, Any]]] = {}

    @property
    def version(self) -> str:
        """The digest (12 hex digits) of what a run keeps: enter.when, goal, exit, steps, send, templates."""
        kept = self.model_dump(mode="json", include={"goal", "exits", "steps", "send", "templates"})
        kept["when"] = self.enter.when.model_dump(mode="json") if self.enter else None
        text = json.dumps(_meaning(kept), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _meaning(tree: Any) -> Any:
    """Drop where conditions were written: moving a block within a file is no new version of them.

    What is left out (None, empty, False) is dropped too, so that a word that the language gains later makes no new
    version of playbooks that don't use it.
    """
    if isinstance(tree, dict):
        # A part of a condition, and not what a step sends by such names.
        place = {"path", "line"} if {"kind", "path", "line"} <= tree.keys() else ()
        meant = {key: _meaning(value) for key, value in tree.items() if key not in place}
        return {key: value for key, value in meant.items() if not _is_left_out(value)}
    if isinstance(tree, list):
        return [_meaning(value) for value in tree]
    return tree


def _is_left_out(value: Any) -> bool:
    return value is None or value is False or value == [] or value == {}
