"""Three-valued logic (Kleene's, as in SQL): True, False, and None for unknown."""

from __future__ import annotations

from collections.abc import Iterable

Truth = bool | None


def conjunction(results: Iterable[Truth]) -> Truth:
    """False if any is false, else unknown if any is unknown, else true (also of nothing)."""
    total: Truth = True
    for result in results:
        if result is False:
            return False
        if result is None:
            total = None
    return total


def disjunction(results: Iterable[Truth]) -> Truth:
    """True if any is true, else unknown if any is unknown, else false (also of nothing)."""
    return negation(conjunction(negation(result) for result in results))


def negation(result: Truth) -> Truth:
    """The opposite; the opposite of unknown is unknown."""
    return None if result is None else not result
