"""How Temporal is: whether it answers, who works on which queue, and what it starts by itself and when next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from schemas.errors import HoldfastError
from schemas.population_run import BATCH_QUEUE
from schemas.run import RUN_QUEUE, SEND_QUEUE
from web.executions import Executions

QUEUES = (RUN_QUEUE, SEND_QUEUE, BATCH_QUEUE)
# What a page shows may be so old; however many look, Temporal is asked no more often.
FRESH_SECONDS = 5.0
ANSWER_SECONDS = 2.0
# Who waits for work asks anew every minute; who is stopped is remembered for five.
SILENT_AFTER = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Routine:
    """Something that is started by itself: when last, when next; None where it never was, or is paused."""

    name: str
    note: str
    paused: bool
    last_at: datetime | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class TemporalState:
    """What Temporal said. `pollers`: how many ask each queue for work; None of them where it couldn't be asked.

    Temporal forgets one that is gone after five minutes, so `heard_at` says when the last of them asked.
    """

    ok: bool
    detail: str
    pollers: Mapping[str, int]
    routines: Sequence[Routine]
    heard_at: Mapping[str, datetime] = field(default_factory=dict)

    def silent_for(self, queue: str, now: datetime) -> timedelta:
        """For how long nobody has asked this queue for work; nothing while that is no longer than usual."""
        heard = self.heard_at.get(queue)
        silent = now - heard if heard is not None else timedelta()
        return silent if silent > SILENT_AFTER else timedelta()


class TemporalWatch:
    """One process's look at Temporal, kept for a few seconds."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions
        self._looking = asyncio.Lock()
        self._seen: TemporalState | None = None
        self._seen_at = float("-inf")

    async def look(self) -> TemporalState:
        """How it is, at most five seconds old; one that doesn't answer is a state like any other."""
        async with self._looking:
            if self._seen is None or time.monotonic() - self._seen_at > FRESH_SECONDS:
                self._seen = await self._look()
                self._seen_at = time.monotonic()
            return self._seen

    async def _look(self) -> TemporalState:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                where = await self._executions.check()
                client = await self._executions.connect()
                asked = await asyncio.gather(*(_list_asked(client, name) for name in QUEUES))
                found = dict(zip(QUEUES, asked, strict=True))
                return TemporalState(
                    True, f"Answers at {where}", {name: len(moments) for name, moments in found.items()},
                    await _list_routines(client), {name: max(moments) for name, moments in found.items() if moments},
                )  # fmt: skip
        except HoldfastError as error:
            return TemporalState(False, error.message, {}, ())
        except (RPCError, TimeoutError) as error:
            return TemporalState(False, f"Temporal doesn't answer: {type(error).__name__}.", {}, ())


async def _list_asked(client: Client, queue: str) -> list[datetime]:
    """When each of those who ask a queue for work did so last."""
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
    )
    return [one.last_access_time.ToDatetime(UTC) for one in answer.pollers]


async def _list_routines(client: Client) -> Sequence[Routine]:
    found: list[Routine] = []
    try:
        async for one in await client.list_schedules():
            if one.schedule is None or not one.id.startswith("holdfast"):
                continue
            info = one.info
            last = max((action.started_at for action in info.recent_actions), default=None) if info else None
            following = min(info.next_action_times, default=None) if info else None
            paused = one.schedule.state.paused
            found.append(
                Routine(one.id, one.schedule.state.note or "", paused, last, None if paused else following)
            )
    except RPCError:
        # A server for tests keeps no schedules.
        return ()
    return sorted(found, key=lambda one: one.name)
