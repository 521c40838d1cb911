"""From a claim to its settlement: one request to the provider, its record, and the look-up after a loss."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from temporalio.exceptions import ApplicationError

from activities.messages import choice_of, word_of
from activities.steps import StepOpening
from channels.outcome import UNANSWERABLE, Channel, ChannelError, OutgoingMessage, Receipt, Unanswerable
from schemas.run import StepCall, StepResult
from store import deliveries, run_steps
from store.contact import suppress
from store.database import Connection
from store.deliveries import Delivery, hash_address

# A message that could not leave for so long is no longer timely.
GIVE_UP = timedelta(hours=6)
RETRY_SECONDS = (2.0, 5.0, 15.0, 60.0, 300.0)


@dataclass(frozen=True)
class Claimed:
    """A message that this process alone may hand over, once, by `usable_until`."""

    delivery: Delivery
    message: OutgoingMessage
    cost: float
    # On `time.monotonic`, which runs on through slow commits and pauses of this process.
    usable_until: float


@dataclass(frozen=True)
class Unsettled:
    """A claim whose sender is gone without a word; whether the message left isn't known."""

    delivery: Delivery
    # None: the customer's address is no longer the one that it was sent to.
    message: OutgoingMessage | None
    cost: float


class Transmission:
    """Hands claimed messages to the channels that this process has, and settles claims in the ledger."""

    def __init__(
        self, opening: StepOpening, channels: Mapping[str, Channel], *, settle_seconds: float
    ) -> None:
        self._opening = opening
        self._database = opening.database
        self._channels = channels
        self._settle = timedelta(seconds=settle_seconds)

    async def release(self, claimed: Claimed) -> None:
        """Give a claim back whose commit wasn't answered: it may stand, and nobody is going to use it."""
        await self._opening.write_surely(lambda connection: deliveries.release(connection, claimed.delivery))

    async def transmit(self, call: StepCall, claimed: Claimed) -> StepResult:
        """One request to the provider, then the record of what became of it."""
        delivery = claimed.delivery
        if time.monotonic() > claimed.usable_until:
            # The commit took so long that somebody may look this claim up before the provider answers.
            await self._settle_surely(
                call, delivery, "retrying", "retrying", error="the claim came too late to be used"
            )
            raise ApplicationError("the claim came too late to be used", type="LateClaim")
        try:
            receipt = await self._channels[delivery.channel].send(claimed.message)
        except ChannelError as error:
            return await self._fail(call, claimed, error)
        return await self._settle_surely(
            call, delivery, "accepted", "sent", provider=receipt.provider, provider_id=receipt.provider_id,
            cost=claimed.cost,
        )  # fmt: skip

    async def _fail(self, call: StepCall, claimed: Claimed, error: ChannelError) -> StepResult:
        delivery = claimed.delivery
        told: dict[str, Any] = {"provider": error.provider, "error_code": error.provider_code or error.code}
        if error.klass in ("transient", "account"):
            result = await self._settle_surely(
                call,
                delivery,
                "retrying",
                "retrying",
                error=error.message,
                give_up_at=call.at + GIVE_UP,
                **told,
            )
            if result.outcome == "failed":
                return result
            wait = error.retry_after_seconds or RETRY_SECONDS[min(delivery.attempt, len(RETRY_SECONDS)) - 1]
            raise ApplicationError(
                f"{error.provider} didn't take the message ({told['error_code']})",
                type=type(error).__name__,
                next_retry_delay=timedelta(seconds=wait),
            )
        if error.klass == "unknown":
            await self._settle_surely(call, delivery, "unknown", "unknown", error=error.message, **told)
            # Asking at once would be too early: what a provider took may not be listed yet.
            raise ApplicationError(
                "it isn't known whether the message was taken; the provider will be asked",
                type="UnknownOutcome",
                next_retry_delay=self._settle,
            )
        if error.klass in ("recipient", "consent"):
            reason = "opted_out" if error.klass == "consent" else "invalid_address"
            outcome = "suppressed" if error.klass == "consent" else "failed"
            return await self._settle_surely(
                call, delivery, "failed", outcome, error=error.message,
                suppress_as=(claimed.message.recipient, reason), **told,
            )  # fmt: skip
        return await self._settle_surely(call, delivery, "failed", "failed", error=error.message, **told)

    async def reconcile(self, call: StepCall, unsettled: Unsettled) -> StepResult:
        """Ask the provider what became of a claim; where it can't be asked it stays visibly unknown."""
        delivery = unsettled.delivery
        channel = self._channels.get(delivery.channel)
        since = (delivery.claimed_at or call.due_at) - timedelta(minutes=2)
        found: Receipt | Unanswerable | None = UNANSWERABLE
        if channel and unsettled.message:
            try:
                found = await channel.look_up(unsettled.message, since)
            except ChannelError as error:
                if await self._read_now(call) < (delivery.claimed_at or call.due_at) + GIVE_UP:
                    raise ApplicationError(
                        f"{error.provider} can't be asked now",
                        type="LookUpFailed",
                        next_retry_delay=timedelta(seconds=30),
                    ) from error
        if isinstance(found, Receipt) and not await self._is_anothers(found, delivery):
            return await self._settle_surely(
                call, delivery, "accepted", "sent", provider=found.provider, provider_id=found.provider_id,
                reconciled=True, cost=unsettled.cost,
            )  # fmt: skip
        if found is None:
            await self._settle_surely(call, delivery, "retrying", "retrying")
            raise ApplicationError(
                "the provider never got the message; it is sent again",
                type="Absent",
                next_retry_delay=timedelta(seconds=0.1),
            )
        return await self._settle_surely(
            call, delivery, "unknown", "unknown", error=delivery.error or "the provider can't be asked",
            error_code=delivery.error_code, reconciled=True, cost=unsettled.cost,
        )  # fmt: skip

    async def _read_now(self, call: StepCall) -> datetime:
        async with self._database.transaction() as connection:
            return await self._opening.read_now(connection, call)

    async def _is_anothers(self, found: Receipt, delivery: Delivery) -> bool:
        """Whether what was found is known to be another delivery, with the same text to the same address."""
        async with self._database.transaction() as connection:
            return await deliveries.is_anothers(connection, found.provider, found.provider_id, delivery.id)

    async def _settle_surely(
        self,
        call: StepCall,
        delivery: Delivery,
        state: str,
        outcome: str,
        *,
        reconciled: bool = False,
        suppress_as: tuple[str, str] | None = None,
        give_up_at: datetime | None = None,
        **told: Any,
    ) -> StepResult:
        """Record it even if the database restarts just now: what was sent and not recorded would be unknown.

        suppress_as: the address, and why it isn't to be used any more. give_up_at: from then on `retrying` is
        `failed`.
        """

        async def settle(connection: Connection) -> StepResult:
            now = await self._opening.read_now(connection, call)
            final, said = state, outcome
            if give_up_at is not None and now > give_up_at:
                final = said = "failed"
            if suppress_as is not None:
                address, reason = suppress_as
                await suppress(
                    connection, delivery.channel, hash_address(delivery.channel, address), reason, now
                )
            await deliveries.settle(
                connection, delivery.id, delivery.attempt, final, now, reconciled=reconciled, **told
            )
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

        return await self._opening.write_surely(settle)


async def record_sent(
    connection: Connection, call: StepCall, delivery: Delivery, now: datetime, outcome: str = "sent"
) -> None:
    """Put on record that the step's message left; later steps may ask which way it took."""
    await run_steps.record_step(
        connection, call.run_id, call.step, call.occurrence, word_of(delivery), outcome, now,
        choice_of(delivery), {"channel": delivery.channel},
    )  # fmt: skip
