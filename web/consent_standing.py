"""Where consent stands before it is declared anew: what the audit log tells of as it was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from store.contact import load_words
from store.database import Connection


async def read_standing(
    connection: Connection, customer_id: str, named: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    """Each (channel, topic) of `named` once, with its last word; `granted` is null where nothing was said of it."""
    words = await load_words(connection, customer_id)
    told = []
    for channel, topic in dict.fromkeys(named):
        word = words.get(f"{channel}:{topic}" if topic else channel)
        told.append(
            {
                "channel": channel,
                "topic": topic,
                "granted": word.granted if word else None,
                "at": word.at if word else None,
            }
        )
    return {"consents": told}
