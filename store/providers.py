"""Which providers can be used: what every process has found out of them, in one place.

ok; parked: it refuses us (credentials, sender), until somebody changes something; resting: it failed too often in a row, or
asked to be left alone, until `until`. A parked one is tried again at `until`, by one message. An alert is open for as long
as a provider is parked; its detail holds the fingerprint of the settings that were refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.alerts import raise_alert, resolve_alerts

# So many failures in a row, and a provider rests: half a minute, and twice as long after each further one.
FAILURES_TO_REST = 5
FIRST_REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=10)
TRIAL_EVERY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class ProviderState:
    """What is known of one provider of one channel; `settings`: the fingerprint that it was parked with, if it is."""

    channel: str
    provider: str
    state: str
    code: str
    reason: str
    failures: int
    since: datetime
    until: datetime | None
    settings: str | None = None


def alert_kind(channel: str, provider: str) -> str:
    """What alerts about a provider are filed under."""
    return f"provider:{channel}/{provider}"


async def load_providers(connection: AsyncConnection) -> list[ProviderState]:
    """All that were ever used, by channel and name."""
    rows = await connection.execute(
        text(
            "SELECT p.channel, p.provider, p.state, p.code, p.reason, p.failures, p.since, p.until, a.settings "
            "FROM providers p LEFT JOIN LATERAL (SELECT detail ->> 'settings' AS settings FROM alerts "
            "WHERE p.state = 'parked' AND kind = 'provider:' || p.channel || '/' || p.provider AND resolved_at IS NULL "
            "ORDER BY id DESC LIMIT 1) a ON true ORDER BY p.channel, p.provider"
        )
    )
    return [ProviderState(**row._mapping) for row in rows]


async def adopt_providers(
    connection: AsyncConnection, used: Sequence[tuple[str, str, str]], now: datetime
) -> None:
    """A process begins to use these (channel, provider, fingerprint): those parked with other settings are free again."""
    for channel, provider, _ in used:
        await connection.execute(
            text(
                "INSERT INTO providers (channel, provider, state, since) VALUES (:channel, :provider, 'ok', :now) "
                "ON CONFLICT DO NOTHING"
            ),
            {"channel": channel, "provider": provider, "now": now},
        )
    known = {(state.channel, state.provider): state for state in await load_providers(connection)}
    for channel, provider, settings in used:
        state = known.get((channel, provider))
        if state and state.state == "parked" and state.settings != settings:
            await clear_provider(connection, channel, provider, now)


async def park_provider(
    connection: AsyncConnection,
    channel: str,
    provider: str,
    *,
    code: str,
    reason: str,
    settings: str,
    now: datetime,
) -> bool:
    """Nothing more goes to a provider that refuses us, and an alert says so; False where it was parked already."""
    parked = await connection.execute(
        text(
            "INSERT INTO providers AS p (channel, provider, state, code, reason, failures, since, until) "
            "VALUES (:channel, :provider, 'parked', :code, :reason, 1, :now, :until) "
            "ON CONFLICT (channel, provider) DO UPDATE SET state = 'parked', code = excluded.code, "
            "reason = excluded.reason, failures = p.failures + 1, since = :now, until = excluded.until "
            "WHERE p.state <> 'parked' RETURNING 1"
        ),
        {
            "channel": channel,
            "provider": provider,
            "code": code,
            "reason": reason,
            "now": now,
            "until": now + TRIAL_EVERY,
        },
    )
    if parked.first() is None:
        return False
    await raise_alert(
        connection,
        alert_kind(channel, provider),
        f"{provider} ({channel}) refuses us, {code}: {reason} Its messages wait, or go another way.",
        {"channel": channel, "provider": provider, "code": code, "settings": settings},
        now,
    )
    return True


async def count_failure(
    connection: AsyncConnection,
    channel: str,
    provider: str,
    *,
    code: str,
    reason: str,
    now: datetime,
    leave_for_seconds: float | None = None,
) -> None:
    """It failed once more. leave_for_seconds: it asked to be left alone so long, which counts as no failure."""
    parameters = {
        "channel": channel,
        "provider": provider,
        "code": code,
        "reason": reason,
        "now": now,
        "counted": 0 if leave_for_seconds else 1,
        "asked": now + timedelta(seconds=leave_for_seconds) if leave_for_seconds else None,
    }
    row = (
        await connection.execute(
            text(
                "INSERT INTO providers AS p (channel, provider, state, code, reason, failures, since) "
                "VALUES (:channel, :provider, 'ok', :code, :reason, :counted, :now) "
                "ON CONFLICT (channel, provider) DO UPDATE SET failures = p.failures + :counted, "
                "code = CASE WHEN p.state = 'parked' THEN p.code ELSE excluded.code END, "
                "reason = CASE WHEN p.state = 'parked' THEN p.reason ELSE excluded.reason END "
                "RETURNING state, failures, until"
            ),
            parameters,
        )
    ).one()
    if row.state == "parked":
        return
    until: datetime | None = parameters["asked"]  # type: ignore[assignment]
    if row.failures >= FAILURES_TO_REST and not leave_for_seconds:
        until = now + min(FIRST_REST * 2 ** min(row.failures - FAILURES_TO_REST, 10), LONGEST_REST)
    if until is not None:
        await connection.execute(
            text(
                "UPDATE providers SET since = CASE WHEN state = 'resting' THEN since ELSE :now END, state = 'resting', "
                "until = greatest(until, :until) WHERE channel = :channel AND provider = :provider"
            ),
            {"channel": channel, "provider": provider, "now": now, "until": until},
        )


async def clear_provider(connection: AsyncConnection, channel: str, provider: str, now: datetime) -> None:
    """It can be used: it took a message, its settings are others, or somebody says so."""
    cleared = await connection.execute(
        text(
            "UPDATE providers SET since = CASE WHEN state = 'ok' THEN since ELSE :now END, state = 'ok', code = '', "
            "reason = '', failures = 0, until = NULL WHERE channel = :channel AND provider = :provider "
            "AND (state <> 'ok' OR failures > 0) RETURNING 1"
        ),
        {"channel": channel, "provider": provider, "now": now},
    )
    if cleared.first() is not None:
        await resolve_alerts(connection, alert_kind(channel, provider), now)


async def take_trial(connection: AsyncConnection, channel: str, provider: str, now: datetime) -> bool:
    """Whether the caller's message is the one by which a parked provider is tried again now."""
    won = await connection.execute(
        text(
            "UPDATE providers SET until = :next WHERE channel = :channel AND provider = :provider "
            "AND state = 'parked' AND until <= :now RETURNING 1"
        ),
        {"channel": channel, "provider": provider, "now": now, "next": now + TRIAL_EVERY},
    )
    return won.first() is not None


async def unpark_providers(
    connection: AsyncConnection, provider: str, channel: str | None, now: datetime
) -> list[ProviderState]:
    """Use these again at once; returns those of this name that were parked or resting."""
    found = [
        state
        for state in await load_providers(connection)
        if state.provider == provider and channel in (None, state.channel) and state.state != "ok"
    ]
    for state in found:
        await clear_provider(connection, state.channel, state.provider, now)
    return found


async def note_provider(connection: AsyncConnection, delivery: str, attempt: int, provider: str) -> bool:
    """Note whom a claim is handed to, before it is; False where the claim doesn't stand any more."""
    done = await connection.execute(
        text(
            "UPDATE deliveries SET provider = :provider WHERE id = :id AND attempt = :attempt AND state = 'claimed'"
        ),
        {"id": delivery, "attempt": attempt, "provider": provider},
    )
    return bool(done.rowcount)
