"""What was published when, by whom and from which text; and the files that can't be published as they stand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import InputError, NotFoundError
from schemas.plan import CompiledPlaybook
from store.database import encode
from store.playbooks import load_version
from store.reading_rows import Row


class PublicationRow(Row):
    """One thing that was made live. `kind`: playbook, policy, retired or rollback; `name` policy for the policy."""

    id: int
    name: str
    kind: str
    version: str
    status: str
    author: str
    note: str
    at: datetime


class VersionRow(Row):
    """One version of a playbook, as it was last published; `open_runs` still go by it, `live` is what enters now."""

    version: str
    live: bool
    open_runs: int
    author: str
    note: str
    status: str
    published_at: datetime
    last_published_at: datetime


class FileProblemsRow(Row):
    """A file that can't be used as it stands, with what is wrong; since when."""

    file: str
    problems: Sequence[Mapping[str, Any]]
    at: datetime


async def list_publications(
    connection: AsyncConnection, *, name: str | None = None, limit: int = 50, offset: int = 0
) -> list[PublicationRow]:
    """What was published, the latest first, without the first `offset` of them."""
    rows = await connection.execute(
        text(
            "SELECT id, name, kind, version, status, author, note, at FROM publications "
            "WHERE CAST(:name AS text) IS NULL OR name = :name ORDER BY id DESC LIMIT :limit OFFSET :offset"
        ),
        {"name": name, "limit": limit, "offset": offset},
    )
    return [PublicationRow.model_validate(dict(row._mapping)) for row in rows]


async def load_last_publications(connection: AsyncConnection) -> dict[str, PublicationRow]:
    """The last publication of everything that was ever published, by name."""
    rows = await connection.execute(
        text(
            "SELECT DISTINCT ON (name) id, name, kind, version, status, author, note, at FROM publications "
            "ORDER BY name, id DESC"
        )
    )
    return {row.name: PublicationRow.model_validate(dict(row._mapping)) for row in rows}


_VERSIONS = text(
    "SELECT v.version, v.version = p.version AS live, coalesce(o.open, 0) AS open_runs, "
    "coalesce(l.author, v.author) AS author, coalesce(l.note, '') AS note, coalesce(l.status, '') AS status, "
    "v.published_at, coalesce(l.at, v.published_at) AS last_published_at "
    "FROM playbook_versions v JOIN playbooks p ON p.name = v.playbook "
    "LEFT JOIN (SELECT version, count(*) AS open FROM runs WHERE playbook = :playbook AND ended_at IS NULL "
    "AND arm <> 'held_out' GROUP BY version) o ON o.version = v.version "
    "LEFT JOIN LATERAL (SELECT author, note, status, at FROM publications WHERE name = v.playbook "
    "AND version = v.version ORDER BY id DESC LIMIT 1) l ON true "
    "WHERE v.playbook = :playbook ORDER BY last_published_at DESC, v.version"
)


async def list_versions(connection: AsyncConnection, playbook: str) -> list[VersionRow]:
    """Every version of a playbook, the one published last first. Raises NotFoundError."""
    rows = (await connection.execute(_VERSIONS, {"playbook": playbook})).all()
    if not rows:
        names = (await connection.execute(text("SELECT name FROM playbooks ORDER BY name"))).scalars().all()
        raise NotFoundError(
            f"There is no published playbook {playbook!r}.",
            remedy=f"Published are: {', '.join(names[:30]) or 'none'}.",
        )
    return [VersionRow.model_validate(dict(row._mapping)) for row in rows]


async def find_version(connection: AsyncConnection, playbook: str, version: str) -> str:
    """The version that begins so. Raises NotFoundError where none or several do, and for an unknown playbook."""
    known = [row.version for row in await list_versions(connection, playbook)]
    found = [one for one in known if version and one.startswith(version)]
    if version in found or len(found) == 1:
        return version if version in found else found[0]
    what = f"{len(found)} versions of {playbook} begin" if found else f"No version of {playbook} begins"
    raise NotFoundError(f"{what} with {version!r}.", remedy=f"There are: {', '.join(known[:20])}.")


async def load_text(connection: AsyncConnection, playbook: str, version: str) -> str:
    """The text that this version was last published from. Raises NotFoundError, or InputError where none was kept."""
    version = await find_version(connection, playbook, version)
    row = await connection.execute(
        text(
            "SELECT coalesce((SELECT source FROM publications WHERE name = :playbook AND version = :version "
            "AND source <> '' ORDER BY id DESC LIMIT 1), (SELECT source FROM playbook_versions "
            "WHERE playbook = :playbook AND version = :version))"
        ),
        {"playbook": playbook, "version": version},
    )
    source: str = row.scalar() or ""
    if not source:
        raise InputError(
            f"Version {version} of {playbook} was published without a file, so there is no text of it.",
            remedy="Publish from files.",
        )
    return source


async def load_written(
    connection: AsyncConnection, playbook: str, version: str | None
) -> tuple[str, str, CompiledPlaybook]:
    """The digest of a version (its beginning will do; None: the live one), its text, and what that was compiled to.

    Raises NotFoundError, or InputError where no text was kept.
    """
    if version is None:
        live = [row.version for row in await list_versions(connection, playbook) if row.live]
        version = live[0] if live else ""
    version = await find_version(connection, playbook, version)
    source = await load_text(connection, playbook, version)
    return version, source, await load_version(connection, playbook, version)


async def save_file_problems(
    connection: AsyncConnection,
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    now: datetime,
    *,
    looked_at: Collection[str] | None = None,
) -> None:
    """Remember what is wrong with these files, and forget the others: all, or those that were `looked_at`."""
    rows = [{"file": file, "problems": problems} for file, problems in found.items()]
    await connection.execute(
        text("DELETE FROM file_problems WHERE (:all OR file = ANY(:looked_at)) AND file <> ALL(:found)"),
        {"all": looked_at is None, "looked_at": list(looked_at or ()), "found": list(found)},
    )
    if rows:
        await connection.execute(
            text(
                "INSERT INTO file_problems AS f (file, problems, at) SELECT file, problems, :now "
                "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(file text, problems jsonb) "
                "ON CONFLICT (file) DO UPDATE SET problems = excluded.problems, at = excluded.at "
                "WHERE f.problems <> excluded.problems"
            ),
            {"rows": encode(rows), "now": now},
        )


async def list_file_problems(connection: AsyncConnection) -> list[FileProblemsRow]:
    """The files that can't be used as they stand, by name."""
    rows = await connection.execute(text("SELECT file, problems, at FROM file_problems ORDER BY file"))
    return [FileProblemsRow.model_validate(dict(row._mapping)) for row in rows]
