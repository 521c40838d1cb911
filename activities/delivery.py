"""Sending one message once: claim in the ledger, send, record; ask the provider where it isn't known what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.messages import compose, context_of
from activities.steps import Opened, StepOpening
from channels.outcome import UNANSWERABLE, Channel, ChannelError, OutgoingMessage, Receipt
from channels.rendering import RenderError
from rules.sending import SendRequest, decide_send
from schemas.plan import Act, SendWindow
from schemas.run import StepCall, StepResult
from store import deliveries, runs
from store.contact import ADDRESS_TRAITS, suppress
from store.database import DATABASE_AWAY, Connection
from store.deliveries import Delivery, delivery_id, hash_address

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


@dataclass(frozen=True)
class _Unsettled:
    delivery: Delivery
    message: OutgoingMessage


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
                # What may already be on its way is settled even if the run is to end.
                return opened
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
            outcome = OUTCOMES.get(row.state) or row.error_code or "skipped"
            return StepResult(outcome=outcome, at=row.settled_at or now)
        address = self._address(channel, opened)
        if row and row.state in ("claimed", "unknown"):
            if row.reconciled_at:
                return StepResult(outcome="unknown", at=row.reconciled_at)
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
            return _Unsettled(row, _message(row, address or ""))
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
        return _Claimed(claimed, _message(claimed, address or ""), opened.policy.costs.get(channel, 0.0))

    def _address(self, channel: str, opened: Opened) -> str | None:
        trait = ADDRESS_TRAITS.get(channel)
        value = opened.known.customer.profile.get(trait) if trait else None
        return value if isinstance(value, str) and value else None

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
        try:
            receipt = await self._channels[delivery.channel].send(claimed.message)
        except ChannelError as error:
            return await self._fail(call, claimed, error)
        return await self._settle_surely(
            call, delivery, "accepted", "sent", provider=receipt.provider, provider_id=receipt.provider_id,
            cost=claimed.cost,
        )  # fmt: skip

    async def _fail(self, call: StepCall, claimed: _Claimed, error: ChannelError) -> StepResult:
        delivery, told = claimed.delivery, {"provider": error.provider, "error_code": error.provider_code or error.code}
        if error.klass in ("transient", "account"):
            if call.at + GIVE_UP < await self._now(call):
                return await self._settle_surely(call, delivery, "failed", "failed", error=error.message, **told)
            await self._settle_surely(call, delivery, "retrying", "retrying", error=error.message, **told)
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
            async with self._database.transaction() as connection:
                now = await self._opening.read_now(connection, call)
                hashed = hash_address(delivery.channel, claimed.message.recipient)
                await suppress(connection, delivery.channel, hashed, reason, now)
            outcome = "suppressed" if error.klass == "consent" else "failed"
            return await self._settle_surely(call, delivery, "failed", outcome, error=error.message, **told)
        return await self._settle_surely(call, delivery, "failed", "failed", error=error.message, **told)

    async def _reconcile(self, call: StepCall, unsettled: _Unsettled) -> StepResult:
        """Ask the provider what became of a claim; where it can't be asked the delivery stays visibly unknown."""
        delivery = unsettled.delivery
        channel = self._channels.get(delivery.channel)
        since = (delivery.claimed_at or call.due_at) - timedelta(minutes=2)
        try:
            found = await channel.look_up(unsettled.message, since) if channel else UNANSWERABLE
        except ChannelError as error:
            raise ApplicationError(
                f"{error.provider} can't be asked now", type="LookUpFailed", next_retry_delay=timedelta(seconds=30)
            ) from error
        if isinstance(found, Receipt):
            return await self._settle_surely(
                call, delivery, "accepted", "sent", provider=found.provider, provider_id=found.provider_id, reconciled=True
            )
        if found is None:
            await self._settle_surely(call, delivery, "retrying", "retrying", reconciled=False)
            raise ApplicationError(
                "the provider never got the message; it is sent again", type="Absent", next_retry_delay=timedelta(seconds=0.1)
            )
        return await self._settle_surely(
            call, delivery, "unknown", "unknown", error=delivery.error or "the provider can't be asked", reconciled=True
        )

    async def _settle_surely(
        self, call: StepCall, delivery: Delivery, state: str, outcome: str, **what: Any
    ) -> StepResult:
        """Record it even if the database restarts just now: what was sent and not recorded would be unknown."""
        for attempt in range(40):
            try:
                async with self._database.transaction() as connection:
                    now = await self._opening.read_now(connection, call)
                    await deliveries.settle(connection, delivery.id, delivery.attempt, state, now, **what)
                    if state == "retrying":
                        return StepResult(outcome=outcome, at=now)
                    await self._note(connection, call, delivery.channel, outcome, now, str(what.get("error") or ""))
                    # A provider's words may name the recipient: the run's history gets the code only.
                    return StepResult(outcome=outcome, at=now, detail=str(what.get("error_code") or ""))
            except DATABASE_AWAY:
                if attempt == 39:
                    raise
                await asyncio.sleep(0.25)
        raise AssertionError("unreachable")

    async def _now(self, call: StepCall) -> datetime:
        async with self._database.transaction() as connection:
            return await self._opening.read_now(connection, call)


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
