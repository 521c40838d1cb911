"""What happened, as it was sent, and daily sums of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, Double, Identity, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from store.tables.columns import EMPTY_OBJECT, instant, metadata

events = Table(
    "events",
    metadata,
    # The client's own UTC day is part of the key because a partitioned table's unique keys hold its partition key.
    Column("day", Date, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("customer_id", UUID(as_uuid=False), nullable=False),
    Column("name", Text, nullable=False),
    Column("at", instant(), nullable=False),
    Column("received_at", instant(), nullable=False),
    Column("properties", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Index("events_customer_id_idx", "customer_id", "name", "at"),
    postgresql_partition_by="RANGE (day)",
)

# Events without a timestamp have no day of their own: their ids are remembered here instead.
event_ids = Table(
    "event_ids",
    metadata,
    Column("source", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("received_at", instant(), nullable=False),
)

tallies = Table(
    "tallies",
    metadata,
    Column("customer_id", UUID(as_uuid=False), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("detail", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("total", Double, nullable=False),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("received_at", instant(), nullable=False),
    Column("source", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
    # One row per broken message, however often its sender repeats it.
    Column("digest", Text, nullable=False, unique=True),
    Column("times", Integer, nullable=False, server_default=text("1")),
    Index("dead_letters_received_at_idx", "received_at"),
)
