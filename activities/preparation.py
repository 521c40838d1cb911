"""One message decided under the customer's lock, and claimed in the ledger before it leaves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from temporalio.exceptions import ApplicationError

from activities.answers import AnswerBook
from activities.claims import PROVIDER_SECONDS, UNANSWERED, Claimed, Unsettled, Waiting, is_given_up
from activities.line_up import LineUp
from activities.messages import (
    ANY_CHANNEL,
    CHOSEN,
    choice_of,
    compose,
    context_of,
    make_message,
    writes_freely,
)
from activities.routing import DueMessage, Route, channels_of, decide_route, load_due, topic_of
from activities.settlement import record_sent
from activities.skipping import Skipping, describe_wait
from activities.steps import Opened
from activities.transmission import Transmission
from channels.outcome import Channel
from channels.rendering import RenderError
from rules.consent import CONSENT_CHANNELS, consent_word
from schemas.plan import Act
from schemas.run import StepCall, StepResult
from store import claiming, run_steps
from store.addresses import address_of, hash_address
from store.database import Connection
from store.deliveries import Delivery, LedgerEntry, delivery_id

# What the ledger's final states are called as outcomes of a step.
OUTCOMES = {"accepted": "sent", "failed": "failed", "unknown": "unknown"}


class Preparation:
    """Decides on messages over the channels that this process has, and claims those that may leave."""

    def __init__(
        self, channels: Mapping[str, Channel], transmission: Transmission, *, settle_seconds: float
    ) -> None:
        self._channels = channels
        self._settle = timedelta(seconds=settle_seconds)
        self._transmission = transmission
        self._answers = AnswerBook()

    async def prepare(
        self, connection: Connection, call: StepCall, opened: Opened
    ) -> StepResult | Claimed | Unsettled | Waiting:
        """Decide under the customer's lock, and claim; what is shown in-app, or only recorded, is done with that."""
        step = opened.version.steps[call.step]
        assert isinstance(step, Act)
        now = opened.now
        row = opened.reading.delivery if opened.reading else None
        if row and row.state in ("accepted", "failed", "skipped"):
            # The step's outcome says more: what was refused for want of consent is `failed` in the ledger.
            said = await run_steps.load_outcome(connection, call.run_id, call.step, call.occurrence)
            outcome = said or OUTCOMES.get(row.state) or row.error_code or "skipped"
            return StepResult(outcome=outcome, at=row.settled_at or now, detail=choice_of(row))
        if row and row.state in ("claimed", "unknown"):
            if row.reconciled_at:
                return StepResult(outcome="unknown", at=row.reconciled_at)
            critical = bool(step.args.get("critical"))
            again = opened.policy.sends_again(critical=critical) and not is_given_up(call, now)
            # What its provider makes one message of, or the policy wants sent though nobody can say whether it was, is
            # decided on like any other, and sent again.
            if row.state == "claimed" or not (
                self._transmission.repeats(call, row, now) or (again and row.error_code == UNANSWERED)
            ):
                address = address_of(row.channel, opened.known.customer.profile)
                cost = opened.policy.costs.get(row.channel, 0.0)
                return self.take_up(row, address, cost, now, again=again)
        # Two channels for one message would be two messages: what is tried again stays on its channel, unless it surely
        # failed there for good.
        failed = {str(one["channel"]): one for one in row.failed_channels} if row else {}
        kept = row.channel if row and row.channel not in failed else None
        skipping = Skipping(
            step.word,
            LedgerEntry(
                id=delivery_id(call.run_id, call.step, call.occurrence),
                run_id=call.run_id,
                customer_id=opened.run.customer_id,
                step=call.step,
                occurrence=call.occurrence,
                channel=kept or channels_of(opened.version.playbook, step, opened.policy)[0],
                topic=topic_of(opened.version.playbook, step),
                template=step.args.get("template"),
            ),
        )
        if step.guard and not opened.version.holds(step.guard, opened.known.facts):
            return await skipping.note(connection, call, now, "skipped", "guard", "its `if` doesn't hold")
        due = await load_due(connection, opened, step, call, self._answers)
        without = {channel: f"it failed there ({one['code']})" for channel, one in failed.items()}
        route = decide_route(due, now=now, available=self._channels, only=kept, without=without)
        route, line_up = await self._find_provider(connection, call, opened, due, route, row, without)
        decision = route.decision
        if failed and decision.until is None and (decision.outcome != "sent" or route.unprovided):
            # There is no other way: it ends as it would have on the last one that was tried.
            last = row.failed_channels[-1] if row else {}
            told = f"{last.get('channel')}: {last.get('code')}; {decision.detail}"
            return await skipping.note(
                connection, call, now, "failed", str(last.get("code")), told, outcome=str(last.get("outcome"))
            )
        skipping = Skipping(step.word, replace(skipping.entry, channel=route.channel))
        if route.unprovided:
            return await skipping.note(connection, call, now, "failed", "no_provider", decision.detail)
        if decision.until is not None:
            # Told at the time it became due: a run that is started anew holds it from then.
            told = f"{decision.outcome}, until {decision.until:%Y-%m-%d %H:%M} UTC; {decision.detail}"
            await run_steps.record_step(
                connection, call.run_id, call.step, call.occurrence, step.word, "holding", call.due_at, told,
                describe_wait(route, due),
            )  # fmt: skip
            return StepResult(outcome=decision.outcome, at=now, until=decision.until, detail=decision.detail)
        if decision.outcome != "sent":
            return await skipping.note(
                connection, call, now, "skipped", decision.outcome, decision.detail, outcome=decision.outcome
            )
        if line_up.waiting:
            return await self._hold(connection, call, step, line_up, skipping, now)
        return await self._make(connection, call, opened, step, route, skipping, line_up)

    async def _find_provider(
        self,
        connection: Connection,
        call: StepCall,
        opened: Opened,
        due: DueMessage,
        route: Route,
        row: Delivery | None,
        without: Mapping[str, str],
    ) -> tuple[Route, LineUp]:
        """Who takes a message that may leave now. Where nobody of its channel can, and it surely hasn't left, the next
        channel on which it may leave now; where there is none, it waits for the first.
        """
        first: tuple[Route, LineUp] | None = None
        away = dict(without)
        while route.decision.outcome == "sent" and not route.unprovided:
            if route.channel == "in_app" or opened.run.arm == "shadow":
                return route, LineUp(())
            line_up = await self._transmission.line_up(
                connection, call, route.channel, opened.run.customer_id, route.address or "", row, opened.now
            )
            if line_up.providers:
                return route, line_up
            first = first or (route, line_up)
            if due.step.word != ANY_CHANNEL or (row is not None and row.state != "retrying"):
                break
            away[route.channel] = line_up.waiting
            route = decide_route(due, now=opened.now, available=self._channels, without=away)
        return first or (route, LineUp(()))

    async def _hold(
        self,
        connection: Connection,
        call: StepCall,
        step: Act,
        line_up: LineUp,
        skipping: Skipping,
        now: datetime,
    ) -> StepResult | Waiting:
        """Nobody can take it just now: it waits unclaimed, and the run says why; after too long it has failed."""
        if is_given_up(call, now):
            return await skipping.note(connection, call, now, "failed", "no_provider", line_up.waiting)
        await run_steps.record_step(
            connection,
            call.run_id,
            call.step,
            call.occurrence,
            step.word,
            "holding",
            call.due_at,
            line_up.waiting,
        )
        return Waiting(line_up)

    async def _make(
        self,
        connection: Connection,
        call: StepCall,
        opened: Opened,
        step: Act,
        route: Route,
        skipping: Skipping,
        line_up: LineUp,
    ) -> StepResult | Claimed:
        """The message may leave: render it and claim it."""
        now, entry = opened.now, skipping.entry
        links = opened.links.make(
            opened.run.customer_id, opened.known.facts.profile,
            channel=route.channel, topic=entry.topic, delivery=entry.id,
        )  # fmt: skip
        try:
            context = await context_of(connection, opened, links)
            freely = await writes_freely(connection, opened, step, route.channel, entry.id)
            content = compose(opened.version.playbook, step, route.channel, context, freely=freely)
        except RenderError as error:
            return await skipping.note(connection, call, now, "failed", "template", error.message)
        if step.word == ANY_CHANNEL:
            content[CHOSEN] = route.why
        if opened.run.arm == "shadow":
            told = "; ".join(filter(None, ("a shadow run sends nothing", route.why)))
            return await skipping.note(
                connection, call, now, "skipped", "shadow", told, outcome="shadow", content=content
            )
        claimed = await claiming.claim(
            connection,
            entry,
            content=content,
            now=now,
            address_hash=hash_address(route.channel, route.address) if route.address else None,
            evidence={
                **route.evidence,
                "consent": _consent_of(opened, route, entry.topic),
            },
            critical=bool(step.args.get("critical")),
            # Whoever finds this claim without its sender asks this provider.
            provider=line_up.providers[0].name if line_up.providers else None,
        )
        cost = opened.policy.costs.get(route.channel, 0.0)
        if route.channel == "in_app":
            return await self._show(connection, call, claimed, cost, now)
        usable_until = time.monotonic() + self._settle.total_seconds() / 2
        message = make_message(
            claimed,
            route.address or "",
            # Also where the message is critical: mail programs show it beside each sender, and consent is never passed.
            unsubscribe_url=links.get("unsubscribe"),
            valid_for_seconds=route.valid_for_seconds,
        )
        message = replace(message, devices=line_up.devices, repeated=line_up.repeated)
        return Claimed(claimed, message, line_up, cost, usable_until)

    async def _show(
        self, connection: Connection, call: StepCall, claimed: Delivery, cost: float, now: datetime
    ) -> StepResult:
        await claiming.settle(
            connection, claimed.id, claimed.attempt, "accepted", now, provider="in_app", cost=cost
        )
        await record_sent(connection, call, claimed, now)
        return StepResult(outcome="sent", at=now, detail=choice_of(claimed))

    def take_up(
        self, row: Delivery, address: str | None, cost: float, now: datetime, *, again: bool = False
    ) -> Unsettled:
        """The claim of an attempt that is surely over; until it is, raises ApplicationError.

        again: it is sent once more where nobody can say what became of it.
        """
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
        return Unsettled(row, make_message(row, address) if address and same else None, cost, again)


def _consent_of(opened: Opened, route: Route, topic: str | None) -> dict[str, Any]:
    """The consent that this message goes out on, as it was checked under the same lock."""
    word = consent_word(opened.known.facts.consent, route.channel, topic)
    if word is None:
        return {"basis": "assumed" if route.channel in CONSENT_CHANNELS else "not needed"}
    assert opened.reading is not None
    said = opened.reading.words[word]
    return {"basis": "said", "word": word, "source": said.source, "at": said.at.isoformat()}
