"""`POST /hooks/{source}`: requests of other systems, verified, kept, acknowledged; worked on afterwards."""

from __future__ import annotations

from datetime import timedelta
from xml.sax.saxutils import escape

from fastapi import APIRouter, Response
from starlette.requests import ClientDisconnect, Request

from channels.hook_sources import HookRequest
from channels.reports.twilio import read as read_twilio
from channels.signatures.refusal import SignatureError, WrongSignatureError
from rules.keywords import read_keyword
from schemas.errors import EventError, HoldfastError, InputError, NotFoundError
from store.addresses import hash_address
from store.database import Connection
from store.hooks import store_request
from store.inbound_messages import said_since
from store.playbooks import load_policy
from web.edge import Edge, EdgeHere
from web.problems import explain, respond

# Each sender has rules of its own: docs/hooks.md.
router = APIRouter(include_in_schema=False)
LARGEST_BODY_BYTES = 1024 * 1024
TWIML = "text/xml"
# Two programs that answer each other end here.
HELP_AGAIN = timedelta(hours=1)


class HookTooLargeError(HoldfastError):
    """The request's body is larger than 1 MB."""

    code = "HF155"
    remedy = "Have the sender make smaller batches."


@router.post("/hooks/{source}")
async def take(request: Request, edge: EdgeHere, source: str) -> Response:
    """200 once the request is stored, also if it came before. 401 or 403 without a good signature, 404 for a source
    that isn't set up, 413 over 1 MB, 503 while the database is away.
    """
    checks = edge.hooks.get(source)
    if checks is None:
        raise NotFoundError(
            "There is no such source here.", remedy="Set its secret; docs/hooks.md says how each is called."
        )
    try:
        body = await _read(request)
    except ClientDisconnect:
        return Response(status_code=400)
    except HookTooLargeError as error:
        told = explain(error).model_copy(update={"status": 413, "title": "Content Too Large"})
        return respond(told, {"Connection": "close"})
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = request.scope.get("query_string", b"").decode("latin-1")
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
    hook = HookRequest(body, headers, query)
    try:
        request_id = await checks.verify(hook, now)
    except SignatureError as error:
        return _refuse(source, error)
    except HoldfastError:
        raise
    except Exception:  # noqa: BLE001 - whatever a forger makes a check trip over, it isn't signed
        return _refuse(source, SignatureError())
    async with edge.database.transaction() as connection:
        fresh = await store_request(
            connection, source=source, request_id=request_id, body=body,
            content_type=headers.get("content-type", ""), query=query, now=now,
        )  # fmt: skip
        answer = await _answer(connection, edge, source, hook) if fresh else ""
    edge.hook_bell.ring()
    if source == "twilio":
        return Response(f"<Response>{answer}</Response>", media_type=TWIML)
    return Response('{"success":true}', media_type="application/json")


def _refuse(source: str, error: SignatureError) -> Response:
    # What a signature of Twilio's doesn't cover was changed on the way; elsewhere the caller isn't known at all.
    status = 403 if source == "twilio" and isinstance(error, WrongSignatureError) else 401
    problem = explain(error)
    title = "Forbidden" if status == 403 else "Unauthorized"
    return respond(problem.model_copy(update={"status": status, "title": title}))


async def _answer(connection: Connection, edge: Edge, source: str, hook: HookRequest) -> str:
    """What somebody who asks for HELP is told, once an hour, where we are to and Twilio doesn't; else nothing."""
    if source != "twilio" or not edge.help_text:
        return ""
    now = await edge.database.clock.read(connection)
    try:
        messages = read_twilio(hook.body, hook.query, now).messages
    except EventError:
        return ""
    more = (await load_policy(connection)).keywords if messages else {}
    for message in messages:
        if message.answered_as or read_keyword(message.text, more) != "help":
            continue
        hashed = hash_address(message.channel, message.address)
        if not await said_since(connection, message.channel, hashed, "help", now - HELP_AGAIN):
            return f"<Message>{escape(edge.help_text)}</Message>"
    return ""


async def _read(request: Request) -> bytes:
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise InputError("The body is compressed.", remedy="Send it as it is: signatures are made over that.")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY_BYTES:
            raise HookTooLargeError
        chunks.append(chunk)
    return b"".join(chunks)
