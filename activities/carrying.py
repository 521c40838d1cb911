"""Carrying out steps of registered types: rendered and claimed in the ledger before, settled in it afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.claims import SETTLE_SECONDS, is_given_up
from activities.messages import context_of
from activities.registry import find_step_types
from activities.steps import Opened, StepOpening, note
from activities.texts import render_arguments
from channels.header import clean_line
from channels.outcome import ChannelError, TransientError, UnknownOutcomeError
from channels.rendering import RenderError
from channels.reports.fields import storable
from schemas.argument import find_arguments
from schemas.errors import HoldfastError
from schemas.plan import Act
from schemas.run import StepCall, StepResult
from schemas.step_type import CARRY_OUT, CarryOut, Done, StepType, StepTypes, Work
from store import claiming, deliveries
from store.database import DATABASE_AWAY, Connection
from store.deliveries import Delivery, LedgerEntry, delivery_id

log = logging.getLogger(__name__)

LIMIT_SECONDS = 10.0
RETRY_SECONDS = (2.0, 5.0, 15.0, 60.0, 300.0)
OUTPUT_LIMIT_BYTES = 128 * 1024
# What the ledger's final states are called as outcomes.
OUTCOMES = {"accepted": "done", "failed": "failed", "unknown": "unknown", "skipped": "skipped"}


@dataclass(frozen=True)
class _Claimed:
    """Work that this process alone may do, once, at once."""

    delivery: Delivery
    word: str
    work: Work


@dataclass(frozen=True)
class _Verdict:
    """What an attempt came to: the ledger's state, and the step's outcome where it is final."""

    state: str
    outcome: str
    detail: str = ""
    output: Mapping[str, Any] | None = None
    code: str | None = None
    retry_after_seconds: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", storable(self.detail))

    @property
    def final(self) -> bool:
        return self.state != "retrying"


class StepCarrying:
    """Carries out steps whose types say how; `step_types` are all registered ones where left out."""

    def __init__(
        self,
        opening: StepOpening,
        step_types: StepTypes | None = None,
        *,
        settle_seconds: float = SETTLE_SECONDS,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        self._opening = opening
        self._database = opening.database
        self._step_types = step_types
        self._settle = timedelta(seconds=settle_seconds)
        self._limit_seconds = limit_seconds

    @activity.defn(name=CARRY_OUT)
    async def carry_out(self, call: StepCall) -> StepResult:
        """Do this step's work once, unless it was done, may not be done, or the run is to end."""
        state: StepResult | _Claimed | None = None
        try:
            async with self._database.transaction() as connection:
                begun = await self._opening.open_act(connection, call)
                state = (
                    begun if isinstance(begun, StepResult) else await self._prepare(connection, call, *begun)
                )
        except DATABASE_AWAY:
            if isinstance(state, _Claimed):
                # The claim may stand though its commit wasn't answered, and nobody is going to use it.
                claimed = state.delivery
                await self._opening.write_surely(lambda connection: claiming.release(connection, claimed))
            raise
        if isinstance(state, StepResult):
            return state
        step_type = self._find(state.word)
        assert step_type is not None
        assert step_type.carry_out is not None
        verdict = await self._attempt(step_type, step_type.carry_out, state.work)
        return await self._record(call, state, verdict)

    def _find(self, word: str) -> StepType | None:
        return (self._step_types if self._step_types is not None else find_step_types()).get(word)

    async def _prepare(
        self, connection: Connection, call: StepCall, opened: Opened, step: Act
    ) -> StepResult | _Claimed:
        """Render under the customer's lock, and claim."""
        entry, now = _entry_of(call, opened, step), opened.now
        step_type = self._find(step.word)
        if step_type is None or step_type.carry_out is None:
            told = f"this worker knows no step `{step.word}`; is its file in activities/?"
            return await note(connection, call, step.word, "failed", now, told)
        row = await deliveries.lock_delivery(connection, entry.id)
        if row and row.state in ("accepted", "failed", "skipped"):
            return StepResult(outcome=OUTCOMES[row.state], at=row.settled_at or now)
        if row and row.state in ("claimed", "unknown"):
            over = await self._take_up(connection, call, row, step_type, now)
            if over:
                return over
        context = await context_of(connection, opened)
        try:
            args = render_arguments(step_type.arguments, step.args, context)
        except RenderError as error:
            await claiming.record_skipped(
                connection, entry, state="failed", reason="template", detail=error.message, now=now
            )  # fmt: skip
            await note(connection, call, step.word, "failed", now, error.message)
            return StepResult(outcome="failed", at=now, detail="template")
        claimed = await claiming.claim(
            connection,
            entry,
            address_hash=None,
            content={"title": _headline(step_type, args), "arguments": args},
            now=now,
        )
        if opened.run.arm == "shadow":
            await claiming.settle(
                connection, entry.id, claimed.attempt, "skipped", now,
                error_code="shadow", error="a shadow run does nothing",
            )  # fmt: skip
            return await note(connection, call, step.word, "shadow", now)
        work = Work(
            key=entry.id,
            now=now,
            args=args,
            customer=context["customer"],
            signals=context["signals"],
            run={**context["run"], "id": call.run_id, "step": call.step},
            steps=context["steps"],
            attempt=claimed.attempt,
        )
        return _Claimed(claimed, step.word, work)

    async def _take_up(
        self, connection: Connection, call: StepCall, row: Delivery, step_type: StepType, now: datetime
    ) -> StepResult | None:
        """An attempt that never said how it went: None to do it again.

        Raises ApplicationError until it is surely over.
        """
        over_at = (row.claimed_at or now) + timedelta(seconds=self._limit_seconds) + self._settle
        if now < over_at:
            raise ApplicationError(
                "an earlier attempt at this step may still be under way",
                type="InFlight",
                next_retry_delay=over_at - now + timedelta(seconds=0.1),
            )
        told = "the attempt ended without a word of how it went"
        await claiming.settle(connection, row.id, row.attempt, "unknown", now, error=told)
        if step_type.repeatable:
            return None
        return await note(connection, call, row.channel, "unknown", now, told)

    async def _attempt(self, step_type: StepType, carry_out: CarryOut, work: Work) -> _Verdict:
        """Do it, within the limit, and put what came of it into one of the ledger's words."""
        try:
            async with asyncio.timeout(self._limit_seconds):
                done = await carry_out(work)
        except (UnknownOutcomeError, TimeoutError) as error:
            told = (
                error.message
                if isinstance(error, HoldfastError)
                else f"not done in {self._limit_seconds:g} s"
            )
            code = getattr(error, "provider_code", None) or "unknown"
            # Who can tell a repetition is simply asked again.
            return _Verdict("retrying" if step_type.repeatable else "unknown", "unknown", told, code=code)
        except TransientError as error:
            return _Verdict(
                "retrying", "failed", error.message, code=error.provider_code or error.code,
                retry_after_seconds=error.retry_after_seconds,
            )  # fmt: skip
        except ChannelError as error:
            return _Verdict("failed", "failed", error.message, code=error.provider_code or error.code)
        except HoldfastError as error:
            return _Verdict("failed", "failed", error.message, code=error.code)
        except Exception as error:
            log.exception("the step `%s` met something that it didn't expect", step_type.word)
            return _Verdict("failed", "failed", f"{type(error).__name__}: {error}", code=type(error).__name__)
        return _judge(step_type, done)

    async def _record(self, call: StepCall, claimed: _Claimed, verdict: _Verdict) -> StepResult:
        """Settle it even if the database restarts just now. Raises ApplicationError where it is to be tried again."""
        delivery = claimed.delivery

        async def settle(connection: Connection) -> StepResult | None:
            now = await self._opening.read_now(connection, call)
            over = verdict.final or is_given_up(call, now)
            state = verdict.state if verdict.final or not over else verdict.outcome
            await claiming.settle(
                connection, delivery.id, delivery.attempt, state, now, provider=claimed.word, error_code=verdict.code,
                error=verdict.detail if state != "accepted" else None, reconciled=state == "unknown",
            )  # fmt: skip
            if not over:
                return None
            told = await note(
                connection,
                call,
                claimed.word,
                verdict.outcome,
                now,
                verdict.detail,
                verdict.output,
                private=True,
            )
            # What somebody else says may name people: a run's history gets the code only.
            return told.model_copy(update={"detail": verdict.code or ""})

        result = await self._opening.write_surely(settle)
        if result is not None:
            return result
        wait = verdict.retry_after_seconds or RETRY_SECONDS[min(delivery.attempt, len(RETRY_SECONDS)) - 1]
        raise ApplicationError(
            f"{claimed.word} couldn't be done now ({verdict.code})",
            type="Transient",
            next_retry_delay=timedelta(seconds=wait),
        )


