"""Making the playbook files of a directory live; a file with errors changes nothing and is named."""

from __future__ import annotations

import getpass
import logging
from pathlib import Path

from activities.registry import find_step_types
from schemas.catalogue import Catalogue
from schemas.errors import Problem
from schemas.loader import load_playbooks
from store.database import Database
from store.playbooks import publish

log = logging.getLogger(__name__)


async def publish_directory(database: Database, directory: Path, catalogue: Catalogue) -> list[Problem]:
    """Publish every good file of `directory`; returns the problems of the others."""
    loaded = load_playbooks(directory, catalogue, find_step_types())
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    for problem in errors:
        log.warning("not published: %s", problem)
    async with database.transaction() as connection:
        now = await database.clock.read(connection)
        changed = await publish(
            connection,
            loaded.playbooks,
            loaded.sources,
            loaded.policy,
            author=_author(),
            now=now,
            invalid=loaded.invalid,
        )
    if changed:
        log.info("published: %s", ", ".join(changed))
    return errors


def _author() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
