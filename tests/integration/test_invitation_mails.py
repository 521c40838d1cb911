"""An appointment in an e-mail, by every provider: to be shown as an invitation, and as a file."""

from __future__ import annotations

import base64
from dataclasses import replace
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

import pytest
from icalendar import Calendar

from channels.outcome import CalendarFile, Receipt
from channels.settings import parse_smtp_url
from channels.smtp import SmtpChannel
from tests.integration.provider_desk import SENDER, make_mail, open_provider
from tests.standins.smtp import SmtpStandIn

CONTENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//t//t//EN\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:a@holdfast\r\n"
    "DTSTAMP:20260302T090000Z\r\nDTSTART:20260303T090000Z\r\nSUMMARY:Gespräch mit Zoë\r\nEND:VEVENT\r\n"
    "END:VCALENDAR\r\n"
).encode()
INVITED = make_mail(calendar=CalendarFile("REQUEST", CONTENT))


def check_mime(mail: EmailMessage, html: bool = True) -> None:
    """What a mail program finds."""
    assert mail.get_content_type() == "multipart/mixed"
    choice, file = mail.iter_parts()
    kinds = [part.get_content_type() for part in choice.iter_parts()]
    assert kinds == ["text/plain", *(["text/html"] if html else []), "text/calendar"]
    *_, shown = choice.iter_parts()
    assert shown.get_param("method") == "REQUEST"
    assert shown.get_payload(decode=True) == file.get_payload(decode=True) == CONTENT
    assert (file.get_filename(), file.get_content_disposition()) == ("call.ics", "attachment")
    assert str(Calendar.from_ical(CONTENT).walk("VEVENT")[0]["SUMMARY"]) == "Gespräch mit Zoë"


@pytest.mark.parametrize("html", [True, False])
async def test_by_smtp(html: bool) -> None:
    async with SmtpStandIn() as server:
        channel = SmtpChannel(parse_smtp_url(server.url), sender=SENDER)
        await channel.send(INVITED if html else replace(INVITED, html=None))
        await channel.close()
        [taken] = server.accepted
    mail = BytesParser(policy=policy.default).parsebytes(taken.data)
    assert mail.get_body(("plain",)).get_content().strip() == "Two days are left."
    check_mime(mail, html)


async def test_by_ses(tmp_path: Path) -> None:
    async with open_provider("ses", tmp_path) as desk:
        await desk.channel.send(INVITED)
        [taken] = desk.server.accepted
    check_mime(BytesParser(policy=policy.default).parsebytes(taken.content["mail"].as_bytes()))


async def test_by_sendgrid_which_wants_the_method_in_the_content_and_not_in_the_file(tmp_path: Path) -> None:
    async with open_provider("sendgrid", tmp_path) as desk:
        receipt = await desk.channel.send(INVITED)
        [taken] = desk.server.accepted
    assert receipt == Receipt("sendgrid", taken.id)
    *texts, shown = taken.content["content"]
    assert [part["type"] for part in texts] == ["text/plain", "text/html"]
    assert shown == {"type": "text/calendar; method=REQUEST", "value": CONTENT.decode()}
    [file] = taken.content["attachments"]
    assert (file["type"], file["filename"], file["disposition"]) == (
        "application/ics",
        "call.ics",
        "attachment",
    )
    assert base64.b64decode(file["content"]) == CONTENT


async def test_by_resend(tmp_path: Path) -> None:
    async with open_provider("resend", tmp_path) as desk:
        await desk.channel.send(INVITED)
        [taken] = desk.server.accepted
    [file] = taken.content["attachments"]
    assert (file["filename"], file["content_type"]) == (
        "call.ics", "text/calendar; charset=utf-8; method=REQUEST",
    )  # fmt: skip
    assert base64.b64decode(file["content"]) == CONTENT
