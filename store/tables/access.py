"""Who may ask."""

from __future__ import annotations

from sqlalchemy import Column, Table, Text

from store.tables.columns import instant, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("secret_hash", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", instant(), nullable=False),
)
