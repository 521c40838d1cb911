"""Appointments with people: what can be booked, booking it, and agreeing on another time for work that is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rules.assigning import team_of
from rules.booking import Times, bookable_people, bookable_times, choose_free, is_free
from rules.calendar import working_due
from rules.tasks import OUTCOMES, Deadlines, due_after, move_deadlines
from rules.working_hours import Busy
from schemas.access import Principal
from schemas.errors import ConflictError, InputError
from schemas.incoming import IncomingEvent, Mover
from schemas.policy import Policy
from store.appointments import find_open_call, load_appointments, lock_calendars, request_id
from store.audit import record_change
from store.customers import Customer, load_customers, lock_customers
from store.database import Connection
from store.intake import take_within
from store.playbooks import load_policy
from store.sharing import move_task, reassign_task
from store.tasks import UNATTENDED, Task, check_not_too_far, load_task, note_task, open_task

# What the engine itself brings about, and what it calls it.
SOURCE, BOOKED = "holdfast", "call_booked"
REMINDED = timedelta(minutes=15)


class TakenError(ConflictError):
    """Somebody else has booked that time meanwhile."""


@dataclass(frozen=True)
class Offer:
    """What a customer can choose from: `people` who take the call, their free times, and the call as it stands."""

    customer: Customer
    policy: Policy
    people: tuple[str, ...]
    busy: Mapping[str, list[Busy]]
    call: Task | None
    slots: list[datetime]
    times: Times


async def offer_times(connection: Connection, customer_id: str, now: datetime) -> Offer | None:
    """The times that this customer can book; None where there is no such customer any more.

    Whoever means to book one locks the customer before; `book` locks the calendars itself.
    """
    customer = (await load_customers(connection, [customer_id])).get(customer_id)
    if customer is None:
        return None
    policy = await load_policy(connection)
    call = await find_open_call(connection, customer_id)
    owner = customer.profile.get("csm")
    people = bookable_people(
        call.holder if call else None, call.team if call else None, str(owner) if owner else None, policy
    )
    busy = await _load_busy(connection, people, now, call)
    said = {name: _text(customer.profile.get(name)) for name in ("timezone", "country", "region")}
    times = bookable_times(now, policy, zone=said["timezone"], country=said["country"], region=said["region"])
    slots = [at for at in times.starts if any(is_free(at, busy[person]) for person in people)]
    return Offer(customer, policy, people, busy, call, slots, times)


async def book(connection: Connection, customer_id: str, at: datetime, now: datetime, move: Mover) -> Task:
    """Book this time: the open call gets it, and where there is none, a call is put on the list of whoever takes it.

    Booking the same time again changes nothing. Raises TakenError where nobody is free any more, InputError where that
    is no time that can be booked.
    """
    await lock_customers(connection, [customer_id])
    offer = await offer_times(connection, customer_id, now)
    if offer is None or not offer.people:
        raise InputError(
            "Nobody can be booked just now.", remedy="Answer the message with a time that suits you."
        )
    if offer.call is not None and offer.call.starts_at == at:
        return offer.call
    if at not in offer.times.starts:
        raise InputError("That time can't be booked.", remedy="Choose one of those below.")
    await lock_calendars(connection, offer.people)
    busy = await _load_busy(connection, offer.people, now, offer.call)
    person = choose_free(offer.people, at, busy)
    if person is None:
        raise TakenError("That time has just been taken.", remedy="Choose another one.")
    # Whoever has the link is taken for the customer.
    actor = Principal(
        "token", customer_id, "the customer, by a booking link", "customer", offer.customer.external_id
    )
    if offer.call is None:
        booked = await open_task(connection, _request(offer, person, at, now))
        told = {
            "kind": booked.kind,
            "holder": booked.holder,
            "due_at": booked.due_at,
            "starts_at": booked.starts_at,
        }
        await record_change(
            connection, actor, "task.booked", object_kind="task", object_id=booked.id, after=told
        )
    else:
        call = offer.call
        if call.holder != person:
            call = await reassign_task(connection, call.id, person, "the customer's booking", now)
        booked = await _move(connection, call, due_after(at), now, starts_at=at)
        # Lists that show it hear of it by this record, too: a moved call has no moment of its own.
        await note_task(connection, actor, "booked", offer.call, booked)
    await _tell(connection, offer.customer, booked, now, move)
    return booked


async def reschedule(
    connection: Connection, task: str, now: datetime, *, starts_at: datetime | None, due_at: datetime | None
) -> Task:
    """Agree on another time for open work: an appointment, or a moment by which it is due (in working hours).

    Raises NotFoundError; InputError for a moment that is past, too far ahead, or none; ConflictError where whoever has
    it has another appointment then, or where it is closed.
    """
    found = await load_task(connection, task)
    moment = starts_at or due_at
    if moment is None or moment <= now:
        raise InputError("Name a moment to come.", remedy="Write startsAt or dueAt, with its zone.")
    check_not_too_far(moment, now)
    if starts_at is None:
        return await _move(
            connection, found, working_due(moment, 0, await load_policy(connection)), now, starts_at=None
        )
    await lock_calendars(connection, [found.holder])
    busy = await _load_busy(connection, (found.holder,), now, found)
    if choose_free((found.holder,), starts_at, busy) is None:
        raise TakenError(
            f"{found.holder} has another call then.", remedy="Choose another time, or reassign it."
        )
    return await _move(connection, found, due_after(starts_at), now, starts_at=starts_at)


async def _move(
    connection: Connection, task: Task, due_at: datetime, now: datetime, *, starts_at: datetime | None
) -> Task:
    old = Deadlines(task.due_at, task.remind_at or task.due_at, task.escalate_at, task.give_up_at)
    moved = move_deadlines(old, due_at, now)
    if starts_at is not None:
        moved = replace(moved, remind_at=max(now, starts_at - REMINDED))
    return await move_task(
        connection, task, starts_at=starts_at, due_at=moved.due_at, remind_at=moved.remind_at,
        escalate_at=moved.escalate_at, give_up_at=moved.give_up_at,
    )  # fmt: skip


def _request(offer: Offer, person: str, at: datetime, now: datetime) -> Task:
    return Task(
        id=request_id(offer.customer.id, now),
        run_id=None,
        customer_id=offer.customer.id,
        step="booking",
        occurrence=0,
        kind="call",
        title=f"Call {offer.customer.called}, who booked it",
        about="",
        assignee=person,
        escalated_to=None,
        outcomes=OUTCOMES,
        state="open",
        outcome=None,
        notes="",
        created_at=now,
        due_at=due_after(at),
        escalate_at=None,
        give_up_at=due_after(at) + UNATTENDED,
        closed_at=None,
        team=team_of(person, offer.policy),
        assigned_because="the customer booked a call",
        remind_at=max(now, at - REMINDED),
        starts_at=at,
        calendar_sequence=1,
    )


async def _tell(connection: Connection, customer: Customer, task: Task, now: datetime, move: Mover) -> None:
    """Put it into the customer's history, so that playbooks can wait for it, or begin with it."""
    assert task.starts_at is not None
    told = {"starts_at": task.starts_at.isoformat(), "with": task.holder}
    name = f"{task.id}/{BOOKED}/{task.calendar_sequence}"
    event = IncomingEvent(SOURCE, name, customer.external_id, BOOKED, now, now, now.date(), told)
    await take_within(connection, [event], move=move)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


async def _load_busy(
    connection: Connection, people: tuple[str, ...], now: datetime, call: Task | None
) -> dict[str, list[Busy]]:
    found = await load_appointments(connection, people, now, without=call.id if call else None)
    return {person: [Busy(*one) for one in found[person]] for person in people}
