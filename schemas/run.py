"""What passes between a run's workflow, its activities and those who ask about it. Ids only, no personal data."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from schemas.frozen import Frozen
from schemas.plan import Outcome, Steps

WORKFLOW_NAME = "PlaybookRun"
RUN_QUEUE = "holdfast"
SEND_QUEUE = "holdfast-send"


class RunInput(Frozen):
    """All that a run needs to know. `clock`: `played` runs take their time from the workflow, never from the wall."""

    format: Literal[1] = 1
    run_id: str
    playbook: str
    version: str
    customer_id: str
    steps: Steps
    variants: dict[str, str] = {}
    entered_at: datetime
    goal_by: datetime | None = None
    max_overdue_seconds: int = 86400
    clock: Literal["live", "played"] = "live"
    resume: Resumption | None = None


class Resumption(Frozen):
    """Where a continued run goes on: what it had read, done and was in the middle of.

    `done` and `since` are by step and occurrence (`key_of`). `moment`: when the last step on record was done; the first
    step that isn't on record became due then.
    """

    inbox_read: int = 0
    done: dict[str, str] = {}
    since: dict[str, datetime] = {}
    # Held by a person, held by the whole playbook's pause, and since when.
    paused: bool = False
    playbook_paused: bool = False
    held_at: datetime | None = None
    moment: datetime | None = None
    trace: tuple[TraceLine, ...] = ()


class StepCall(Frozen):
    """One request to an activity: which step of which run, for which execution chain.

    `due_at` is the moment the step became due and `at` the moment of this request, both on the workflow's clock; a
    played activity takes `at` for `now`. `outcome` and `to` are for what a person's step came to or goes to.
    """

    run_id: str
    execution_id: str
    step: str
    occurrence: int = 0
    due_at: datetime
    at: datetime
    played: bool = False
    outcome: str | None = None
    by: str | None = None
    to: str | None = None


class Interruption(Frozen):
    """Why a run ends before its steps do."""

    kind: Literal["goal", "exit", "stop", "superseded"]
    outcome: Outcome
    reason: str
    at: datetime


class StepResult(Frozen):
    """What a step came to. `until`: when a held message may leave, a wait ends, or a task's next moment comes."""

    outcome: str
    at: datetime
    until: datetime | None = None
    escalate_at: datetime | None = None
    give_up_at: datetime | None = None
    escalate_to: str | None = None
    detail: str = ""
    interruption: Interruption | None = None


class InboxEntry(Frozen):
    """Something that reached a run, in order of `seq`.

    moved: the date that the wait `step` counts from is another now (`outcome` moved). pause, resume: the whole
    playbook's. migrate: on with the version in `outcome`.
    """

    seq: int
    kind: Literal["goal", "exit", "event", "task", "moved", "pause", "resume", "stop", "migrate"]
    step: str | None = None
    occurrence: int = 0
    outcome: str = ""
    reason: str = ""
    at: datetime


class TraceLine(Frozen):
    """One line of a run's trace; `step` is the step's id, `kind` its word."""

    at: datetime
    step: str
    kind: str
    outcome: str
    detail: str = ""


class RunEnd(Frozen):
    """How a run ended."""

    outcome: Outcome
    reason: str
    at: datetime


class InboxCall(Frozen):
    """Read the run's inbox after entry `after`; `paused`, if given, is noted with it."""

    run_id: str
    execution_id: str
    after: int
    paused: bool | None = None


class EndCall(Frozen):
    """Close the run's books: how it ended, by the workflow's reckoning."""

    run_id: str
    execution_id: str
    end: RunEnd
    played: bool = False


class MigrateCall(Frozen):
    """Take the run to another version of its playbook: from what it has done and is in the middle of."""

    run_id: str
    execution_id: str
    from_version: str
    to_version: str
    done: dict[str, str] = {}
    since: dict[str, datetime] = {}


class Migration(Frozen):
    """The same run under the new version; `steps` None: it can't be placed there, and finishes the old one."""

    steps: Steps | None = None
    done: dict[str, str] = {}
    since: dict[str, datetime] = {}
    variants: dict[str, str] = {}
    goal_by: datetime | None = None
    max_overdue_seconds: int = 86400
    reason: str = ""


class Command(Frozen):
    """What a person asks of a run: `outcome` to stop and complete_step, `step` to complete_step, `until` to snooze."""

    by: str
    reason: str = ""
    step: str | None = None
    outcome: str | None = None
    until: datetime | None = None


def key_of(step: str, occurrence: int) -> str:
    """How a run's memory names an occurrence of a step: the first by the step's id alone."""
    return f"{step}#{occurrence}" if occurrence else step


RunInput.model_rebuild()
EndCall.model_rebuild()
Resumption.model_rebuild()
