"""Sending one message once: claim in the ledger, send, record; ask the provider where it isn't known what happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.messages import compose, context_of
from activities.steps import Opened, StepOpening
from channels.outcome import UNANSWERABLE, Channel, ChannelError, OutgoingMessage, Receipt, Unanswerable
from channels.rendering import RenderError
from rules.sending import SendRequest, decide_send
from schemas.plan import Act, SendWindow
from schemas.run import StepCall, StepResult
from store import deliveries, runs
from store.contact import ADDRESS_TRAITS, suppress
from store.customers import load_customers
from store.database import DATABASE_AWAY, Connection
from store.deliveries import Delivery, delivery_id, hash_address
from store.playbooks import load_policy

# A provider is given 10 s; after SETTLE a claim without a word from its sender is taken for lost, and looked up.
PROVIDER_SECONDS = 10.0
SETTLE_SECONDS = 30.0
# A message that could not leave for so long is no longer timely.
GIVE_UP = timedelta(hours=6)
RETRY_SECONDS = (2.0, 5.0, 15.0, 60.0, 300.0)
RECENT = timedelta(days=31)

# What the ledger's final states are called as outcomes of a step.
OUTCOMES = {"accepted": "sent", "failed": "failed", "unknown": "unknown"}


@dataclass(frozen=True)
class _Claimed:
    delivery: Delivery
    message: OutgoingMessage
    cost: float
    # On this process's own clock, which no commit and no pause can hold back.
    usable_until: float


@dataclass(frozen=True)
class _Unsettled:
    delivery: Delivery
    # None: the customer's address is no longer the one that it was sent to.
    message: OutgoingMessage | None
    cost: float


class MessageDelivery:
    """Carries out message steps over the channels that this process has."""

    def __init__(
        self, opening: StepOpening, channels: Mapping[str, Channel], *, settle_seconds: float = SETTLE_SECONDS
    ) -> None:
        self._opening = opening
        self._database = opening.database
        self._channels = channels
        self._settle = timedelta(seconds=settle_seconds)

    @activity.defn(name="Delivery.send")
    async def send(self, call: StepCall) -> StepResult:
        """Send this step's message, unless it was sent, may not be sent, or the run is to end."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call)
            if isinstance(opened, StepResult):
                state = await self._leave(connection, call, opened)
            else:
                state = await self._prepare(connection, call, opened)
        if isinstance(state, StepResult):
            return state
        if isinstance(state, _Unsettled):
            return await self._reconcile(call, state)
        return await self._transmit(call, state)

    @activity.defn(name="Delivery.show")
    async def show(self, call: StepCall) -> StepResult:
        """Put this step's message into the customer's in-app inbox: our own row, so in the claim's transaction."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call)
            if isinstance(opened, StepResult):
                return opened
            state = await self._prepare(connection, call, opened)
            if isinstance(state, StepResult):
                return state
            await deliveries.settle(
                connection, state.delivery.id, state.delivery.attempt, "accepted", opened.now, provider="in_app",
                cost=state.cost if isinstance(state, _Claimed) else 0,
            )  # fmt: skip
            return await self._note(connection, call, state.delivery.channel, "sent", opened.now)

    async def _prepare(
        self, connection: Connection, call: StepCall, opened: Opened
    ) -> StepResult | _Claimed | _Unsettled:
        """Decide under the customer's lock, and claim."""
        step = opened.version.steps[call.step]
        assert isinstance(step, Act)
        channel, now = step.word, opened.now
        key = delivery_id(call.run_id, call.step, call.occurrence)
        row = await deliveries.lock_delivery(connection, key)
        if row and row.state in ("accepted", "failed", "skipped"):
            # What was said of it first stays: a message refused for want of consent is `failed` here, `suppressed` there.
            said = await runs.load_outcome(connection, call.run_id, call.step, call.occurrence)
            outcome = said or OUTCOMES.get(row.state) or row.error_code or "skipped"
            return StepResult(outcome=outcome, at=row.settled_at or now)
        address = _address(channel, opened.known.customer.profile)
        cost = opened.policy.costs.get(channel, 0.0)
        if row and row.state in ("claimed", "unknown"):
            if row.reconciled_at:
                return StepResult(outcome="unknown", at=row.reconciled_at)
            return self._take_up(row, address, cost, now)
        about: dict[str, Any] = {
            "delivery": key,
            "run_id": call.run_id,
            "customer_id": opened.run.customer_id,
            "step": call.step,
            "occurrence": call.occurrence,
            "channel": channel,
            "topic": step.args.get("topic") or (step.send or opened.version.playbook.send or SendWindow()).topic,
            "template": step.args.get("template"),
        }
        if step.guard and not opened.version.holds(step.guard, opened.known.facts):
            return await self._skip(connection, call, about, "skipped", "guard", "its `if` doesn't hold", now)
        if channel != "in_app" and channel not in self._channels:
            return await self._skip(
                connection, call, about, "failed", "no_provider", f"no provider is configured for {channel}", now
            )
        recent = await deliveries.load_recent_sends(connection, opened.run.customer_id, now - RECENT, but=key)
        decision = decide_send(_request(step, opened, channel, address, about["topic"], recent, call.due_at), now=now)
        if decision.outcome != "sent":
            if decision.until is not None:
                return StepResult(outcome=decision.outcome, at=now, until=decision.until, detail=decision.detail)
            return await self._skip(
                connection, call, about, "skipped", decision.outcome, decision.detail, now, outcome=decision.outcome
            )
        try:
            content = compose(opened.version.playbook, step, await context_of(connection, opened))
        except RenderError as error:
            return await self._skip(connection, call, about, "failed", "template", error.message, now)
        claimed = await deliveries.claim(
            connection, **about, content=content, now=now, address_hash=hash_address(channel, address) if address else None
        )
        usable_until = time.monotonic() + self._settle.total_seconds() / 2
        return _Claimed(claimed, _message(claimed, address or ""), cost, usable_until)

    async def _leave(
        self, connection: Connection, call: StepCall, interrupted: StepResult
    ) -> StepResult | _Unsettled:
        """Send nothing more for a run that is to end; but what may already be on its way is settled first."""
        if interrupted.interruption is None or interrupted.interruption.kind == "superseded":
            return interrupted
        row = await deliveries.lock_delivery(connection, delivery_id(call.run_id, call.step, call.occurrence))
        if row is None or row.state not in ("claimed", "unknown") or row.reconciled_at:
            return interrupted
        customers = await load_customers(connection, [row.customer_id])
        address = _address(row.channel, customers[row.customer_id].profile) if customers else None
        cost = (await load_policy(connection)).costs.get(row.channel, 0.0)
        return self._take_up(row, address, cost, interrupted.at)

    def _take_up(self, row: Delivery, address: str | None, cost: float, now: datetime) -> _Unsettled:
        """An earlier attempt's claim, once that attempt is surely over. Raises ApplicationError while it may not be."""
        if row.state == "unknown":
            over_at = row.settled_at or now
        else:
            over_at = (row.claimed_at or now) + timedelta(seconds=PROVIDER_SECONDS)
        settled_at = over_at + self._settle
        if now < settled_at:
            raise ApplicationError(
                "an earlier attempt at this message may still be on its way",
                type="InFlight",
                next_retry_delay=settled_at - now + timedelta(seconds=0.1),
            )
        same = address is not None and hash_address(row.channel, address) == row.address_hash
        return _Unsettled(row, _message(row, address) if address and same else None, cost)

    async def _skip(
        self,
        connection: Connection,
        call: StepCall,
        about: Mapping[str, Any],
        state: str,
        reason: str,
        detail: str,
        now: datetime,
        *,
        outcome: str | None = None,
    ) -> StepResult:
        await deliveries.record_skipped(connection, **about, state=state, reason=reason, detail=detail, now=now)
        await self._note(connection, call, about["channel"], outcome or state, now, detail)
        return StepResult(outcome=outcome or state, at=now, detail=reason)

    async def _note(
        self, connection: Connection, call: StepCall, word: str, outcome: str, now: datetime, detail: str = ""
    ) -> StepResult:
        await runs.record_step(connection, call.run_id, call.step, call.occurrence, word, outcome, now, detail)
        return StepResult(outcome=outcome, at=now, detail=detail)

    async def _transmit(self, call: StepCall, claimed: _Claimed) -> StepResult:
        """One request to the provider, then the record of what became of it."""
        delivery = claimed.delivery
        if time.monotonic() > claimed.usable_until:
            # The commit took so long that somebody may look this claim up before we are through with the provider.
            await self._settle_surely(call, delivery, "retrying", "retrying", error="the claim came too late to be used")
            raise ApplicationError("the claim came too late to be used", type="LateClaim")
        try:
            receipt = await self._channels[delivery.channel].send(claimed.message)
        except ChannelError as error:
            return await self._fail(call, claimed, error)
        return await self._settle_surely(
            call, delivery, "accepted", "sent", provider=receipt.provider, provider_id=receipt.provider_id,
            cost=claimed.cost,
        )  # fmt: skip

    async def _fail(self, call: StepCall, claimed: _Claimed, error: ChannelError) -> StepResult:
        delivery = claimed.delivery
        told: dict[str, Any] = {"provider": error.provider, "error_code": error.provider_code or error.code}
        if error.klass in ("transient", "account"):
            result = await self._settle_surely(
                call, delivery, "retrying", "retrying", error=error.message, give_up_at=call.at + GIVE_UP, **told
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

    async def _reconcile(self, call: StepCall, unsettled: _Unsettled) -> StepResult:
        """Ask the provider what became of a claim; where it can't be asked the delivery stays visibly unknown."""
        delivery = unsettled.delivery
        channel = self._channels.get(delivery.channel)
        since = (delivery.claimed_at or call.due_at) - timedelta(minutes=2)
        found: Receipt | Unanswerable | None = UNANSWERABLE
        if channel and unsettled.message:
            try:
                found = await channel.look_up(unsettled.message, since)
            except ChannelError as error:
                raise ApplicationError(
                    f"{error.provider} can't be asked now", type="LookUpFailed", next_retry_delay=timedelta(seconds=30)
                ) from error
        if isinstance(found, Receipt) and not await self._is_anothers(found, delivery):
            return await self._settle_surely(
                call, delivery, "accepted", "sent", provider=found.provider, provider_id=found.provider_id,
                reconciled=True, cost=unsettled.cost,
            )  # fmt: skip
        if found is None:
            await self._settle_surely(call, delivery, "retrying", "retrying")
            raise ApplicationError(
                "the provider never got the message; it is sent again", type="Absent", next_retry_delay=timedelta(seconds=0.1)
            )
        return await self._settle_surely(
            call, delivery, "unknown", "unknown", error=delivery.error or "the provider can't be asked",
            error_code=delivery.error_code, reconciled=True, cost=unsettled.cost,
        )  # fmt: skip

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

        suppress_as: the address, and why it isn't to be used any more. give_up_at: from then on `retrying` is `failed`.
        """
        for attempt in range(40):
            try:
                async with self._database.transaction() as connection:
                    now = await self._opening.read_now(connection, call)
                    if give_up_at is not None and now > give_up_at:
                        state = outcome = "failed"
                    if suppress_as is not None:
                        address, reason = suppress_as
                        await suppress(connection, delivery.channel, hash_address(delivery.channel, address), reason, now)
                    await deliveries.settle(
                        connection, delivery.id, delivery.attempt, state, now, reconciled=reconciled, **told
                    )
                    # Only what stands is the step's outcome: the rest is tried again, or looked up.
                    if state in ("accepted", "failed") or reconciled:
                        await self._note(connection, call, delivery.channel, outcome, now, str(told.get("error") or ""))
                    # A provider's words may name the recipient: the run's history gets the code only.
                    return StepResult(outcome=outcome, at=now, detail=str(told.get("error_code") or ""))
            except DATABASE_AWAY:
                if attempt == 39:
                    raise
                await asyncio.sleep(0.25)
        raise AssertionError("unreachable")


def _address(channel: str, profile: Mapping[str, Any]) -> str | None:
    trait = ADDRESS_TRAITS.get(channel)
    value = profile.get(trait) if trait else None
    return value if isinstance(value, str) and value else None


def _message(delivery: Delivery, address: str) -> OutgoingMessage:
    content = delivery.content
    return OutgoingMessage(
        delivery_id=delivery.id,
        recipient=address,
        text=str(content.get("text", "")),
        subject=str(content.get("subject", "")),
        html=content.get("html"),
        attempt=delivery.attempt,
    )


def _request(
    step: Act,
    opened: Opened,
    channel: str,
    address: str | None,
    topic: str | None,
    recent: list[tuple[str, datetime]],
    due_at: datetime,
) -> SendRequest:
    facts = opened.known.facts
    zone = facts.profile.get("timezone")
    reactions = step.outcomes
    hold = max(
        (r.hold_seconds or 0 for name in ("held_quiet_hours", "capped") if (r := reactions.get(name))), default=0
    )
    return SendRequest(
        channel=channel,
        topic=topic,
        critical=bool(step.args.get("critical")),
        address=address,
        consent=facts.consent,
        suppressed=facts.suppressed.get(channel),
        zone=zone if isinstance(zone, str) else None,
        policy=opened.policy,
        window=step.send or opened.version.playbook.send,
        recent=recent,
        hold_seconds=hold,
        due_at=due_at,
    )
