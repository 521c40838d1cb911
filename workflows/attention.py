"""A run's attention: standing still until a moment, heeding goal, exit, stop, pause and what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow

from activities.running import RunBooks
from schemas.run import Command, InboxCall, Interruption, Resumption, RunInput
from workflows.endings import Ended
from workflows.logbook import Logbook
from workflows.patience import BOOK_TIMEOUT, PATIENT


class Attention:
    """What reached the run, and what was asked of it.

    `arrived` and `completed` are by step: what the inbox said of it, and what a person told the run directly.
    `before_wait` is called each time before the run stands still.
    """

    def __init__(self, start: RunInput, log: Logbook) -> None:
        resumed = start.resume or Resumption()
        self._run_id = start.run_id
        self._execution_id = workflow.info().first_execution_run_id
        self._log = log
        # A continued run may have been rung before it could hear.
        self.rings, self._heard = (1, 0) if start.resume else (0, 0)
        self.read = resumed.inbox_read
        self.arrived: dict[str, str] = {}
        self.completed: dict[str, Command] = {}
        self.stop: Command | None = None
        self.paused = resumed.paused
        self._noted_pause = resumed.paused
        self.snoozed_until: datetime | None = None
        self.snooze_news = False
        self.before_wait: Callable[[], None] = lambda: None

    async def stand(self, until: datetime, summary: str, ready: Callable[[], bool] = lambda: False) -> bool:
        """Stand still until `until`, or until `ready` (True); goal, exit, stop and pause are heeded meanwhile."""
        self._log.show(standing=True)
        while True:
            await self.attend()
            if ready():
                return True
            left = max(until, self.snoozed_until or until) - workflow.now()
            if left <= timedelta(0):
                return False
            self.before_wait()
            try:
                await workflow.wait_condition(
                    lambda: self._called() or ready(), timeout=left, timeout_summary=summary
                )
            except asyncio.TimeoutError:  # noqa: UP041 - the SDK's, whatever the Python
                await self.attend()
                if ready():
                    return True

    def _called(self) -> bool:
        return (
            self.rings > self._heard
            or self.stop is not None
            or self.paused != self._noted_pause
            or self.snooze_news
        )

    async def attend(self) -> None:
        """Read what came, heed stop and pause; raises _Ended when the run is to end."""
        self.snooze_news = False
        while True:
            if self.stop is not None:
                command = self.stop
                outcome = command.outcome if command.outcome in ("success", "lost") else "stopped"
                reason = command.reason or f"stopped by {command.by}"
                raise Ended(Interruption(kind="stop", outcome=outcome, reason=reason, at=workflow.now()))
            if self.rings > self._heard or self.paused != self._noted_pause:
                await self._hear()
                continue
            if not self.paused:
                return
            self._log.show(standing=True)
            await workflow.wait_condition(
                lambda: not self.paused or self.rings > self._heard or self.stop is not None
            )

    async def _hear(self) -> None:
        self._heard = self.rings
        noted = self.paused
        entries = await workflow.execute_activity_method(
            RunBooks.read,
            InboxCall(
                run_id=self._run_id,
                execution_id=self._execution_id,
                after=self.read,
                paused=noted if noted != self._noted_pause else None,
            ),
            start_to_close_timeout=BOOK_TIMEOUT,
            retry_policy=PATIENT,
            summary="inbox",
        )
        self._noted_pause = noted
        for entry in entries:
            self.read = entry.seq
            if entry.kind in ("goal", "exit", "stop"):
                self._log.note(self._log.current or "run", entry.kind, entry.outcome, entry.reason)
                raise Ended(
                    Interruption.model_validate(
                        {"kind": entry.kind, "outcome": entry.outcome, "reason": entry.reason, "at": entry.at}
                    )
                )
            if entry.step:
                self.arrived[entry.step] = entry.outcome
