"""The live policy, kept in memory by the digest of what it says: one database's is another's if they say the same."""

from __future__ import annotations

from collections import OrderedDict

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.policy import Policy
from store.asking import fetch

# Its digest, for statements that read other things along with it; NULL where there is no policy.
POLICY_DIGEST = "(SELECT md5(value::text) FROM governance WHERE name = 'policy')"
# The policy itself, and the digest of the health model that it names (`default_model` where it names none) out of a
# `policy` made so.
LIVE_POLICY = "SELECT value FROM governance WHERE name = 'policy'"
MODEL_DIGEST = (
    "(SELECT g.value->'digests'->>coalesce((SELECT value->>'health_model' FROM policy), %(default_model)s) "
    "FROM governance g WHERE g.name = 'health')"
)
_KEPT = 32
_read: OrderedDict[str, Policy] = OrderedDict()


async def find_policy(connection: AsyncConnection, digest: str | None) -> Policy:
    """The policy of this digest, which was the live one just now; it is read where this process doesn't know it."""
    if digest is None:
        return Policy()
    policy = _read.get(digest)
    if policy is None:
        rows = await fetch(
            connection, "SELECT md5(value::text), value FROM governance WHERE name = 'policy'", {}
        )
        if not rows:
            return Policy()
        # Another one may have become live meanwhile.
        digest, value = rows[0]
        policy = _read[str(digest)] = Policy.model_validate(value)
        while len(_read) > _KEPT:
            _read.popitem(last=False)
    return policy
