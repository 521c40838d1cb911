"""As much HTTP/1.1 as stand-ins need: they answer wrongly on purpose, which servers proper don't."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit


class ConnectionCut(Exception):  # noqa: N818
    """Say nothing more, and hang up."""


@dataclass
class Request:
    """One request; `form` is its body read as a form, `body` as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]
    body: bytes = b""


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request on a connection; IncompleteReadError at its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    form = read_form(body.decode()) if "form" in headers.get("content-type", "") else {}
    return Request(method, url.path, read_form(url.query), headers, form, body)


def respond(status: int, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_form(text: str) -> dict[str, str]:
    """The first value of each field."""
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
