"""Mails about work: invitations with their calendar file, changes, what is called off; and trying again."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import policy as mail_policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import pytest
from icalendar import Calendar

from channels.settings import parse_smtp_url
from channels.smtp import SmtpChannel
from loops.notices import LEASE, Notices
from loops.upkeep import Upkeep
from schemas.policy import Policy
from store.addresses import hash_address
from store.publishing import publish
from store.sharing import reassign_task
from store.suppressions import suppress
from store.tasks import complete_task
from tests.integration.step_desk import START, StepDesk, open_desk
from tests.standins.programme import Programme
from tests.standins.smtp import SmtpStandIn
from web.calls import book, offer_times, reschedule

ANNA, BEN, ADA = "anna@example.com", "ben@example.com", "ada@example.com"
BERLIN = Policy(default_zone="Europe/Berlin")


@dataclass
class Letter:
    """A mail with an appointment, as it was received."""

    mail: EmailMessage
    calendar: Calendar

    @property
    def to(self) -> str:
        return str(self.mail["To"])

    @property
    def told(self) -> tuple[str, str, int]:
        """Whom it is to, what it does to their calendar, and its number."""
        [event] = self.calendar.walk("VEVENT")
        return self.to, str(self.calendar["METHOD"]), int(event["SEQUENCE"])


@dataclass
class Office:
    """Ada, whose CSM is Anna; and the post."""

    desk: StepDesk
    smtp: SmtpStandIn
    notices: Notices
    customer: str
    read: int = 0

    async def book(self, number: int = 0) -> str:
        """Ada books one of the times that she is offered; the task's id."""
        async with self.desk.database.transaction() as connection:
            offer = await offer_times(connection, self.customer, self.desk.clock.now)
            assert offer is not None
            task = await book(
                connection, self.customer, offer.slots[number], self.desk.clock.now, self.desk.opening.move
            )
        return task.id

    async def post(self, passed: timedelta = timedelta()) -> list[Letter]:
        """Time passes, and what is to be sent is: what came, by recipient."""
        self.desk.clock.now += passed
        await self.desk.upkeep.run_once()
        await self.notices.run_once()
        fresh, self.read = self.smtp.accepted[self.read :], len(self.smtp.accepted)
        letters = []
        for accepted in fresh:
            mail = BytesParser(policy=mail_policy.default).parsebytes(accepted.data)
            [shown] = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
            calendar = Calendar.from_ical(shown.get_payload(decode=True))
            assert shown.get_param("method") == calendar["METHOD"]
            letters.append(Letter(mail, calendar))
        return sorted(letters, key=lambda letter: letter.to)

    async def rows(self, columns: str) -> list[tuple[Any, ...]]:
        rows = await self.desk.rows(f"SELECT {columns} FROM notices ORDER BY number")
        return [tuple(row.values()) for row in rows]


@contextlib.asynccontextmanager
async def open_office(database_url: str, *script: str) -> AsyncIterator[Office]:
    async with SmtpStandIn(Programme(script)) as smtp, open_desk(database_url) as desk:
        channel = SmtpChannel(parse_smtp_url(smtp.url), sender=("Care", "care@example.com"))
        notices = Notices(desk.opening, channel, "https://care.example.com", "care@example.com")
        desk.upkeep = Upkeep(desk.opening, notices)
        await desk.identify(email=ADA, csm=ANNA, timezone="Europe/Lisbon")
        async with desk.database.transaction() as connection:
            await publish(connection, {}, {}, BERLIN, author="test", now=START, gone=())
        [row] = await desk.rows("SELECT id::text FROM customers WHERE external_id = 'ada'")
        yield Office(desk, smtp, notices, row["id"])
        await channel.close()


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    async with open_office(database_url) as office:
        yield office


async def test_a_booked_call_comes_to_both_with_the_appointment_for_their_calendars(office: Office) -> None:
    task = await office.book()
    customers, persons = await office.post()
    assert [customers.told, persons.told] == [(ADA, "REQUEST", 1), (ANNA, "REQUEST", 1)]
    begins = (await office.desk.rows("SELECT starts_at FROM tasks"))[0]["starts_at"]
    events = [letter.calendar.walk("VEVENT")[0] for letter in (customers, persons)]
    assert {str(event["UID"]) for event in events} == {f"{task}@holdfast"}
    assert [event.decoded("DTSTART") for event in events] == [begins, begins]
    # What stands on a work list is not for the customer to read.
    assert [str(event["SUMMARY"]) for event in events] == ["Call with Anna", "Call Ada, who booked it"]
    assert [str(event["ORGANIZER"]) for event in events] == [f"mailto:{ANNA}", "mailto:care@example.com"]
    said = customers.mail.get_body(("plain",)).get_content()
    assert "Hello Ada,\r\n\r\nAnna calls you on" in said
    assert "(Europe/Lisbon)" in said
    assert "/book/" in said
    assert await office.post(timedelta(minutes=5)) == []
    assert await office.rows("state, provider, settled_at IS NULL") == [("sent", "smtp", False)] * 2


