"""What became of a claimed message, written into the ledger: surely, and with the step's record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from activities.claims import Claimed, Tries, is_given_up, waited
from activities.line_up import ProviderBook
from activities.messages import choice_of, word_of
from activities.steps import StepOpening
from channels.outcome import Receipt
from channels.pool import Provider
from schemas.metrics import DELIVERIES
from schemas.run import StepCall, StepResult
from store import claiming, deliveries, push_tokens, run_steps
from store.addresses import hash_address
from store.customers import lock_customers
from store.database import Connection
from store.deliveries import Delivery
from store.suppressions import suppress


class Settlement:
    """Settles claims in the ledger, and keeps the book of providers with that."""

    def __init__(self, opening: StepOpening, book: ProviderBook) -> None:
        self._opening = opening
        self._database = opening.database
        self._book = book

    async def settle_sent(self, call: StepCall, claimed: Claimed, receipt: Receipt) -> StepResult:
        """As `settle_surely`, for the message that the first provider took, which is nearly all of them."""
        delivery, told = claimed.delivery, choice_of(claimed.delivery)
        fixed = call.at if call.played else self._database.clock.fixed()

        async def settle(connection: Connection) -> datetime:
            return await claiming.settle_sent(
                connection, delivery, at=call.at, now=fixed and max(fixed, call.at), word=word_of(delivery),
                detail=told, provider=receipt.provider, provider_id=receipt.provider_id, cost=claimed.cost,
            )  # fmt: skip

        at = await self._opening.write_surely(settle, single=True)
        DELIVERIES.labels(delivery.channel, receipt.provider, "accepted").inc()
        return StepResult(outcome="sent", at=at, detail=told)

    async def settle_surely(
        self,
        call: StepCall,
        delivery: Delivery,
        state: str,
        outcome: str,
        *,
        reconciled: bool = False,
        suppress_as: tuple[str, str] | None = None,
        failed_as: str | None = None,
        may_give_up: bool = False,
        took: Provider | None = None,
        tries: tuple[Claimed, Tries] | None = None,
        **told: Any,
    ) -> StepResult:
        """Record it even if the database restarts just now: what was sent and not recorded would be unknown.

        suppress_as: the address, and why it isn't to be used any more. failed_as: what the step comes to if no other
        channel reaches the customer. may_give_up: `retrying` is `failed` once it took
        too long. took, tries: the provider that took it, and those that didn't.
        """

        async def settle(connection: Connection) -> StepResult:
            now = await self._opening.read_now(connection, call)
            final, said = state, outcome
            if may_give_up and is_given_up(call, now):
                final = said = "failed"
            if took is not None:
                await self._book.note_success(connection, delivery.channel, took, now + waited(call))
            if tries is not None:
                await self.note_failures(connection, *tries, now + waited(call))
            if suppress_as is not None:
                address, reason = suppress_as
                await suppress(
                    connection, delivery.channel, hash_address(delivery.channel, address), reason, now
                )
            if failed_as is not None:
                code = str(told.get("error_code") or "")
                await claiming.note_failed_channel(connection, delivery, code, failed_as, now)
            settled = await claiming.settle(
                connection, delivery.id, delivery.attempt, final, now, reconciled=reconciled, **told
            )
            row = None if settled else await deliveries.lock_delivery(connection, delivery.id)
            if row is not None and row.state == "accepted" and final != "accepted":
                # Its provider's report came first, and was recorded as what the step came to: it knows better.
                return StepResult(outcome="sent", at=row.settled_at or now, detail=choice_of(row))
            # Only what stands is the step's outcome: the rest is tried again, or looked up.
            if final == "accepted":
                await record_sent(connection, call, delivery, now, said)
                return StepResult(outcome=said, at=now, detail=choice_of(delivery))
            if final == "failed" or reconciled:
                await run_steps.record_step(
                    connection, call.run_id, call.step, call.occurrence, word_of(delivery), said, now,
                    str(told.get("error") or ""),
                )  # fmt: skip
            # A provider's words may name the recipient: the run's history gets the code only.
            return StepResult(outcome=said, at=now, detail=str(told.get("error_code") or ""))

        result = await self._opening.write_surely(settle)
        settled_as = "failed" if may_give_up and result.outcome == "failed" else state
        DELIVERIES.labels(
            delivery.channel, str(told.get("provider") or delivery.provider or ""), settled_as
        ).inc()
        return result

    async def note_failures(
        self, connection: Connection, claimed: Claimed, tries: Tries, now: datetime
    ) -> None:
        """Put on record who was asked under this claim and didn't take it."""
        for provider, error in tries.failed[tries.noted :]:
            await self._book.note_failure(connection, claimed.delivery.channel, provider, error, now)

    async def forget_gone(self, delivery: Delivery, tries: Tries) -> None:
        """Tokens that a provider no longer knows aren't used again. In a transaction of its own: settling locks the
        delivery, and whoever locks both takes the customer first.
        """
        if not tries.gone:
            return

        async def forget(connection: Connection) -> None:
            await lock_customers(connection, [delivery.customer_id])
            now = await self._database.clock.read(connection)
            await push_tokens.mark_gone(connection, delivery.customer_id, tries.gone, now)

        await self._opening.write_surely(forget)

    async def now(self, call: StepCall) -> datetime:
        """As `read_now`, in a transaction of its own."""
        async with self._database.transaction() as connection:
            return await self.read_now(connection, call)

    async def read_now(self, connection: Connection, call: StepCall) -> datetime:
        """The moment of this request, and for how long it has been repeated since."""
        return await self._opening.read_now(connection, call) + waited(call)


async def record_sent(
    connection: Connection, call: StepCall, delivery: Delivery, now: datetime, outcome: str = "sent"
) -> None:
    """Put on record that the step's message left; later steps may ask which way it took."""
    await run_steps.record_step(
        connection, call.run_id, call.step, call.occurrence, word_of(delivery), outcome, now,
        choice_of(delivery), {"channel": delivery.channel},
    )  # fmt: skip
