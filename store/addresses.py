"""Addresses: where a channel reaches a customer, what an address is remembered by, and whose it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.customers import PROFILE_TRAITS
from store.tables.customers import LAST_DIGITS

# Which trait of the profile a channel's address is.
ADDRESS_TRAITS = {
    "email": "email",
    "sms": "phone",
    "whatsapp": "phone",
    "push": "push_token",
    "voice": "phone",
}
_BY_NUMBER = ("sms", "whatsapp", "voice")
# What people put between the digits of a number.
_SEPARATORS = re.compile(r"[\s()./\u2010-\u2015-]+")


def address_of(channel: str, profile: Mapping[str, object]) -> str | None:
    """Where `channel` reaches the customer of this profile; None where nothing is known."""
    address = profile.get(ADDRESS_TRAITS.get(channel, ""))
    return address.strip() or None if isinstance(address, str) else None


def hash_address(channel: str, address: str) -> str:
    """What an address is remembered by when the address itself must not be.

    Mail addresses and numbers are the same in any spelling; a push token is another one in other letters.
    """
    if channel in _BY_NUMBER:
        address = _SEPARATORS.sub("", address.strip().removeprefix("tel:").replace("(0)", ""))
        # What is dialled before a country's code in most of the world.
        address = f"+{address[2:]}" if address.startswith("00") else address
    return hash_as_written(channel, address)


def hash_as_written(channel: str, address: str) -> str:
    """The same for an address in just this spelling, as it was remembered before numbers were brought into one form."""
    spelled = address.strip() if channel == "push" else address.strip().lower()
    return hashlib.sha256(f"{channel}:{spelled}".encode()).hexdigest()


def hashes_of(channel: str, address: str) -> tuple[str, ...]:
    """What this address is remembered by, and what earlier versions remembered it by."""
    return tuple(dict.fromkeys((hash_address(channel, address), hash_as_written(channel, address))))


def hashes_by_channel(profile: Mapping[str, object]) -> set[tuple[str, str]]:
    """(channel, hash) of all that the addresses in this profile are or were remembered by."""
    return {
        (channel, hashed)
        for channel, trait in ADDRESS_TRAITS.items()
        if isinstance(address := profile.get(trait), str) and address
        for hashed in hashes_of(channel, address)
    }


async def find_by_address(connection: AsyncConnection, channel: str, address: str) -> list[str]:
    """The ids of all customers whose address on this channel this is, however it is written."""
    trait = ADDRESS_TRAITS[channel]
    place = trait if trait in PROFILE_TRAITS else f"traits ->> '{trait}'"
    wanted = set(hashes_of(channel, address))
    # Numbers are written in many ways: the last digits find those that may be meant, their hash says whether they are.
    digits = "".join(letter for letter in address if letter.isdigit())
    narrow, values = f"lower(trim({place})) = lower(trim(:address))", {"address": address}
    if trait == "phone" and len(digits) >= 4:
        narrow = f"{LAST_DIGITS} = :ending"
        values = {"ending": digits[-4:]}
    rows = await connection.execute(
        text(f"SELECT id::text AS id, {place} AS address FROM customers WHERE {narrow} ORDER BY id"), values
    )
    return [row.id for row in rows if row.address and wanted & set(hashes_of(channel, row.address))]
