"""What a step's activity reads before it decides: one statement takes the customer's lock, one reads under it.

Two, because a statement sees what was committed when it began, and only what begins under the lock sees all that those
who held it before have done.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.run import Interruption
from store.addresses import hashes_by_channel
from store.asking import fetch
from store.contact import Word
from store.customer_health import WRITTEN_MIDNIGHTS, read_midnights
from store.customers import PROFILE_TRAITS, Customer, read_customer
from store.deliveries import Delivery, read_delivery
from store.live_policy import LIVE_POLICY, MODEL_DIGEST, POLICY_DIGEST
from store.runs import Run, load_run
from store.serving import WRITTEN_CHAMPIONS, read_champions
from store.signals import STORED_COLUMNS, WRITTEN_TALLIES, StoredSignals, read_stored, read_tallies


@dataclass(frozen=True, slots=True)
class LockedRun:
    """A run whose customer's row is locked: who it is about as they are now, and the version as it was before."""

    id: str
    playbook: str
    version: str
    customer: Customer


@dataclass(frozen=True, slots=True)
class Reading:
    """What one statement found, all of it under the customer's lock.

    `told_at` is the database's clock. `policy` and `health_model` are digests, `champions` the churn models that serve with when
    they were trained. `suppressed` are the channels whose address must not be used, with the reasons. `delivery` and
    `steps` are there where they were asked for.
    """

    run: Run
    told_at: datetime
    policy: str | None
    health_model: str | None
    health_model_name: str | None
    churn_policy: Mapping[str, Any] | None
    champions: Mapping[str, tuple[str, datetime]]
    stored: StoredSignals
    tallies: Sequence[tuple[str, str, date, int, float]]
    scores: Mapping[date, int]
    words: Mapping[str, Word]
    suppressed: Mapping[str, str]
    delivery: Delivery | None
    steps: Sequence[Mapping[str, Any]] | None


_LOCK = (
    f"SELECT r.playbook, r.version, c.id::text, c.external_id, c.demo, c.traits::text, "
    f"{', '.join('c.' + name for name in PROFILE_TRAITS)} "
    # The row as it is once it's locked, whatever it was when the statement began.
    "FROM runs r JOIN customers c ON c.id = r.customer_id WHERE r.id = %(run)s FOR NO KEY UPDATE OF c"
)
_RUN = tuple(Run.__dataclass_fields__)
_DELIVERY = tuple(Delivery.__dataclass_fields__)
_FIRST = 12
_READ = (
    "WITH bound AS (UPDATE runs SET execution_id = %(execution)s, step = coalesce(%(step)s, step), "
    "state = CASE WHEN state = 'starting' THEN 'running' ELSE state END, next_start_at = NULL "
    "WHERE id = %(run)s AND ended_at IS NULL AND (execution_id IS NULL OR execution_id = %(execution)s) RETURNING *), "
    f"policy AS MATERIALIZED ({LIVE_POLICY}), "
    "d AS (SELECT * FROM deliveries WHERE id = CAST(%(delivery)s AS uuid) FOR UPDATE) "
    f"SELECT clock_timestamp(), {POLICY_DIGEST}, (SELECT value->>'health_model' FROM policy), "
    f"{MODEL_DIGEST}, (SELECT (value->'churn')::text FROM policy), "
    f"{WRITTEN_CHAMPIONS}, "
    "(SELECT json_agg(json_build_array(channel, topic, granted, source, at))::text FROM consents "
    "WHERE customer_id = CAST(%(customer)s AS uuid)), "
    "(SELECT json_agg(json_build_array(channel, address_hash, reason) ORDER BY reason, at)::text FROM suppressions "
    "WHERE address_hash = ANY(%(hashes)s)), "
    f"(SELECT {WRITTEN_TALLIES} FROM tallies WHERE customer_id = CAST(%(customer)s AS uuid) AND day >= %(tallies_since)s), "
    f"(SELECT {WRITTEN_MIDNIGHTS} FROM customer_health WHERE customer_id = CAST(%(customer)s AS uuid) "
    "AND day >= %(scores_since)s AND midnight_score IS NOT NULL), "
    "CASE WHEN %(delivery)s IS NOT NULL THEN (SELECT json_agg(json_build_object('step', step, 'outcome', outcome, "
    "'output', output) ORDER BY at, step)::text FROM run_steps WHERE run_id = %(run)s) END, d.id IS NOT NULL, "
    f"{', '.join('bound.' + name for name in _RUN)}, {', '.join('d.' + name for name in _DELIVERY)}, "
    f"{', '.join('s.' + name for name in STORED_COLUMNS)} "
    "FROM bound LEFT JOIN d ON true LEFT JOIN signals s ON s.customer_id = bound.customer_id"
)
_words = msgspec.json.Decoder(list[tuple[str, str, bool, str, datetime]]).decode
_suppressions = msgspec.json.Decoder(list[tuple[str, str, str]]).decode
_steps = msgspec.json.Decoder(list[dict[str, Any]]).decode
_mapping = msgspec.json.Decoder(dict[str, Any] | None).decode


