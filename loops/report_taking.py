"""One report of a provider, taken: into the ledger, to what follows from it, and to the runs that wait for it."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timedelta

from activities.messages import ANY_CHANNEL, CHOSEN
from activities.steps import StepOpening
from channels.http_client import DEADLINE_SECONDS
from rules.complaints import WINDOW, judge_complaints
from rules.delivery_status import Standing, is_machine, weigh
from schemas.delivery_report import DeliveryReport
from store import delivery_reports, run_steps
from store.addresses import hash_address
from store.contact import declare_consents
from store.customers import lock_customers
from store.database import Connection
from store.delivery_reports import ReportedDelivery
from store.message_events import tell_event
from store.playbooks import load_policy
from store.standing_alerts import last_lifted_at, parking_kind, raise_standing
from store.suppressions import suppress

EVENTS = {
    "delivered": "message_delivered", "opened": "message_opened", "clicked": "message_clicked",
    "bounced": "message_bounced", "undelivered": "message_bounced", "complained": "message_complained",
    "unsubscribed": "unsubscribed",
}  # fmt: skip
# A message is delivered, bounces, is complained of once; it is opened and clicked often.
_REPEATED = ("opened", "clicked")
# Whoever sends is given so long to say itself what the provider answered.
SENDER_BUSY = timedelta(seconds=DEADLINE_SECONDS + 1)
SOFT_BOUNCES, SOFT_WITHIN = 3, timedelta(days=14)
# Addresses of these channels are kept by hash.
ADDRESSED = ("email", "sms", "whatsapp", "push", "voice")
_INSTANT = timedelta(milliseconds=1)


class SenderBusyError(Exception):
    """The message is being sent at this moment: its sender is to record it first."""


class ReportTaking:
    """Takes reports over one process's database."""

    def __init__(self, opening: StepOpening) -> None:
        self._database = opening.database
        self._move = opening.move

    async def take(self, report: DeliveryReport) -> bool:
        """Take a report in a transaction of its own; whether it brought an event about.

        Raises SenderBusyError while the message's sender may still be waiting for the provider's answer.
        """
        async with self._database.transaction() as connection:
            return await self._take(connection, report)

    async def join(self, since: datetime, limit: int) -> int:
        """Take reports that came before the ledger knew their message; returns how many."""
        async with self._database.transaction() as connection:
            waiting = await delivery_reports.load_unjoined(connection, since, limit)
        for report in waiting:
            try:
                await self.take(report)
            except SenderBusyError:
                continue
        return len(waiting)

    async def _take(self, connection: Connection, report: DeliveryReport) -> bool:
        found = await delivery_reports.find_delivery(connection, report)
        if found is None:
            now = await self._database.clock.read(connection)
            if await delivery_reports.record_report(connection, report, None, now):
                # An address that bounces, or complains, does so whoever wrote to it.
                address_hash = (
                    hash_address(report.channel, report.address)
                    if report.address and report.channel in ADDRESSED
                    else None
                )
                await self._suppress(connection, report, report.channel, address_hash, now)
            return False
        await lock_customers(connection, [found.customer_id])
        delivery = await delivery_reports.lock_reported(connection, found.id)
        if delivery is None:
            return False
        now = await self._database.clock.read(connection)
        if delivery.state == "claimed" and delivery.claimed_at and now < delivery.claimed_at + SENDER_BUSY:
            raise SenderBusyError
        if not await delivery_reports.record_report(connection, report, delivery.id, now):
            return False
        await self._resolve(connection, delivery, report, now)
        standing = await restate(connection, delivery)
        report = _of_channel(report, delivery.channel)
        if is_machine(report, standing.delivered_at or sent_at_of(delivery)):
            return False
        await self._follow(connection, delivery, report, now)
        return await self._tell(connection, delivery, report, now)

    async def _resolve(
        self, connection: Connection, delivery: ReportedDelivery, report: DeliveryReport, now: datetime
    ) -> None:
        """What isn't known to have left has: the provider's word outweighs every look-up."""
        if delivery.state not in ("claimed", "unknown", "retrying"):
            return
        policy = await load_policy(connection)
        resolved = await delivery_reports.resolve_delivery(
            connection, delivery, provider=report.provider, provider_id=report.provider_id,
            cost=policy.costs.get(delivery.channel, 0.0), now=now,
        )  # fmt: skip
        said = await run_steps.load_outcome(connection, delivery.run_id, delivery.step, delivery.occurrence)
        # What the run has gone on from stays as it was.
        if resolved and said is None:
            word = ANY_CHANNEL if CHOSEN in delivery.content else delivery.channel
            await run_steps.record_step(
                connection, delivery.run_id, delivery.step, delivery.occurrence, word, "sent", now,
                str(delivery.content.get(CHOSEN, "")), {"channel": delivery.channel},
            )  # fmt: skip

    async def _follow(
        self, connection: Connection, delivery: ReportedDelivery, report: DeliveryReport, now: datetime
    ) -> None:
        await self._suppress(connection, report, delivery.channel, delivery.address_hash, now)
        if report.kind == "unsubscribed":
            await declare_consents(
                connection, delivery.customer_id, {(delivery.channel, ""): False},
                source=f"{report.provider}, delivery {delivery.id}", now=now,
            )  # fmt: skip
        if report.fault == "soft" and delivery.address_hash and delivery.channel in ADDRESSED:
            bounced = await delivery_reports.count_soft_bounces(connection, delivery, now - SOFT_WITHIN)
            if bounced >= SOFT_BOUNCES:
                await suppress(
                    connection,
                    delivery.channel,
                    delivery.address_hash,
                    "soft_bounces",
                    now,
                    source=f"{report.provider}: {bounced} within {SOFT_WITHIN.days} days",
                )
        if report.kind == "complained":
            await self._weigh_complaints(connection, delivery.channel, now)

    async def _suppress(
        self,
        connection: Connection,
        report: DeliveryReport,
        channel: str,
        address_hash: str | None,
        now: datetime,
    ) -> None:
        """What follows for the address itself, or for the sender."""
        source = f"{report.provider} {report.code}".strip()
        if address_hash is not None and channel in ADDRESSED:
            if report.kind == "complained":
                await suppress(connection, channel, address_hash, "complaint", now, source=source)
            elif report.kind == "unsubscribed" or report.fault == "opted_out":
                await suppress(connection, channel, address_hash, "opted_out", now, source=source)
            elif report.fault == "hard":
                await suppress(connection, channel, address_hash, "hard_bounce", now, source=source)
        if report.fault == "block":
            await raise_standing(
                connection,
                f"sender_blocked:{channel}",
                f"Messages by {channel} are refused because of us, not of their recipients ({source}).",
                {"channel": channel, "provider": report.provider, "code": report.code},
                now,
            )

    async def _weigh_complaints(self, connection: Connection, channel: str, now: datetime) -> None:
        lifted_at = await last_lifted_at(connection, channel)
        since = max(now - WINDOW, lifted_at) if lifted_at else now - WINDOW
        complaints, delivered = await delivery_reports.count_complaints(connection, channel, since)
        verdict = judge_complaints(complaints, delivered)
        if verdict == "fine":
            return
        told = (
            f"{complaints} of {delivered} messages by {channel} within {WINDOW.days} days were complained of"
        )
        detail = {"channel": channel, "complaints": complaints, "delivered": delivered}
        if verdict == "park":
            said = f"{told}; only critical messages leave until `holdfast complaints --lift {channel}`."
            await raise_standing(connection, parking_kind(channel), said, detail, now)
        else:
            await raise_standing(connection, f"complaints:{channel}", f"{told}; 0.3 % park it.", detail, now)

    async def _tell(
        self, connection: Connection, delivery: ReportedDelivery, report: DeliveryReport, now: datetime
    ) -> bool:
        name = EVENTS.get(report.kind)
        if name is None:
            return False
        repeated = report.kind in _REPEATED
        return await tell_event(
            connection,
            delivery.customer_id,
            name,
            key=f"{report.provider}/{report.report_id}" if repeated else delivery.id,
            at=instant_of(report.at, delivery),
            now=now,
            properties=properties_of(delivery)
            | {"bounce": _bounce(report) if name == "message_bounced" else "", "provider": report.provider}
            | ({"source": report.provider} if name == "unsubscribed" else {}),
            move=self._move,
        )