async def test_another_time_is_told_as_a_change_and_the_end_as_a_cancellation(office: Office) -> None:
    task = await office.book()
    await office.post()
    await office.book(4)
    assert [one.told for one in await office.post()] == [(ADA, "REQUEST", 2), (ANNA, "REQUEST", 2)]
    await complete_task(office.desk.database, task, "declined", by=ANNA)
    letters = await office.post()
    assert [one.told for one in letters] == [(ADA, "CANCEL", 3), (ANNA, "CANCEL", 3)]
    assert str(letters[0].mail["Subject"]) == "Your call won't take place"
    assert await office.post() == []


async def test_what_people_agree_on_by_themselves_is_told_too_and_who_hands_it_on_is_free_again(
    office: Office,
) -> None:
    task = await office.book()
    await office.post()
    async with office.desk.database.transaction() as connection:
        await reassign_task(connection, task, BEN, "the lead", office.desk.clock.now)
    assert [one.told for one in await office.post()] == [(ANNA, "CANCEL", 2), (BEN, "REQUEST", 1)]
    moved = START + timedelta(days=5)
    async with office.desk.database.transaction() as connection:
        await reschedule(connection, task, office.desk.clock.now, starts_at=moved, due_at=None)
    assert [one.told for one in await office.post()] == [(ADA, "REQUEST", 2), (BEN, "REQUEST", 2)]
    async with office.desk.database.transaction() as connection:
        await reschedule(connection, task, office.desk.clock.now, starts_at=None, due_at=moved)
    assert [one.told for one in await office.post()] == [(ADA, "CANCEL", 3), (BEN, "CANCEL", 3)]


async def test_a_call_that_took_place_is_not_called_off_afterwards(office: Office) -> None:
    task = await office.book()
    await office.post()
    [row] = await office.desk.rows("SELECT starts_at FROM tasks")
    office.desk.clock.now = row["starts_at"] + timedelta(minutes=20)
    await complete_task(office.desk.database, task, "reached", by=ANNA)
    await office.desk.upkeep.run_once()
    assert {kind for (kind,) in await office.rows("kind")} == {"invitation"}


async def test_a_customer_who_wants_no_mail_gets_none_and_their_csm_still_does(office: Office) -> None:
    async with office.desk.database.transaction() as connection:
        await suppress(connection, "email", hash_address("email", ADA), "complaint", office.desk.clock.now)
    await office.book()
    assert [one.to for one in await office.post()] == [ANNA]
    assert ("customer", "skipped", "complaint") in await office.rows("recipient, state, error")


# Trying again


async def test_what_could_not_be_sent_is_sent_later_once(database_url: str) -> None:
    async with open_office(database_url, "451_at_rcpt", "451_at_rcpt", "451_at_rcpt") as office:
        await office.book()
        assert await office.post() == []
        assert await office.rows("state, attempts, error") == [("waiting", 1, "smtp 451")] * 2
        assert await office.post(timedelta(seconds=59)) == []
        assert [one.to for one in await office.post(timedelta(seconds=1))] != []
        await office.post(timedelta(minutes=5))
        assert [state for (state,) in await office.rows("state")] == ["sent", "sent"]
        assert sorted(one.recipients[0] for one in office.smtp.accepted) == [ADA, ANNA]


async def test_what_nobody_can_take_is_given_up_and_stays_visible(database_url: str) -> None:
    async with open_office(database_url, "550_at_rcpt", "451_at_rcpt") as office:
        await office.book()
        await office.post()
        states = dict(await office.rows("state, error"))
        assert set(states) == {"failed", "waiting"}
        assert states["failed"].startswith("smtp 550")


async def test_a_mail_whose_sender_died_is_sent_by_somebody_else(office: Office) -> None:
    await office.book()
    await office.desk.upkeep.run_once()

    class Died(BaseException):
        pass

    async def die(_: object) -> None:
        raise Died

    dying = Notices(office.desk.opening, office.notices._channel, "")
    dying._channel = type("Dying", (), {"send": staticmethod(die)})()
    with pytest.raises(Died):
        await dying.run_once()
    taken = sum(attempts for (attempts,) in await office.rows("attempts"))
    assert taken >= 1
    await office.post()
    assert len(await office.post(LEASE)) + office.read >= 2
    assert sorted(one.recipients[0] for one in office.smtp.accepted) == [ADA, ANNA]


async def test_an_appointment_that_changed_meanwhile_is_not_announced(office: Office) -> None:
    await office.book()
    await office.desk.upkeep.run_once()
    await office.book(6)
    letters = await office.post()
    assert [one.told for one in letters] == [(ADA, "REQUEST", 2), (ANNA, "REQUEST", 2)]
    assert [state for (state,) in await office.rows("state")] == ["skipped", "skipped", "sent", "sent"]


def test_moments_are_written_as_people_say_them() -> None:
    from zoneinfo import ZoneInfo

    from rules.invitation import write_moment

    at = datetime.fromisoformat("2026-03-03T09:00Z")
    assert write_moment(at, ZoneInfo("Europe/Berlin")) == "Tuesday, 3 March at 10:00"
