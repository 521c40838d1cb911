"""Unlocking features for customers, and locking them again when the time is over, whatever became of the run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from temporalio import activity

from activities.steps import StepOpening, note
from schemas.form import format_duration
from schemas.incoming import IncomingEvent
from schemas.run import StepCall, StepResult
from store import rewards
from store.customers import load_customers, lock_customers
from store.database import Connection
from store.intake import take_within
from store.rewards import Reward, reward_id

# What happens to a customer through the engine itself.
SOURCE = "holdfast"
UNLOCKED, LOCKED = "feature_unlocked", "feature_locked"


class Rewards:
    """Grants the rewards of runs."""

    def __init__(self, opening: StepOpening) -> None:
        self._opening = opening
        self._database = opening.database

    @activity.defn(name="Reward.grant")
    async def grant(self, call: StepCall) -> StepResult:
        """Unlock this step's feature: outcome `granted`; once, however often it is asked for."""
        async with self._database.transaction() as connection:
            begun = await self._opening.open_act(connection, call)
            if isinstance(begun, StepResult):
                return begun
            opened, step = begun
            feature, seconds = str(step.args["feature"]), step.args.get("for_seconds")
            if opened.run.arm == "shadow":
                told = f"{feature} for {format_duration(int(seconds))}" if seconds else f"{feature} for good"
                return await note(connection, call, step.word, "shadow", opened.now, told)
            reward = Reward(
                id=reward_id(call.run_id, call.step, call.occurrence),
                run_id=call.run_id,
                customer_id=opened.run.customer_id,
                step=call.step,
                occurrence=call.occurrence,
                feature=feature,
                granted_at=opened.now,
                until=opened.now + timedelta(seconds=int(seconds)) if seconds else None,
            )
            if await rewards.grant(connection, reward):
                ends = await _ends(connection, reward)
                await self._tell(
                    connection, reward, UNLOCKED, opened.now, until=ends.isoformat() if ends else None
                )
            until = f"until {reward.until:%Y-%m-%d %H:%M} UTC" if reward.until else "for good"
            result = await note(connection, call, step.word, "granted", opened.now, f"{feature} {until}")
        self._opening.evaluation.ring()
        return result

    async def take_back(self, limit: int = 100) -> int:
        """Lock what is unlocked beyond its time; returns for how many customers there was something to do."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            customers = await rewards.load_over(connection, now, limit)
        for customer_id in customers:
            async with self._database.transaction() as connection:
                await lock_customers(connection, [customer_id])
                over = await rewards.take_back(connection, customer_id, now)
                last = {reward.feature: reward for reward in over}
                still = {
                    one.feature
                    for one in await rewards.load_rewards(connection, customer_id)
                    if one.revoked_at is None
                }
                for feature, reward in last.items():
                    # Of grants that overlap the last to end locks the feature.
                    if feature not in still:
                        await self._tell(connection, reward, LOCKED, reward.until or now, received_at=now)
        return len(customers)

    async def _tell(
        self,
        connection: Connection,
        reward: Reward,
        name: str,
        at: datetime,
        *,
        received_at: datetime | None = None,
        **properties: Any,
    ) -> None:
        """Put it into the customer's history, so that playbooks can wait for it and the product can read it."""
        customer = (await load_customers(connection, [reward.customer_id]))[reward.customer_id]
        told = {
            "feature": reward.feature,
            **{key: value for key, value in properties.items() if value is not None},
        }
        event = IncomingEvent(
            SOURCE, f"{reward.id}/{name}", customer.external_id, name, at, received_at or at, at.date(), told
        )
        await take_within(connection, [event], move=self._opening.move)


async def _ends(connection: Connection, reward: Reward) -> datetime | None:
    """When the feature locks again, other grants of it counted in; None: never."""
    grants = [
        one
        for one in await rewards.load_rewards(connection, reward.customer_id)
        if one.feature == reward.feature and one.revoked_at is None
    ]
    ends = [one.until for one in grants if one.until]
    return max(ends) if len(ends) == len(grants) else None
