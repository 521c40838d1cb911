"""Working on what came in at `/hooks`: request by request, each item once, a bad one without harm to the others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from datetime import timedelta

import msgspec

from activities.steps import StepOpening
from channels.hook_contents import read_contents
from channels.sns import SnsClient
from loops.message_taking import MessageTaking
from loops.report_taking import ReportTaking, SenderBusyError
from schemas.delivery_report import ForeignEvent, HookContents, Unreadable
from schemas.errors import EventError, HoldfastError, InputError
from schemas.incoming import DeadLetter, IncomingEvent
from store import evaluations, hooks
from store.faults import explain_refusal, is_away
from store.hooks import StoredRequest
from store.intake import take_in
from store.named_customers import find_by_trait

log = logging.getLogger(__name__)

BATCH = 20
# A large batch of one provider's doesn't keep a STOP waiting.
LANES = 4
ATTEMPTS = 10
LONGEST_WAIT_SECONDS = 600
BUSY_AGAIN = timedelta(seconds=0.5)
AWAY_AGAIN = timedelta(seconds=2)
RENEW_EVERY = 200
# Reports that came before the ledger knew of their message are looked for so long, and so often.
JOIN_WITHIN = timedelta(hours=1)
JOIN_SECONDS = 2.0
JOIN_BATCH = 200
KEPT = timedelta(days=30)
FORGET_SECONDS = 3600.0
GIVEN_UP, REFUSED = "HF153", "HF154"


class HookProcessing:
    """One process's share of the work; any number may do it. `bell` wakes it, polling is the truth."""

    def __init__(self, opening: StepOpening, sns: SnsClient | None = None) -> None:
        self.bell = asyncio.Event()
        self._database = opening.database
        self._opening = opening
        self._reports = ReportTaking(opening)
        self._messages = MessageTaking(opening)
        self._sns = sns or SnsClient()
        self._joined_at = self._forgot_at = float("-inf")

    async def listen(self) -> None:
        """Set the bell at every request that is stored, for ever."""
        await self._database.listen([hooks.BELL], self.bell)

    async def run_once(self) -> bool:
        """Work on what is due; whether there may be more at once."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            requests = await hooks.lease_requests(connection, now, BATCH)
        waiting = list(reversed(requests))

        async def work() -> None:
            while waiting:
                await self._process(waiting.pop())

        lanes = await asyncio.gather(*(work() for _ in range(LANES)), return_exceptions=True)
        await self._join()
        if time.monotonic() - self._forgot_at >= FORGET_SECONDS:
            self._forgot_at = time.monotonic()
            await self.forget()
        for lane in lanes:
            if isinstance(lane, BaseException):
                raise lane
        return len(requests) == BATCH

    async def forget(self) -> int:
        """Once a day: drop requests that were done long ago; returns how many."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            if not await evaluations.mark_upkeep(connection, "hooks", now, midnight):
                return 0
            return await hooks.forget_requests(connection, now - KEPT)

    async def _process(self, request: StoredRequest) -> None:
        if request.attempts > ATTEMPTS:
            # Whoever had it last didn't live to say what was wrong.
            await self._give_up(request, request.attempts - 1, "it was never finished")
            return
        try:
            contents = read_contents(
                request.source, request_id=request.request_id, body=request.body, content_type=request.content_type,
                query=request.query, received_at=request.received_at,
            )  # fmt: skip
        except EventError as error:
            await self._bury(request, [Unreadable(0, error.message)], REFUSED)
            await self._finish(request, error.message)
            return
        if contents.unreadable and request.attempts == 1:
            await self._bury(request, contents.unreadable, REFUSED)
        trouble = await self._take(request, contents)
        if trouble is None:
            await self._finish(request)
        elif isinstance(trouble, SenderBusyError):
            await self._postpone(request, BUSY_AGAIN)
        elif is_away(trouble):
            await self._postpone(request, AWAY_AGAIN)
        elif request.attempts >= ATTEMPTS:
            await self._give_up(request, request.attempts, _name(trouble))
        else:
            wait = timedelta(seconds=min(2**request.attempts, LONGEST_WAIT_SECONDS))
            await self._postpone(request, wait, error=_name(trouble))

    async def _take(self, request: StoredRequest, contents: HookContents) -> Exception | None:
        """Take all items; what kept one of them from being taken, if anything did."""
        trouble: Exception | None = None
        rung = False
        # What people wrote goes first.
        work: list[Awaitable[bool]] = [self._messages.take(message) for message in contents.messages]
        work += [self._take_event(event) for event in contents.events]
        work += [self._reports.take(report) for report in contents.reports]
        if contents.confirm_url:
            work.append(self._confirm(contents.confirm_url))
        for position, item in enumerate(work, 1):
            try:
                rung |= await item
            except SenderBusyError as error:
                trouble = trouble or error
            except Exception as error:  # whatever one item does, the others are taken
                refusal = error.message if isinstance(error, InputError) else explain_refusal(error)
                if refusal is not None:
                    await self._bury(request, [Unreadable(position, refusal)], REFUSED)
                    continue
                if not is_away(error) and not isinstance(error, HoldfastError):
                    log.exception("request %s of %s, item %s", request.id, request.source, position)
                # What only has to wait doesn't hide what is wrong.
                trouble = error if trouble is None or isinstance(trouble, SenderBusyError) else trouble
            if position % RENEW_EVERY == 0:
                await self._postpone(request, hooks.LEASE, counted=True)
        if rung:
            self._opening.evaluation.ring()
        return trouble

    async def _take_event(self, event: ForeignEvent) -> bool:
        """An event of another system, of a customer who is named, or known by a trait. Raises EventError."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            external_id = event.external_id
            if external_id is None:
                external_id = (
                    await find_by_trait(connection, event.trait, event.value) if event.trait else None
                )
        if external_id is None:
            raise EventError(
                f"No customer, or several, have this {event.trait or 'name'}: whose it is isn't known."
            )
        incoming = IncomingEvent(
            event.source, event.message_id, external_id, event.name, event.at, now, None, event.properties
        )
        return bool((await take_in(self._database, [incoming], move=self._opening.move)).stored)

    async def _confirm(self, url: str) -> bool:
        """The topic is ours, or the request would have been refused."""
        await self._sns.confirm(url)
        return False

    async def _join(self) -> None:
        if time.monotonic() - self._joined_at < JOIN_SECONDS:
            return
        self._joined_at = time.monotonic()
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
        if await self._reports.join(now - JOIN_WITHIN, JOIN_BATCH):
            self._opening.evaluation.ring()

    async def _finish(self, request: StoredRequest, error: str | None = None) -> None:
        async with self._database.transaction() as connection:
            await hooks.finish_request(
                connection, request, await self._database.clock.read(connection), error=error
            )

    async def _postpone(
        self,
        request: StoredRequest,
        wait: timedelta,
        *,
        error: str | None = None,
        counted: bool | None = None,
    ) -> None:
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            await hooks.postpone_request(
                connection, request, now + wait, error=error,
                counted=error is not None if counted is None else counted,
            )  # fmt: skip

    async def _give_up(self, request: StoredRequest, attempts: int, why: str) -> None:
        await self._bury(request, [Unreadable(0, f"given up after {attempts} attempts: {why}")], GIVEN_UP)
        await self._finish(request, why)

    async def _bury(self, request: StoredRequest, items: Sequence[Unreadable], code: str) -> None:
        """Put on record what couldn't be taken. The request holds people's words and addresses, so it is only named."""
        letters = [
            DeadLetter(
                f"hooks/{request.source}", code, item.reason,
                msgspec.json.encode(
                    {"hook_request": request.id, "request_id": request.request_id, "item": item.position or None}
                ).decode(),
                request.received_at,
            )
            for item in items
        ]  # fmt: skip
        await take_in(self._database, (), letters, move=self._opening.move)


def _name(error: Exception) -> str:
    """What went wrong, without what it went wrong with: that may name people."""
    return error.message if isinstance(error, HoldfastError) else type(error).__name__
