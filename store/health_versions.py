"""The versions of health models: what was published when, by whom and from which text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import InputError, NotFoundError
from schemas.shipped_health import SHIPPED_HEALTH, shipped_models
from store.audit import Done, actor_called, record_changes
from store.database import encode
from store.health_models import load_models
from store.publications import VersionRow

# A model's name among the publications.
PREFIX = "health/"
SHIPPED_BY, SHIPPED_AT = "Holdfast", datetime(2026, 1, 1, tzinfo=UTC)


async def note_models(
    connection: AsyncConnection,
    changed: Sequence[str],
    sources: Mapping[str, str],
    now: datetime,
    *,
    author: str,
    authors: Mapping[str, str] | None = None,
    note: str = "",
    kind: Literal["health", "rollback"] = "health",
) -> None:
    """Note that these models are others since `publish_models`: from which text and by whom (`authors`, by name)."""
    live = {**shipped_models(), **await load_models(connection)}
    rows = []
    for name in changed:
        model = live.get(name)
        if model is None:
            versions = await _load_rows(connection, name)
            version, source = (versions[0].version if versions else ""), ""
        else:
            version, source = model.digest, sources.get(name) or _shipped_text(name, model.digest)
        told = note or ("retired: its file is gone" if model is None else f"version {version}")
        rows.append(
            {
                "name": PREFIX + name,
                "kind": "retired" if model is None else kind,
                "version": version,
                "source": source,
                "author": (authors or {}).get(PREFIX + name, author),
                "note": told,
            }
        )
    if rows:
        await connection.execute(
            text(
                "INSERT INTO publications (name, kind, version, source, author, note, at) "
                "SELECT name, kind, version, source, author, note, :now FROM jsonb_to_recordset(CAST(:rows AS jsonb)) "
                "AS r(name text, kind text, version text, source text, author text, note text)"
            ),
            {"rows": encode(rows), "now": now},
        )
        done = [
            Done(
                _ACTIONS[str(row["kind"])],
                "health_model",
                str(row["name"]),
                None,
                {"version": row["version"]},
            )
            for row in rows
        ]
        await record_changes(connection, actor_called(author), done)


_ACTIONS = {"health": "health.published", "retired": "health.retired", "rollback": "health.rolled_back"}


def _shipped_text(name: str, digest: str) -> str:
    """The text of a model that ships, if this is its version."""
    model = shipped_models().get(name)
    if model is None or model.digest != digest:
        return ""
    return (SHIPPED_HEALTH / f"{name}.yaml").read_text(encoding="utf-8")


_VERSIONS = text(
    "SELECT DISTINCT ON (version) version, false AS live, 0 AS open_runs, author, note, '' AS status, "
    "min(at) OVER (PARTITION BY version) AS published_at, at AS last_published_at "
    "FROM publications WHERE name = :name AND version <> '' ORDER BY version, id DESC"
)


async def _load_rows(connection: AsyncConnection, name: str) -> list[VersionRow]:
    rows = (await connection.execute(_VERSIONS, {"name": PREFIX + name})).all()
    found = [VersionRow.model_validate(dict(row._mapping)) for row in rows]
    return sorted(found, key=lambda row: (row.last_published_at, row.version), reverse=True)


async def list_model_versions(connection: AsyncConnection, name: str) -> list[VersionRow]:
    """Every version of a health model, the one published last first; what ships is one of them. Raises NotFoundError."""
    published = await load_models(connection)
    live = {**shipped_models(), **published}.get(name)
    rows = await _load_rows(connection, name)
    shipped = shipped_models().get(name)
    if shipped is not None and shipped.digest not in {row.version for row in rows}:
        rows.append(
            VersionRow(
                version=shipped.digest, live=False, open_runs=0, author=SHIPPED_BY, note="as it ships", status="",
                published_at=SHIPPED_AT, last_published_at=SHIPPED_AT,
            )
        )  # fmt: skip
    if not rows:
        known = ", ".join(sorted({**shipped_models(), **published}))
        raise NotFoundError(f"There is no health model {name!r}.", remedy=f"There are: {known}.")
    return [row.model_copy(update={"live": live is not None and row.version == live.digest}) for row in rows]


async def load_model_text(connection: AsyncConnection, name: str, version: str | None) -> tuple[str, str]:
    """The digest of a version (its beginning will do; None: the live one), and the text it was last published from.

    Raises NotFoundError for an unknown one, InputError where no text was kept.
    """
    known = await list_model_versions(connection, name)
    if version is None:
        found = [row.version for row in known if row.live]
    else:
        found = [row.version for row in known if version and row.version.startswith(version)]
        found = [version] if version in found else found
    if len(found) != 1:
        what = f"{len(found)} versions of {name} begin" if found else f"No version of {name} begins"
        told = "No version of it is live" if version is None else f"{what} with {version!r}"
        raise NotFoundError(f"{told}.", remedy=f"There are: {', '.join(row.version for row in known[:20])}.")
    row = await connection.execute(
        text(
            "SELECT source FROM publications WHERE name = :name AND version = :version AND source <> '' "
            "ORDER BY id DESC LIMIT 1"
        ),
        {"name": PREFIX + name, "version": found[0]},
    )
    source: str = row.scalar() or _shipped_text(name, found[0])
    if not source:
        raise InputError(
            f"Version {found[0]} of {name} was published without a file, so there is no text of it.",
            remedy="Publish from files.",
        )
    return found[0], source
