"""Published playbooks: the live definition of each, every version that a run may still hold, and the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from store.database import encode


@dataclass(frozen=True)
class Published:
    """What is live: playbooks by name (whatever their status), and the policy; `stamp` changes with either."""

    playbooks: Mapping[str, CompiledPlaybook]
    policy: Policy
    stamp: str


async def publish(
    connection: AsyncConnection,
    playbooks: Mapping[str, CompiledPlaybook],
    sources: Mapping[str, str],
    policy: Policy | None,
    *,
    author: str,
    now: datetime,
    invalid: frozenset[str] = frozenset(),
) -> list[str]:
    """Make these playbooks live; returns the names whose definition changed.

    A published playbook whose file is gone is retired, unless its name is in `invalid`: a file with errors changes nothing.
    A `policy` of None (its file has errors) leaves the last good one in force.
    """
    live = {
        row.name: row
        for row in await connection.execute(text("SELECT name, version, compiled FROM playbooks"))
    }
    changed = []
    for name, playbook in sorted(playbooks.items()):
        compiled = playbook.model_dump(mode="json")
        if name in live and live[name].compiled == compiled:
            continue
        changed.append(name)
        parameters = {
            "name": name,
            "version": playbook.version,
            "status": playbook.status,
            "compiled": encode(compiled),
            "file": f"{name}.yaml",
            "source": sources.get(name, ""),
            "author": author,
            "now": now,
        }
        await connection.execute(
            text(
                "INSERT INTO playbook_versions (playbook, version, compiled, source, author, published_at) "
                "VALUES (:name, :version, CAST(:compiled AS jsonb), :source, :author, :now) ON CONFLICT DO NOTHING"
            ),
            parameters,
        )
        await connection.execute(
            text(
                "INSERT INTO playbooks (name, version, status, compiled, file, updated_at) "
                "VALUES (:name, :version, :status, CAST(:compiled AS jsonb), :file, :now) "
                "ON CONFLICT (name) DO UPDATE SET version = excluded.version, status = excluded.status, "
                "compiled = excluded.compiled, file = excluded.file, updated_at = excluded.updated_at"
            ),
            parameters,
        )
    gone = sorted(set(live) - set(playbooks) - invalid)
    for name in gone:
        retired = await connection.execute(
            text(
                "UPDATE playbooks SET status = 'retired', updated_at = :now, "
                "compiled = jsonb_set(compiled, '{status}', '\"retired\"') WHERE name = :name AND status <> 'retired'"
            ),
            {"name": name, "now": now},
        )
        if retired.rowcount:
            changed.append(name)
    if policy is not None:
        await connection.execute(
            text(
                "INSERT INTO governance (name, value, updated_at) VALUES ('policy', CAST(:value AS jsonb), :now) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at "
                "WHERE governance.value <> excluded.value"
            ),
            {"value": policy.model_dump_json(), "now": now},
        )
    return changed


async def read_stamp(connection: AsyncConnection) -> str:
    """A text that changes whenever a live playbook or the policy does."""
    row = await connection.execute(
        text(
            "SELECT (SELECT coalesce(max(updated_at)::text, '') || count(*) FROM playbooks) || "
            "(SELECT coalesce(max(updated_at)::text, '') FROM governance)"
        )
    )
    return str(row.scalar_one())


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


async def load_policy(connection: AsyncConnection) -> Policy:
    """The live policy."""
    value = (await connection.execute(text("SELECT value FROM governance WHERE name = 'policy'"))).scalar()
    return Policy.model_validate(value) if value else Policy()


async def is_paused(connection: AsyncConnection, playbook: str) -> bool:
    """Whether the playbook as a whole stands still."""
    row = await connection.execute(text("SELECT status FROM playbooks WHERE name = :name"), {"name": playbook})
    return bool(row.scalar() == "paused")
