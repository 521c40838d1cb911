"""How a run leaves its course: over before its steps are, or on at a later step."""

from __future__ import annotations

from schemas.run import Interruption


class Ended(Exception):  # noqa: N818 - it is no error
    """The run is over before its steps are."""

    def __init__(self, interruption: Interruption) -> None:
        self.interruption = interruption


class Jump(Exception):  # noqa: N818 - it is no error
    """Go on at a later step of this or an enclosing list."""

    def __init__(self, step: str) -> None:
        self.step = step
