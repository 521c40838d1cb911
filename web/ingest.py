"""`POST /v1/…`: Segment's HTTP tracking API, so that its clients work unchanged with our address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from schemas import tracing
from schemas.metrics import INGESTED
from store.shared_time import SharedTime
from web.access import check_granted, of_key
from web.gathering import Gatherer
from web.keys import KeyRing, read_authorization
from web.limits import Limits
from web.problems import explain, respond
from web.segment import KINDS, read_calls
from web.segment_body import (
    LARGEST_BODY_BYTES,
    BodyTooLargeError,
    decompress,
    find_write_keys,
    read_batch,
    read_single,
)

# Of a body that is too large so much is read before the connection is closed.
MOST_UNKEPT_BYTES = 8 * 1024 * 1024

_ACCEPTED, _REJECTED = INGESTED.labels("accepted"), INGESTED.labels("rejected")
_PLAIN = [(b"content-type", b"application/json")]


class Ingest:
    """One endpoint of the tracking API as a bare ASGI application: at its rates each layer counts.

    Answers 200 only after the commit; a call that can't be taken becomes a dead letter with its reason and
    never fails the others. 401 without a good key, 403 for one that may not send events, 413 over 500 KB, 429 over the
    limit of events, 400 when no call can be made out, 503 while the database is away.
    """

    def __init__(
        self, gatherer: Gatherer, keys: KeyRing, time: SharedTime, limits: Limits, kind: str | None
    ) -> None:
        self._limits = limits
        self._gatherer = gatherer
        self._keys = keys
        self._time = time
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            body = msgspec.json.encode(await self._take(Request(scope, receive)))
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a problem
            # Of a body that is too large the rest isn't read.
            headers: Mapping[str, str] | None = getattr(error, "headers", None)
            if isinstance(error, BodyTooLargeError):
                headers = {"Connection": "close"}
            await respond(explain(error), headers)(scope, receive, send)
            return
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*_PLAIN, length]})
        await send({"type": "http.response.body", "body": body})

    async def _take(self, request: Request) -> dict[str, object]:
        headers = request.headers
        shown = read_authorization(headers.get("authorization"))
        source = await self._identify(shown) if shown else None
        received_at = await self._time.read()
        raw = decompress(await _read(request), headers.get("content-encoding", "").strip().lower())
        if source is None:
            source = await self._identify(*find_write_keys(raw))
        body = read_single(raw) if self._kind else read_batch(raw)
        self._limits.take_events(source, len(body.calls))
        events, dead = read_calls(body, kind=self._kind, source=source, received_at=received_at)
        if trace := tracing.traceparent():
            events = [replace(event, traceparent=trace) for event in events]
        refused = await self._gatherer.take(events, dead)
        accepted, rejected = len(events) - refused, len(dead) + refused
        _ACCEPTED.inc(accepted)
        _REJECTED.inc(rejected)
        return {"success": True, "accepted": accepted, "rejected": rejected}

    async def _identify(self, *offered: str | None) -> str:
        """The name of the key that is shown. Raises NoKeyError, and NotGrantedError where it may not send events."""
        principal = of_key(await self._keys.find(*offered))
        check_granted(principal, "ingest")
        return principal.name


def endpoints(gatherer: Gatherer, keys: KeyRing, time: SharedTime, limits: Limits) -> dict[str, Ingest]:
    """Path to endpoint: `/v1/batch` and one for each kind of call."""
    kinds: dict[str, str | None] = {"batch": None} | {kind: kind for kind in KINDS}
    return {f"/v1/{name}": Ingest(gatherer, keys, time, limits, kind) for name, kind in kinds.items()}


async def _read(request: Request) -> bytes:
    """The body. One that is too large is read on for a while: clients send first and listen then."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_UNKEPT_BYTES:
            break
        if size <= LARGEST_BODY_BYTES:
            chunks.append(chunk)
    if size > LARGEST_BODY_BYTES:
        raise BodyTooLargeError
    return b"".join(chunks)
