"""`/book/{token}`, where the link in a message leads: a customer books a call; and the calendar file of it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import Request

from rules.invitation import Appointment, customer_of, person_of, write_invitation, write_moment
from rules.tasks import due_after
from rules.zones import zone_or_default
from schemas.errors import InputError, NotFoundError, UnavailableError
from schemas.link_token import LinkToken
from store.customers import load_customers
from store.database import Connection
from store.playbooks import load_policy
from store.tasks import Task, load_task
from web.calls import Offer, TakenError, book, offer_times
from web.edge import Edge, EdgeHere, reader_of
from web.forms import read_form
from web.rendering import render
from web.signed_links import link_key, read_link

# Whoever has the link may; scanners of mails open every link, so that looking changes nothing.
router = APIRouter(include_in_schema=False)
TOLD = {
    "booked": "Booked. We look forward to talking to you.",
    "taken": "That time has just been taken by somebody else. Please choose another one.",
    "closed": "That time can't be booked any more. Please choose another one.",
}


@router.api_route("/book/{written}", methods=["GET", "HEAD"])
async def times(request: Request, edge: EdgeHere, written: str, told: str | None = None) -> HTMLResponse:
    """The free times of the next working days, and the call that is booked, if there is one."""
    token = read_link(edge, written, "book")
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        offer = await offer_times(connection, token.customer_id, now)
    if offer is None:
        raise NotFoundError("There is no such customer any more.", remedy="Answer the message.")
    return _page(request, edge, token, offer, told=told if told in TOLD else None)


@router.post("/book/{written}")
async def choose(request: Request, edge: EdgeHere, written: str) -> Response:
    """Book one of them; who is too late is told so, and sees what is left."""
    token = read_link(edge, written, "book")
    if edge.move is None:
        raise UnavailableError("This can't be done here just now.", remedy="Answer the message.")
    at = _moment((await read_form(request)).get("at", ""))
    try:
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            await book(connection, token.customer_id, at, now, edge.move)
    except TakenError:
        return _again("taken")
    except InputError:
        return _again("closed")
    edge.bell.ring()
    return _again("booked")


@router.get("/calendar/{written}.ics")
async def calendar(edge: EdgeHere, written: str) -> Response:
    """The customer's calendar file of a call: the invitation, or that it was called off."""
    token = read_link(edge, written, "calendar")
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        task = await load_task(connection, token.delivery_id or "", lock=False)
        if task.customer_id != token.customer_id:
            raise NotFoundError("There is no such call.", remedy="Copy the whole link.")
        return await _answer(edge, connection, task, now, for_customer=True)


@router.get("/tasks/{task_id}/calendar.ics", dependencies=[Depends(reader_of)])
async def invitation(edge: EdgeHere, task_id: str) -> Response:
    """The calendar file of a call for whoever makes it."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        task = await load_task(connection, task_id, lock=False)
        return await _answer(edge, connection, task, now, for_customer=False)


async def _answer(
    edge: Edge, connection: Connection, task: Task, now: datetime, *, for_customer: bool
) -> Response:
    if task.starts_at is None:
        raise NotFoundError("No time was agreed on for this call.", remedy="Choose one first.")
    profile = (await load_customers(connection, [task.customer_id]))[task.customer_id].profile
    policy = await load_policy(connection)
    customer, person = customer_of(profile), person_of(task.holder)
    # What was over before it was closed took place: only what didn't is called off.
    cancelled = task.state != "open" and (task.closed_at or now) < task.starts_at
    appointment = Appointment(
        id=task.id,
        # The title of work is for those who do it: it says what is known of the customer.
        title=f"Call with {person.name}" if for_customer else task.title,
        about="" if for_customer else "\n".join(filter(None, (task.about, _text(profile.get("phone"))))),
        starts_at=task.starts_at,
        ends_at=due_after(task.starts_at),
        sequence=task.calendar_sequence + cancelled,
        organizer=person,
        attendee=customer,
        zone=(_text(profile.get("timezone")) if for_customer else None) or policy.default_zone,
        cancelled=cancelled,
    )
    method = "CANCEL" if cancelled else "REQUEST"
    headers = {"Content-Disposition": 'attachment; filename="call.ics"'}
    media = f"text/calendar; charset=utf-8; method={method}"
    return Response(write_invitation(appointment, now), media_type=media, headers=headers)


def _page(request: Request, edge: Edge, token: LinkToken, offer: Offer, *, told: str | None) -> HTMLResponse:
    zone = zone_or_default(_text(offer.customer.profile.get("timezone")), offer.policy.default_zone)
    local = [(slot.astimezone(zone), slot) for slot in offer.slots]
    days = [
        (f"{day:%A}, {day.day} {day:%B}", [(f"{shown:%H:%M}", slot.isoformat()) for shown, slot in of_day])
        for day, of_day in groupby(local, key=lambda pair: pair[0].date())
    ]
    booked = offer.call.starts_at if offer.call else None
    calendar_link = None
    if offer.call is not None and booked is not None:
        calendar_link = link_key(edge).sign(
            LinkToken("calendar", token.customer_id, delivery_id=offer.call.id)
        )
    return render(
        request,
        "book.html",
        days=days,
        zone=zone.key,
        hours_of=offer.policy.default_zone if offer.times.unusual else None,
        person=person_of(offer.people[0]).name if len(offer.people) == 1 else None,
        booked=write_moment(booked, zone) if booked else None,
        calendar=calendar_link,
        told=TOLD[told] if told else None,
    )


def _moment(written: str) -> datetime:
    try:
        at = datetime.fromisoformat(written)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InputError("The form can't be read.", remedy="Open the page again.")


def _again(told: str) -> RedirectResponse:
    # See Other: loading the page again books nothing.
    return RedirectResponse(f"?{urlencode({'told': told})}", status_code=303)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
