"""Whether a message may leave now, and if not, why and when."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from rules.best_time import LATE_SECONDS, BestTime, find_best_time
from rules.budget import Freed, free_caps
from rules.consent import CONSENT_CHANNELS, consented
from rules.instants import later, span
from rules.opening import quiet_begins, quiet_ends, window_opens
from rules.silence import NO_CONTACT, Contact, Hush, find_silence
from rules.zones import find_zone, possible_zones, zone_or_default
from schemas.plan import SendWindow
from schemas.policy import Policy
from schemas.sent import Sent, Waiting

SendOutcome = Literal["sent", "no_consent", "suppressed", "unreachable", "held_quiet_hours", "capped"]
# These wake people: where the zone is unknown they wait until it is day wherever the customer may be.
_WAKING_CHANNELS = ("sms", "whatsapp", "push", "voice")
# How long after the decision a provider may come to have a message, and the least it is then given to deliver it.
HANDOVER_SECONDS = 30
SHORTEST_VALIDITY_SECONDS = 60
_MARGIN = timedelta(seconds=HANDOVER_SECONDS + SHORTEST_VALIDITY_SECONDS)
# When what complaints have parked is looked at again: nobody knows when it ends.
PARKED_PAUSE = timedelta(minutes=15)
# Quiet hours, window and caps push one another on; each round is a later instant.
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class SendRequest:
    """One message that is due, and what its customer, policy and history say about it.

    `consent` has the latest word by channel (`email`), channel and topic (`email:tips`) or topic (`tips`);
    `suppressed` is why the address may not be used. `recent` are messages sent before, `ahead` those that wait and have
    their turn first; `contact` is when people were in contact with the customer. `hold_seconds` is how long after
    `due_at` quiet hours and silence may hold it, `cap_hold_seconds` how long caps may (None: not at all).
    `visits` says on how many days the customer was there in each of the 24 local hours, for windows that ask
    for the best time (empty: nothing is known).
    `parked`: so many complained that nothing leaves by this channel that isn't critical.
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
    recent: Sequence[Sent | tuple[str, datetime]] = ()
    ahead: Sequence[Waiting] = ()
    contact: Contact = NO_CONTACT
    hold_seconds: int | None = 2 * 86_400
    cap_hold_seconds: int | None = 2 * 86_400
    visits: Sequence[int] = ()
    parked: bool = False


@dataclass(frozen=True, slots=True)
class SendDecision:
    """What is to become of a message: `sent` may go now.

    `held_quiet_hours` (also for a closed send window, for silence, and for a better hour) and `capped` name in `until`
    when to decide again; without it the hold can't end in time and the step is over at once. `best` is the hour that it
    was or is kept for.
    """

    outcome: SendOutcome
    until: datetime | None = None
    detail: str = ""
    best: BestTime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class _Course:
    """One thing after the other that holds a message, from an instant on: each from where the one before ends (None:
    never).
    """

    opens: datetime | None
    speaks: datetime | None
    day: datetime | None
    caps: Freed


def decide_send(request: SendRequest, *, now: datetime) -> SendDecision:
    """Decide by consent, suppression, address, then send window, silence, quiet hours and caps, in that order."""
    refusal = _refusal(request)
    if refusal is not None:
        return refusal
    if request.parked and not request.critical:
        return _park(request, now)
    customer_zone = zone_or_default(request.zone, request.policy.default_zone)
    hush = _silence(request, now)
    course = _follow(request, now, hush)
    free = None if course.caps.at is None else _all_free_from(request, course.caps.at, hush)
    best = _best_time(request, free, customer_zone, hush) if free is not None else None
    if free is not None and free <= now:
        if best is None or best.at <= now:
            return SendDecision("sent", best=best)
        return SendDecision("held_quiet_hours", best.at, _tell_best(best), best)
    outcome, detail = _holder(request, now, course, hush)
    if free is None or not _in_time(request, free, _bound(request, course)):
        return SendDecision(outcome, None, f"{detail}; that doesn't end in time")
    if best is not None and best.at > free:
        return SendDecision(outcome, best.at, f"{detail}; then {_tell_best(best)}", best)
    return SendDecision(outcome, free, detail, best)


def valid_seconds(request: SendRequest, *, now: datetime) -> int | None:
    """How long a provider may keep a message that it is handed now, before quiet hours begin; None: no matter how long.

    What wakes people is given that much less as handing it over may take, so that it isn't delivered afterwards. At
    least a minute, as what is out of date at once would be lost without a word: `decide_send` lets nothing leave that
    has less.
    """
    zones = _quiet_zones(request)
    begins = None if zones is None else quiet_begins(request.policy.quiet_hours, now, zones)
    if begins is None:
        return None
    taken = HANDOVER_SECONDS if request.channel in _WAKING_CHANNELS else 0
    return max(SHORTEST_VALIDITY_SECONDS, int((begins - now).total_seconds()) - taken)


