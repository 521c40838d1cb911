"""Messages of simulated runs: which channel, whether they may leave, and how they read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from activities.messages import WHATSAPP, compose, parts_of
from activities.routing import DueMessage, decide_route, open_tickets, topic_of
from channels.rendering import RenderError
from loops.simulation.run import Line, SimulatedRun, place_of
from loops.simulation.work import Place
from rules.best_time import ACTIVITY_DAYS
from rules.consent import MESSAGE_CHANNELS
from rules.silence import REPLY_EVENT, Contact
from rules.whatsapp_window import may_write_freely
from schemas.plan import Act
from schemas.run import StepCall, StepResult
from schemas.sent import Sent
from store.activity import PRESENCE_EVENTS
from store.deliveries import delivery_id


def deliver(run: SimulatedRun, call: StepCall) -> StepResult:
    """Decide on a message; where it may leave, it has left."""
    step, now, place = run.act(call), call.at, place_of(call)
    route = decide_route(_due_message(run, call, step), now=now, available=MESSAGE_CHANNELS)
    outcome, until, detail = route.decision.outcome, route.decision.until, route.decision.detail
    content: Mapping[str, Any] = {}
    try:
        if parts_of(run.playbook, step, route.channel):
            topic = topic_of(run.playbook, step)
            delivery = delivery_id(run.customer.given.customer, *place)
            context = run.context(now, channel=route.channel, topic=topic, delivery=delivery)
            content = compose(
                run.playbook,
                step,
                route.channel,
                context,
                freely=_writes_freely(run, step, route.channel, now),
            )
    except RenderError as error:
        if outcome == "sent":
            run.tell(now, place, step.word, "failed", channel=route.channel, detail=error.message)
            return StepResult(outcome="failed", at=now, detail="template")
    about = {
        "channel": route.channel, "template": step.args.get("template"), **content,
        "until": until, "detail": detail or None,
    }  # fmt: skip
    if until is not None:
        run.held[place] = _hold(run, place, step, outcome, now, about)
        return StepResult(outcome=outcome, at=now, until=until, detail=detail)
    held = run.held.pop(place, None)
    about |= {"held": held["outcome"], "held_since": held["at"]} if held else {}
    run.tell(now, place, step.word, outcome, **about)
    if outcome == "sent":
        run.sends.append(Sent(route.channel, now, topic_of(run.playbook, step), run.playbook.name))
    return StepResult(outcome=outcome, at=now, detail=detail)


def _hold(
    run: SimulatedRun, place: Place, step: Act, outcome: str, now: datetime, about: Mapping[str, Any]
) -> Line:
    """The line that tells of it if it never leaves; of several holds, the first one's moment."""
    before = run.held.pop(place, None)
    line = run.tell(before["at"] if before else now, place, step.word, outcome, **about)
    run.lines.remove(line)
    return line


def _writes_freely(run: SimulatedRun, step: Act, channel: str, now: datetime) -> bool:
    """Whether a WhatsApp message may be any text, by what the customer wrote there."""
    if channel != WHATSAPP or not parts_of(run.playbook, step, channel).get("text"):
        return False
    wrote = [
        event.at
        for event in run.customer.facts(now).events
        if event.name == REPLY_EVENT and event.at <= now and event.properties.get("channel") == WHATSAPP
    ]
    return may_write_freely(max(wrote, default=None), now)


def _due_message(run: SimulatedRun, call: StepCall, step: Act) -> DueMessage:
    facts, now = run.customer.facts(call.at), call.at
    since = now - timedelta(days=ACTIVITY_DAYS)
    there = [event.at for event in facts.events if event.name in PRESENCE_EVENTS and event.at >= since]
    # Others' messages may be known of before they are sent.
    recent = [sent for sent in (Sent(*one) for one in run.sends) if sent.at <= now]
    replied = [event.at for event in facts.events if event.name == REPLY_EVENT and event.at <= now]
    called = [at for at in run.talks if at <= now]
    contact = Contact(max(replied, default=None), max(called, default=None), open_tickets(facts))
    # How everybody answers isn't known here: the customer's own answers and costs decide on the channel.
    return DueMessage(
        run.playbook, step, run.setting.policy, facts, call.due_at, recent, there,
        contact=contact, key=delivery_id(run.customer.given.customer, *place_of(call)),
    )  # fmt: skip
