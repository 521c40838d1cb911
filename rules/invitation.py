"""An appointment as calendars read it (RFC 5545, iTIP RFC 5546): an invitation, its change, and its cancellation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from rules.zones import find_zone

if TYPE_CHECKING:
    from icalendar import vCalAddress

PRODUCT = "-//Holdfast//Calls//EN"
# Who is told a quarter of an hour before, by their own calendar.
ALARM = timedelta(minutes=15)
_ADDRESS = re.compile(r"[^\s<>\"@,;:]+@[^\s<>\"@,;:]+")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who takes part; without an address a calendar isn't told of them."""

    name: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Appointment:
    """A call that was agreed on. `sequence` rises with every change; `zone` is whose clock it is shown by.

    `organizer` is whom answers of calendars go to; `guests` take part beside the attendee.
    """

    id: str
    title: str
    about: str
    starts_at: datetime
    ends_at: datetime
    sequence: int
    organizer: Person
    attendee: Person
    zone: str | None = None
    cancelled: bool = False
    guests: tuple[Person, ...] = ()


def customer_of(profile: Mapping[str, object]) -> Person:
    """How calendars call the customer of this profile."""
    name = profile.get("business_name") or profile.get("first_name") or "Customer"
    return Person(str(name), _text(profile.get("email")))


def person_of(holder: str) -> Person:
    """One of our own as customers may read of them: the name before the @."""
    return Person(holder.partition("@")[0].replace(".", " ").replace("_", " ").title(), holder)


def write_moment(at: datetime, zone: ZoneInfo) -> str:
    """A moment as people say it: Tuesday, 3 March at 10:00."""
    local = at.astimezone(zone)
    return f"{local:%A}, {local.day} {local:%B} at {local:%H:%M}"


def write_invitation(appointment: Appointment, now: datetime) -> bytes:
    """The calendar file of one appointment: METHOD REQUEST, or CANCEL with the same UID and a higher SEQUENCE.

    Times are in the zone given, which the file describes (VTIMEZONE), else in UTC. Lines end with CR LF and are folded
    at 75 octets.
    """
    # Not at every process's start: invitations are rare.
    from icalendar import Alarm, Calendar, Event, vText

    method: Literal["REQUEST", "CANCEL"] = "CANCEL" if appointment.cancelled else "REQUEST"
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", method)
    zone = find_zone(appointment.zone) or UTC
    event = Event()
    event.add("uid", f"{appointment.id}@holdfast")
    event.add("dtstamp", now.astimezone(UTC))
    event.add("sequence", appointment.sequence)
    event.add("dtstart", appointment.starts_at.astimezone(zone))
    event.add("dtend", appointment.ends_at.astimezone(zone))
    event.add("summary", appointment.title)
    if appointment.about:
        event.add("description", appointment.about)
    event.add("status", "CANCELLED" if appointment.cancelled else "CONFIRMED")
    event.add("transp", "OPAQUE")
    if _is_address(appointment.organizer.email):
        event.add("organizer", _address(appointment.organizer), encode=False)
    for person in (appointment.attendee, *appointment.guests):
        if not _is_address(person.email):
            continue
        attendee = _address(person)
        attendee.params["ROLE"] = vText("REQ-PARTICIPANT")
        attendee.params["PARTSTAT"] = vText("ACCEPTED")
        attendee.params["RSVP"] = vText("FALSE")
        event.add("attendee", attendee, encode=False)
    if not appointment.cancelled:
        alarm = Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", appointment.title)
        alarm.add("trigger", -ALARM)
        event.add_component(alarm)
    calendar.add_component(event)
    if zone is not UTC:
        year = appointment.starts_at.year
        calendar.add_missing_timezones(date(year - 1, 1, 1), date(year + 2, 1, 1))
    written: bytes = calendar.to_ical()
    return written


def _address(person: Person) -> vCalAddress:
    from icalendar import vCalAddress, vText

    address = vCalAddress(f"mailto:{person.email}")
    # A quote ends a parameter, and a line break the whole property.
    address.params["CN"] = vText(" ".join(person.name.replace('"', "'").split()))
    return address


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_address(email: str | None) -> bool:
    return email is not None and _ADDRESS.fullmatch(email) is not None
