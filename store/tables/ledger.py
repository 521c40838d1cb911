"""What runs did to the world: messages, work for people, rewards."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from store.tables.columns import EMPTY_OBJECT, customer, instant, metadata, one_of

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    customer(),
    Column("step", Text, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("topic", Text),
    Column("template", Text),
    Column("address_hash", Text),
    Column("content", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("provider", Text),
    Column("provider_id", Text),
    Column("error_code", Text),
    Column("error", Text),
    Column("cost", Numeric(12, 6), nullable=False, server_default=text("0")),
    Column("created_at", instant(), nullable=False),
    Column("claimed_at", instant()),
    Column("settled_at", instant()),
    Column("reconciled_at", instant()),
    Column("seen_at", instant()),
    # What the provider has said since: sent, delivered, opened, clicked, replied, bounced, complained, undelivered.
    Column("status", Text, nullable=False, server_default=""),
    Column("status_at", instant()),
    Column("delivered_at", instant()),
    Column("opened_at", instant()),
    Column("clicked_at", instant()),
    Column("replied_at", instant()),
    Column("critical", Boolean, nullable=False, server_default=text("false")),
    # Why this channel and this moment, and the consent that it went out on.
    Column("evidence", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    UniqueConstraint("run_id", "step", "occurrence"),
    one_of("state", "state", "claimed", "retrying", "accepted", "failed", "unknown", "skipped"),
    Index("deliveries_customer_id_idx", "customer_id", "claimed_at"),
    Index("deliveries_unsettled_idx", "claimed_at", postgresql_where=text("state IN ('claimed', 'unknown')")),
    Index("deliveries_provider_id_idx", "provider", "provider_id"),
    Index("deliveries_address_hash_idx", "channel", "address_hash", "claimed_at"),
    Index("deliveries_created_at_idx", "created_at"),
    Index("deliveries_settled_at_idx", "settled_at"),
    # Few are: those that were shown in the product.
    Index("deliveries_seen_at_idx", "seen_at", postgresql_where=text("seen_at IS NOT NULL")),
    # What the outbox narrows by; nearly all are accepted, and those are listed by their time.
    Index("deliveries_state_idx", "state", "created_at", postgresql_where=text("state <> 'accepted'")),
    Index(
        "deliveries_status_idx",
        "status",
        "created_at",
        postgresql_where=text("status NOT IN ('', 'delivered')"),
    ),
    Index("deliveries_channel_idx", "channel", "created_at"),
    Index("deliveries_critical_idx", "created_at", postgresql_where=text("critical")),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    # None: no run waits for it, as a call that a customer booked, or what somebody is to look at again.
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE")),
    customer(),
    Column("step", Text, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("about", Text, nullable=False, server_default=""),
    Column("assignee", Text, nullable=False),
    Column("escalated_to", Text),
    Column("outcomes", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("outcome", Text),
    Column("notes", Text, nullable=False, server_default=""),
    Column("completed_by", Text),
    Column("created_at", instant(), nullable=False),
    Column("due_at", instant(), nullable=False),
    Column("escalate_at", instant()),
    Column("give_up_at", instant(), nullable=False),
    Column("closed_at", instant()),
    # Whose list it is on where it is a team's, and who of them took it.
    Column("team", Text),
    Column("taken_by", Text),
    Column("taken_at", instant()),
    Column("remind_at", instant()),
    Column("reminded_at", instant()),
    # When it was agreed to happen, and how often that was told to calendars.
    Column("starts_at", instant()),
    Column("calendar_sequence", Integer, nullable=False, server_default=text("0")),
    Column("assigned_because", Text, nullable=False, server_default=""),
    Column("satisfaction_rating", SmallInteger),
    Column("duration_minutes", Integer),
    # The task that it is the follow-up of.
    Column("follows", UUID(as_uuid=False)),
    UniqueConstraint("run_id", "step", "occurrence"),
    one_of("kind", "kind", "call", "task"),
    one_of("state", "state", "open", "done", "overdue", "cancelled"),
    CheckConstraint("satisfaction_rating BETWEEN 1 AND 5", name="satisfaction_rating_range"),
    Index("tasks_team_idx", "team", "due_at", postgresql_where=text("state = 'open'")),
    Index("tasks_starts_at_idx", "starts_at", postgresql_where=text("state = 'open'")),
    Index(
        "tasks_unattended_idx",
        "give_up_at",
        postgresql_where=text("state = 'open' AND run_id IS NULL"),
    ),
    Index("tasks_customer_id_idx", "customer_id", "created_at"),
    Index("tasks_closed_at_idx", "closed_at"),
    # What changed lately, for those who watch.
    Index("tasks_changed_idx", text("GREATEST(created_at, closed_at, taken_at, reminded_at)")),
    # The order of work lists: what is open by when it is due, then what is closed, the latest first.
    Index("tasks_pressing_idx", text("closed_at DESC"), "due_at", "id"),
    Index("tasks_assignee_idx", "assignee", "due_at", postgresql_where=text("state = 'open'")),
    Index(
        "tasks_remind_at_idx",
        "remind_at",
        postgresql_where=text("state = 'open' AND reminded_at IS NULL"),
    ),
)

# Mails about work: to whoever has it, and to the customer who has an appointment. Whom a mail goes to is looked up when
# it is sent; `person` is one of our own.
notices = Table(
    "notices",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("number", BigInteger, Identity(always=True), nullable=False),
    customer(),
    Column("task_id", UUID(as_uuid=False), ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("person", Text, nullable=False, server_default=""),
    Column("sequence", Integer, nullable=False, server_default=text("0")),
    Column("starts_at", instant()),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("created_at", instant(), nullable=False),
    Column("next_at", instant(), nullable=False),
    Column("give_up_at", instant(), nullable=False),
    Column("settled_at", instant()),
    Column("provider", Text),
    Column("provider_id", Text),
    Column("error", Text),
    one_of("kind", "kind", "reminder", "invitation", "cancellation"),
    one_of("recipient", "recipient", "staff", "customer"),
    one_of("state", "state", "waiting", "sent", "skipped", "failed"),
    Index("notices_waiting_idx", "next_at", postgresql_where=text("state = 'waiting'")),
    Index("notices_task_id_idx", "task_id"),
    Index("notices_starts_at_idx", "starts_at"),
    Index("notices_customer_id_idx", "customer_id"),
)

# Who of a team got work last; locked while work is given out, so that two workers never give it to one.
team_turns = Table(
    "team_turns",
    metadata,
    Column("team", Text, primary_key=True),
    Column("last_member", Text, nullable=False, server_default=""),
    Column("turns", BigInteger, nullable=False, server_default=text("0")),
)

rewards = Table(
    "rewards",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    customer(),
    Column("step", Text, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("feature", Text, nullable=False),
    Column("granted_at", instant(), nullable=False),
    # None: for good.
    Column("until", instant()),
    Column("revoked_at", instant()),
    UniqueConstraint("run_id", "step", "occurrence"),
    Index("rewards_customer_id_idx", "customer_id", "feature"),
    Index("rewards_until_idx", "until", postgresql_where=text("revoked_at IS NULL")),
    Index("rewards_changed_idx", text("GREATEST(granted_at, revoked_at)")),
)
