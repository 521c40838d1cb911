"""Steps that stand still: until a moment, or until something happens."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

from schemas.plan import Elapsed, Wait, WaitFor
from workflows.lane import Desk, Lane

# What the inbox says of a wait whose date is another now.
MOVED = "moved"


class Waits:
    """Stands still for a run's steps."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def wait(self, step: Wait, lane: Lane) -> str:
        """Until the moment that the step names, and where that moves, until then; `over` or `no_date`."""
        desk, key = self._desk, lane.key(step)
        arrived = desk.attention.arrived
        while True:
            if isinstance(step.spec, Elapsed):
                until = desk.since[key] + timedelta(seconds=step.spec.seconds)
            else:
                arrived.pop(key, None)
                found = await desk.book("Wait.resolve", step, lane, "wait")
                if found.until is None:
                    desk.log.note(key, "wait", found.outcome)
                    return found.outcome
                until = found.until
            desk.log.note(key, "wait", "waiting", f"until {until:%Y-%m-%d %H:%M} UTC")
            if lane.moment is not None:
                lane.moment = until if until <= workflow.now() else None
            if await desk.attention.stand(key, until, f"wait · {key}", lambda: arrived.get(key) == MOVED):
                continue
            lane.skipping = desk.attention.is_overdue(until)
            return "over"

    async def wait_for(self, step: WaitFor, lane: Lane) -> str:
        """Until it happens (`then`), or the time is up (`else`)."""
        desk, key = self._desk, lane.key(step)
        outcome = (await desk.book("Wait.listen", step, lane, "wait_for")).outcome
        if outcome != "then":
            until = desk.since[key] + timedelta(seconds=step.for_seconds)
            awaited = step.event.name if step.event else "condition"
            desk.log.note(key, "wait_for", "waiting", f"{awaited}, until {until:%Y-%m-%d %H:%M} UTC")
            if await desk.attention.stand(
                key, until, f"wait for {awaited} · {key}", lambda: key in desk.attention.arrived
            ):
                outcome = "then"
            else:
                outcome = (await desk.book("Wait.close", step, lane, "wait_for")).outcome
                lane.skipping = desk.attention.is_overdue(until)
        desk.log.note(key, "wait_for", outcome)
        return outcome
