"""Messages of simulated runs: which channel, whether they may leave, and how they read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from activities.messages import ANY_CHANNEL, compose, parts_of
from channels.rendering import RenderError
from loops.simulation.run import Line, Place, SimulatedRun, place_of
from rules.best_time import ACTIVITY_DAYS, count_visits
from rules.reaching import Choice, choose_channel, order_channels
from rules.sending import SendRequest, decide_send
from rules.zones import zone_or_default
from schemas.plan import Act, SendWindow
from schemas.run import StepCall, StepResult
from store.activity import PRESENCE_EVENTS
from store.contact import address_of


def deliver(run: SimulatedRun, call: StepCall) -> StepResult:
    """Decide on a message; where it may leave, it has left."""
    step, now, place = run.act(call), call.at, place_of(call)
    choice = _choose(run, step, call.due_at, now)
    outcome, until, detail = choice.decision.outcome, choice.decision.until, choice.why
    content: Mapping[str, Any] = {}
    try:
        content = compose(run.playbook, step, choice.channel, run.context(now)) if choice.channel else {}
    except RenderError as error:
        if outcome == "sent":
            run.tell(now, place, step.word, "failed", channel=choice.channel, detail=error.message)
            return StepResult(outcome="failed", at=now, detail="template")
    about = {
        "channel": choice.channel or step.word, "template": step.args.get("template"), **content,
        "until": until, "detail": detail or None,
    }  # fmt: skip
    if until is not None:
        run.held[place] = _hold(run, place, step, outcome, now, about)
        return StepResult(outcome=outcome, at=now, until=until, detail=detail)
    held = run.held.pop(place, None)
    about |= {"held": held["outcome"], "held_since": held["at"]} if held else {}
    run.tell(now, place, step.word, outcome, **about)
    if outcome == "sent" and choice.channel:
        run.sends.append((choice.channel, now))
    return StepResult(outcome=outcome, at=now, detail=detail)


def _hold(
    run: SimulatedRun, place: Place, step: Act, outcome: str, now: datetime, about: Mapping[str, Any]
) -> Line:
    """The line that tells of it if it never leaves; of several holds, the first one's moment."""
    before = run.held.pop(place, None)
    line = run.tell(before["at"] if before else now, place, step.word, outcome, **about)
    run.lines.remove(line)
    return line


def _choose(run: SimulatedRun, step: Act, due_at: datetime, now: datetime) -> Choice:
    if step.word != ANY_CHANNEL:
        decision = decide_send(_request(run, step, step.word, due_at, now), now=now)
        return Choice(step.word, decision, decision.detail)
    wanted = order_channels(step.args.get("channels"), run.setting.policy.costs)
    able = [channel for channel in wanted if parts_of(run.playbook, step, channel)]
    missing = dict.fromkeys((one for one in wanted if one not in able), "the template has no part for it")
    requests = [_request(run, step, channel, due_at, now) for channel in able]
    return choose_channel(requests, now=now, missing=missing if step.args.get("channels") else None)


def _request(run: SimulatedRun, step: Act, channel: str, due_at: datetime, now: datetime) -> SendRequest:
    facts, policy = run.customer.facts(now), run.setting.policy
    window = step.send or run.playbook.send
    zone, country = facts.profile.get("timezone"), facts.signals.get("country")
    zone = zone if isinstance(zone, str) else None
    visits: tuple[int, ...] = ()
    if window and window.best_time:
        since = now - timedelta(days=ACTIVITY_DAYS)
        there = [event.at for event in facts.events if event.name in PRESENCE_EVENTS and event.at >= since]
        visits = count_visits(there, zone_or_default(zone, policy.default_zone))
    held = (step.outcomes.get(name) for name in ("held_quiet_hours", "capped"))
    return SendRequest(
        channel=channel,
        topic=step.args.get("topic") or (window or SendWindow()).topic,
        critical=bool(step.args.get("critical")),
        address=address_of(channel, facts.profile),
        consent=facts.consent,
        suppressed=facts.suppressed.get(channel),
        zone=zone,
        country=country if isinstance(country, str) else None,
        policy=policy,
        window=window,
        # Others' messages may be known of before they are sent.
        recent=[(channel, at) for channel, at in run.sends if at <= now],
        hold_seconds=max((reaction.hold_seconds or 0 for reaction in held if reaction), default=0),
        visits=visits,
        due_at=due_at,
    )
