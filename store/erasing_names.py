"""What a customer is called in rows of anybody's, as a pattern to look for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from store.addresses import ADDRESS_TRAITS, address_of, hashes_of
from store.customers import Customer


@dataclass(frozen=True)
class Names:
    """What a customer is called in rows of anybody's: a pattern for PostgreSQL, our id, and hashes of addresses."""

    pattern: str
    customer_id: str
    hashes: tuple[str, ...]


def names_of(customer: Customer, earlier: Iterable[str] = (), hashes: Iterable[str] = ()) -> Names:
    """The caller's id, mail addresses and numbers; what people are called is shared by too many to go by it.

    `earlier` are addresses that they had once, `hashes` those of addresses that were written to.
    """
    quoted = _escape(customer.external_id)
    # A short id stands in too many places for something else.
    bounded = (
        f'"{quoted}"' if len(customer.external_id) < 4 else f"(^|[^A-Za-z0-9_-]){quoted}($|[^A-Za-z0-9_-])"
    )
    patterns = [bounded]
    addresses = {channel: address_of(channel, customer.profile) for channel in ADDRESS_TRAITS}
    written = {address for channel, address in addresses.items() if address and channel != "push"}
    for address in sorted({*written, *earlier}):
        patterns += [_escape(address), _escape(quote(address, safe=""))]
        digits = re.sub(r"\D", "", address)
        if "@" not in address and len(digits) >= 7:
            patterns.append(digits)
    known = {one for channel, address in addresses.items() if address for one in hashes_of(channel, address)}
    pattern = "|".join(f"({one})" for one in dict.fromkeys(patterns))
    return Names(pattern, customer.id, tuple(sorted({*known, *hashes})))


def _escape(literal: str) -> str:
    return re.sub(r"([^A-Za-z0-9\s\u0080-\U0010ffff])", r"\\\1", literal)
