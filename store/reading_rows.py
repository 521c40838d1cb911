"""What pages and the API show, one model per kind of thing: snake_case here, camelCase on the wire."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from store.asking import Source, fetch_named


class Row(BaseModel):
    """An immutable row that is written in camelCase."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    @classmethod
    def trust(cls, values: dict[str, Any]) -> Self:
        """The row of these values, one for each field and each of its type, which it keeps: what our own SQL found, or our
        own code made, needs no validation, and that is most of what a long list would cost.
        """
        row = cls.__new__(cls)
        # As `model_construct` does it, which looks at every field for defaults and aliases.
        object.__setattr__(row, "__dict__", values)
        object.__setattr__(row, "__pydantic_fields_set__", _fields_of(cls))
        object.__setattr__(row, "__pydantic_extra__", None)
        object.__setattr__(row, "__pydantic_private__", None)
        return row


R = TypeVar("R", bound=Row)


@functools.cache
def _fields_of(row: type[Row]) -> set[str]:
    return set(row.__pydantic_fields__)


async def fetch_rows(source: Source, row: type[R], query: str, values: Mapping[str, Any]) -> list[R]:
    """What a statement finds, whose columns are the fields of `row`. Raises KeyError where they aren't, and as `fetch`."""
    found = await fetch_named(source, query, values)
    if found and found[0].keys() != row.__pydantic_fields__.keys():
        raise KeyError(*(found[0].keys() ^ row.__pydantic_fields__.keys()))
    return [row.trust(one) for one in found]


class RunRow(Row):
    """One run. `arm`: treated, held_out, shadow; `state`: starting, running, observed (held out), ended; `user_id` is
    the caller's id.
    """

    id: str
    playbook: str
    version: str
    user_id: str
    customer_name: str | None
    key: str
    arm: str
    state: str
    paused: bool
    step: str | None
    trigger: dict[str, Any]
    variants: dict[str, str]
    health_at_entry: float | None
    churn_at_entry: float | None
    entered_at: datetime
    goal_by: datetime | None
    outcome: str | None
    reason: str | None
    ended_at: datetime | None
    workflow_id: str
    execution_id: str | None


class StepRow(Row):
    """What one step of a run came to."""

    step: str
    occurrence: int
    word: str
    outcome: str
    detail: str
    at: datetime


class WaitRow(Row):
    """What a run listens for now."""

    step: str
    occurrence: int
    since: datetime
    until: datetime


class MessageRow(Row):
    """One message of the ledger. `content` is what was rendered for the channel.

    `status` is what came back last, in its provider's report (`delivered`, `bounced` …; empty: nothing yet); `evidence`
    what the choice of channel and time went by, and the consent that stood.
    """

    id: str
    run_id: str
    playbook: str
    user_id: str
    customer_name: str | None
    step: str
    occurrence: int
    channel: str
    state: str
    attempt: int
    topic: str | None
    template: str | None
    content: dict[str, Any]
    provider: str | None
    provider_id: str | None
    error_code: str | None
    error: str | None
    created_at: datetime
    settled_at: datetime | None
    seen_at: datetime | None
    status: str = ""
    status_at: datetime | None = None
    delivered_at: datetime | None = None
    opened_at: datetime | None = None
    clicked_at: datetime | None = None
    replied_at: datetime | None = None
    evidence: dict[str, Any] = Field(default_factory=dict)


class TaskRow(Row):
    """One call or task on somebody's list; `holder` has it now, and where that is `team`, whoever of it takes it.

    `run_id` and `playbook` None: no run waits for it. What is known of the customer is as of now.
    """

    id: str
    run_id: str | None
    playbook: str | None
    user_id: str
    customer_name: str | None
    phone: str | None
    step: str
    kind: str
    title: str
    about: str
    assignee: str
    escalated_to: str | None
    outcomes: list[str]
    state: str
    outcome: str | None
    notes: str
    completed_by: str | None
    created_at: datetime
    due_at: datetime
    closed_at: datetime | None
    holder: str = ""
    team: str | None = None
    assigned_because: str = ""
    taken_by: str | None = None
    taken_at: datetime | None = None
    remind_at: datetime | None = None
    reminded_at: datetime | None = None
    starts_at: datetime | None = None
    satisfaction_rating: int | None = None
    duration_minutes: int | None = None
    follows: str | None = None
    plan: str | None = None
    health_score: float | None = None
    risk_level: str | None = None
    churn_probability: float | None = None
    last_login: datetime | None = None


class DecisionRow(Row):
    """One decision about a customer and a playbook; `checks` are the condition's lines with their values."""

    id: int
    at: datetime
    user_id: str | None
    customer_name: str | None
    playbook: str
    version: str
    reason: str
    detail: str
    until: datetime | None
    run_id: str | None
    checks: list[Mapping[str, Any]]


class DeadLetterRow(Row):
    """An event that couldn't be taken, and why; `times` it came."""

    id: int
    received_at: datetime
    source: str
    code: str
    reason: str
    body: str
    times: int


class StandingRow(Row):
    """Where a customer stands with a playbook whose condition held."""

    playbook: str
    reason: str
    at: datetime


class EventRow(Row):
    """One event of a customer."""

    name: str
    at: datetime
    properties: dict[str, Any]


class CustomerRow(Row):
    """One line of a list of customers."""

    user_id: str
    name: str | None
    plan: str | None
    health_score: float | None
    risk_level: str | None
    churn_probability: float | None
    last_login: datetime | None
    open_runs: int


class PlaybookRow(Row):
    """One published playbook; counts are of runs, held-out ones counted as entrants but never as open.

    `shadows` are the runs that only showed what would have happened; no other count has them.
    """

    name: str
    title: str
    owner: str
    status: str
    version: str
    group: str | None
    priority: int
    updated_at: datetime
    entrants: int
    open: int
    held_out: int
    ended: int
    succeeded: int
    shadows: int = 0


class RewardRow(Row):
    """A feature that a run unlocked. `until` None: for good; `active`: this grant keeps it unlocked now."""

    id: str
    run_id: str
    playbook: str
    step: str
    feature: str
    granted_at: datetime
    until: datetime | None
    revoked_at: datetime | None
    active: bool
