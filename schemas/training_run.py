"""What passes between the training of churn models and its activities: versions, counts and words, never rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from schemas.frozen import Frozen

TRAINING_WORKFLOW = "ModelTraining"
ModelKind = Literal["model", "health"]
MODEL_KINDS: tuple[ModelKind, ...] = ("model", "health")
KIND_NAMES: dict[ModelKind, str] = {"model": "churn model", "health": "recalibrated health score"}


class TrainingCall(Frozen):
    """What is asked for. `as_of`: what was known by then counts (None: now); `by`: who approves of what is promoted.

    With `dry_run` nothing is kept and nothing changes.
    """

    as_of: datetime | None = None
    dry_run: bool = False
    by: str = "schedule"


class TrainingRead(Frozen):
    """What there is to learn from: rows of customers on days, and how many of these customers left.

    `of_rows` is how many rows there would be at most, were none left out of the draw. `refused` says why nothing can be
    learned, if so.
    """

    as_of: datetime
    rows: int
    customers: int
    events: int
    days: int
    of_rows: int
    held_out_customers: int
    treated_rows: int
    refused: str | None = None


class FitCall(Frozen):
    """Fit a model of this kind to what was known at `as_of`."""

    kind: ModelKind
    as_of: datetime
    dry_run: bool = False


class Fitted(Frozen):
    """A challenger; `refused` says why there is none, if so."""

    kind: ModelKind
    version: str = ""
    bytes: int = 0
    refused: str | None = None


class JudgeCall(Frozen):
    """Judge these challengers by what was known at `as_of`."""

    as_of: datetime
    fitted: tuple[Fitted, ...]
    dry_run: bool = False


class Decision(Frozen):
    """What becomes of one kind: `version` is the challenger's, or what serves calibrated anew.

    kept: what serves goes on serving. refused: nothing of this kind serves, and the challenger isn't good enough.
    """

    kind: ModelKind
    version: str
    outcome: Literal["promoted", "recalibrated", "kept", "refused"]
    reason: str
    challenger: str = ""
    metrics: dict[str, Any] = {}


class DecideCall(Frozen):
    """Carry out a decision."""

    decision: Decision
    as_of: datetime
    by: str


class TrainingResult(Frozen):
    """How a training ended: `refused` says why nothing was learned, if so."""

    read: TrainingRead
    decisions: tuple[Decision, ...] = ()


class TrainingStep(Frozen):
    """One step of a training, for who asks how far it is: waiting, running, done."""

    name: str
    state: Literal["waiting", "running", "done"]
    told: str = ""
