"""Headers and bodies of e-mails as RFC 5322, 2045 and 2047 want them on the wire, with CRLF line ends.

Python's own generator builds a tree and takes 3 ms for what is always of the same two shapes; it folds and encodes only
the headers here that need that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from email.headerregistry import Address
from email.policy import SMTP

# What may follow a header's name on a line of its own as it is.
_PLAIN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/?^_`{|}~-]+)*@[A-Za-z0-9.-]+")
LONGEST_LINE = 998
_READABLE_LINE = 78
_FOLDED = SMTP.clone(cte_type="7bit")
_UNFOLDED = SMTP.clone(cte_type="7bit", max_line_length=LONGEST_LINE)
# Text of which more than this share isn't ASCII is shorter as base64.
_BASE64_SHARE = 1 / 6


def write_header(name: str, value: str | Address, *, machine: bool = False) -> bytes:
    """One header, its line end included. Raises ValueError where it can't be written.

    What people read is folded at 78 characters; what machines read (`machine`) stays in one piece of up to 998: Python
    turns a List-Unsubscribe longer than 78 characters into an encoded word, which no mail client understands, and with
    998 for all, encoded words of a subject would outgrow RFC 2047's 75.
    """
    if isinstance(value, str) and _PLAIN.fullmatch(value) and "=?" not in value:
        longest = LONGEST_LINE if machine else _READABLE_LINE
        if len(name) + 2 + len(value) <= longest:
            return f"{name}: {value}\r\n".encode("ascii")
    policy = _UNFOLDED if machine else _FOLDED
    _, header = policy.header_store_parse(name, value)
    return policy.fold_binary(name, header)


def write_recipient(address: str) -> bytes:
    """The To header of one address."""
    if _DOT_ATOM.fullmatch(address):
        return write_header("To", address)
    return write_header("To", Address(addr_spec=address))


def write_body(text: str, html: str | None, seed: str) -> bytes:
    """The headers of the content, a blank line and the content: one text, or text and HTML to choose from.

    Line ends in `text` and `html` are `\\n`; `seed` makes the boundary between them, the same for the same mail.
    """
    if html is None:
        return _write_part("plain", text, b"MIME-Version: 1.0\r\n")
    first, second, boundary = (
        _write_part("plain", text),
        _write_part("html", html),
        _choose_boundary(seed, text, html),
    )
    return b"".join(
        (
            b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="', boundary, b'"\r\n\r\n--', boundary,
            b"\r\n", first, b"\r\n--", boundary, b"\r\n", second, b"\r\n--", boundary, b"--\r\n",
        )
    )  # fmt: skip


def _write_part(subtype: str, text: str, more: bytes = b"") -> bytes:
    encoding, content = _encode(text if text.endswith("\n") else text + "\n")
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n'
    return b"".join((head.encode("ascii"), more, b"\r\n", content))


def _encode(text: str) -> tuple[str, bytes]:
    lines = text.replace("\n", "\r\n").encode()
    if text.isascii() and max(map(len, text.split("\n"))) <= LONGEST_LINE:
        return "7bit", lines
    beyond = len(lines) - len(lines.decode().encode("ascii", "ignore"))
    if beyond > len(lines) * _BASE64_SHARE:
        return "base64", base64.encodebytes(lines).replace(b"\n", b"\r\n")
    return "quoted-printable", binascii.b2a_qp(lines)


def _choose_boundary(seed: str, *texts: str) -> bytes:
    for turn in range(100):
        boundary = f"=_{hashlib.sha256(f'{turn}/{seed}'.encode()).hexdigest()[:32]}"
        if not any(boundary in text for text in texts):
            return boundary.encode("ascii")
    raise ValueError("no boundary is free")
