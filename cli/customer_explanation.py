"""`holdfast explain --customer`: asks the running system's database."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from schemas.settings import Settings


def explain_customer(playbook: str, external_id: str) -> dict[str, Any]:
    """Why this customer enters this playbook now, or why not. Raises NotFoundError, SettingError."""
    return asyncio.run(_explain(Settings.read(os.environ).require_database_url(), playbook, external_id))


async def _explain(database_url: str, playbook: str, external_id: str) -> dict[str, Any]:
    from loops.explaining import explain_customer as explain
    from store.database import Database

    async with Database(database_url, connections=1) as database:
        return await explain(database, playbook, external_id)
