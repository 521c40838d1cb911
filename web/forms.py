"""What our own forms post: urlencoded fields, few and short."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from schemas.errors import InputError

LARGEST_BYTES = 64 * 1024


async def read_form(request: Request, *, most: int = 20) -> dict[str, str]:
    """The fields of a posted form, at most `most`, the last of each name. Raises InputError for anything else."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BYTES:
            raise InputError("The form is too large.", remedy="Shorten the notes.")
    try:
        fields = dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=most, errors="strict")
        )
    except ValueError:
        raise InputError("The form can't be read.", remedy="Open the page again.") from None
    if any("\x00" in value for value in fields.values()):
        raise InputError("The form holds a character that can't be stored.", remedy="Remove it.")
    return fields
