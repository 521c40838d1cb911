"""How a message that doesn't leave is noted: decided against, or waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from activities.messages import ANY_CHANNEL
from activities.routing import DueMessage, Route, topic_of
from schemas.run import StepCall, StepResult
from store import claiming, run_steps
from store.database import Connection
from store.deliveries import LedgerEntry
from store.message_history import CAPPED


def describe_wait(route: Route, due: DueMessage) -> dict[str, Any]:
    """What others who wait for the same caps need to know of a message that caps hold."""
    decision = route.decision
    if decision.outcome != "capped" or decision.until is None:
        return {}
    return {
        CAPPED: {
            "channel": route.channel, "topic": topic_of(due.playbook, due.step),
            "priority": due.playbook.priority, "until": decision.until.isoformat(),
        }
    }  # fmt: skip


@dataclass(frozen=True)
class Skipping:
    """How a message that doesn't leave is noted: its row in the ledger, and what the step came to."""

    word: str
    entry: LedgerEntry

    async def note(
        self,
        connection: Connection,
        call: StepCall,
        now: datetime,
        state: str,
        reason: str,
        detail: str,
        *,
        outcome: str | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> StepResult:
        """In the ledger as `state` (skipped, failed) for this reason, and in the run's record."""
        await claiming.record_skipped(
            connection, self.entry, state=state, reason=reason, detail=detail, now=now, content=content
        )
        said = outcome or state
        await run_steps.record_step(
            connection, call.run_id, call.step, call.occurrence, self.word, said, now, detail
        )
        told = detail if self.word == ANY_CHANNEL and state == "skipped" else reason
        return StepResult(outcome=said, at=now, detail=told)
