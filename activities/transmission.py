"""From a claim to its settlement: one request to a provider, the next one where it surely wasn't taken, and the look-up
after a loss.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from temporalio.exceptions import ApplicationError

from activities.claims import (
    GIVE_UP,
    MOST_ATTEMPTS,
    UNANSWERED,
    Claimed,
    Tries,
    Unsettled,
    is_given_up,
    waited,
)
from activities.line_up import LineUp, ProviderBook
from activities.messages import ANY_CHANNEL, is_free, word_of
from activities.settlement import Settlement
from activities.steps import StepOpening
from channels.outcome import UNANSWERABLE, Channel, ChannelError, OutgoingMessage, Receipt, Unanswerable
from channels.pool import Provider, moves_on
from channels.twilio_codes import WINDOW_CLOSED
from schemas import tracing
from schemas.metrics import ACCEPT_SECONDS, REQUEST_SECONDS
from schemas.run import StepCall, StepResult
from store import claiming, deliveries
from store.database import Connection
from store.deliveries import Delivery
from store.providers import note_provider

RETRY_SECONDS = (2.0, 5.0, 15.0, 60.0, 300.0)


class Transmission:
    """Hands claimed messages to the channels that this process has, and settles claims in the ledger."""

    def __init__(
        self, opening: StepOpening, channels: Mapping[str, Channel], *, settle_seconds: float
    ) -> None:
        self._opening = opening
        self._database = opening.database
        self._book = ProviderBook(channels)
        self._settlement = Settlement(opening, self._book)
        self._settle = timedelta(seconds=settle_seconds)

    def repeats(self, call: StepCall, row: Delivery, now: datetime) -> bool:
        """Whether a message that may have been sent is simply sent again, as its provider makes one of both."""
        return self._book.repeats(row, now) and not is_given_up(call, now)

    async def line_up(
        self, connection: Connection, call: StepCall, channel: str, customer_id: str, address: str,
        row: Delivery | None, now: datetime,
    ) -> LineUp:  # fmt: skip
        """Who may be asked to take this message, under the customer's lock."""
        moment = now + waited(call)
        return await self._book.line_up(connection, channel, customer_id, address, row, moment)

    async def release(self, claimed: Claimed) -> None:
        """Give a claim back whose commit wasn't answered: it may stand, and nobody is going to use it."""
        await self._opening.write_surely(
            lambda connection: claiming.release(
                connection, claimed.delivery, repeated=claimed.line_up.repeated
            )
        )

    async def transmit(self, call: StepCall, claimed: Claimed) -> StepResult:
        """One request to a provider, and to the next one for as long as it surely wasn't taken; then the record."""
        delivery, tries = claimed.delivery, Tries()
        if time.monotonic() > claimed.usable_until:
            # The commit took so long that somebody may look this claim up before the provider answers.
            # What was claimed to be repeated may have been sent before.
            state = "unknown" if claimed.line_up.repeated else "retrying"
            await self._settlement.settle_surely(
                call, delivery, state, state, error="the claim came too late to be used"
            )
            raise ApplicationError("the claim came too late to be used", type="LateClaim")
        for provider in claimed.line_up.providers:
            if tries.failed and not await self._turn_to(call, claimed, provider, tries):
                break
            try:
                receipt = await request(delivery.channel, provider, claimed.message)
            except ChannelError as error:
                tries.failed.append((provider, error))
                tries.gone += error.gone
                if not moves_on(error):
                    break
                continue
            tries.gone += receipt.gone
            return await self._accept(call, claimed, provider, receipt, tries)
        await self._settlement.forget_gone(delivery, tries)
        return await self._fail(call, claimed, tries)

    async def _turn_to(self, call: StepCall, claimed: Claimed, provider: Provider, tries: Tries) -> bool:
        """The last one surely hasn't got it: note whose turn it is before it is. False where it's too late for that."""

        async def note(connection: Connection) -> bool:
            moment = await self._settlement.read_now(connection, call)
            await self._settlement.note_failures(connection, claimed, tries, moment)
            return await note_provider(
                connection, claimed.delivery.id, claimed.delivery.attempt, provider.name
            )

        if time.monotonic() > claimed.usable_until:
            return False
        stands = await self._opening.write_surely(note)
        if not stands:
            raise ApplicationError("somebody else looks after this message now", type="InFlight")
        tries.noted = len(tries.failed)
        return time.monotonic() <= claimed.usable_until

    async def _accept(
        self, call: StepCall, claimed: Claimed, provider: Provider, receipt: Receipt, tries: Tries
    ) -> StepResult:
        if not tries.failed and self._book.is_clean(claimed.delivery.channel, provider):
            result = await self._settlement.settle_sent(call, claimed, receipt)
        else:
            result = await self._settlement.settle_surely(
                call, claimed.delivery, "accepted", "sent", provider=receipt.provider,
                provider_id=receipt.provider_id, cost=claimed.cost, took=provider,
            )  # fmt: skip
        since_claim = time.monotonic() - claimed.usable_until + self._settle.total_seconds() / 2
        ACCEPT_SECONDS.labels(claimed.delivery.channel).observe(max(0.0, since_claim))
        await self._settlement.forget_gone(claimed.delivery, tries)
        return result

    async def _fail(self, call: StepCall, claimed: Claimed, tries: Tries) -> StepResult:
        delivery = claimed.delivery
        provider, error = tries.failed[-1]
        told: dict[str, Any] = {
            "provider": error.provider, "error_code": error.provider_code or error.code, "tries": (claimed, tries),
        }  # fmt: skip
        pause = RETRY_SECONDS[min(delivery.attempt, len(RETRY_SECONDS)) - 1]
        if error.klass in ("transient", "account") and not claimed.line_up.repeated:
            result = await self._settlement.settle_surely(
                call, delivery, "retrying", "retrying", error=error.message, may_give_up=True, **told
            )
            if result.outcome == "failed":
                return result
            raise ApplicationError(
                f"{error.provider} didn't take the message ({told['error_code']})",
                type=type(error).__name__,
                next_retry_delay=timedelta(seconds=error.retry_after_seconds or pause),
            )
        if error.klass in ("unknown", "transient", "account"):
            # What was repeated may have been sent before, whatever became of the repetition.
            await self._settlement.settle_surely(
                call, delivery, "unknown", "unknown", error=error.message, **told
            )
            again = self._book.repeats(
                replace(delivery, provider=provider.name), await self._settlement.now(call)
            )
            # Asking at once would be too early: what a provider took may not be listed yet.
            wait = timedelta(seconds=error.retry_after_seconds or pause) if again else self._settle
            raise ApplicationError(
                "it isn't known whether the message was taken; the provider will be asked",
                type="UnknownOutcome",
                next_retry_delay=wait,
            )
        if told["error_code"] == WINDOW_CLOSED and is_free(delivery):
            # WhatsApp counts the customer's 24 hours itself: what it takes now is the approved template.
            await self._settlement.settle_surely(
                call, delivery, "retrying", "retrying", error=error.message, **told
            )
            raise ApplicationError(
                "WhatsApp's window is closed; the approved template is sent instead",
                type="WindowClosed",
                next_retry_delay=timedelta(seconds=0.1),
            )
        if error.klass in ("recipient", "consent"):
            reason = "opted_out" if error.klass == "consent" else "invalid_address"
            outcome = "suppressed" if error.klass == "consent" else "failed"
            if word_of(delivery) == ANY_CHANNEL and not claimed.line_up.repeated:
                # It surely didn't reach the customer this way: what may take another one is decided anew.
                await self._settlement.settle_surely(
                    call, delivery, "retrying", "retrying", error=error.message,
                    suppress_as=(claimed.message.recipient, reason), failed_as=outcome, **told,
                )  # fmt: skip
                raise ApplicationError(
                    f"{delivery.channel} doesn't reach this customer ({told['error_code']}); another channel may",
                    type="NextChannel",
                    next_retry_delay=timedelta(seconds=0.1),
                )
            return await self._settlement.settle_surely(
                call, delivery, "failed", outcome, error=error.message,
                suppress_as=(claimed.message.recipient, reason), **told,
            )  # fmt: skip
        return await self._settlement.settle_surely(
            call, delivery, "failed", "failed", error=error.message, **told
        )

    async def reconcile(self, call: StepCall, unsettled: Unsettled) -> StepResult:
        """Ask the provider what became of a claim; where it can't be asked it stays visibly unknown."""
        delivery = unsettled.delivery
        if delivery.state == "claimed" and self.repeats(call, delivery, await self._settlement.now(call)):
            # Whether it may still be sent is decided anew before it is.
            await self._settlement.settle_surely(
                call, delivery, "unknown", "unknown", error="its sender ended without a word"
            )
            raise ApplicationError(
                "the message is sent again, which its provider makes one of",
                type="Repeated",
                next_retry_delay=timedelta(seconds=0.1),
            )
        asked = self._book.find(delivery.channel, delivery.provider)
        since = (delivery.claimed_at or call.due_at) - timedelta(minutes=2)
        found: Receipt | Unanswerable | None = UNANSWERABLE
        if asked and unsettled.message:
            try:
                found = await asked.channel.look_up(unsettled.message, since)
            except ChannelError as error:
                if await self._settlement.now(call) < (delivery.claimed_at or call.due_at) + GIVE_UP:
                    raise ApplicationError(
                        f"{error.provider} can't be asked now",
                        type="LookUpFailed",
                        next_retry_delay=timedelta(seconds=30),
                    ) from error
        if isinstance(found, Receipt) and not await self._is_anothers(found, delivery):
            return await self._settlement.settle_surely(
                call, delivery, "accepted", "sent", provider=found.provider, provider_id=found.provider_id,
                reconciled=True, cost=unsettled.cost,
            )  # fmt: skip
        if found is UNANSWERABLE and unsettled.again and delivery.attempt < MOST_ATTEMPTS:
            await self._settlement.settle_surely(
                call, delivery, "unknown", "unknown", error="nobody can be asked", error_code=UNANSWERED
            )
            raise ApplicationError(
                "nobody can say whether the message was sent; by the policy it is sent once more",
                type="Repeated",
                next_retry_delay=timedelta(seconds=0.1),
            )
        if found is None:
            await self._settlement.settle_surely(call, delivery, "retrying", "retrying")
            raise ApplicationError(
                "the provider never got the message; it is sent again",
                type="Absent",
                next_retry_delay=timedelta(seconds=0.1),
            )
        return await self._settlement.settle_surely(
            call, delivery, "unknown", "unknown", error=delivery.error or "the provider can't be asked",
            error_code=delivery.error_code, reconciled=True, cost=unsettled.cost,
        )  # fmt: skip

    async def _is_anothers(self, found: Receipt, delivery: Delivery) -> bool:
        """Whether what was found is known to be another delivery, with the same text to the same address."""
        async with self._database.transaction() as connection:
            return await deliveries.is_anothers(connection, found.provider, found.provider_id, delivery.id)


async def request(channel: str, provider: Provider, message: OutgoingMessage) -> Receipt:
    """One request to a provider, timed. Raises its ChannelError."""
    begun, result = time.perf_counter(), "error"
    about = {"holdfast__channel": channel, "holdfast__provider": provider.name}
    with tracing.span(f"send {channel}", kind="client", **about) as span:
        try:
            receipt = await provider.channel.send(message)
            result = "accepted"
        except ChannelError as error:
            result = error.klass
            span.fail(error.provider_code or error.code)
            raise
        else:
            return receipt
        finally:
            span.set(holdfast__result=result)
            REQUEST_SECONDS.labels(channel, provider.name, result).observe(time.perf_counter() - begun)
