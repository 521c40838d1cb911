"""Sending one message once: prepared and claimed, handed over, settled; and what is left when the run is to end."""

from __future__ import annotations

from collections.abc import Mapping

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.claims import SETTLE_SECONDS, Claimed, Unsettled, Waiting
from activities.preparation import Preparation
from activities.steps import StepOpening
from activities.transmission import Transmission
from channels.outcome import Channel
from schemas.run import StepCall, StepResult
from store import deliveries
from store.addresses import address_of
from store.customers import load_customers
from store.database import DATABASE_AWAY, Connection
from store.deliveries import delivery_id
from store.playbooks import load_policy


class MessageDelivery:
    """Carries out message steps over the channels that this process has."""

    def __init__(
        self, opening: StepOpening, channels: Mapping[str, Channel], *, settle_seconds: float = SETTLE_SECONDS
    ) -> None:
        self._opening = opening
        self._database = opening.database
        self._transmission = Transmission(opening, channels, settle_seconds=settle_seconds)
        self._preparation = Preparation(channels, self._transmission, settle_seconds=settle_seconds)

    @activity.defn(name="Delivery.send")
    async def send(self, call: StepCall) -> StepResult:
        """Send this step's message, unless it was sent, may not be sent, or the run is to end."""
        state: StepResult | Claimed | Unsettled | Waiting | None = None
        try:
            async with self._database.transaction() as connection:
                opened = await self._opening.open(connection, call, message=True)
                if isinstance(opened, StepResult):
                    state = await self._leave(connection, call, opened)
                else:
                    state = await self._preparation.prepare(connection, call, opened)
        except DATABASE_AWAY:
            if isinstance(state, Claimed):
                # The claim may stand though its commit wasn't answered, and nobody is going to use it.
                await self._transmission.release(state)
            raise
        if isinstance(state, StepResult):
            return state
        if isinstance(state, Unsettled):
            return await self._transmission.reconcile(call, state)
        if isinstance(state, Waiting):
            raise ApplicationError(
                state.line_up.waiting, type="ProvidersAway", next_retry_delay=state.line_up.wait
            )
        return await self._transmission.transmit(call, state)

    @activity.defn(name="Delivery.show")
    async def show(self, call: StepCall) -> StepResult:
        """Put this step's message into the customer's in-app inbox, in the claim's own transaction."""
        async with self._database.transaction() as connection:
            opened = await self._opening.open(connection, call, message=True)
            if isinstance(opened, StepResult):
                return opened
            state = await self._preparation.prepare(connection, call, opened)
        # Nobody else takes part in it, so that it is over here.
        assert isinstance(state, StepResult)
        return state

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
        address = address_of(row.channel, customers[row.customer_id].profile) if customers else None
        cost = (await load_policy(connection)).costs.get(row.channel, 0.0)
        return self._preparation.take_up(row, address, cost, interrupted.at)
