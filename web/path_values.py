"""What stands in a path in place of a name or an id: text that PostgreSQL can hold, whatever the route."""

from __future__ import annotations

from fastapi import Request

from schemas.errors import InputError


async def check_path(request: Request) -> None:
    """A dependency: raises InputError where a path's name or id holds a NUL, as nothing is called so."""
    if any(isinstance(value, str) and "\x00" in value for value in request.path_params.values()):
        raise InputError(
            "The path holds a character that no name and no id has (%00).", remedy="Leave it out."
        )