async def restate(connection: Connection, delivery: ReportedDelivery) -> Standing:
    """Write down where a message stands by all that was reported of it; its row is locked."""
    reports = await delivery_reports.load_reports(connection, delivery.id)
    standing = weigh(
        (_of_channel(report, delivery.channel) for report in reports), sent_at=sent_at_of(delivery)
    )
    await delivery_reports.set_status(connection, delivery.id, asdict(standing))
    return standing


def sent_at_of(delivery: ReportedDelivery) -> datetime | None:
    """When the provider took it, as far as that is known."""
    return delivery.settled_at or delivery.claimed_at


def properties_of(delivery: ReportedDelivery) -> dict[str, str | None]:
    """What an event says of the message that it is about; no address and no text."""
    return {
        "channel": delivery.channel, "playbook": delivery.playbook, "step": delivery.step, "delivery": delivery.id,
        "template": delivery.template,
    }  # fmt: skip


def instant_of(at: datetime, delivery: ReportedDelivery) -> datetime:
    """When an event counts as having happened: after its message was sent, whatever the provider's clock says.

    A run that goes on from the message to wait for the event waits from that very instant.
    """
    return max(at, delivery.settled_at + _INSTANT) if delivery.settled_at else at


def _bounce(report: DeliveryReport) -> str:
    """How it failed; of a call what kept it from being answered: busy, no-answer, failed, canceled."""
    return report.fault or (report.code if report.channel == "voice" else "")


def _of_channel(report: DeliveryReport, channel: str) -> DeliveryReport:
    """The delivery's own channel is what counts."""
    return report if report.channel == channel else replace(report, channel=channel)
