"""A run's attention: standing still until a moment, heeding goal, exit, stop, pause and what it waits for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow

from schemas.run import Command, InboxCall, InboxEntry, Interruption, Resumption, RunInput, key_of
from workflows.endings import Continued, Ended, Leaving, Migrated
from workflows.logbook import Logbook
from workflows.patience import book

CONTINUE_AFTER_SIGNALS = 2000
# Who holds a run: each lets go by itself, and it goes on when nobody does.
PERSON, PLAYBOOK = "person", "playbook"


class Attention:
    """What reached the run, and what was asked of it.

    `arrived` and `completed` are by step and occurrence: what the inbox said of it, and what a person told the run
    directly. `holds` says who holds it, `held_at` since when. `lanes` counts the branches that go on at the same time.
    `leaving` makes all of them leave, each when what it has under way is settled.
    """

    def __init__(self, start: RunInput, log: Logbook) -> None:
        resumed = start.resume or Resumption()
        self._run_id = start.run_id
        self._execution_id = workflow.info().first_execution_run_id
        self._max_overdue = timedelta(seconds=start.max_overdue_seconds)
        self._log = log
        # A continued run may have been rung before it could hear.
        self.rings, self._heard = (1, 0) if start.resume else (0, 0)
        self.read = resumed.inbox_read
        self._hearing = asyncio.Lock()
        self.arrived: dict[str, str] = {}
        self.completed: dict[str, Command] = {}
        self.stop: Command | None = None
        self.leaving: Leaving | None = None
        held = {PERSON: resumed.paused, PLAYBOOK: resumed.playbook_paused}
        self.holds = {who for who, holds in held.items() if holds}
        self._noted_pause = bool(self.holds)
        self.held_at = (resumed.held_at or workflow.now()) if self.holds else None
        self._last_pause: tuple[datetime, datetime] | None = None
        self.lanes = 1
        self._standing: dict[str, datetime] = {}
        self._snoozed: dict[str, datetime] = {}
        self._snooze_news = False

    async def stand(
        self, key: str, until: datetime, summary: str, ready: Callable[[], bool] = lambda: False
    ) -> bool:
        """Stand still until `until`, or until `ready` (True); goal, exit, stop and pause are heeded meanwhile."""
        self._log.show(standing=True)
        self._standing[key] = until
        try:
            while True:
                await self.attend()
                if ready():
                    return True
                left = max(until, self._snoozed.get(key, until)) - workflow.now()
                if left <= timedelta(0):
                    return False
                self._continue_if_long()
                with contextlib.suppress(asyncio.TimeoutError):  # the SDK's, whatever the Python
                    await workflow.wait_condition(
                        lambda: self._called() or ready(), timeout=left, timeout_summary=summary
                    )
        finally:
            del self._standing[key]
            self._snoozed.pop(key, None)

    async def attend(self) -> None:
        """Read what came, heed stop and pause; raises Leaving when the run is to leave its steps."""
        self._snooze_news = False
        while True:
            if self.leaving is not None:
                raise self.leaving
            if self.stop is not None:
                command = self.stop
                outcome = command.outcome if command.outcome in ("success", "lost") else "stopped"
                reason = command.reason or f"stopped by {command.by}"
                raise self.leave(
                    Ended(Interruption(kind="stop", outcome=outcome, reason=reason, at=workflow.now()))
                )
            if self._has_news():
                async with self._hearing:
                    if self._has_news():
                        await self._hear()
                continue
            if not self.holds:
                return
            self._log.show(standing=True)
            await workflow.wait_condition(lambda: not self.holds or self._called())

    def leave(self, leaving: Leaving) -> Leaving:
        """Have every lane leave; the first reason stands and is returned to be raised."""
        self.leaving = self.leaving or leaving
        return self.leaving

    def hold(self, who: str) -> None:
        """Let the run stand still until `who` lets go."""
        if not self.holds:
            self.held_at = workflow.now()
        self.holds.add(who)

    def let_go(self, who: str) -> None:
        """Let the run go on, unless somebody else holds it."""
        self.holds.discard(who)
        if not self.holds and self.held_at is not None:
            self._last_pause, self.held_at = (self.held_at, workflow.now()), None

    def snooze(self, until: datetime) -> None:
        """Let what stands still now do so at least until `until`."""
        self._snoozed = dict.fromkeys(self._standing, until)
        self._snooze_news = True

    def is_overdue(self, due: datetime) -> bool:
        """Whether what became due at `due` was held up by the last pause for longer than the playbook allows."""
        if self._last_pause is None:
            return False
        paused_at, resumed_at = self._last_pause
        return paused_at <= due and resumed_at - due > self._max_overdue

    def _has_news(self) -> bool:
        return self.rings > self._heard or bool(self.holds) != self._noted_pause

    def _called(self) -> bool:
        return self._has_news() or self.stop is not None or self.leaving is not None or self._snooze_news

    def _continue_if_long(self) -> None:
        """Histories have limits: a run that was rung very often goes on in a fresh one, once all its lanes stand."""
        if len(self._standing) == self.lanes and (
            self.rings >= CONTINUE_AFTER_SIGNALS or workflow.info().is_continue_as_new_suggested()
        ):
            raise self.leave(Continued())

    async def _hear(self) -> None:
        heard, paused = self.rings, bool(self.holds)
        entries = await book(
            "Inbox.read",
            InboxCall(
                run_id=self._run_id,
                execution_id=self._execution_id,
                after=self.read,
                paused=paused if paused != self._noted_pause else None,
            ),
            list[InboxEntry],
            "inbox",
        )
        self._heard, self._noted_pause = heard, paused
        for entry in entries:
            self.read = entry.seq
            self._take_in(entry)
            if self.leaving is not None:
                return

    def _take_in(self, entry: InboxEntry) -> None:
        match entry.kind:
            case "goal" | "exit" | "stop":
                self._log.note(self._log.current or "run", entry.kind, entry.outcome, entry.reason)
                told = {"kind": entry.kind, "outcome": entry.outcome, "reason": entry.reason, "at": entry.at}
                self.leave(Ended(Interruption.model_validate(told)))
            case "migrate":
                self._log.note("run", "migrate", entry.outcome, entry.reason)
                self.leave(Migrated(entry.outcome))
            case "pause":
                self.hold(PLAYBOOK)
                self._log.note("run", "pause", "paused", "the playbook is paused")
            case "resume":
                self.let_go(PLAYBOOK)
                self._log.note("run", "resume", "resumed", "the playbook goes on")
            case _ if entry.step:
                self.arrived[key_of(entry.step, entry.occurrence)] = entry.outcome
