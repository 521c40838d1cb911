"""A body in Segment's format, taken apart into calls, so that a bad one can't spoil the others."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import msgspec

from schemas.errors import EventError, InputError

LARGEST_BODY_BYTES = 500 * 1024
LARGEST_CALL_BYTES = 32 * 1024
# So many of the shortest calls that mean anything don't fit into a body.
MOST_CALLS = 20_000


class BodyTooLargeError(InputError):
    """The request's body is larger than 500 KB."""

    code = "HF145"
    remedy = "Send smaller batches; 500 KB after decompression is the limit."


@dataclass(frozen=True, slots=True)
class Body:
    """The calls of one request as they were written, and what was said about all of them."""

    calls: Sequence[bytes]
    sent_at: datetime | None = None


class _Envelope(msgspec.Struct):
    batch: list[msgspec.Raw]
    # Whatever stands here must not spoil the batch, so it is looked at on its own.
    sentAt: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815 - as written on the wire


class _Single(msgspec.Struct):
    sentAt: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815


_envelope = msgspec.json.Decoder(_Envelope)
_single = msgspec.json.Decoder(_Single)
_text = msgspec.json.Decoder(str)
# A text that nobody ends reaches to the end of the body, and is looked through once.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|(?P<unended>\\?\Z))|[{}\[\],:]', re.DOTALL)
_MARK = re.compile(rb"[{}\[\],:]")
_WRITE_KEY = re.compile(rb'("writeKey"\s*:\s*")([^"\\]*)')
_OPENING = {b"}": b"{", b"]": b"["}
_SEND = 'Send {"batch": [call, …]}.'
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decompress(body: bytes, encoding: str) -> bytes:
    """`body` without its Content-Encoding (none, identity or gzip), at most 500 KB of it.

    Raises BodyTooLargeError, and InputError for another encoding or broken gzip. A bomb is refused at the
    limit.
    """
    if encoding in ("", "identity"):
        if len(body) > LARGEST_BODY_BYTES:
            raise BodyTooLargeError
        return body
    if encoding != "gzip":
        raise InputError(
            f"Content-Encoding {encoding!r} isn't understood.", remedy="Send gzip, or no encoding."
        )
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(body, LARGEST_BODY_BYTES + 1)
    except zlib.error as error:
        raise InputError(
            f"The body is no gzip: {error}.", remedy="Send gzip, or no Content-Encoding."
        ) from None
    if len(plain) > LARGEST_BODY_BYTES:
        raise BodyTooLargeError
    if not inflate.eof:
        raise InputError("The gzip body ends too early.", remedy="Send the whole body.")
    return plain


def read_batch(body: bytes) -> Body:
    """The calls of a `/v1/batch` body.

    JSON that is broken inside one call is cut at the commas between calls, so that the others can be read.
    Raises EventError when there is no `batch` to be found, BodyTooLargeError where it has too many.
    """
    try:
        envelope = _envelope.decode(body)
    except msgspec.ValidationError as error:
        raise EventError(f"The body isn't a batch: {error}.", remedy=_SEND) from None
    except _UNREADABLE:
        return _split(body)
    _check_number(envelope.batch)
    return Body([bytes(call) for call in envelope.batch], _instant(envelope.sentAt))


def read_single(body: bytes) -> Body:
    """The one call that the body of `/v1/track` and its like is; it may be unreadable itself."""
    try:
        single = _single.decode(body)
    except _UNREADABLE:
        return Body([body])
    return Body([body], _instant(single.sentAt))


def find_write_keys(body: bytes) -> list[str]:
    """The first few values of `writeKey`, without reading the body: that is done only for a good key."""
    return [match.group(2).decode("utf-8", "replace") for match in islice(_WRITE_KEY.finditer(body), 3)]


def without_key(call: bytes) -> bytes:
    """`call` as it may be kept for people to look at: the write key that it may hold is left out."""
    return _WRITE_KEY.sub(rb"\1", call)


def _split(body: bytes) -> Body:
    """Cut a broken batch by its brackets and commas alone.

    Brackets that don't fit belong to a broken call: a closing one closes what was opened inside that call, or
    nothing.
    """
    opened: list[bytes] = []
    # Where in `opened` each kind stands, so that nothing has to be searched: a body can be half a million
    # brackets.
    places: dict[bytes, list[int]] = {b"{": [], b"[": []}
    calls: list[bytes] = []
    members: dict[bytes, bytes] = {}
    key, start = b"", -1
    for token in _find_tokens(body):
        mark = token.group()
        in_batch = key == b'"batch"' and opened[1:2] == [b"["]
        if mark in b"{[":
            places[mark].append(len(opened))
            opened.append(mark)
            if len(opened) == 2 and key == b'"batch"' and mark == b"[":
                start = token.end()
        elif mark in b"}]":
            partner = places[_OPENING[mark]]
            if partner and partner[-1] >= (2 if in_batch else 0):
                floor = partner[-1]
                while len(opened) > floor:
                    places[opened.pop()].pop()
            elif in_batch and mark == b"]" and len(opened) == 2:
                calls.append(body[start : token.start()])
                places[opened.pop()].pop()
                key, start = b"", -1
            if not opened:
                break
        elif mark == b"," and in_batch and len(opened) == 2:
            calls.append(body[start : token.start()])
            start = token.end()
        elif len(opened) == 1:
            if mark == b":":
                start = token.end()
            elif mark == b",":
                key, start = b"", -1
            elif start < 0:
                key = mark
            else:
                members.setdefault(key, mark)
    if key == b'"batch"' and opened[1:2] == [b"["]:
        calls.append(body[start:])  # the body ends inside the batch: what is left is one broken call
    elif not calls:
        raise EventError("The body is not JSON with a batch in it.", remedy=_SEND)
    _check_number(calls)
    return Body(
        [call for call in map(bytes.strip, calls) if call],
        _instant(msgspec.Raw(members.get(b'"sentAt"', b"null"))),
    )


def _check_number(calls: Sequence[object]) -> None:
    if len(calls) > MOST_CALLS:
        raise BodyTooLargeError(f"A batch has at most {MOST_CALLS:,} calls.")


def _find_tokens(body: bytes) -> Iterator[re.Match[bytes]]:
    """Texts, brackets, commas and colons in their order; of a quote that nobody closes nothing is a text."""
    for token in _TOKEN.finditer(body):
        if token["unended"] is not None:
            yield from _MARK.finditer(body, token.start() + 1)
            return
        yield token


def _instant(raw: msgspec.Raw) -> datetime | None:
    """When the sender says it sent this; without a readable moment its clock just isn't corrected."""
    try:
        return read_instant(_text.decode(raw))
    except (*_UNREADABLE, ValueError):
        return None


def read_instant(value: str) -> datetime:
    """An ISO 8601 moment in UTC; without a zone it is UTC. Raises ValueError."""
    try:
        at = datetime.fromisoformat(value.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error
