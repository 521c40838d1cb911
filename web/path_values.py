"""What stands in a path in place of a name or an id: text that PostgreSQL can hold, whatever the route."""

from __future__ import annotations

from fastapi import Request

from schemas.errors import InputError


async def check_path(request: Request) -> None:
    """A dependency: raises InputError where a path holds a NUL, as nothing is called so, or a line feed.

    Routes take a line feed for the path's end: it would be an answer about somebody else.
    """
    path = request.scope["path"]
    if "\x00" in path or "\n" in path:
        written = "%00" if "\x00" in path else "%0A"
        raise InputError(
            f"The path holds a character that no name and no id can have there ({written}).",
            remedy="Leave it out.",
        )
