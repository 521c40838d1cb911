"""What providers say of messages: each report once, found to its delivery, and what the ledger makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.delivery_report import DeliveryReport
from store.database import encode


@dataclass(frozen=True, slots=True)
class ReportedDelivery:
    """A row of the ledger as far as reports need it."""

    id: str
    run_id: str
    customer_id: str
    playbook: str
    step: str
    occurrence: int
    channel: str
    state: str
    template: str | None
    address_hash: str | None
    content: Mapping[str, Any]
    provider: str | None
    provider_id: str | None
    claimed_at: datetime | None
    settled_at: datetime | None


_SELECT = (
    "SELECT d.id::text AS id, d.run_id::text AS run_id, d.customer_id::text AS customer_id, r.playbook, d.step, "
    "d.occurrence, d.channel, d.state, d.template, d.address_hash, d.content, d.provider, d.provider_id, d.claimed_at, "
    "d.settled_at FROM deliveries d JOIN runs r ON r.id = d.run_id WHERE "
)


async def find_delivery(connection: AsyncConnection, report: DeliveryReport) -> ReportedDelivery | None:
    """The delivery that a report is about: by our id, else by the provider's, as far as the ledger knows it yet."""
    if report.delivery_id is not None and (
        found := await lock_reported(connection, report.delivery_id, lock=False)
    ):
        return found
    if report.provider_id is None:
        return None
    row = (
        await connection.execute(
            text(
                _SELECT
                + "d.provider = :provider AND d.provider_id = :message ORDER BY d.created_at DESC LIMIT 1"
            ),
            {"provider": report.provider, "message": report.provider_id},
        )
    ).first()
    return ReportedDelivery(**row._mapping) if row else None


async def lock_reported(
    connection: AsyncConnection, delivery: str, *, lock: bool = True
) -> ReportedDelivery | None:
    """This delivery, locked; the caller holds its customer's lock."""
    row = (
        await connection.execute(
            text(_SELECT + "d.id = CAST(:id AS uuid)" + (" FOR UPDATE OF d" if lock else "")),
            {"id": delivery},
        )
    ).first()
    return ReportedDelivery(**row._mapping) if row else None


async def record_report(
    connection: AsyncConnection, report: DeliveryReport, delivery: str | None, now: datetime
) -> bool:
    """Keep a report; False if it is known (and, where it had no delivery until now, still has none or had one)."""
    done = await connection.execute(
        text(
            "INSERT INTO delivery_reports AS r (provider, report_id, provider_id, delivery_id, kind, detail, at, "
            "received_at) VALUES (:provider, :report, :message, CAST(:delivery AS uuid), :kind, CAST(:detail AS jsonb), "
            ":at, :now) ON CONFLICT (provider, report_id) DO UPDATE SET delivery_id = excluded.delivery_id "
            "WHERE r.delivery_id IS NULL AND excluded.delivery_id IS NOT NULL"
        ),
        {
            "provider": report.provider, "report": report.report_id, "message": report.provider_id,
            "delivery": delivery, "kind": report.kind, "detail": encode(_detail(report)), "at": report.at, "now": now,
        },
    )  # fmt: skip
    return bool(done.rowcount)


async def load_reports(connection: AsyncConnection, delivery: str) -> list[DeliveryReport]:
    """All that was reported of a delivery."""
    rows = await connection.execute(
        text(_REPORTS + "WHERE delivery_id = CAST(:id AS uuid)"), {"id": delivery}
    )
    return [_report(row) for row in rows]


async def load_unjoined(connection: AsyncConnection, since: datetime, limit: int) -> list[DeliveryReport]:
    """Reports since then that had no delivery when they came, and have one now."""
    rows = await connection.execute(
        text(
            _REPORTS
            + "WHERE delivery_id IS NULL AND received_at >= :since AND (EXISTS (SELECT 1 FROM deliveries d "
            "WHERE d.provider = delivery_reports.provider AND d.provider_id = delivery_reports.provider_id) "
            "OR EXISTS (SELECT 1 FROM deliveries d WHERE d.id = CAST(delivery_reports.detail ->> 'ours' AS uuid))) "
            "ORDER BY received_at LIMIT :limit"
        ),
        {"since": since, "limit": limit},
    )
    return [_report(row) for row in rows]


