"""What is live: the definition of each playbook, every version that a run may still hold, and the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from store.asking import Source, fetch

# Who evaluates shares this lock and who publishes holds it alone, so that nobody enters what has just changed unseen.
_PUBLISHING = 1_415_926_535


@dataclass(frozen=True)
class Published:
    """What is live: playbooks by name (whatever their status), and the policy; `stamp` changes with either."""

    playbooks: Mapping[str, CompiledPlaybook]
    policy: Policy
    stamp: str


async def lock_publishing(connection: AsyncConnection) -> None:
    """Be the only one who publishes until the transaction ends; nobody reads what is live meanwhile."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PUBLISHING})


async def read_stamp(connection: AsyncConnection) -> str:
    """A text that changes whenever a live playbook, the policy or a health model does; nothing is published until the
    transaction ends.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _PUBLISHING})
    row = await connection.execute(
        text(
            "SELECT (SELECT coalesce(max(updated_at)::text, '') || count(*) FROM playbooks) || "
            "(SELECT coalesce(max(updated_at)::text, '') FROM governance) || "
            "(SELECT coalesce(max(id), 0) FROM publications) || "
            "coalesce((SELECT md5(value->>'digests') FROM governance WHERE name = 'health'), '')"
        )
    )
    return str(row.scalar_one())


async def has_published(connection: AsyncConnection) -> bool:
    """Whether any playbook was ever made live here."""
    return bool((await connection.execute(text("SELECT EXISTS (SELECT FROM playbooks)"))).scalar())


async def load_published(connection: AsyncConnection) -> Published:
    """Everything that is live."""
    stamp = await read_stamp(connection)
    rows = await connection.execute(text("SELECT name, compiled FROM playbooks ORDER BY name"))
    playbooks = {row.name: CompiledPlaybook.model_validate(row.compiled) for row in rows}
    return Published(playbooks, await load_policy(connection), stamp)


async def load_version(connection: AsyncConnection, playbook: str, version: str) -> CompiledPlaybook:
    """The definition that runs of this version hold. Raises NotFoundError."""
    row = await connection.execute(
        text("SELECT compiled FROM playbook_versions WHERE playbook = :playbook AND version = :version"),
        {"playbook": playbook, "version": version},
    )
    compiled = row.scalar()
    if compiled is None:
        raise NotFoundError(f"Version {version} of playbook {playbook} was never published here.")
    return CompiledPlaybook.model_validate(compiled)


async def load_policy(source: Source) -> Policy:
    """The live policy."""
    rows = await fetch(source, "SELECT value FROM governance WHERE name = 'policy'", {})
    return Policy.model_validate(rows[0][0]) if rows and rows[0][0] else Policy()


async def is_paused(connection: AsyncConnection, playbook: str) -> bool:
    """Whether the playbook as a whole stands still."""
    row = await connection.execute(
        text("SELECT status FROM playbooks WHERE name = :name"), {"name": playbook}
    )
    return bool(row.scalar() == "paused")
