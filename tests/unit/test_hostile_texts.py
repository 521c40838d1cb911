"""Texts made to be looked at for hours are looked at once: whoever may send or type some holds up nobody else."""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from types import FrameType

import pytest

from activities.line_up import hide_people
from channels.header import clean_line
from channels.reports.mail_reply import read_mail
from cli.schema import build_schemas
from schemas.errors import EventError
from schemas.log_lines import LogLines
from web.caret import find_caret
from web.completing import suggest
from web.plain_words import tell_template
from web.redacting import redact_text
from web.segment import read_call, read_calls
from web.segment_body import MOST_CALLS, BodyTooLargeError, _find_tokens, read_batch

SCHEMA = build_schemas()["playbook.schema.json"]
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
# Each takes some milliseconds, and took minutes or hours.
PATIENCE_SECONDS = 20


@contextmanager
def patience() -> Iterator[None]:
    def give_up(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError("it is still looked at")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_one(call: bytes) -> None:
    with pytest.raises(EventError):
        read_call(call, kind="track", source="api", received_at=NOW)


HOSTILE: dict[str, Callable[[], object]] = {
    "a batch of quotes": lambda: read_batch(b'{"batch":["' + b'\\"' * 245_000),
    "a batch of lines": lambda: read_batch(b'{"batch":["' + b'\\\n"' * 160_000),
    "a call of quotes": lambda: read_one(b'"' + b'\\"' * 16_000),
    "a call of lines": lambda: read_one(b'"' + b'\\\n"' * 10_000),
    "a dead letter of one word": lambda: redact_text("a" * 500_000),
    "a dead letter of numbers": lambda: redact_text("+1(1)" * 100_000),
    "a dead letter of signs": lambda: redact_text("@" * 500_000),
    "a name of beginnings of encoded words": lambda: clean_line("=?a?q? " * 30_000),
    "a log line of one word": lambda: LogLines({}).hide("a" * 300_000 + "@"),
    "a log line of half addresses": lambda: LogLines({}).hide("a@" + "a-" * 200_000),
    "what a provider said, in one word": lambda: hide_people("a" * 300_000),
    "an editor's text of open braces": lambda: find_caret("{\n" + "a\n" * 300_000, 300_001, 1),
    "an editor's line of dashes": lambda: suggest("- " * 50_000, 1, 100_001, SCHEMA, {}),
    "an editor's line of braces": lambda: suggest("a: {" + "b: [{" * 20_000, 1, 120_000, SCHEMA, {}),
    "a template of openings": lambda: tell_template("{{ " * 10_000),
}


@pytest.mark.parametrize("told", HOSTILE)
def test_a_text_that_is_made_to_take_hours_takes_none(told: str) -> None:
    with patience():
        HOSTILE[told]()


def test_what_is_told_of_the_calls_of_a_broken_batch_stays_the_same() -> None:
    slow = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)
    rng = random.Random(7)
    for _ in range(3000):
        body = bytes(rng.choices(b'"\\{}[],:a\n', k=rng.randrange(25)))
        assert [one.span() for one in _find_tokens(body)] == [one.span() for one in slow.finditer(body)], body


def test_a_batch_of_nothing_but_commas_makes_no_hundred_thousand_dead_letters() -> None:
    most = read_batch(b'{"batch":[' + b",".join([b"0"] * MOST_CALLS) + b"]}")
    _, dead = read_calls(most, kind=None, source="api", received_at=NOW)
    assert len(dead) == MOST_CALLS
    for end in (b"]}", b""):
        with pytest.raises(BodyTooLargeError, match="at most 20,000 calls"):
            read_batch(b'{"batch":[' + b",".join([b"0"] * (MOST_CALLS + 1)) + end)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("ada@example.com/bob@example.org", "…@……@…"),
        ("to ada.l+x@example.co.uk: no", "to …@…: no"),
        ("user@host, @x.y and a@b", "user@host, @x.y and a@b"),
        ("<ada@example.com>,<bob@example.com>", "<…@…>,<…@…>"),
    ],
)
def test_a_log_hides_addresses_however_they_stand_together(written: str, told: str) -> None:
    assert LogLines({}).hide(written) == told


def test_encoded_words_are_read_once_and_what_only_looks_like_one_is_broken_up() -> None:
    assert clean_line("=?utf-8?q?Ada=0ABcc:_eve?= there") == "Ada Bcc: eve there"
    assert "=?" not in clean_line("=?utf-8?q?a?b?=")
    assert "=?" not in clean_line("=?utf-8?q?=3D=3Futf-8=3Fq=3FAda=3F=3D?=")


HEADERS = {
    "a subject of encoded words": b"Subject: " + b"=?utf-8?q?a" * 60_000,
    "a sender of quotes": b"From: " + b'"' * 200_000,
    "a sender of parentheses": b"From: " + b"(" * 200_000,
    "a sender of encoded words": b"From: " + b"=?utf-8?q?a?= " * 50_000,
    "a type of many things": b"Content-Type: " + b";a=b" * 100_000,
    "a disposition of pieces": b"Content-Disposition: " + b"a;a*0=b" * 60_000,
    "an unknown header": b"X-Other: " + b"=?utf-8?q?a" * 60_000,
    "many parts": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\na\r\n" * 80_000,
}


@pytest.mark.parametrize("told", HEADERS)
def test_whoever_writes_to_us_holds_up_no_worker_by_what_stands_in_a_header(told: str) -> None:
    raw = b"Message-ID: <m@x>\r\n" + HEADERS[told] + b"\r\nIn-Reply-To: <d@y>\r\n\r\nSTOP"
    if not HEADERS[told].startswith(b"From"):
        raw = b"From: Ada <Ada@example.com>\r\n" + raw
    # From whom it comes can't be made out where it is that header.
    refused = pytest.raises(EventError) if told.startswith("a sender") else nullcontext()
    with patience(), refused:
        read = read_mail(raw, "ses", "id-1", NOW)
        assert read.address == "ada@example.com"
        assert "parts" in told or read.references == ("d@y",)


def test_what_stands_in_headers_is_still_read() -> None:
    raw = (
        b"From: =?utf-8?q?Ada_L=C3=B6?= <ada@example.com>\r\nSubject: =?utf-8?b?V2llZGVyIGRhIPCfkYs=?=\r\n"
        b"References: <a@x>\r\n <b@x>\r\nIn-Reply-To: <c@x>\r\nAuto-Submitted: auto-replied; x=y\r\n\r\n"
    )
    read = read_mail(raw, "ses", "id-1", NOW)
    assert (read.address, read.text, read.automatic) == ("ada@example.com", "Wieder da 👋", True)
    assert read.references == ("c@x", "a@x", "b@x")
    assert (
        read_mail(b"From: a@b.example\r\nSubject: Gr\xc3\xbc\xc3\x9fe\r\n\r\n", "p", "1", NOW).text == "Grüße"
    )
