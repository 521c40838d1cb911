"""Text that comes from customers, made safe for one-line places: subjects, names, titles, headers."""

from __future__ import annotations

import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header

# C0 and C1 controls, the Unicode line and paragraph separators, and marks that turn the direction of writing
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_CONTROLS_BUT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ENCODED_WORD = re.compile(r"=\?[^?\s]*\?[bqBQ]\?[^?]*\?=")
_LAYERS = 5


def clean_line(text: str) -> str:
    """One line without control characters, in which nothing is an RFC 2047 encoded word.

    An encoded word is decoded first, then cleaned like the rest: e-mail libraries decode what they are
    given, and a line break hidden inside (`=?utf-8?q?hi=0ABcc:…?=`) would begin a header of its own.
    """
    line = _strip(text)
    for _ in range(_LAYERS):
        if not _ENCODED_WORD.search(line):
            break
        line = _strip(_ENCODED_WORD.sub(lambda word: _decode(word.group()), line))
    return line.replace("=?", "= ?")


def clean_text(text: str) -> str:
    """Text of several lines with `\\n` line ends, without other control characters but tabs."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return _CONTROLS_BUT_LINES.sub("", _repair(lines))


def _strip(text: str) -> str:
    return " ".join(_CONTROLS.sub(" ", _repair(text)).split())


def _repair(text: str) -> str:
    """Lone surrogates can't be sent; they become the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _decode(word: str) -> str:
    try:
        return str(make_header(decode_header(word)))
    except (HeaderParseError, LookupError, ValueError):
        return word.replace("=?", "= ?")
