"""What the audit says of those who weren't let in: so much that an attack shows, and never so much that it fills a table.

Of an account, or of a name that nobody has, one row when it begins to fail, one when it has to wait from then on, and
one for each hundred failures more (a day or so of an attack that never rests). No name that was typed is kept, only a
keyed hash of it: people type their password into the wrong field.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from schemas.access import Principal
from store.audit import record_change
from store.database import Connection
from store.tables import audit_log

# Whoever wasn't let in.
NOBODY = Principal(kind="system", id="sign-in", name="nobody signed in", role="csm")
EVERY = 100
# Names can be made up without end, so of those that nobody has only so many are told in an hour.
UNKNOWN = "sign_in"
MOST_UNKNOWN = 20
WITHIN = timedelta(hours=1)


def is_told(failures: int, free: int) -> bool:
    """Whether the audit tells of a subject's failure of this number; `free` of them cost no wait."""
    return failures in (1, free + 1) or (failures > 0 and failures % EVERY == 0)


async def record_refused(
    connection: Connection, person_id: str | None, named: str, after: Mapping[str, Any]
) -> None:
    """Write down that somebody wasn't let in as this person, or by what is `named` where that is nobody's."""
    # Asked for everybody, so that a name's being known doesn't show by how long this takes.
    told = select(func.count()).where(
        audit_log.c.object_kind == UNKNOWN, audit_log.c.at > func.clock_timestamp() - WITHIN
    )
    unknown = int((await connection.execute(told)).scalar_one())
    if person_id is None and unknown >= MOST_UNKNOWN:
        return
    last = (
        {"more_in_this_hour": "not written down"} if person_id is None and unknown == MOST_UNKNOWN - 1 else {}
    )
    await record_change(
        connection,
        NOBODY,
        "session.refused",
        object_kind="person" if person_id else UNKNOWN,
        object_id=person_id or named,
        after={**after, **last},
    )
