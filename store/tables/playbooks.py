"""What CS ops made live, and what is wrong with the rest."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, Index, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from store.tables.columns import instant, metadata, one_of

playbooks = Table(
    "playbooks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("status", Text, nullable=False),
    # The live definition, limits included: limits make no version.
    Column("compiled", JSONB, nullable=False),
    Column("file", Text, nullable=False),
    Column("updated_at", instant(), nullable=False),
    one_of("status", "status", "draft", "shadow", "live", "paused", "retired"),
)

playbook_versions = Table(
    "playbook_versions",
    metadata,
    Column("playbook", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("compiled", JSONB, nullable=False),
    Column("source", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("published_at", instant(), nullable=False),
)

# Everything that was ever made live, in order: who did it, when, from which text. A change of limits is here too.
publications = Table(
    "publications",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    # A playbook's or a health model's name, `policy` or `milestones`.
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=""),
    Column("source", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("at", instant(), nullable=False),
    one_of("kind", "kind", "playbook", "policy", "health", "milestones", "retired", "rollback"),
    Index("publications_name_idx", "name", "id"),
)

# The files that can't be made live as they stand, with what is wrong; a file that is mended leaves.
file_problems = Table(
    "file_problems",
    metadata,
    Column("file", Text, primary_key=True),
    Column("problems", JSONB, nullable=False),
    Column("at", instant(), nullable=False),
)

governance = Table(
    "governance",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
    Column("updated_at", instant(), nullable=False),
)
