"""Sending one message once: decided and claimed in the ledger before it leaves, settled in it afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.messages import compose, context_of
from activities.steps import Opened, StepOpening
from activities.transmission import Claimed, Transmission, Unsettled, make_message
from channels.outcome import Channel
from channels.rendering import RenderError
from rules.sending import SendRequest, decide_send
from schemas.plan import Act, SendWindow
from schemas.run import StepCall, StepResult
from store import deliveries, runs
from store.contact import ADDRESS_TRAITS
from store.customers import load_customers
from store.database import DATABASE_AWAY, Connection
from store.deliveries import Delivery, delivery_id, hash_address
from store.playbooks import load_policy

# A provider is given 10 s; SETTLE later a claim without a word from its sender is lost, and looked up.
PROVIDER_SECONDS = 10.0
SETTLE_SECONDS = 30.0
RECENT = timedelta(days=31)

# What the ledger's final states are called as outcomes of a step.
OUTCOMES = {"accepted": "sent", "failed": "failed", "unknown": "unknown"}


class MessageDelivery:
    """Carries out message steps over the channels that this process has."""

    def __init__(
        self, opening: StepOpening, channels: Mapping[str, Channel], *, settle_seconds: float = SETTLE_SECONDS
    ) -> None:
        self._opening = opening
        self._database = opening.database
        self._channels = channels
        self._settle = timedelta(seconds=settle_seconds)
        self._transmission = Transmission(opening, channels, settle_seconds=settle_seconds)

    @activity.defn(name="Delivery.send")
    async def send(self, call: StepCall) -> StepResult:
        """Send this step's message, unless it was sent, may not be sent, or the run is to end."""
        state: StepResult | Claimed | Unsettled | None = None
        try:
            async with self._database.transaction() as connection:
                opened = await self._opening.open(connection, call)
                if isinstance(opened, StepResult):
                    state = await self._leave(connection, call, opened)
                else:
                    state = await self._prepare(connection, call, opened)
        except DATABASE_AWAY:
            if isinstance(state, Claimed):
                # The claim may stand though its commit wasn't answered, and nobody is going to use it.
                await self._transmission.release(state)
            raise
        if isinstance(state, StepResult):
            return state
        if isinstance(state, Unsettled):
            return await self._transmission.reconcile(call, state)
        return await self._transmission.transmit(call, state)

    @activity.defn(name="Delivery.show")
    async def show(self, call: StepCall) -> StepResult:
        """Put this step's message into the customer's in-app inbox, in the claim's own transaction."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call)
            if isinstance(opened, StepResult):
                return opened
            state = await self._prepare(connection, call, opened)
            if isinstance(state, StepResult):
                return state
            await deliveries.settle(
                connection, state.delivery.id, state.delivery.attempt, "accepted", opened.now,
                provider="in_app", cost=state.cost,
            )  # fmt: skip
            return await self._note(connection, call, state.delivery.channel, "sent", opened.now)

    async def _prepare(
        self, connection: Connection, call: StepCall, opened: Opened
    ) -> StepResult | Claimed | Unsettled:
        """Decide under the customer's lock, and claim."""
        step = opened.version.steps[call.step]
        assert isinstance(step, Act)
        channel, now = step.word, opened.now
        key = delivery_id(call.run_id, call.step, call.occurrence)
        row = await deliveries.lock_delivery(connection, key)
        if row and row.state in ("accepted", "failed", "skipped"):
            # The step's outcome says more: what was refused for want of consent is `failed` in the ledger.
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
            "topic": step.args.get("topic")
            or (step.send or opened.version.playbook.send or SendWindow()).topic,
            "template": step.args.get("template"),
        }
        if step.guard and not opened.version.holds(step.guard, opened.known.facts):
            return await self._skip(connection, call, about, "skipped", "guard", "its `if` doesn't hold", now)
        if channel != "in_app" and channel not in self._channels:
            return await self._skip(
                connection,
                call,
                about,
                "failed",
                "no_provider",
                f"no provider is configured for {channel}",
                now,
            )
        recent = await deliveries.load_recent_sends(connection, opened.run.customer_id, now - RECENT, but=key)
        decision = decide_send(
            _request(step, opened, channel, address, about["topic"], recent, call.due_at), now=now
        )
        if decision.outcome != "sent":
            if decision.until is not None:
                # Told at the time it became due: a run that is started anew holds it from then.
                told = f"{decision.outcome}, until {decision.until:%Y-%m-%d %H:%M} UTC"
                await runs.record_step(
                    connection, call.run_id, call.step, call.occurrence, channel, "holding", call.due_at, told
                )
                return StepResult(
                    outcome=decision.outcome, at=now, until=decision.until, detail=decision.detail
                )
            return await self._skip(
                connection,
                call,
                about,
                "skipped",
                decision.outcome,
                decision.detail,
                now,
                outcome=decision.outcome,
            )
        try:
            content = compose(opened.version.playbook, step, await context_of(connection, opened))
        except RenderError as error:
            return await self._skip(connection, call, about, "failed", "template", error.message, now)
        claimed = await deliveries.claim(
            connection,
            **about,
            content=content,
            now=now,
            address_hash=hash_address(channel, address) if address else None,
        )
        usable_until = time.monotonic() + self._settle.total_seconds() / 2
        return Claimed(claimed, make_message(claimed, address or ""), cost, usable_until)

    async def _leave(
        self, connection: Connection, call: StepCall, interrupted: StepResult
    ) -> StepResult | Unsettled:
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

    def _take_up(self, row: Delivery, address: str | None, cost: float, now: datetime) -> Unsettled:
        """The claim of an attempt that is surely over; until it is, raises ApplicationError."""
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
        return Unsettled(row, make_message(row, address) if address and same else None, cost)

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
        await deliveries.record_skipped(
            connection, **about, state=state, reason=reason, detail=detail, now=now
        )
        await self._note(connection, call, about["channel"], outcome or state, now, detail)
        return StepResult(outcome=outcome or state, at=now, detail=reason)

    async def _note(
        self, connection: Connection, call: StepCall, word: str, outcome: str, now: datetime, detail: str = ""
    ) -> StepResult:
        await runs.record_step(
            connection, call.run_id, call.step, call.occurrence, word, outcome, now, detail
        )
        return StepResult(outcome=outcome, at=now, detail=detail)


def _address(channel: str, profile: Mapping[str, Any]) -> str | None:
    trait = ADDRESS_TRAITS.get(channel)
    value = profile.get(trait) if trait else None
    return value if isinstance(value, str) and value else None


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
        (r.hold_seconds or 0 for name in ("held_quiet_hours", "capped") if (r := reactions.get(name))),
        default=0,
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