def _entry_of(call: StepCall, opened: Opened, step: Act) -> LedgerEntry:
    """What the ledger's row says of whose work it is; its channel is the step's word."""
    return LedgerEntry(
        id=delivery_id(call.run_id, call.step, call.occurrence),
        run_id=call.run_id,
        customer_id=opened.run.customer_id,
        step=call.step,
        occurrence=call.occurrence,
        channel=step.word,
    )


def _headline(step_type: StepType, args: Mapping[str, Any]) -> str:
    """One line on what was asked for: the argument that matters most, or the first text."""
    texts = [
        found.value for found in find_arguments(step_type.arguments, args) if isinstance(found.value, str)
    ]
    chosen = args.get(step_type.shorthand) if step_type.shorthand else None
    return clean_line(str(chosen or (texts[0] if texts else step_type.word)))[:200]


def _judge(step_type: StepType, done: Done) -> _Verdict:
    """What a step type says of its work, held to what it declared."""
    if done.outcome not in step_type.outcomes:
        told = f"`{step_type.word}` said `{done.outcome}`, which isn't among its outcomes"
        return _Verdict("accepted", "failed", told, code="undeclared_outcome")
    try:
        written = msgspec.json.encode(done.output, enc_hook=str).replace(rb"\u0000", b"")
    except (TypeError, ValueError, RecursionError) as error:  # ValueError: text that is no Unicode
        return _Verdict("accepted", "failed", f"its output can't be kept: {error}", code="output")
    if len(written) > OUTPUT_LIMIT_BYTES:
        return _Verdict("accepted", "failed", f"its output has {len(written)} bytes", code="output")
    state = done.outcome if done.outcome in ("failed", "unknown") else "accepted"
    output = msgspec.json.decode(written, type=dict[str, Any])
    code = state if state != "accepted" else None
    return _Verdict(state, done.outcome, done.detail, output, code)