async def lock_run(connection: AsyncConnection, run_id: str) -> LockedRun:
    """Lock the customer of this run until the transaction ends. Raises NotFoundError."""
    if not _is_id(run_id) or not (rows := await fetch(connection, _LOCK, {"run": run_id})):
        run = await load_run(connection, run_id)
        raise LookupError(f"run {run.id} has no customer any more")
    playbook, version, *customer = rows[0]
    return LockedRun(run_id, playbook, version, read_customer(*customer))


async def bind_and_read(
    connection: AsyncConnection,
    locked: LockedRun,
    execution_id: str,
    step: str,
    *,
    delivery: str | None,
    default_model: str,
    tallies_since: date,
    scores_since: date,
) -> Reading | None:
    """Claim the run's row for one execution chain (see `runs.bind`), and read what its step may look at; None as there.

    delivery: the message's id, where the step sends one: its row of the ledger is locked, too.
    """
    customer = locked.customer
    by_hash = hashes_by_channel(customer.profile)
    rows = await fetch(
        connection,
        _READ,
        {
            "run": locked.id, "execution": execution_id, "step": step, "delivery": delivery, "customer": customer.id,
            "hashes": sorted({hashed for _, hashed in by_hash}), "default_model": default_model,
            "tallies_since": tallies_since, "scores_since": scores_since,
        },
    )  # fmt: skip
    if not rows:
        return None
    (
        told_at, policy, model_name, model, churn, champions, words, suppressions, tallies, scores, steps, is_claimed,
    ) = rows[0][:_FIRST]  # fmt: skip
    run, row, stored = _split(rows[0][_FIRST:], len(_RUN), len(_DELIVERY))
    found: dict[str, dict[str, None]] = {}
    for channel, hashed, reason in _suppressions(suppressions) if suppressions else ():
        if (channel, hashed) in by_hash:
            found.setdefault(channel, {})[reason] = None
    return Reading(
        run=_run(run),
        told_at=told_at.astimezone(UTC),
        policy=policy,
        health_model=model,
        health_model_name=model_name,
        churn_policy=_mapping(churn) if churn else None,
        champions=read_champions(champions),
        stored=read_stored(customer.id, *stored) if stored[0] is not None else StoredSignals(customer.id),
        tallies=read_tallies(tallies),
        scores=read_midnights(scores),
        words={
            f"{channel}:{topic}" if topic else channel: Word(granted, source, at)
            for channel, topic, granted, source, at in (_words(words) if words else ())
        },
        suppressed={channel: ", ".join(reasons) for channel, reasons in found.items()},
        delivery=read_delivery(row) if is_claimed else None,
        steps=None if delivery is None else _steps(steps) if steps else (),
    )


def _split(row: tuple[Any, ...], *lengths: int) -> tuple[tuple[Any, ...], ...]:
    parts, start = [], 0
    for length in lengths:
        parts.append(row[start : start + length])
        start += length
    return (*parts, row[start:])


def _run(values: Sequence[Any]) -> Run:
    fields = dict(zip(_RUN, values, strict=True))
    fields["id"], fields["customer_id"] = str(fields["id"]), str(fields["customer_id"])
    if fields["interruption"]:
        fields["interruption"] = Interruption.model_validate(fields["interruption"])
    return Run(**fields)


def _is_id(run_id: str) -> bool:
    try:
        uuid.UUID(run_id)
    except ValueError:
        return False
    return True
