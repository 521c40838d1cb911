"""`POST /codec/decode` and `/codec/encode`: Temporal's codec server protocol, so that its UI and CLI can show payloads.

The UI's page in the browser asks here, from another origin: only the UI's own (HOLDFAST_TEMPORAL_UI) is answered, and
only whoever may see our pages, too: who is signed in, the holder of an API key, or where pages or the codec are open
(HOLDFAST_CODEC), this machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import APIRouter, Response
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from starlette.requests import ClientDisconnect, Request
from temporalio.api.common.v1 import Payload, Payloads

from schemas.errors import HoldfastError, InputError, SettingError
from web.access import LOOPBACK, check_machine
from web.edge import Edge, EdgeHere, reader_of
from web.problems import Forbidden, explain, respond
from workflows.payloads import PayloadSealing, make_sealing

router = APIRouter(tags=["codec"], include_in_schema=False)
# A page of a history is decoded in one request; Temporal takes no payload of more than 2 MB.
LARGEST_BODY_BYTES = 32 * 1024 * 1024
PREFLIGHT_SECONDS = 600


@router.options("/codec/{verb}")
async def allow(request: Request, edge: EdgeHere) -> Response:
    """What a browser asks before it lets the UI's page ask: 204 for that page, 403 for every other."""
    origin = request.headers.get("origin", "")
    if not _is_ui(edge, origin):
        return respond(explain(_refusal(edge)))
    return Response(
        status_code=204,
        headers=_cors(origin)
        | {
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "authorization, content-type, x-namespace",
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        },
    )


@router.post("/codec/decode")
async def decode(request: Request, edge: EdgeHere) -> Response:
    """Payloads opened; what no key of ours opens comes back as it is, so that it doesn't hide the others."""

    def open_it(sealing: PayloadSealing, payload: Payload) -> Payload:
        try:
            return sealing.open(payload)
        except SettingError:
            return payload

    return await _answer(request, edge, open_it)


@router.post("/codec/encode")
async def encode(request: Request, edge: EdgeHere) -> Response:
    """Payloads sealed, as a workflow that the UI starts or signals needs them."""
    return await _answer(request, edge, lambda sealing, payload: sealing.seal(payload))


async def _answer(
    request: Request, edge: Edge, change: Callable[[PayloadSealing, Payload], Payload]
) -> Response:
    origin = request.headers.get("origin")
    if origin is not None and not _is_ui(edge, origin):
        return respond(explain(_refusal(edge)))
    cors = _cors(origin) if origin is not None else {}
    try:
        if edge.settings.codec_open:
            check_machine(request)
        else:
            await reader_of(request)
        body = await _read(request)
        text = await asyncio.to_thread(_change_all, make_sealing(edge.shared), body, change)
    except ClientDisconnect:
        return Response(status_code=400)
    except HoldfastError as error:
        # Without these headers the browser would hide the reason from the UI.
        return respond(explain(error), cors)
    return Response(text, media_type="application/json", headers=cors)


def _change_all(
    sealing: PayloadSealing, body: bytes, change: Callable[[PayloadSealing, Payload], Payload]
) -> str:
    try:
        given = Parse(body, Payloads(), ignore_unknown_fields=True)
    except (ParseError, UnicodeDecodeError, RecursionError):
        # The parser's own words quote the body.
        raise InputError("The body isn't Temporal's Payloads in JSON.", remedy=_PROTOCOL) from None
    return MessageToJson(
        Payloads(payloads=[change(sealing, payload) for payload in given.payloads]), indent=None
    )


_PROTOCOL = 'Send {"payloads": [{"metadata": {"encoding": BASE64}, "data": BASE64}]}.'


async def _read(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY_BYTES:
            raise InputError(
                f"The body is larger than {LARGEST_BODY_BYTES // 1024 // 1024} MB.",
                remedy="Send fewer payloads.",
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _is_ui(edge: Edge, origin: str) -> bool:
    """Whether it is the UI's page that asks; on one's own machine under any of that machine's names."""
    if edge.settings.temporal_ui is None:
        return False
    ui = urlsplit(edge.settings.temporal_ui)
    hosts = LOOPBACK if edge.settings.codec_open and ui.hostname in LOOPBACK else (ui.hostname or "",)
    # Browsers leave out what a scheme implies.
    port = "" if ui.port in (None, {"http": 80, "https": 443}.get(ui.scheme)) else f":{ui.port}"
    return origin in [f"{ui.scheme}://{f'[{host}]' if ':' in host else host}{port}" for host in hosts]


def _refusal(edge: Edge) -> Forbidden:
    return Forbidden(
        "Only Temporal's UI is answered here.",
        remedy="Set HOLDFAST_TEMPORAL_UI to the address under which browsers open it."
        if edge.settings.temporal_ui is None
        else f"Open it at {edge.settings.temporal_ui}.",
    )


def _cors(origin: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        # The UI may be told to send what the browser knows of our login.
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin",
    }
