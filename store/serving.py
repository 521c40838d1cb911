"""Which churn models serve now, in one cheap look: what a process compares with what it has in its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Serving:
    """The champions by kind (`model`, `health`): version, and when it was trained. `churn_policy` is the live
    policy's word on churn (None: nothing), `now` the database's moment.
    """

    champions: Mapping[str, tuple[str, datetime]]
    churn_policy: Mapping[str, Any] | None
    now: datetime


# For statements that read other things along with it: the champions, as `read_champions` reads them.
WRITTEN_CHAMPIONS = "(SELECT json_agg(json_build_array(kind, version, trained_at))::text FROM churn_models WHERE state = 'champion')"
_champions = msgspec.json.Decoder(list[tuple[str, str, datetime]]).decode


def read_champions(written: str | None) -> dict[str, tuple[str, datetime]]:
    """Version and moment of training by kind, out of `WRITTEN_CHAMPIONS`."""
    return {kind: (version, at) for kind, version, at in _champions(written)} if written else {}


_READ = text(
    "SELECT now() AS now, (SELECT value->'churn' FROM governance WHERE name = 'policy') AS policy, m.kind, m.version, "
    "m.trained_at FROM (SELECT 1) one LEFT JOIN churn_models m ON m.state = 'champion'"
)


async def read_serving(connection: AsyncConnection) -> Serving:
    """What serves now; the artifacts themselves aren't read."""
    rows = (await connection.execute(_READ)).all()
    champions = {row.kind: (row.version, row.trained_at) for row in rows if row.kind is not None}
    return Serving(champions, rows[0].policy, rows[0].now)
