"""Whether a message may leave now, and if not, why and when."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from rules.best_time import LATE_SECONDS, BestTime, find_best_time
from rules.instants import later, span
from rules.opening import cap_frees, quiet_begins, quiet_ends, window_opens
from rules.zones import find_zone, possible_zones, zone_or_default
from schemas.form import format_duration
from schemas.plan import SendWindow
from schemas.policy import Policy

SendOutcome = Literal["sent", "no_consent", "suppressed", "unreachable", "held_quiet_hours", "capped"]

# What needs a yes and an address, and respects the night. In-app messages, calls and tasks don't.
CONSENT_CHANNELS = ("email", "sms", "whatsapp", "push")
# These wake people: where the zone is unknown they wait until it is day wherever the customer may be.
_WAKING_CHANNELS = ("sms", "whatsapp", "push")
MESSAGE_CHANNELS = (*CONSENT_CHANNELS, "in_app")

# Quiet hours, window and caps push one another on; each round is a later instant.
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class SendRequest:
    """One message that is due, and what its customer, policy and history say about it.

    `consent` has the latest word by channel (`email`), channel and topic (`email:tips`) or topic (`tips`);
    `suppressed` is why the address may not be used; `recent` are messages sent before, by channel and
    instant; `hold_seconds` is how long after `due_at` quiet hours may hold it, `cap_hold_seconds` how long caps may
    (None: not at all).
    `visits` says on how many days the customer was there in each of the 24 local hours, for windows that ask
    for the best time (empty: nothing is known).
    `country` (ISO 3166-1) narrows down where a customer of unknown zone may be; else the phone number in
    `address` does.
    """

    channel: str
    policy: Policy
    due_at: datetime
    topic: str | None = None
    critical: bool = False
    address: str | None = None
    consent: Mapping[str, bool] = field(default_factory=dict)
    suppressed: str | None = None
    zone: str | None = None
    country: str | None = None
    window: SendWindow | None = None
    recent: Sequence[tuple[str, datetime]] = ()
    hold_seconds: int | None = 2 * 86_400
    cap_hold_seconds: int | None = 2 * 86_400
    visits: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class SendDecision:
    """What is to become of a message: `sent` may go now.

    `held_quiet_hours` (also for a closed send window, and for a better hour) and `capped` name in `until` when
    to decide again;
    without it the hold can't end in time and the step is over at once.
    """

    outcome: SendOutcome
    until: datetime | None = None
    detail: str = ""


def decide_send(request: SendRequest, *, now: datetime) -> SendDecision:
    """Decide by consent, suppression, address, then send window, quiet hours and caps, in that order."""
    refusal = _refusal(request)
    if refusal is not None:
        return refusal
    customer_zone = zone_or_default(request.zone, request.policy.default_zone)
    opens = window_opens(request.window, now, customer_zone)
    by_quiet = None if opens is None else _quiet_until(request, opens)
    by_cap, cap_name = (None, "") if by_quiet is None else _caps_until(request, by_quiet)
    free = None if by_cap is None else _all_free_from(request, by_cap)
    best = _best_time(request, free, customer_zone) if free is not None else None
    if free is not None and free <= now:
        if best is None or best.at <= now:
            return SendDecision("sent")
        return SendDecision("held_quiet_hours", best.at, _tell_best(best))
    outcome, detail = _holder(request, now, opens, by_quiet, cap_name)
    if free is None or not _in_time(request, free, _bound(request, opens, by_quiet, by_cap)):
        return SendDecision(outcome, None, f"{detail}; that doesn't end in time")
    if best is not None and best.at > free:
        return SendDecision(outcome, best.at, f"{detail}; then {_tell_best(best)}")
    return SendDecision(outcome, free, detail)


def valid_seconds(request: SendRequest, *, now: datetime) -> int | None:
    """How long a provider may keep a message that leaves now, before quiet hours begin; None: no matter how long.

    At least a minute, as what is out of date at once would be lost without a word.
    """
    zones = _quiet_zones(request)
    begins = None if zones is None else quiet_begins(request.policy.quiet_hours, now, zones)
    return None if begins is None else max(60, int((begins - now).total_seconds()))


def consented(
    policy: Policy, consent: Mapping[str, bool], channel: str, topic: str | None = None
) -> tuple[bool, str]:
    """Whether `channel` (and `topic`) may be used, and the word that decided it.

    A denial of the channel or the topic wins over everything. Silence is a yes only where the policy assumes
    it, and for what needs no consent; a yes to the topic on this channel is a yes to its messages.
    """
    words = [channel, *([f"{channel}:{topic}", topic] if topic else [])]
    denied = next((word for word in words if consent.get(word) is False), None)
    if denied is not None:
        return False, f"{denied} was refused"
    if channel not in CONSENT_CHANNELS or policy.consent.get(channel) == "assumed":
        return True, ""
    if consent.get(channel) or (topic and consent.get(f"{channel}:{topic}")):
        return True, ""
    return False, f"{channel} needs a yes and has none"


def _refusal(request: SendRequest) -> SendDecision | None:
    allowed, reason = consented(request.policy, request.consent, request.channel, request.topic)
    if not allowed:
        return SendDecision("no_consent", None, reason)
    if request.suppressed is not None:
        return SendDecision("suppressed", None, request.suppressed)
    if request.channel in CONSENT_CHANNELS and not (request.address or "").strip():
        return SendDecision("unreachable", None, f"there is no address for {request.channel}")
    return None


def _quiet_until(request: SendRequest, at: datetime) -> datetime | None:
    zones = _quiet_zones(request)
    return at if zones is None else quiet_ends(request.policy.quiet_hours, at, zones)


def _quiet_zones(request: SendRequest) -> Collection[ZoneInfo] | None:
    """Where it must be day for this message; None where the night doesn't matter."""
    policy = request.policy
    exempt = request.critical and policy.critical_in_quiet_hours
    if request.channel not in CONSENT_CHANNELS or exempt:
        return None
    zone = find_zone(request.zone)
    if zone is None and request.channel in _WAKING_CHANNELS:
        phone = None if request.channel == "push" else request.address
        return possible_zones(request.country, phone)
    return [zone or zone_or_default(None, policy.default_zone)]


