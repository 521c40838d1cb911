"""A health model as data: what `playbooks/health/NAME.yaml` is compiled to, and `scoring.health` carries out.

Every factor comes to a share from 0 (worst) to 1 (best); its weight says how many of the 100 points of the score it
is worth to a customer of one segment. The formulas of the two models that ship are those of the product's facts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from schemas.condition import AllOf, AnyOf, Condition, EventCount, NoneOf
from schemas.frozen import Frozen

RiskLevel = Literal["healthy", "at_risk", "critical"]
Segment = Literal["new_user", "established", "power_user"]
RISK_LEVELS: tuple[RiskLevel, ...] = ("healthy", "at_risk", "critical")
SEGMENTS: tuple[Segment, ...] = ("new_user", "established", "power_user")
# In `weights`, whoever's segment has no row of its own.
EVERYONE = "everyone"
# The model that scores where the policy names none.
DEFAULT_MODEL = "segment-weighted"
# As far back as daily scores are read.
LONGEST_TREND_DAYS = 30


class Missing(Frozen):
    """What stands in for a signal that is missing or of the wrong type.

    `counts_as`: a value of the signal; `gives`: what the factor comes to; with neither the factor is left out, and the
    others count for more.
    """

    counts_as: float | None = None
    gives: float | None = None


class Linear(Frozen):
    """0 at `worst`, 1 at `best`, in a straight line between them and held beyond them; `best` may be the smaller."""

    kind: Literal["linear"] = "linear"
    signal: str
    worst: float
    best: float


class Step(Frozen):
    """Below `below` (in the signal's unit) the factor comes to `gives` of the `out_of`."""

    below: float
    gives: float


class Steps(Frozen):
    """The first step that the signal is below, in order, else `rest`; each is a part of `out_of`."""

    kind: Literal["steps"] = "steps"
    signal: str
    steps: tuple[Step, ...]
    rest: float = 0.0
    out_of: float = 1.0


class Decay(Frozen):
    """1 up to `full`, from there half as much after every `half_life`, both in the signal's unit."""

    kind: Literal["decay"] = "decay"
    signal: str
    full: float = 0.0
    half_life: float


class Share(Frozen):
    """`signal` as a share of the signal `whole`, held to 0–1; `without` where the whole is missing or not above 0."""

    kind: Literal["share_of"] = "share_of"
    signal: str
    whole: str
    without: float = 0.0


class Values(Frozen):
    """What each value of a text comes to; `rest` for all others."""

    kind: Literal["values"] = "values"
    signal: str
    values: dict[str, float]
    rest: float = 0.0


class InUse(Frozen):
    """How many of these number signals are above 0, as a share of all of them."""

    kind: Literal["in_use"] = "in_use"
    signals: tuple[str, ...]


class Constant(Frozen):
    """Always the same, for a factor of which only `when` is asked."""

    kind: Literal["gives"] = "gives"
    share: float


Shape = Annotated[
    Linear | Steps | Decay | Share | Values | InUse | Constant,
    Field(discriminator="kind"),
]


class Factor(Frozen):
    """One factor: its shape, held between `at_least` and `at_most`; `otherwise` where its `when` doesn't hold."""

    name: str
    about: str = ""
    shape: Shape
    at_least: float = 0.0
    at_most: float = 1.0
    missing: Missing = Missing()
    when: AllOf | None = None
    otherwise: float = 0.0

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals of its shape."""
        match self.shape:
            case InUse(signals=names):
                return names
            case Share(signal=name, whole=whole):
                return (name, whole)
            case Constant():
                return ()
            case shape:
                return (shape.signal,)


class Bands(Frozen):
    """The lowest whole score that is healthy, and the lowest that is at risk; whatever is below is critical."""

    healthy: int
    at_risk: int


class Trend(Frozen):
    """A change of up to `stable_within` points, and a slope of up to `stable_slope` points a day, are stable.

    The slope is taken through the daily scores of `days` days, today included, if there are `least_scores` of them: a
    slope through fewer says more about the weekend than about the customer.
    """

    stable_within: float = 5.0
    stable_slope: float = 1.0
    days: int = LONGEST_TREND_DAYS
    least_scores: int = 7


class Override(Frozen):
    """Where `when` holds, the score is at most or at least so much, and the risk is `risk` whatever the score."""

    when: AllOf
    about: str = ""
    at_most: int | None = None
    at_least: int | None = None
    risk: RiskLevel | None = None


Row = dict[str, float]


def _signals_of(node: Condition) -> Iterator[str]:
    match node:
        case AllOf() | AnyOf() | NoneOf():
            for item in node.items:
                yield from _signals_of(item)
        case EventCount():
            return
        case _:
            yield node.signal


class HealthModel(Frozen):
    """A whole model. `weights` are points of 100 by segment (or `everyone`) and factor; `plans` has rows that a plan's
    customers have instead. `shown` says what breakdowns tell of a factor: its share, or its points.

    `minimum_coverage` (0–1) is the least share of the weights whose signals must be known for there to be a score.
    """

    name: str
    about: str = ""
    shown: Literal["shares", "points"] = "shares"
    factors: tuple[Factor, ...]
    weights: dict[str, Row]
    plans: dict[str, dict[str, Row]] = {}
    bands: Bands
    trend: Trend = Trend()
    minimum_coverage: float = 0.0
    overrides: tuple[Override, ...] = ()

    @cached_property
    def signals(self) -> frozenset[str]:
        """Every signal that it looks at."""
        asked = [factor.when for factor in self.factors] + [override.when for override in self.overrides]
        named = {name for factor in self.factors for name in factor.signals}
        named |= {name for condition in asked if condition is not None for name in _signals_of(condition)}
        return frozenset({*named, "segment", "account_age_days", *(["plan"] if self.plans else [])})

    @cached_property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all that the model says.

        The order of keys says nothing: the database, which keeps models, doesn't keep it.
        """
        said = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def risk_of(self, score: int) -> RiskLevel:
        """The band that a whole score lies in."""
        if score >= self.bands.healthy:
            return "healthy"
        return "at_risk" if score >= self.bands.at_risk else "critical"
