"""What every table is made of: names, kinds of columns, constraints."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, Column, ForeignKey, MetaData, text
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def instant() -> TypeEngine[Any]:
    """A moment, with its zone."""
    return TIMESTAMP(timezone=True)


def customer(*, primary_key: bool = False, nullable: bool = False) -> Column[object]:
    """The customer whom a row is about; it goes when they do."""
    return Column(
        "customer_id",
        UUID(as_uuid=False),
        ForeignKey("customers.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=nullable,
    )


def one_of(name: str, column: str, *values: str) -> CheckConstraint:
    """The only values that a column may have."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=name)


EMPTY_OBJECT = text("'{}'::jsonb")