def _caps_until(request: SendRequest, at: datetime) -> tuple[datetime | None, str]:
    """When no cap stands against it any more, and the name of the cap that holds longest."""
    if request.critical or request.channel not in MESSAGE_CHANNELS:
        return at, ""
    found, holder = at, ""
    for name in ("total", request.channel):
        cap = request.policy.caps.get(name)
        if cap is None:
            continue
        uses = [sent_at for channel, sent_at in request.recent if name in ("total", channel)]
        free = cap_frees(cap, uses, at)
        if free is None:
            return None, name
        if free > found:
            found, holder = free, name
    return found, holder


def _all_free_from(request: SendRequest, at: datetime) -> datetime | None:
    """The first instant from `at` on at which neither window nor quiet hours nor caps stand against it."""
    zone = zone_or_default(request.zone, request.policy.default_zone)
    for _ in range(_ROUNDS):
        opens = window_opens(request.window, at, zone)
        day = None if opens is None else _quiet_until(request, opens)
        free = None if day is None else _caps_until(request, day)[0]
        if free is None or free == at:
            return free
        at = free
    return None


def _holder(
    request: SendRequest, now: datetime, opens: datetime | None, by_quiet: datetime | None, cap_name: str
) -> tuple[SendOutcome, str]:
    """What stands against it first."""
    if opens is None or opens > now:
        return "held_quiet_hours", "its send window is closed"
    if by_quiet is None or by_quiet > now:
        known = find_zone(request.zone) is not None
        return (
            "held_quiet_hours",
            "quiet hours" if known else "quiet hours; the customer's time zone isn't known",
        )
    cap = request.policy.caps[cap_name]
    return "capped", f"{cap_name}: {cap.times} within {format_duration(cap.seconds)} are used up"


def _best_time(request: SendRequest, free: datetime, zone: ZoneInfo) -> BestTime | None:
    """The best instant at which it may leave, from `free` on, where the window asks for it and it is known."""
    window = request.window
    if window is None or not window.best_time:
        return None
    bound = LATE_SECONDS if window.at_most_late_seconds is None else window.at_most_late_seconds
    latest = later(request.due_at, span(bound))
    if latest is None:
        return None
    return find_best_time(
        request.visits, lambda at: _all_free_from(request, at), earliest=free, latest=latest, zone=zone
    )


def _tell_best(best: BestTime) -> str:
    hours = f"{best.hour:02d}:00 and {(best.hour + 1) % 24:02d}:00"
    return (
        f"the best time is between {hours} of the customer's day "
        f"({best.visits} of {best.of} visits were around then)"
    )


def _bound(
    request: SendRequest, opens: datetime | None, by_quiet: datetime | None, by_cap: datetime | None
) -> int:
    """How long it may be held, in seconds: by quiet hours, by caps, or by what is less where both hold it."""
    bounds = []
    if opens is not None and by_quiet is not None and by_quiet > opens:
        bounds.append(request.hold_seconds or 0)
    if by_quiet is not None and by_cap is not None and by_cap > by_quiet:
        bounds.append(request.cap_hold_seconds or 0)
    return min(bounds, default=request.hold_seconds or 0)


def _in_time(request: SendRequest, free: datetime, hold_seconds: int) -> bool:
    """A window may hold as long as its own bound allows; what else holds, `hold_seconds` beyond its opening."""
    window = request.window
    if window is not None and window.at_most_late_seconds is not None:
        latest = later(request.due_at, span(window.at_most_late_seconds))
        if latest is not None and free > latest:
            return False
    zone = zone_or_default(request.zone, request.policy.default_zone)
    opens = window_opens(window, request.due_at, zone) or request.due_at
    latest = later(opens, span(hold_seconds))
    return free <= opens or latest is None or free <= latest
