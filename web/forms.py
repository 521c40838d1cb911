"""What our own forms post: urlencoded fields, few and short."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import cast
from urllib.parse import parse_qsl, urlencode

from fastapi import Request
from fastapi.responses import RedirectResponse

from rules.zones import instant_at, zone_or_default
from schemas.errors import InputError

LARGEST_BYTES = 64 * 1024
LONGEST_TOLD = 500


async def read_form(request: Request, *, most: int = 20) -> dict[str, str]:
    """The fields of a posted form, at most `most`, the last of each name. Raises InputError for anything else."""
    body = await _read(request)
    try:
        fields = dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=most, errors="strict")
        )
    except ValueError:
        raise InputError("The form can't be read.", remedy="Open the page again.") from None
    if any("\x00" in value for value in fields.values()):
        raise InputError("The form holds a character that can't be stored.", remedy="Remove it.")
    return fields


async def read_form_lists(request: Request, *, most: int = 500) -> dict[str, list[str]]:
    """The same with all values of each name, in their order."""
    await read_form(request, most=most)
    fields: dict[str, list[str]] = {}
    for name, value in parse_qsl(
        (await _read(request)).decode("ascii"), keep_blank_values=True, max_num_fields=most, errors="strict"
    ):
        fields.setdefault(name, []).append(value)
    return fields


def read_local(written: str, zone: str) -> datetime | None:
    """A moment as browsers write it, by the clock of `zone`; None where nothing stands there. Raises InputError."""
    if not (written := written.strip()):
        return None
    try:
        at = datetime.fromisoformat(written)
        return instant_at(at.replace(tzinfo=None), zone_or_default(None, zone))
    except (ValueError, OverflowError):
        raise InputError("That time can't be read.", remedy="Write it like 2026-03-02T09:30.") from None


def answer_form(
    path: str, told: str, *, refused: bool = False, query: Mapping[str, str | list[str]] | None = None
) -> RedirectResponse:
    """To the page at `path`, which tells what came of a form, or why it was refused. `query` is the page's own.

    See Other: the browser gets the page anew, and loading it again posts nothing.
    """
    said = {"refused" if refused else "told": told.strip()[:LONGEST_TOLD]}
    return RedirectResponse(f"{path}?{urlencode({**said, **(query or {})}, doseq=True)}", status_code=303)


async def _read(request: Request) -> bytes:
    # Whoever checks the form's token reads it first, and the handler once more.
    if not hasattr(request.state, "form"):
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BYTES:
                raise InputError("The form is too large.", remedy="Shorten the notes.")
        request.state.form = body
    return cast(bytes, request.state.form)
