"""How a signal follows from events, traits or other signals: one typed model, exactly one form.

Windows count whole UTC days: `days: 30` is today and the 29 days before it.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.condition import Scalar
from schemas.frozen import Frozen

EventNames = tuple[str, ...]


class Total(Frozen):
    """How many `events` ever, less `minus`; `amount` names a property that says how many one event stands
    for.

    Only events whose properties equal `where` count. Arrival order doesn't matter, so the number can be below
    0 for a moment when a `minus` event overtakes its partner.
    """

    events: EventNames = Field(min_length=1)
    minus: EventNames = ()
    amount: str | None = None
    where: dict[str, Scalar] = Field(default_factory=dict)


class Latest(Frozen):
    """When the last of `events` happened."""

    events: EventNames = Field(min_length=1)


class FromProperty(Frozen):
    """The latest value of the event's property `name`; with `among`, other values change nothing."""

    event: str
    name: str
    among: tuple[str, ...] = ()


class Count(Frozen):
    """How many `events` in the last `days`; for a boolean signal, whether there was any."""

    events: EventNames = Field(min_length=1)
    days: int = Field(gt=0, le=366)


class DaysWith(Frozen):
    """On how many of the last `days` at least one of `events` happened."""

    events: EventNames = Field(min_length=1)
    days: int = Field(gt=0, le=366)


class Mean(Frozen):
    """The mean of the event's measure over the last `days`; events without the measure are left out."""

    event: str
    days: int = Field(gt=0, le=366)


class Distinct(Frozen):
    """How many different details (features, clients) in the last `days`, each on at least `at_least_days` of
    them.

    `core` counts only the core features.
    """

    event: str
    days: int = Field(gt=0, le=366)
    at_least_days: int = Field(default=1, gt=0)
    core: bool = False


class Recent(Frozen):
    """The `keep` details used last within `days`, the latest first (within one day, by name)."""

    event: str
    days: int = Field(gt=0, le=366)
    keep: int = Field(gt=0, le=50)


class DropPercent(Frozen):
    """By how many per cent `events` of the last `days` fall short of the `days` before; missing if those had
    none.
    """

    events: EventNames = Field(min_length=1)
    days: int = Field(gt=0, le=183)


Model = Literal["segment", "health", "churn"]


class Derivation(Frozen):
    """Exactly one form. `trait` lists the names under which an identify call may bring the value;

    `age_of` is the whole days since a time signal; `constant` maps an event to the value that it sets;
    `model` is one of the models in `scoring`.
    """

    total: Total | None = None
    latest: Latest | None = None
    from_property: FromProperty | None = Field(default=None, alias="property")
    trait: tuple[str, ...] | None = None
    constant: dict[str, Scalar] | None = None
    age_of: str | None = None
    count: Count | None = None
    days_with: DaysWith | None = None
    mean: Mean | None = None
    distinct: Distinct | None = None
    recent: Recent | None = None
    drop_percent: DropPercent | None = None
    model: Model | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("a derivation has exactly one form; list several under `derive` as items")
        return self

    @property
    def form(self) -> str:
        """The name of the form in use."""
        return next(iter(self.model_fields_set))

    @property
    def stored(self) -> bool:
        """Whether the value moves with each event and is stored, rather than worked out at a moment."""
        return self.form in {"total", "latest", "from_property", "trait", "constant"}

    def events(self) -> tuple[str, ...]:
        """The events that this derivation reads (identify and group calls aside)."""
        part = getattr(self, self.form)
        if self.form == "constant":
            return tuple(part)
        if isinstance(part, Frozen):
            names = getattr(part, "events", None) or (part.event,)  # type: ignore[attr-defined]
            return (*names, *getattr(part, "minus", ()))
        return ()

    def days(self) -> int:
        """How many days back the derivation looks at daily tallies; 0 if it doesn't."""
        if self.drop_percent:
            return 2 * self.drop_percent.days
        return int(getattr(getattr(self, self.form), "days", 0))
