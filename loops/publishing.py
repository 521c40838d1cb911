"""Making playbook files live; a file with errors changes nothing and is named."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from loops.authorship import find_authors, system_user
from loops.playbook_files import Files, file_name, read_directory, read_text
from schemas.catalogue import Catalogue
from schemas.errors import Problem
from schemas.file_selection import HEALTH, MILESTONES_FILE, POLICY_FILE, TEMPLATES
from store.database import DATABASE_AWAY, Connection, Database
from store.evaluations import request_everything
from store.health_models import compare_models, load_active_model, publish_models
from store.health_versions import PREFIX, note_models
from store.live_milestones import MILESTONES, differs, publish_milestones
from store.publications import save_file_problems
from store.publishing import POLICY, Change, compare, publish

log = logging.getLogger(__name__)

# Whoever is told that its transaction must give way to another's tries again.
ATTEMPTS = 4


@dataclass(frozen=True)
class Applied:
    """What publishing changed, and what it couldn't."""

    changes: Sequence[Change] = ()
    errors: Sequence[Problem] = field(default=())


async def publish_directory(database: Database, directory: Path, catalogue: Catalogue) -> list[Problem]:
    """Publish every good file of `directory`, telling the log; returns the problems of the others."""
    files = await asyncio.to_thread(read_directory, directory, catalogue)
    applied = await publish_files(database, files)
    for problem in applied.errors:
        log.warning("not published: %s", problem)
    for change in applied.changes:
        log.info("published: %s (%s)", change.name, change.describe())
    return list(applied.errors)


async def publish_files(database: Database, files: Files, *, note: str = "") -> Applied:
    """Make what is good in these files live, and note what isn't."""
    changes: list[Change] = []
    async with database.transaction() as connection:
        expected = await compare_files(connection, files)
    # While it is published nobody can be evaluated: no more than what changes is looked at then.
    files = _narrow(files, expected)
    authors = (
        await asyncio.to_thread(find_authors, files.directory, _written_in(files, expected))
        if expected
        else {}
    )
    for attempt in range(ATTEMPTS):
        try:
            changes = await _publish(database, files, authors, note)
            break
        except DATABASE_AWAY:
            if attempt + 1 == ATTEMPTS:
                raise
            await asyncio.sleep(0.1 * 2**attempt)
    return Applied(changes, files.errors)


def _narrow(files: Files, changes: Sequence[Change]) -> Files:
    """The files without what is live already."""
    playbooks = {
        change.name: files.playbooks[change.name] for change in changes if change.name in files.playbooks
    }
    return replace(
        files,
        playbooks=playbooks,
        sources={name: source for name, source in files.sources.items() if name in playbooks},
        policy=files.policy if any(change.kind == "policy" for change in changes) else None,
        gone=[change.name for change in changes if change.kind == "retired"],
    )


async def compare_files(connection: Connection, files: Files) -> list[Change]:
    """What publishing these files would change now."""
    changes = await compare(
        connection,
        files.playbooks,
        files.sources,
        files.policy,
        invalid=files.invalid,
        gone=files.gone,
        policy_source=files.policy_source,
    )
    models = await compare_models(
        connection, files.health, broken=files.broken_health, whole=files.whole_health
    )
    other = await _milestones_differ(connection, files)
    return changes + [_model_change(name) for name in models] + _milestone_changes(other)


async def _milestones_differ(connection: Connection, files: Files) -> bool:
    if files.milestones is None and not files.milestones_gone:
        return False
    return await differs(connection, files.milestones)


def _milestone_changes(other: bool) -> list[Change]:
    return [Change(MILESTONES, "milestones")] if other else []


def _model_change(name: str) -> Change:
    return Change(PREFIX + name, "health")


async def _publish(database: Database, files: Files, authors: Mapping[str, str], note: str) -> list[Change]:
    async with database.transaction() as connection:
        now = await database.clock.read(connection)
        return await publish_within(connection, files, now, author=system_user(), authors=authors, note=note)


async def publish_within(
    connection: Connection,
    files: Files,
    now: datetime,
    *,
    author: str,
    authors: Mapping[str, str] | None = None,
    note: str = "",
) -> list[Change]:
    """Publish what is good in these files inside the caller's transaction, and note what is wrong with the others.

    `authors` has who wrote what, by name, where that isn't `author`; `note` says why.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for problem in files.errors:
        found.setdefault(file_name(problem.file), []).append(problem.to_json())
    await save_file_problems(connection, found, now, looked_at=files.looked_at)
    scored_by = await load_active_model(connection)
    changes = await publish(
        connection,
        files.playbooks,
        files.sources,
        files.policy,
        author=author,
        now=now,
        invalid=files.invalid,
        gone=files.gone,
        authors=authors,
        note=note,
        policy_source=files.policy_source,
    )
    # Under the lock that publishing holds from there on.
    models = await publish_models(
        connection, files.health, now, broken=files.broken_health, whole=files.whole_health
    )
    sources = {name: read_text(files.directory / HEALTH / f"{name}.yaml") or "" for name in models}
    await note_models(connection, models, sources, now, author=author, authors=authors, note=note)
    other = await _milestones_differ(connection, files) and await publish_milestones(
        connection, files.milestones, read_text(files.directory / MILESTONES_FILE) or "", now,
        author=(authors or {}).get(MILESTONES, author), note=note,
    )  # fmt: skip
    if other or (await load_active_model(connection)).digest != scored_by.digest:
        await request_everything(connection, now)
    return changes + [_model_change(name) for name in models] + _milestone_changes(other)


def _written_in(files: Files, changes: Sequence[Change]) -> dict[str, list[Path]]:
    """The files in which each of these changes was written."""
    written: dict[str, list[Path]] = {}
    for change in changes:
        if change.name == POLICY and change.kind == "policy":
            written[change.name] = [files.directory / POLICY_FILE]
            continue
        if change.name == MILESTONES and change.kind == "milestones":
            written[change.name] = [files.directory / MILESTONES_FILE]
            continue
        written[change.name] = [files.directory / f"{change.name}.yaml"]
        if change.before and change.after:
            before, after = change.before.templates, change.after.templates
            others = [name for name in sorted(after) if before.get(name) != after[name]]
            written[change.name] += [files.directory / TEMPLATES / f"{name}.yaml" for name in others]
    return written
