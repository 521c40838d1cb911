"""Where somebody stands who wants to be let in, as limits see it and as the audit may tell it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from store.refused_sign_ins import is_told, record_refused
from store.sessions import Way
from store.sign_in_failures import Attempt, Subject, of_account, of_address
from web.client_address import address_of, network_of
from web.edge import Edge
from web.plain_words import name_browser


@dataclass(frozen=True)
class Place:
    """An address (of IPv6 the /64), and what is kept of it: its wider network, a keyed hash, the kind of browser."""

    address: str
    told: Mapping[str, str]


def place_of(request: Request, edge: Edge) -> Place:
    """Where a request comes from."""
    address = address_of(request, edge.settings.proxies)
    agent = request.headers.get("user-agent", "")
    # What a program calls itself may be anything.
    browser = name_browser(agent)
    told = {
        "network": network_of(address),
        "address_hash": hash_with_key(edge, "address", address),
        "browser": "another program" if browser == agent[:60] else browser,
    }
    return Place(address, told)


def account_subject(edge: Edge, email: str) -> Subject:
    """The account that somebody names, as its failures are counted."""
    return of_account(email, _shared_key(edge))


def address_subject(edge: Edge, place: Place, way: Way) -> Subject:
    """The place that somebody tries from, as its failures are counted."""
    return of_address(place.address, way, _shared_key(edge))


def _shared_key(edge: Edge) -> str:
    # Where processes share no key, what they count is shared all the same.
    return next(iter((edge.shared.secret_key or "").split()), "")


def hash_with_key(edge: Edge, purpose: str, text: str) -> str:
    """By this the same is known again, and nobody without our key can try out what it was."""
    key = (edge.shared.secret_key or edge.settings.process_secret).split()[0]
    said = f"audit {purpose} {text}".encode("utf-8", "surrogatepass")
    return hmac.new(key.encode(), said, hashlib.sha256).hexdigest()[:16]


async def note_refused(
    edge: Edge,
    place: Place,
    way: Way,
    attempt: Attempt,
    subject: Subject,
    *,
    person_id: str | None = None,
    named: str = "",
) -> None:
    """Have the audit tell of an attempt that failed, where it tells of one of this number (`is_told`)."""
    if not is_told(attempt.failures, subject.free):
        return
    after = {
        "way": way,
        **place.told,
        "failures": attempt.failures,
        "has_to_wait": attempt.failures > subject.free,
    }
    async with edge.database.transaction() as connection:
        await record_refused(connection, person_id, named or way, after)
