"""If-Match and If-None-Match of requests that change something: only what their sender has seen may be changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response

from schemas.errors import HoldfastError, InputError

_TAG = re.compile(r'(W/)?"([!#-~\x80-\xff]*)"')
_LONGEST = 2000


class PreconditionError(HoldfastError):
    """What is to be changed isn't what If-Match or If-None-Match says; `headers` have the ETag that it has now."""

    code = "HF331"
    remedy = "Read it again, take over what is meant, and send the ETag of that answer as If-Match."

    def __init__(self, message: str, tag: str | None, *, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.headers = {} if tag is None else {"ETag": quote(tag)}


@dataclass(frozen=True)
class _Asked:
    """One of both headers: any state that there is (`*`), or one of these tags; `weak` are those marked with W/."""

    anything: bool
    tags: frozenset[str]
    weak: frozenset[str]


@dataclass(frozen=True)
class Preconditions:
    """What a request says of the state that it wants to change."""

    match: _Asked | None = None
    none_match: _Asked | None = None

    @property
    def asked(self) -> bool:
        """Whether it says anything at all."""
        return self.match is not None or self.none_match is not None

    def check(self, what: str, tag: str | None) -> None:
        """`tag` is that of the present state of `what`, None where it isn't there. Raises PreconditionError."""
        match, none_match = self.match, self.none_match
        if match is not None and tag is None:
            raise PreconditionError(
                f"{what} isn't there, and If-Match says that it is.",
                tag,
                remedy="Leave If-Match out, or send `If-None-Match: *`, for something new.",
            )
        if match is not None and tag in match.weak and tag not in match.tags:
            raise PreconditionError(
                "If-Match has a weak ETag (W/), which says nothing of what may be changed.",
                tag,
                remedy="Send it without W/: something on the way, such as a proxy that compresses, has put it there.",
            )
        if match is not None and not match.anything and tag not in match.tags:
            raise PreconditionError(f"{what} isn't as If-Match says any more.", tag)
        if none_match is None or tag is None:
            return
        if none_match.anything or tag in none_match.tags | none_match.weak:
            raise PreconditionError(
                f"{what} is there already, and If-None-Match says that it isn't.",
                tag,
                remedy="To change what is there, send its ETag as If-Match.",
            )


def quote(tag: str) -> str:
    """As ETag and If-Match write it."""
    return f'"{tag}"'


def tag_answer(response: Response, tag: str) -> None:
    """Give the answer an ETag of its own, not that of its bytes."""
    response.headers["ETag"] = quote(tag)


def read_preconditions(match: Sequence[str], none_match: Sequence[str]) -> Preconditions:
    """From all headers of that name. Raises InputError."""
    return Preconditions(_read("If-Match", match), _read("If-None-Match", none_match))


def _read(name: str, written: Sequence[str]) -> _Asked | None:
    given = ",".join(written).strip(" \t,")
    if not written:
        return None
    if given == "*":
        return _Asked(True, frozenset(), frozenset())
    found = _TAG.findall(given)
    rest = _TAG.sub("", given)
    if len(given) > _LONGEST or not found or rest.strip(" \t,"):
        raise InputError(
            f"{name} holds no ETag.",
            remedy=f'Send it as it came, with its quotes, as in {name}: "5a0d.12", or `*` for whatever is there.',
        )
    strong, weak = (
        frozenset(tag for mark, tag in found if bool(mark) is is_weak) for is_weak in (False, True)
    )
    return _Asked(False, strong, weak)


async def _preconditions(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(
            description='The ETag of what is to be changed, as in `"5a0d.12"`; `*`: it must be there. Else 412.'
        ),
    ] = None,
    if_none_match: Annotated[
        str | None, Header(description="`*`: it must not be there yet. Else 412.")
    ] = None,
) -> Preconditions:
    # Declared for the description; of several headers of one name the framework hands on only one.
    del if_match, if_none_match
    headers = request.headers
    return read_preconditions(headers.getlist("if-match"), headers.getlist("if-none-match"))


Conditions = Annotated[Preconditions, Depends(_preconditions)]
