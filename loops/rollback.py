"""Making an earlier version of a playbook live again, by the same checks as a file that is saved."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path

from activities.registry import find_step_types
from loops.authorship import system_user
from loops.drafting import refuse_if_edited
from schemas.catalogue import Catalogue
from schemas.compiler import compile_playbook
from schemas.errors import ConflictError, PlaybookError
from schemas.file_selection import TEMPLATES
from schemas.language import Language
from schemas.loader import load_playbooks
from schemas.plan import CompiledPlaybook
from schemas.template_file import MessageTemplate
from schemas.yaml_source import read_bytes
from store.database import Database
from store.playbooks import lock_publishing
from store.publications import list_versions, load_written
from store.publishing import publish


@dataclass(frozen=True)
class RolledBack:
    """What a rollback came to. `written`: the file that holds the text again; `kept` says why it was left alone."""

    playbook: str
    version: str
    was: str
    changed: bool
    written: Path | None = None
    kept: str = ""


async def roll_back(
    database: Database,
    directory: Path,
    catalogue: Catalogue,
    playbook: str,
    version: str,
    *,
    author: str | None = None,
    based_on: str | None = None,
) -> RolledBack:
    """Publish the text of an earlier version (or the beginning of its digest) again, with the templates it had; only
    while the playbook is as `based_on` (of `loops.drafting.open_file`) says, where that is given.

    Where the playbook's file is there it gets that text, so that the next `apply`, or whoever watches, finds what is
    live. Where a template is another by now, the file is left alone: others may use the template.
    Raises NotFoundError for an unknown version, PlaybookError where its text can't be used any more,
    EditedMeanwhileError where the playbook is another by now.
    """
    async with database.transaction() as connection:
        version, text, before = await load_written(connection, playbook, version)
        live = next(row.version for row in await list_versions(connection, playbook) if row.live)
    compiled = await asyncio.to_thread(_compile, playbook, text, before, catalogue)
    if compiled.version != version:
        raise ConflictError(
            f"The text of version {version} means another version by now ({compiled.version}).",
            remedy="The language or the signals have changed since; edit the file instead.",
        )
    async with database.transaction() as connection:
        if based_on is not None:
            # From here on nobody else publishes: what is compared stays true.
            await lock_publishing(connection)
            await refuse_if_edited(connection, directory, f"{playbook}.yaml", text, based_on)
        changes = await publish(
            connection,
            {playbook: compiled},
            {playbook: text},
            None,
            author=author or system_user(),
            now=await database.clock.read(connection),
            gone=(),
            note=f"rolled back to {version} from {live}",
            kind="rollback",
        )
    written, kept = await asyncio.to_thread(_write_back, directory, compiled, text, catalogue)
    return RolledBack(playbook, version, live, bool(changes), written, kept)


def _compile(name: str, text: str, before: CompiledPlaybook, catalogue: Catalogue) -> CompiledPlaybook:
    source, problems = read_bytes(text.encode(), f"{name}.yaml")
    if source is None:
        raise PlaybookError(problems)
    language = Language(catalogue, find_step_types())
    templates = {key: MessageTemplate(key, channels) for key, channels in before.templates.items()}
    compiled = compile_playbook(source, language, templates, name=name, problems=problems)
    if compiled.playbook is None:
        raise PlaybookError([problem for problem in compiled.problems if problem.severity == "error"])
    return compiled.playbook


def _write_back(
    directory: Path, compiled: CompiledPlaybook, text: str, catalogue: Catalogue
) -> tuple[Path | None, str]:
    """Give the file the text of what is live now, where that makes it mean the same."""
    file = directory / f"{compiled.name}.yaml"
    if not file.is_file():
        return None, f"there is no {file}"
    loaded = load_playbooks(directory, catalogue, find_step_types())
    others = sorted(
        name
        for name, channels in compiled.templates.items()
        if name not in loaded.templates or loaded.templates[name].channels != channels
    )
    if others:
        names = ", ".join(str(directory / TEMPLATES / f"{name}.yaml") for name in others)
        return None, f"{names} changed since; with it {file} would mean another version"
    return write_text(file, text)


def write_text(file: Path, text: str) -> tuple[Path | None, str]:
    """Give a file that is there this text, at once or not at all; without one, or where that fails, says why not."""
    if not file.is_file():
        return None, f"there is no {file}"
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.chmod(file.stat().st_mode & 0o777)
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        return None, f"{file} can't be written: {error.strerror}"
    return file, ""
