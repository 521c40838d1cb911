"""Making an earlier version of a health model live again, by the same checks as a file that is saved."""

from __future__ import annotations

import asyncio
from pathlib import Path

from loops.authorship import system_user
from loops.rollback import RolledBack, write_text
from schemas.catalogue import Catalogue
from schemas.errors import ConflictError, PlaybookError
from schemas.file_selection import HEALTH
from schemas.health_file import read_health_model
from schemas.health_model import HealthModel
from schemas.language import Language
from schemas.yaml_source import read_bytes
from store.database import Database
from store.evaluations import request_everything
from store.health_models import load_active_model, publish_models
from store.health_versions import PREFIX, list_model_versions, load_model_text, note_models
from store.playbooks import lock_publishing


async def roll_back_model(
    database: Database,
    directory: Path,
    catalogue: Catalogue,
    name: str,
    version: str,
    *,
    author: str | None = None,
) -> RolledBack:
    """Publish the text of an earlier version (or the beginning of its digest) of a health model again.

    Where it is the model that scores, everybody is scored anew. Its file, where there is one, gets that text. Raises
    NotFoundError for an unknown version, PlaybookError where its text can't be used any more.
    """
    async with database.transaction() as connection:
        version, text = await load_model_text(connection, name, version)
    model = _read(name, text, catalogue)
    if model.digest != version:
        raise ConflictError(
            f"The text of version {version} means another version by now ({model.digest}).",
            remedy="The language or the signals have changed since; edit the file instead.",
        )
    async with database.transaction() as connection:
        await lock_publishing(connection)
        now = await database.clock.read(connection)
        live = next((row.version for row in await list_model_versions(connection, name) if row.live), "")
        scored_by = await load_active_model(connection)
        changed = await publish_models(connection, {name: model}, now, whole=False)
        await note_models(
            connection, changed, {name: text}, now,
            author=author or system_user(), note=f"rolled back to {version} from {live}", kind="rollback",
        )  # fmt: skip
        if (await load_active_model(connection)).digest != scored_by.digest:
            await request_everything(connection, now)
    written, kept = await asyncio.to_thread(write_text, directory / HEALTH / f"{name}.yaml", text)
    return RolledBack(PREFIX + name, version, live, bool(changed), written, kept)


def _read(name: str, text: str, catalogue: Catalogue) -> HealthModel:
    source, problems = read_bytes(text.encode(), f"{name}.yaml")
    if source is None:
        raise PlaybookError(problems)
    model, problems = read_health_model(source, Language(catalogue, {}), name, problems)
    if model is None:
        raise PlaybookError([problem for problem in problems if problem.severity == "error"])
    return model