def _refusal(request: SendRequest) -> SendDecision | None:
    allowed, reason = consented(request.policy, request.consent, request.channel, request.topic)
    if not allowed:
        return SendDecision("no_consent", None, reason)
    if request.suppressed is not None:
        return SendDecision("suppressed", None, request.suppressed)
    if request.channel in CONSENT_CHANNELS and not (request.address or "").strip():
        return SendDecision("unreachable", None, f"there is no address for {request.channel}")
    return None


def _park(request: SendRequest, now: datetime) -> SendDecision:
    """It waits for somebody to lift that, as long as it lets itself be held."""
    detail = f"so many complained that nothing but what is critical leaves by {request.channel}"
    again = later(now, PARKED_PAUSE)
    if again is None or not _in_time(request, again, request.hold_seconds or 0):
        return SendDecision("held_quiet_hours", None, f"{detail}; that doesn't end in time")
    return SendDecision("held_quiet_hours", again, detail)


def _silence(request: SendRequest, now: datetime) -> Hush | None:
    if request.channel not in (*CONSENT_CHANNELS, "in_app"):
        return None
    return find_silence(request.policy.silence, request.contact, critical=request.critical, now=now)


def _quiet_until(request: SendRequest, at: datetime) -> datetime | None:
    zones = _quiet_zones(request)
    quiet = request.policy.quiet_hours
    if zones is None or quiet is None:
        return at
    found: datetime | None = at
    for _ in range(_ROUNDS):
        found = None if found is None else quiet_ends(quiet, found, zones)
        if found is None or request.channel not in _WAKING_CHANNELS:
            return found
        begins = quiet_begins(quiet, found, zones)
        # What is handed over right before the night might be delivered in it.
        if begins is None or begins - found >= _MARGIN:
            return found
        found = begins
    return None


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


def _caps_until(request: SendRequest, at: datetime) -> Freed:
    """When no cap stands against it any more, and what the cap that holds longest says."""
    if request.critical or request.channel not in (*CONSENT_CHANNELS, "in_app"):
        return Freed(at)
    sent = [Sent(*one) for one in request.recent]
    return free_caps(request.policy, request.channel, request.topic, sent, request.ahead, at)


def _follow(request: SendRequest, at: datetime, hush: Hush | None) -> _Course:
    opens = window_opens(request.window, at, zone_or_default(request.zone, request.policy.default_zone))
    speaks = max(opens, hush.until) if hush is not None and opens is not None else opens
    day = None if speaks is None else _quiet_until(request, speaks)
    return _Course(opens, speaks, day, Freed(None) if day is None else _caps_until(request, day))


def _all_free_from(request: SendRequest, at: datetime, hush: Hush | None) -> datetime | None:
    """The first instant from `at` on at which neither window nor silence nor quiet hours nor caps stand against it."""
    for _ in range(_ROUNDS):
        free = _follow(request, at, hush).caps.at
        if free is None or free == at:
            return free
        at = free
    return None


def _holder(
    request: SendRequest, now: datetime, course: _Course, hush: Hush | None
) -> tuple[SendOutcome, str]:
    """What stands against it first."""
    if course.opens is None or course.opens > now:
        return "held_quiet_hours", "its send window is closed"
    if hush is not None:
        return "held_quiet_hours", hush.detail
    if course.day is None or course.day > now:
        known = find_zone(request.zone) is not None
        return (
            "held_quiet_hours",
            "quiet hours" if known else "quiet hours; the customer's time zone isn't known",
        )
    return "capped", course.caps.detail


def _best_time(request: SendRequest, free: datetime, zone: ZoneInfo, hush: Hush | None) -> BestTime | None:
    """The best instant at which it may leave, from `free` on, where the window asks for it and it is known."""
    window = request.window
    if window is None or not window.best_time:
        return None
    bound = LATE_SECONDS if window.at_most_late_seconds is None else window.at_most_late_seconds
    latest = later(request.due_at, span(bound))
    if latest is None:
        return None
    return find_best_time(
        request.visits,
        lambda at: _all_free_from(request, at, hush),
        earliest=free,
        latest=latest,
        zone=zone,
    )


def _tell_best(best: BestTime) -> str:
    hours = f"{best.hour:02d}:00 and {(best.hour + 1) % 24:02d}:00"
    return (
        f"the best time is between {hours} of the customer's day "
        f"({best.visits} of {best.of} visits were around then)"
    )


def _bound(request: SendRequest, course: _Course) -> int:
    """How long it may be held, in seconds: by quiet hours or silence, by caps, or by what is less of both."""
    bounds = []
    if course.opens is not None and course.day is not None and course.day > course.opens:
        bounds.append(request.hold_seconds or 0)
    if course.day is not None and course.caps.at is not None and course.caps.at > course.day:
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
