"""What to say of a name that isn't known: which one may be meant, and which there are."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.problem import join_words, nearest


def tell_known(name: str, known: Sequence[str]) -> str:
    """A sentence or two; with another case alone it is surely that one."""
    same = [one for one in known if one.lower() == name.lower()]
    close = same or nearest(name, known)
    meant = f"Did you mean {join_words(close)}? " if close else ""
    return f"{meant}There are: {', '.join(known)}."
