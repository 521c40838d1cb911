"""The step `task`: work on a person's list that is no call."""

from __future__ import annotations

from activities.call import CallArguments
from schemas.step_type import StepType


class TaskArguments(CallArguments):
    """What is to be done, by whom, and until when."""


STEP = StepType(
    word="task",
    about="Puts a task on a person's list and waits for its outcome.",
    arguments=TaskArguments,
    activity="Tasks.assign",
    outcomes=("done", "reached", "no_answer", "declined", "rescheduled", "overdue"),
    human=True,
)
