"""The content of an e-mail that holds an appointment: to be shown by mail programs, and as a file for all others.

Source: RFC 6047, section 2.4; the file beside it is for programs that show no calendars.
"""

from __future__ import annotations

import base64
import hashlib

from channels.outcome import CalendarFile

CALENDAR_FILE = "call.ics"


def write_invitation_body(text: str, html: str | None, calendar: CalendarFile, seed: str) -> bytes:
    """The headers of the content, a blank line and the content; `seed` makes the boundaries, the same for the same
    mail. Line ends in `text` and `html` are `\\n`.
    """
    texts = [("plain", text), *([("html", html)] if html is not None else [])]
    parts = [
        _write_part(f'text/{subtype}; charset="utf-8"', words.replace("\n", "\r\n").encode())
        for subtype, words in texts
    ]
    # Of alternatives the last is preferred by programs that can show it.
    kind = f'text/calendar; charset="utf-8"; method={calendar.method}'
    choice = _join("alternative", [*parts, _write_part(kind, calendar.content)], f"alternative/{seed}")
    disposition = f'Content-Disposition: attachment; filename="{CALENDAR_FILE}"\r\n'
    file = _write_part(f'application/ics; name="{CALENDAR_FILE}"', calendar.content, disposition)
    return b"MIME-Version: 1.0\r\n" + _join("mixed", [choice, file], f"mixed/{seed}")


def _write_part(kind: str, content: bytes, more: str = "") -> bytes:
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n{more}\r\n"
    return head.encode("ascii") + base64.encodebytes(content).replace(b"\n", b"\r\n")


def _join(subtype: str, parts: list[bytes], seed: str) -> bytes:
    # What is written in base64 can't hold a boundary: that has characters which base64 doesn't.
    boundary = f"=_{hashlib.sha256(seed.encode()).hexdigest()[:32]}"
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n'
    pieces = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return head.encode() + pieces + f"--{boundary}--\r\n".encode()
