"""What governs every message and entry (`playbooks/policy.yaml`); what is left out doesn't govern."""

from __future__ import annotations

from typing import Literal

from schemas.frozen import Frozen
from schemas.health_model import DEFAULT_MODEL


class Cap(Frozen):
    """At most `times` in any rolling window of `seconds`."""

    times: int
    seconds: int


class WorkingHours(Frozen):
    """When the team works: ISO weekdays (1 Monday) and minutes of the day, in the default zone."""

    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5)
    between: tuple[int, int] = (9 * 60, 17 * 60)


class Policy(Frozen):
    """The rules over all playbooks. `quiet_hours` are minutes of the day in the customer's zone, may cross midnight.

    `caps` maps `total` or a channel to a cap on messages; `entries` caps playbooks entered per customer;
    `consent` maps a channel to whether silence means yes; a denial always wins. `health_model` names what scores.
    """

    default_zone: str = "UTC"
    quiet_hours: tuple[int, int] | None = None
    critical_in_quiet_hours: bool = False
    caps: dict[str, Cap] = {}
    entries: Cap | None = None
    consent: dict[str, Literal["assumed", "required"]] = {}
    topics: tuple[str, ...] = ()
    holdout_percent: float = 0.0
    working_hours: WorkingHours | None = None
    costs: dict[str, float] = {}
    health_model: str = DEFAULT_MODEL
