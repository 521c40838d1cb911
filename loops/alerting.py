"""Looking after the system itself: what is unwell becomes an alert, and alerts are told by webhook.

A receiver hears of each alert when it opens, when it becomes critical and when it is over, at least once each, signed
by Standard Webhooks; the id is that of the alert and the happening, by which a repetition is known.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from channels.outcome import ChannelError
from channels.signatures.standard_webhooks import read_secret
from channels.webhook import WebhookSettings, call_webhook
from rules.system_alerts import (
    Finding,
    ProviderFigures,
    Severity,
    SystemFigures,
    find_trouble,
    is_ours,
)
from schemas.errors import SettingError
from schemas.metrics import ALERTS_TOLD
from schemas.settings import Settings, is_web_address
from store.alert_telling import Untold, hold_alert, lease_untold, load_held, mark_told, tell_later
from store.alerts import resolve_alerts
from store.database import DATABASE_AWAY, Database
from store.evaluations import mark_upkeep
from store.population import last_scored_at
from store.system_health import SystemReading, read_system

log = logging.getLogger(__name__)

URL, SECRET = "HOLDFAST_ALERT_WEBHOOK", "HOLDFAST_ALERT_SECRET"
JUDGE_EVERY = timedelta(seconds=30)
TELL_EVERY_SECONDS = 2.0
# What rested is tried by whatever waits for it, within so long; until then it isn't well again.
TRIED_WITHIN = timedelta(minutes=2)
TOLD_AT_ONCE = 10
AWAY = (*DATABASE_AWAY, OSError)
# A fingerprint of settings is nobody's business elsewhere.
_KEPT = ("settings",)


@dataclass(frozen=True)
class AlertWebhook:
    """Where alerts are told, and the keys that sign them, the newest first; `page` is where people see them."""

    url: str = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)
    page: str

    @classmethod
    def read(cls, settings: Settings) -> AlertWebhook | None:
        """None where no webhook is set. Raises SettingError."""
        url = settings.environ.get(URL)
        if url is None:
            return None
        if not is_web_address(url) or urlsplit(url).username is not None:
            raise SettingError(
                f"{URL} is no web address.", remedy="Write it like https://alerts.example.com/holdfast."
            )
        secrets = settings.environ.get(SECRET, "").split()
        if not secrets:
            raise SettingError(
                f"{SECRET} is not set, and what isn't signed isn't sent.",
                remedy="Make one with: python3 -c 'import base64, secrets; "
                'print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())\'',
            )
        keys = tuple(read_secret(SECRET, secret)[1] for secret in secrets)
        return cls(url, keys, f"{settings.public_url}/alerts")

    async def tell(self, untold: Untold) -> None:
        """One request. Raises a ChannelError where it wasn't taken, or that isn't known."""
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        allowed = WebhookSettings(frozenset({f"{name}:{port}".lower()}), self.keys)
        body = describe(untold, self.page)
        await call_webhook(
            "POST", self.url, body, key=f"alert-{untold.id}-{untold.happening}", settings=allowed
        )


def describe(untold: Untold, page: str) -> dict[str, Any]:
    """What the receiver gets."""
    moment = untold.resolved_at if untold.happening == "resolved" else untold.at
    return {
        "type": f"alert.{untold.happening}",
        "timestamp": (moment or untold.at).isoformat(),
        "data": {
            "id": untold.id,
            "kind": untold.kind,
            "severity": untold.severity,
            "message": untold.message,
            "detail": {name: value for name, value in untold.detail.items() if name not in _KEPT},
            "opened_at": untold.at.isoformat(),
            "resolved_at": untold.resolved_at.isoformat() if untold.resolved_at else None,
            "url": page,
        },
    }


class Alerting:
    """One process's share of it; any number may run, one judges at a time, and each alert is told by one of them."""

    def __init__(self, database: Database, webhook: AlertWebhook | None) -> None:
        self._database = database
        self._webhook = webhook

    async def run(self) -> None:
        """Judge every 30 seconds and tell every two, for ever."""
        judged_at = float("-inf")
        while True:
            try:
                if time.monotonic() - judged_at >= JUDGE_EVERY.total_seconds():
                    judged_at = time.monotonic()
                    await self.judge()
                await self.tell()
            except AWAY as error:
                log.warning("alerting: %s; trying again", type(error).__name__)
            except Exception:
                log.exception("alerting met something that it didn't expect; trying again")
            await asyncio.sleep(TELL_EVERY_SECONDS)

    async def judge(self) -> Sequence[Finding] | None:
        """Open what is unwell, close what is over; None where somebody else has just done that."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            if not await mark_upkeep(connection, "alerting", now, now - JUDGE_EVERY / 2):
                return None
            held = cast(Mapping[str, Severity], await load_held(connection))
            figures = figures_of(await read_system(connection, now), await last_scored_at(connection))
            found = list(find_trouble(figures, held))
            for one in found:
                if await hold_alert(connection, one.kind, one.severity, one.message, one.detail, now):
                    log.error("%s (%s): %s", one.kind, one.severity, one.message)
            for kind in held.keys() - {one.kind for one in found}:
                if is_ours(kind):
                    await resolve_alerts(connection, kind, now)
                    log.info("%s is over", kind)
        return found

    async def tell(self) -> int:
        """Tell what is to be told; returns how much of it was taken."""
        if self._webhook is None:
            return 0
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            waiting = await lease_untold(connection, now, TOLD_AT_ONCE)
        taken = await asyncio.gather(*(self._tell(self._webhook, untold) for untold in waiting))
        return sum(taken)

    async def _tell(self, webhook: AlertWebhook, untold: Untold) -> bool:
        error: ChannelError | None = None
        try:
            await webhook.tell(untold)
        except ChannelError as caught:
            # Whether it arrived or not: it is told again, under the same id.
            error = caught
            log.warning("the alert webhook didn't take alert %d: %s", untold.id, caught.provider_code)
        ALERTS_TOLD.labels("failed" if error else "taken").inc()
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            if error is None:
                await mark_told(connection, untold, now)
            else:
                asked = error.retry_after_seconds
                await tell_later(connection, untold, now, timedelta(seconds=asked) if asked else None)
        return error is None


def figures_of(reading: SystemReading, scored_at: datetime | None) -> SystemFigures:
    """What of the system's reading is judged."""
    model, latency, success = reading.model, reading.latency, reading.success
    return SystemFigures(
        at=reading.at,
        queues={queue.name: (queue.age_seconds, queue.waiting) for queue in reading.queues},
        providers=[
            ProviderFigures(one.channel, one.provider, one.state == "ok" or _is_over(one.until, reading.at), one.since)
            for one in reading.providers
        ],
        success=None if success.share is None else (success.share, success.measured),
        delay=None if latency.p95_seconds is None else (latency.p95_seconds, latency.messages),
        accuracy=model.accuracy if model else None,
        status=model.status if model else "unknown",
        why=model.why if model else (),
        reported_at=model.at if model else None,
        scored_at=scored_at,
    )  # fmt: skip


def _is_over(until: datetime | None, now: datetime) -> bool:
    """Whether a provider's rest is over and nobody has found it failing since: it may have been tried just now."""
    return until is not None and until + TRIED_WITHIN <= now
