"""How a run leaves its course: for good, into a fresh execution, or on at a later step."""

from __future__ import annotations

from schemas.run import Interruption


class Leaving(Exception):  # noqa: N818 - it is no error
    """Every lane of the run leaves its steps."""


class Ended(Leaving):
    """The run is over before its steps are."""

    def __init__(self, interruption: Interruption) -> None:
        self.interruption = interruption


class Continued(Leaving):
    """The run goes on in a fresh history: this one has become long."""


class Migrated(Leaving):
    """The run goes on with another version of its playbook."""

    def __init__(self, to_version: str) -> None:
        self.to_version = to_version


class Jump(Exception):  # noqa: N818 - it is no error
    """Go on at a later step of this or an enclosing list."""

    def __init__(self, step: str) -> None:
        self.step = step
