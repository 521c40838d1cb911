"""What a preview of a bulk start said of whom: carried by its form, and compared with what is so at the start."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.errors import InputError
from store.bulk_entries import ENTERED, EntryPreview

_ID_BYTES = 16


@dataclass(frozen=True)
class Drift:
    """What became otherwise between a preview and the start: who came, who went, and of those who stayed who would
    enter now though they weren't to. `gone` are our ids, all else is as it is now.
    """

    came: Sequence[EntryPreview]
    gone: Sequence[str]
    entering: Sequence[EntryPreview]

    @property
    def grew(self) -> bool:
        """Whether more would be started than whoever looked has seen."""
        return bool(self.came or self.entering)


def compare(seen: Mapping[str, str], now: Sequence[EntryPreview]) -> Drift:
    """`seen` are the reasons that a preview showed, by our ids of customers."""
    there = {one.customer_id for one in now}
    return Drift(
        [one for one in now if one.customer_id not in seen],
        [id_ for id_ in seen if id_ not in there],
        [one for one in now if one.enters and seen.get(one.customer_id, ENTERED) != ENTERED],
    )


def write_seen(previews: Sequence[EntryPreview]) -> str:
    """The reason of each, in 22 characters a customer, so that a form can carry thousands."""
    by_reason: dict[str, list[bytes]] = {}
    for one in previews:
        by_reason.setdefault(one.reason, []).append(uuid.UUID(one.customer_id).bytes)
    return "*".join(
        f"{reason}.{base64.urlsafe_b64encode(b''.join(ids)).decode().rstrip('=')}"
        for reason, ids in by_reason.items()
    )


def read_seen(written: str) -> dict[str, str]:
    """Reasons by our ids, as `write_seen` wrote them; nothing of nothing. Raises InputError."""
    seen: dict[str, str] = {}
    for group in written.split("*") if written else ():
        reason, _, packed = group.partition(".")
        try:
            ids = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            ids = b"?"
        if not re.fullmatch(r"[a-z_]{1,40}", reason) or not ids or len(ids) % _ID_BYTES:
            raise InputError("The form isn't whole.", remedy="Look at the preview again, then start.")
        for at in range(0, len(ids), _ID_BYTES):
            seen[str(uuid.UUID(bytes=ids[at : at + _ID_BYTES]))] = reason
    return seen
