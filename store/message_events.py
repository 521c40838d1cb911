"""Events that our own messages bring about, which runs can wait for like any other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schemas.incoming import IncomingEvent, Mover
from store.customers import load_customers
from store.database import Connection
from store.intake import take_within

SOURCE = "holdfast"


async def tell_event(
    connection: Connection,
    customer_id: str,
    name: str,
    *,
    key: str,
    at: datetime,
    now: datetime,
    properties: Mapping[str, Any],
    move: Mover,
) -> bool:
    """Put an event of ours among the customer's, in the caller's transaction; False if `key` was told before, or there
    is no such customer any more. What is empty in `properties` is left out.
    """
    customer = (await load_customers(connection, [customer_id])).get(customer_id)
    if customer is None:
        return False
    given = {field: value for field, value in properties.items() if value not in (None, "")}
    event = IncomingEvent(SOURCE, f"{name}/{key}", customer.external_id, name, min(at, now), now, None, given)
    return bool(await take_within(connection, [event], move=move))
