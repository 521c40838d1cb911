"""Mails about work: reminders and invitations to one's own people, and invitations to customers who have a call.

They stand in no run and no ledger of messages, and are rows of their own (`store.notices`): queued in the transaction
of what makes them necessary, tried again until they went or it is too late, and marked then. Where it isn't known
whether one went it is sent again: a calendar takes the same invitation twice without harm, and a reminder that is
missing does more.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from activities.steps import StepOpening
from channels.outcome import CalendarFile, Channel, ChannelError, OutgoingMessage
from rules.invitation import Appointment, Person, customer_of, person_of, write_invitation, write_moment
from rules.tasks import due_after
from rules.zones import zone_or_default
from schemas.errors import NotFoundError
from schemas.policy import Policy
from store.contact import load_consents
from store.customers import load_customers, lock_customers
from store.database import Connection
from store.notices import (
    Notice,
    load_due_notices,
    next_notice,
    postpone_notice,
    queue_calendar_changes,
    queue_reminder,
    settle_notice,
    take_notice,
)
from store.playbooks import load_policy
from store.suppressions import load_suppressions
from store.tasks import Task, load_task

log = logging.getLogger(__name__)
_ADDRESS = re.compile(r"[^\s<>\"@,;:]+@[^\s<>\"@,;:]+")
# Longer than a provider may take: whoever took it and said nothing until then is gone.
LEASE = timedelta(seconds=60)
RETRIES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))
AT_ONCE = 5
# What trying again wouldn't change.
_FINAL = ("recipient", "consent", "content")


class Notices:
    """One process's share of them; any number may run.

    sender: the address that mails come from, which answers of people's calendars go to. public_url: where pages are.
    """

    def __init__(self, opening: StepOpening, channel: Channel, public_url: str, sender: str = "") -> None:
        self._opening = opening
        self._database = opening.database
        self._channel = channel
        self._public_url = public_url
        self._sender = sender

    async def queue(self, connection: Connection, due: list[Task], now: datetime) -> None:
        """Queue what these tasks' holders are to be reminded of, and what calendars have to be told."""
        for task in due:
            if _ADDRESS.fullmatch(task.holder):
                await queue_reminder(connection, task, now)
        await queue_calendar_changes(connection, now)

    async def run_once(self) -> bool:
        """Send what is due; whether there was anything."""
        async with self._database.transaction() as connection:
            due = await load_due_notices(connection, await self._database.clock.read(connection))
        gate = asyncio.Semaphore(AT_ONCE)

        async def send(notice: Notice) -> None:
            async with gate:
                await self._send(notice)

        await asyncio.gather(*map(send, due))
        return bool(due)

    async def next_due(self) -> datetime | None:
        """When there is something to send next."""
        async with self._database.transaction() as connection:
            return await next_notice(connection)

    async def _send(self, notice: Notice) -> None:
        async with self._database.transaction() as connection:
            # As messages are: nothing leaves after a customer's no was committed.
            await lock_customers(connection, [notice.customer_id])
            now = await self._database.clock.read(connection)
            message, refusal = await self._make(connection, notice, now)
            if message is None:
                await settle_notice(connection, notice, "skipped", now, error=refusal)
                return
            if not await take_notice(connection, notice, now + LEASE):
                return
        told: dict[str, Any] = {}
        error: ChannelError | None = None
        try:
            receipt = await self._channel.send(message)
            told = {"provider": receipt.provider, "provider_id": receipt.provider_id}
        except ChannelError as caught:
            error = caught
            log.warning("a mail about task %s didn't go: %s", notice.task_id, type(error).__name__)

        async def settle(connection: Connection) -> None:
            now = await self._database.clock.read(connection)
            if error is None:
                await settle_notice(connection, notice, "sent", now, **told)
                return
            # A provider's words may name the recipient: the code says enough.
            said = f"{error.provider} {error.provider_code or error.code}"
            pause = RETRIES[min(notice.attempts, len(RETRIES) - 1)]
            again = now + max(pause, timedelta(seconds=error.retry_after_seconds or 0))
            if error.klass in _FINAL or again > notice.give_up_at:
                await settle_notice(connection, notice, "failed", now, error=said)
            else:
                await postpone_notice(connection, notice, again, said)

        await self._opening.write_surely(settle)

    async def _make(
        self, connection: Connection, notice: Notice, now: datetime
    ) -> tuple[OutgoingMessage | None, str]:
        """The mail as things stand now; None, and why, where it isn't to be sent any more."""
        try:
            task = await load_task(connection, notice.task_id, lock=False)
        except NotFoundError:
            return None, "the task is gone"
        customer = (await load_customers(connection, [task.customer_id])).get(task.customer_id)
        if customer is None:
            return None, "the customer is gone"
        if now > notice.give_up_at:
            return None, "it is too late for it"
        if notice.kind == "reminder":
            if task.state != "open" or task.holder != notice.person:
                return None, "nobody has to be reminded any more"
            return self._remind(notice, task), ""
        if notice.kind == "invitation" and (task.state != "open" or task.starts_at != notice.starts_at):
            return None, "the appointment is another one by now"
        policy = await load_policy(connection)
        if notice.recipient == "staff":
            if not _ADDRESS.fullmatch(notice.person):
                return None, "they are named by no address"
            return self._invite_person(notice, task, customer.profile, policy, now), ""
        consent = (await load_consents(connection, [customer.id])).get(customer.id, {})
        suppressed = (await load_suppressions(connection, {customer.id: customer.profile})).get(
            customer.id, {}
        )
        if not customer_of(customer.profile).email:
            return None, "there is no address"
        # They agreed on this appointment, which needs no other yes; a no counts here, too.
        if consent.get("email") is False or "email" in suppressed:
            return None, suppressed.get("email") or "email was refused"
        return self._invite_customer(notice, task, customer.profile, policy, now), ""

    def _remind(self, notice: Notice, task: Task) -> OutgoingMessage:
        what = f"begins {_written(task.starts_at)}" if task.starts_at else f"is due {_written(task.due_at)}"
        return OutgoingMessage(
            delivery_id=notice.id,
            recipient=task.holder,
            # Who it is about stands on the page, behind its key.
            subject=f"A {task.kind} {what}",
            text=f"A {task.kind} on your list {what}.\n\n{self._public_url}/tasks?mine={task.holder}\n",
        )

    def _invite_person(
        self, notice: Notice, task: Task, profile: Mapping[str, Any], policy: Policy, now: datetime
    ) -> OutgoingMessage:
        appointment = _appointment(notice, task, policy.default_zone)
        appointment = replace(
            appointment, title=task.title, about=f"{self._public_url}/tasks?mine={notice.person}",
            # Whoever organizes an appointment is asked nothing about it: so it isn't the one who is invited.
            organizer=Person("Holdfast", self._sender or None), attendee=person_of(notice.person),
            guests=(customer_of(profile),),
        )  # fmt: skip
        when = write_moment(appointment.starts_at, zone_or_default(None, policy.default_zone))
        off = appointment.cancelled
        return OutgoingMessage(
            delivery_id=notice.id,
            recipient=notice.person,
            subject=f"{'Called off: ' if off else ''}A {task.kind} on {when}",
            text=f"A {task.kind} on your list {'no longer takes place' if off else 'takes place'} on {when} "
            f"({policy.default_zone}).\n\n{self._public_url}/tasks?mine={notice.person}\n",
            calendar=_file(appointment, now),
        )

    def _invite_customer(
        self, notice: Notice, task: Task, profile: Mapping[str, Any], policy: Policy, now: datetime
    ) -> OutgoingMessage:
        zone = zone_or_default(_text(profile.get("timezone")), policy.default_zone)
        person, customer = person_of(task.holder), customer_of(profile)
        appointment = _appointment(notice, task, zone.key)
        appointment = replace(
            appointment, title=f"Call with {person.name}", organizer=person, attendee=customer
        )
        when = f"{write_moment(appointment.starts_at, zone)} ({zone.key.replace('_', ' ')})"
        links = self._opening.links.make(task.customer_id, profile, channel="email")
        other = f"\nAnother time suits you better? {links['booking']}\n" if "booking" in links else ""
        if appointment.cancelled:
            subject, said = "Your call won't take place", f"Our call on {when} won't take place."
        else:
            subject = f"Your call on {write_moment(appointment.starts_at, zone)}"
            said = f"{person.name} calls you on {when}. The appointment for your calendar is attached."
        name = _text(profile.get("first_name"))
        return OutgoingMessage(
            delivery_id=notice.id,
            recipient=customer.email or "",
            subject=subject,
            text=f"Hello{f' {name}' if name else ''},\n\n{said}\n{other}",
            unsubscribe_url=links.get("unsubscribe"),
            calendar=_file(appointment, now),
        )


def _appointment(notice: Notice, task: Task, zone: str) -> Appointment:
    assert notice.starts_at is not None
    nobody = Person("")
    return Appointment(
        id=task.id, title="", about="", starts_at=notice.starts_at, ends_at=due_after(notice.starts_at),
        sequence=notice.sequence, organizer=nobody, attendee=nobody, zone=zone,
        cancelled=notice.kind == "cancellation",
    )  # fmt: skip


def _file(appointment: Appointment, now: datetime) -> CalendarFile:
    content = write_invitation(appointment, now)
    return CalendarFile("CANCEL" if appointment.cancelled else "REQUEST", content)


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
