"""Writing down what handlers do: in a transaction of its own where the change itself has none here."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from schemas.access import Principal
from store.audit import current_actor, record_change
from store.database import Database
from store.faults import is_away

logger = logging.getLogger("holdfast.web")


async def note_change(
    database: Database,
    actor: Principal,
    action: str,
    *,
    object_kind: str,
    object_id: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down what was done elsewhere, as in a workflow; where the database is away the log has it."""
    try:
        async with database.transaction() as connection:
            await record_change(
                connection,
                actor,
                action,
                object_kind=object_kind,
                object_id=object_id,
                before=before,
                after=after,
            )
    except Exception as error:
        if not is_away(error):
            raise
        logger.exception("not in the audit log: %s %s of %s %s", actor.id, action, object_kind, object_id)


@asynccontextmanager
async def acting(actor: Principal) -> AsyncIterator[None]:
    """Whatever is written down inside is `actor`'s doing, also where only names are handed on."""
    token = current_actor.set(actor)
    try:
        yield
    finally:
        current_actor.reset(token)
