"""Mails as bytes: what a reader gets is what was written, in lines that every server takes."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.header import clean_line, clean_text
from channels.mail import build_mail
from channels.mime import LONGEST_LINE, write_body, write_header
from channels.outcome import OutgoingMessage

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
SENDER = ("Ada at Holdfast", "ada@holdfast.example")
LINK = "https://holdfast.example/u/" + "x" * 300
TEXTS = {
    "plain": "Hello Grace,\n\n.\n.a dot above\n",
    "accents": "Grüße, Ärger über 100 €.\n" * 30,
    "japanese": "こんにちは、グレースさん。\n" * 30,
    "a long line": "word " * 400,
    "a long line with accents": "wörd " * 400,
    "trailing spaces": "a \nb\t\n\n",
    "what looks encoded": "=E2=82=AC = 5\n",
    "empty": "",
}


def build(text: str, html: str | None = None, **changes: str) -> bytes:
    fields = {"delivery_id": "d-1", "recipient": "grace@example.com", "subject": "Hello", **changes}
    message = OutgoingMessage(text=text, html=html, unsubscribe_url=LINK, **fields)  # type: ignore[arg-type]
    return build_mail(message, sender=SENDER, recipient=fields["recipient"], now=NOW, provider="smtp")


def read(data: bytes) -> EmailMessage:
    return cast("EmailMessage", message_from_bytes(data, policy=default))


def content(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    told: str = part.get_content()
    return told.replace("\r\n", "\n").removesuffix("\n")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_is_read_as_it_was_written_with_and_without_html(text: str) -> None:
    assert content(read(build(text)), "plain") == text.removesuffix("\n")
    both = read(build(text, f"<p>{text}</p>"))
    assert both.get_content_type() == "multipart/alternative"
    assert content(both, "plain") == text.removesuffix("\n")
    assert content(both, "html") == f"<p>{text}</p>"


@given(st.text(max_size=300), st.text(max_size=300))
def test_whatever_is_written_arrives_and_no_line_is_too_long(text: str, html: str) -> None:
    data = build(text, html)
    mail = read(data)
    assert content(mail, "plain") == clean_text(text).removesuffix("\n")
    assert content(mail, "html") == clean_text(html).removesuffix("\n")
    assert data.isascii()
    assert all(
        len(line) <= LONGEST_LINE and b"\r" not in line and b"\n" not in line for line in data.split(b"\r\n")
    )


@given(st.text(max_size=200))
def test_a_subject_is_one_header_of_short_lines_whatever_is_in_it(subject: str) -> None:
    if not clean_line(subject):
        return
    head, _, _ = build("Hello", subject=subject).partition(b"\r\n\r\n")
    mail = read(head + b"\r\n\r\n")
    assert mail.keys() == [
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Holdfast-Delivery", "List-Unsubscribe",
        "List-Unsubscribe-Post", "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    ]  # fmt: skip
    lines = head.split(b"\r\n")
    written = lines[2 : lines.index(next(line for line in lines if line.startswith(b"Date: ")))]
    assert all(len(line) <= 78 or b" " not in line.strip() for line in written)


def test_what_machines_read_stays_in_one_piece() -> None:
    assert f"List-Unsubscribe: <{LINK}>\r\n".encode() in build("Hello")


def test_a_name_with_accents_and_commas_is_one_sender() -> None:
    message = OutgoingMessage(delivery_id="d-1", recipient="grace@example.com", subject="Hello", text="Hello")
    name = 'Müller, "Ada"'
    data = build_mail(
        message, sender=(name, SENDER[1]), recipient="grace@example.com", now=NOW, provider="smtp"
    )
    [sender] = read(data)["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (name, SENDER[1])


def test_the_same_mail_is_the_same_bytes_and_no_text_can_end_a_part() -> None:
    assert build("Hello", "<p>Hello</p>") == build("Hello", "<p>Hello</p>")
    [boundary] = {part for part in write_body("a", "b", "d-1").split(b'"') if part.startswith(b"=_")}
    closing = f"--{boundary.decode()}--"
    mail = read(build(closing, "<p>the rest</p>"))
    assert (content(mail, "plain"), content(mail, "html")) == (closing, "<p>the rest</p>")


@pytest.mark.parametrize("value", ["a\r\nBcc: e@x.example", "a\nb", "a\x00b"])
def test_a_header_with_a_line_break_is_never_written_as_one(value: str) -> None:
    try:
        written = write_header("Subject", value)
    except ValueError:
        return
    assert b"\r\n" not in written.removesuffix(b"\r\n").replace(b"\r\n ", b"")