async def resolve_delivery(
    connection: AsyncConnection,
    delivery: ReportedDelivery,
    *,
    provider: str,
    provider_id: str | None,
    cost: float,
    now: datetime,
) -> bool:
    """The provider took it: it speaks of it. So it is accepted, whatever its sender came to know of it.

    False where the ledger has settled it before.
    """
    done = await connection.execute(
        text(
            "UPDATE deliveries SET state = 'accepted', settled_at = :now, reconciled_at = :now, provider = :provider, "
            "provider_id = coalesce(:message, provider_id), cost = :cost, error = NULL, error_code = NULL "
            "WHERE id = CAST(:id AS uuid) AND state IN ('claimed', 'unknown', 'retrying')"
        ),
        {"id": delivery.id, "now": now, "provider": provider, "message": provider_id, "cost": cost},
    )
    return bool(done.rowcount)


async def set_status(connection: AsyncConnection, delivery: str, standing: Mapping[str, Any]) -> None:
    """Where the message stands now: `status`, `status_at`, `delivered_at`, `opened_at`, `clicked_at`, `replied_at`."""
    await connection.execute(
        text(
            "UPDATE deliveries SET status = :status, status_at = :status_at, delivered_at = :delivered_at, "
            "opened_at = :opened_at, clicked_at = :clicked_at, replied_at = :replied_at WHERE id = CAST(:id AS uuid)"
        ),
        {"id": delivery, **standing},
    )


async def count_soft_bounces(connection: AsyncConnection, delivery: ReportedDelivery, since: datetime) -> int:
    """How many messages to this delivery's address have bounced softly since then."""
    row = await connection.execute(
        text(
            "SELECT count(DISTINCT d.id) FROM deliveries d JOIN delivery_reports r ON r.delivery_id = d.id "
            "WHERE d.customer_id = CAST(:customer AS uuid) AND d.channel = :channel AND d.address_hash = :hash "
            "AND d.claimed_at >= :since - interval '14 days' "
            "AND r.at >= :since AND r.kind IN ('bounced', 'undelivered') AND r.detail ->> 'fault' = 'soft'"
        ),
        {
            "customer": delivery.customer_id, "channel": delivery.channel, "hash": delivery.address_hash,
            "since": since,
        },
    )  # fmt: skip
    return int(row.scalar_one())


async def count_complaints(connection: AsyncConnection, channel: str, since: datetime) -> tuple[int, int]:
    """(deliveries complained of, deliveries that weren't refused) on a channel since then."""
    row = (
        await connection.execute(
            text(
                "SELECT count(*) FILTER (WHERE status = 'complained') AS complained, count(*) AS delivered "
                "FROM deliveries WHERE settled_at >= :since AND channel = :channel AND state = 'accepted' "
                "AND status NOT IN ('bounced', 'undelivered')"
            ),
            {"channel": channel, "since": since},
        )
    ).one()
    return row.complained, row.delivered


_REPORTS = "SELECT provider, report_id, provider_id, delivery_id::text AS delivery_id, kind, detail, at FROM delivery_reports "


def _detail(report: DeliveryReport) -> dict[str, Any]:
    """What is kept beside the columns; the recipient's address isn't."""
    said = {
        "channel": report.channel, "fault": report.fault, "code": report.code, "machine": report.machine,
        "agent": report.agent, "ours": report.delivery_id,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value}


def _report(row: Any) -> DeliveryReport:
    detail = row.detail
    return DeliveryReport(
        row.provider, row.report_id, row.kind, row.at, detail.get("channel", ""), row.provider_id,
        row.delivery_id or detail.get("ours"), None, detail.get("fault", ""), detail.get("code", ""),
        bool(detail.get("machine")), detail.get("agent", ""),
    )  # fmt: skip
