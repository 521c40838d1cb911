"""Who was, or is to be, erased: known by a hash of what the caller called them, and kept out by it.

A plain hash, as of suppressed addresses and for the same reasons: see docs/decisions/0014.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.asking import fetch
from store.database import encode

# Of a dead letter that says no more than this: what it said would bring back what was erased.
ERASED_CODE = "HF180"
ERASED_REASON = "the customer was erased; what was sent of them is not kept"
# The same hash in SQL, of a column.
HASH_IN_SQL = "encode(sha256(convert_to('customer:' || {column}, 'UTF8')), 'hex')"

_FENCED = "SELECT DISTINCT external_id_hash FROM erasures WHERE external_id_hash = ANY(%(hashes)s) AND allowed_again_at IS NULL"
_COUNT = text(
    "INSERT INTO dead_letters AS d (received_at, source, code, reason, body, digest, times) "
    "SELECT :now, source, :code, :reason, '', digest, times "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(source text, digest text, times int) "
    "ON CONFLICT (digest) DO UPDATE SET times = d.times + excluded.times, received_at = excluded.received_at"
)


def hash_external_id(external_id: str) -> str:
    """What a customer is remembered by when nothing of them may be."""
    return hashlib.sha256(f"customer:{external_id}".encode()).hexdigest()


async def find_fenced(connection: AsyncConnection, external_ids: Collection[str]) -> frozenset[str]:
    """Which of these are erased, or about to be, and were not allowed to come again.

    Asked under the lock of those who exist: an erasure that is committed is seen, and none can begin meanwhile.
    """
    by_hash = {hash_external_id(name): name for name in external_ids}
    rows = await fetch(connection, _FENCED, {"hashes": list(by_hash)})
    return frozenset(by_hash[found] for (found,) in rows)


async def count_dropped(connection: AsyncConnection, by_source: Mapping[str, int], now: datetime) -> None:
    """Count events of erased customers that were dropped: one dead letter per source, without anything that was sent."""
    rows = [
        {
            "source": source,
            "times": times,
            "digest": hashlib.sha256(f"{source}\0{ERASED_CODE}\0".encode()).hexdigest(),
        }
        for source, times in sorted(by_source.items())
    ]
    await connection.execute(
        _COUNT, {"now": now, "code": ERASED_CODE, "reason": ERASED_REASON, "rows": encode(rows)}
    )
