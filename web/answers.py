"""What the API answers: `success` and one thing or a list, in camelCase; lists go on with `nextCursor`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from scoring.adoption import Frequency, Stage
from store.reading_rows import (
    DeadLetterRow,
    DecisionRow,
    EventRow,
    MessageRow,
    RewardRow,
    Row,
    RunRow,
    StandingRow,
    StepRow,
    TaskRow,
    WaitRow,
)


class Answer(Row):
    """Every answer says whether it went well."""

    success: bool = True


class RewardList(Answer):
    """What playbooks unlocked for a customer, newest first."""

    user_id: str
    rewards: list[RewardRow]
    next_cursor: str | None


class FeatureRow(Row):
    """How far one feature has become a habit: days are UTC; value 0–100, risk 0–1 (null for what was never used)."""

    feature_key: str
    adoption_stage: Stage
    usage_frequency: Frequency | None
    first_used_at: date | None
    last_used_at: date | None
    usage_count: int
    value_realization_score: int
    abandonment_risk: float | None


class FeatureList(Answer):
    """The core features, and after them every other that the customer used."""

    user_id: str
    features: list[FeatureRow]
    next_cursor: str | None


class RunList(Answer):
    """Runs, newest first."""

    runs: list[RunRow]
    next_cursor: str | None


class RunDetail(Answer):
    """One run with what belongs to it: so many each of its trace, its messages and its tasks."""

    run: RunRow
    trace: list[StepRow]
    deliveries: list[MessageRow]
    tasks: list[TaskRow]
    waits: list[WaitRow]
    temporal_url: str | None
    next_cursor: str | None


class Commanded(Answer):
    """What the run's workflow answered."""

    run_id: str
    answer: str


class Triggered(Answer):
    """The run that was entered, and by which playbook it goes."""

    run_id: str
    playbook: str


class TaskDone(Answer):
    """A task after it was completed."""

    task_id: str
    state: str
    outcome: str | None


class CustomerDetail(Answer):
    """One customer; of the signals, those that no model learns from."""

    user_id: str
    profile: dict[str, Any]
    signals: dict[str, Any]
    consents: dict[str, bool]
    open_runs: list[RunRow]
    standings: list[StandingRow]
    recent_events: list[EventRow]


class InAppMessage(Row):
    """One message for the customer's own screen."""

    id: str
    title: str | None
    text: str | None
    created_at: datetime
    seen_at: datetime | None


class InAppList(Answer):
    """A customer's in-app messages, unseen ones first."""

    user_id: str
    messages: list[InAppMessage]
    next_cursor: str | None


class Seen(Answer):
    """When the message was first seen."""

    id: str
    seen_at: datetime | None


class MessageList(Answer):
    """Messages of every channel, newest first."""

    messages: list[MessageRow]
    next_cursor: str | None


class DecisionList(Answer):
    """Decisions, newest first."""

    decisions: list[DecisionRow]
    next_cursor: str | None


class DeadLetterList(Answer):
    """Dead letters, the latest first."""

    dead_letters: list[DeadLetterRow]
    next_cursor: str | None


class Part(Row):
    """Whether one part of the system is well."""

    ok: bool
    detail: str


class Alive(Answer):
    """It answers."""


class Readiness(Answer):
    """`detail` says what is missing."""

    detail: str


class Health(Answer):
    """Whether everything is up, part by part."""

    database: Part
    migrations: Part
    temporal: Part
