"""Who was exposed to which arm of an experiment: the first time counts, for good."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import text

from store.database import Connection


async def load_exposures(
    connection: Connection, customer_ids: Sequence[str]
) -> dict[tuple[str, str], dict[str, str]]:
    """The arm of each experiment by (customer id, playbook)."""
    rows = await connection.execute(
        text(
            "SELECT customer_id::text, split_part(experiment, '/', 1) AS playbook, "
            "substr(experiment, strpos(experiment, '/') + 1) AS name, variant "
            "FROM exposures WHERE customer_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(customer_ids)},
    )
    found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for row in rows:
        found[row.customer_id, row.playbook][row.name] = row.variant
    return found
