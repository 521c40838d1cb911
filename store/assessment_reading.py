"""What one customer's health and churn are worked out from, read by one statement; nothing is locked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from store.asking import Source, fetch
from store.customer_health import WRITTEN_MIDNIGHTS, read_midnights
from store.customers import PROFILE_TRAITS, Customer, read_customer
from store.live_policy import LIVE_POLICY, MODEL_DIGEST
from store.serving import WRITTEN_CHAMPIONS, Serving, read_champions
from store.signals import STORED_COLUMNS, WRITTEN_TALLIES, StoredSignals, read_stored, read_tallies


@dataclass(frozen=True, slots=True)
class AssessmentReading:
    """One customer as of `now`. `scores` are those of the midnights before today; `health_model` is the digest of the model
    of the name `health_model_name` (None: the policy names none; it isn't published).
    """

    customer: Customer
    now: datetime
    stored: StoredSignals
    tallies: Sequence[tuple[str, str, date, int, float]]
    scores: Mapping[date, int]
    health_model_name: str | None
    health_model: str | None
    serving: Serving


_FIRST = 7
_READ = (
    "WITH moment AS MATERIALIZED (SELECT coalesce(CAST(%(at)s AS timestamptz), clock_timestamp()) AS now), "
    "today AS MATERIALIZED (SELECT CAST(now AT TIME ZONE 'UTC' AS date) AS day FROM moment), "
    f"policy AS MATERIALIZED ({LIVE_POLICY}) "
    "SELECT (SELECT now FROM moment), (SELECT value->>'health_model' FROM policy), "
    f"{MODEL_DIGEST}, (SELECT (value->'churn')::text FROM policy), {WRITTEN_CHAMPIONS}, "
    f"(SELECT {WRITTEN_TALLIES} FROM tallies t WHERE t.customer_id = c.id "
    "AND t.day >= (SELECT day FROM today) - CAST(%(tally_days)s AS int)), "
    f"(SELECT {WRITTEN_MIDNIGHTS} FROM customer_health h WHERE h.customer_id = c.id "
    "AND h.day >= (SELECT day FROM today) - CAST(%(score_days)s AS int) AND h.day < (SELECT day FROM today) "
    "AND h.midnight_score IS NOT NULL), "
    f"c.id::text, c.external_id, c.demo, c.traits::text, {', '.join('c.' + name for name in PROFILE_TRAITS)}, "
    f"{', '.join('s.' + name for name in STORED_COLUMNS)} "
    "FROM customers c LEFT JOIN signals s ON s.customer_id = c.id WHERE c.external_id = %(name)s"
)
_mapping = msgspec.json.Decoder(dict[str, Any] | None).decode


async def read_for_assessment(
    source: Source,
    external_id: str,
    *,
    at: datetime | None,
    default_model: str,
    tally_days: int,
    score_days: int,
) -> AssessmentReading | None:
    """What is stored of the customer that the caller calls `external_id`, or None; `at`: None is the database's clock."""
    rows = await fetch(
        source,
        _READ,
        {
            "at": at, "name": external_id, "default_model": default_model, "tally_days": tally_days,
            "score_days": score_days,
        },
    )  # fmt: skip
    if not rows:
        return None
    now, model_name, model, churn, champions, tallies, scores = rows[0][:_FIRST]
    end = _FIRST + 4 + len(PROFILE_TRAITS)
    customer, stored = read_customer(*rows[0][_FIRST:end]), rows[0][end:]
    return AssessmentReading(
        customer=customer,
        now=now.astimezone(UTC),
        stored=read_stored(customer.id, *stored) if stored[0] is not None else StoredSignals(customer.id),
        tallies=read_tallies(tallies),
        scores=read_midnights(scores),
        health_model_name=model_name,
        health_model=model,
        serving=Serving(read_champions(champions), _mapping(churn) if churn else None, now),
    )
