"""Asking the sinks, which stand in for providers on one's own machine, to report on a message."""

from __future__ import annotations

import json
from urllib.parse import quote

import httpx

from channels.http_client import Exchange, HttpClient, UnreadableAnswerError


async def ask_for_report(sinks_url: str, delivery_id: str, kind: str, text: str = "") -> str:
    """Have them report `kind` of this delivery, signed, as its provider would; what came of it, in words."""
    client = HttpClient()
    try:
        answer = await client.request(
            "POST",
            f"{sinks_url}/control/deliveries/{quote(delivery_id, safe='')}/reports",
            Exchange(),
            content=json.dumps({"kind": kind, "text": text}).encode(),
            headers={"Content-Type": "application/json"},
        )
    except (httpx.HTTPError, OSError, TimeoutError, UnreadableAnswerError) as error:
        return f"The sinks don't answer: {type(error).__name__}."
    finally:
        await client.close()
    if answer.status == httpx.codes.OK:
        return f"Reported: {kind}."
    try:
        return str(json.loads(answer.body)["detail"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"The report was answered with {answer.status}."
