"""The links in messages: signed by us, they say who may do what without signing in."""

from __future__ import annotations

from schemas.errors import NotFoundError, UnavailableError
from schemas.link_token import LinkKey, LinkToken, Purpose
from web.edge import Edge


def link_key(edge: Edge) -> LinkKey:
    """What this process signs links with. Raises UnavailableError where it has no secret."""
    if edge.shared.secret_key is None:
        raise UnavailableError(
            "This can't be done here just now.",
            remedy="Try again later, or answer the message and say what you want.",
        )
    return LinkKey(edge.shared.secret_key)


def read_link(edge: Edge, written: str, purpose: Purpose) -> LinkToken:
    """What a link of this purpose says. Raises NotFoundError, UnavailableError."""
    token = link_key(edge).read(written, purpose)
    if token is None:
        raise NotFoundError(
            "This link is not complete, or it isn't ours.",
            remedy="Copy the whole link from the message, or answer the message and say what you want.",
        )
    return token
