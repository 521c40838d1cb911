"""What somebody wrote to us, taken: a STOP before all else, then to the record, and to the runs that wait for it."""

from __future__ import annotations

from datetime import datetime

from activities.steps import StepOpening
from loops.report_taking import instant_of, properties_of, restate
from rules.keywords import KEYWORDS, Keyword, read_keyword
from schemas.delivery_report import DeliveryReport, InboundMessage
from store import delivery_reports
from store.addresses import hash_address, hashes_of
from store.contact import declare_consents
from store.customers import lock_customers
from store.database import Connection
from store.delivery_reports import ReportedDelivery
from store.inbound_messages import (
    ANSWERED_WITHIN,
    Concerned,
    find_answered,
    find_concerned,
    is_recorded,
    record_message,
    said_since,
)
from store.message_events import tell_event
from store.playbooks import load_policy
from store.suppressions import lift, list_suppressions, suppress

# What the recipient said: to us, or to the provider, which told us by refusing a message.
STOP_REASONS = ("stop", "opted_out")


class MessageTaking:
    """Takes messages over one process's database."""

    def __init__(self, opening: StepOpening) -> None:
        self._database = opening.database
        self._move = opening.move

    async def take(self, message: InboundMessage) -> bool:
        """Take a message; whether it brought an event about. A program's (an absence note) is kept, and no more."""
        keyword = None if message.automatic else await self._keyword(message)
        if keyword == "stop":
            # Committed before all else: whatever fails afterwards, nothing more is claimed for this address.
            async with self._database.transaction() as connection:
                await self.stop(connection, message)
        async with self._database.transaction() as connection:
            return await self._record(connection, message, keyword)

    async def _keyword(self, message: InboundMessage) -> Keyword | None:
        """What it commands, by its words, those of the policy among them, or as the provider took it."""
        said = read_keyword(message.text)
        if said is None:
            async with self._database.transaction() as connection:
                more = (await load_policy(connection)).keywords
            said = read_keyword(message.text, more) if more else None
        answered_as = next((word for word in KEYWORDS if word == message.answered_as), None)
        return said or answered_as

    async def stop(self, connection: Connection, message: InboundMessage) -> datetime | None:
        """Nothing more to this address, whoever has it, from this transaction's commit on; when that was decided.

        None where the message was taken before, or a later START outweighs it. Customers are locked, as claims do.
        """
        concerned, answered = await self._find(connection, message)
        now = await self._database.clock.read(connection)
        addresses = {hash_address(message.channel, message.address)}
        if answered is not None and message.references and answered.address_hash:
            # Who answers a mail of ours from another address means the one that it came to, too.
            addresses.add(answered.address_hash)
        if await is_recorded(connection, message.provider, message.provider_id):
            return None
        for address in sorted(addresses):
            if await said_since(connection, message.channel, address, "start", message.at):
                return None
        source = f"{message.provider} {message.provider_id}"
        for address in sorted(addresses):
            await suppress(connection, message.channel, address, "stop", message.at, source=source)
        for one in concerned:
            await declare_consents(
                connection, one.customer_id, {(message.channel, ""): False}, source=f"STOP, {source}", now=now
            )
        return now

    async def _find(
        self, connection: Connection, message: InboundMessage
    ) -> tuple[list[Concerned], ReportedDelivery | None]:
        """Whom it concerns, all locked, and the delivery that it answers, locked."""
        concerned = await find_concerned(connection, message.channel, message.address)
        answered = await find_answered(
            connection, message, [one.customer_id for one in concerned], message.at - ANSWERED_WITHIN
        )
        ids = {one.customer_id for one in concerned}
        if answered is not None and answered.customer_id not in ids:
            concerned = [*concerned, answered]
        await lock_customers(connection, [one.customer_id for one in concerned])
        delivery = (
            await delivery_reports.lock_reported(connection, answered.delivery)
            if answered is not None
            else None
        )
        return concerned, delivery

    async def _record(self, connection: Connection, message: InboundMessage, keyword: str | None) -> bool:
        concerned, delivery = await self._find(connection, message)
        now = await self._database.clock.read(connection)
        told = await record_message(
            connection, message, keyword=keyword, now=now,
            customer_id=_whose(concerned, delivery), delivery=delivery.id if delivery else None,
        )  # fmt: skip
        if not told or message.automatic:
            return False
        # Who says STOP has answered, but not in the way that speaks for a channel.
        if delivery is not None and keyword != "stop":
            await self._note_reply(connection, delivery, message, now)
        if keyword == "start":
            await self._start(connection, message, concerned, now)
        rung = False
        for one in concerned:
            theirs = delivery if delivery and delivery.customer_id == one.customer_id else None
            rung |= await self._tell(connection, one, theirs, message, keyword, now)
        return rung

    async def _start(
        self, connection: Connection, message: InboundMessage, concerned: list[Concerned], now: datetime
    ) -> None:
        """Take back what STOP did, and nothing else: not a complaint, a bounce, an erasure.

        A YES that follows no STOP answers some question of ours; it is no consent.
        """
        hashes = hashes_of(message.channel, message.address)
        found = await list_suppressions(connection, channel=message.channel, address_hashes=hashes)
        lifted = [one.reason for one in found if one.reason in STOP_REASONS and one.at <= message.at]
        for reason in lifted:
            by = f"START, {message.provider} {message.provider_id}"
            await lift(connection, message.channel, hashes, reason, by=by, at=now)
        if not lifted:
            return
        for one in concerned:
            await declare_consents(
                connection, one.customer_id, {(message.channel, ""): True},
                source=f"START, {message.provider} {message.provider_id}", now=now,
            )  # fmt: skip

    async def _note_reply(
        self, connection: Connection, delivery: ReportedDelivery, message: InboundMessage, now: datetime
    ) -> None:
        report = DeliveryReport(
            message.provider, f"{message.provider_id}/reply", "replied", message.at, message.channel,
            delivery.provider_id, delivery.id,
        )  # fmt: skip
        await delivery_reports.record_report(connection, report, delivery.id, now)
        await restate(connection, delivery)

    async def _tell(
        self,
        connection: Connection,
        concerned: Concerned,
        delivery: ReportedDelivery | None,
        message: InboundMessage,
        keyword: str | None,
        now: datetime,
    ) -> bool:
        about = properties_of(delivery) if delivery else {"channel": message.channel}
        more = {"source": "stop"} if keyword == "stop" else {"keyword": keyword or ""}
        return await tell_event(
            connection,
            concerned.customer_id,
            # Who says STOP isn't in conversation with us.
            "unsubscribed" if keyword == "stop" else "message_replied",
            key=f"{message.provider}/{message.provider_id}/{concerned.customer_id}",
            at=instant_of(message.at, delivery) if delivery else message.at,
            now=now,
            properties=about | more,
            move=self._move,
        )


def _whose(concerned: list[Concerned], delivery: ReportedDelivery | None) -> str | None:
    if delivery is not None:
        return delivery.customer_id
    return concerned[0].customer_id if concerned else None
