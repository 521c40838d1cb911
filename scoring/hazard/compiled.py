"""A hazard model made ready for one customer at a time: plain Python, some tens of microseconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from scoring.churning.conjunctions import Above, Conjunction
from scoring.churning.model import Effect, Pair
from scoring.churning.parts import Curve, Levels
from scoring.hazard.model import HazardModel
from scoring.hazard.outlook import HORIZONS, Outlook, Reason
from scoring.hazard.weeks import BILLING, DAYS, FAR_WEEKS, WEEKS, period_basis

# The conditional median is told, with 80 % of those who leave around it, where leaving is at least this likely.
LEAST_REACH = 0.05
QUANTILES = (0.1, 0.5, 0.9)
# Log-odds farther out than this tell nothing more.
FARTHEST = 60.0
DATE_DECIMALS = 6

Features = Mapping[str, float | str | None]
Basis = tuple[float, ...]


@lru_cache(maxsize=8)
def compile_model(model: HazardModel) -> CompiledModel:
    """The model compiled, once for each object."""
    return CompiledModel(model)


def weekly_odds(model: HazardModel) -> tuple[float, ...]:
    """exp(log-odds) of each of the 52 weeks for somebody average who doesn't renew in it."""
    found = model.calibration
    period = period_basis(np.arange(FAR_WEEKS)) @ np.array(model.period)
    return tuple(
        math.exp(max(-FARTHEST, min(FARTHEST, found.shift + found.slope * (model.intercept + one))))
        for one in period.tolist()
    )


class CompiledModel:
    """What `outlook` needs of a model, worked out beforehand."""

    def __init__(self, model: HazardModel) -> None:
        slope = model.calibration.slope
        self.base = model.base
        self.slope, self.fade = slope, model.calibration.fade
        self.odds = weekly_odds(model)
        self.sources = model.sources
        self._effects = tuple((effect.part.column, _compile_effect(effect)) for effect in model.effects)
        self._pairs = tuple(_compile_pair(pair) for pair in model.pairs)
        self._rules = tuple(
            (rule.weight * (1.0 - rule.support), -rule.weight * rule.support, _compile_rule(rule.conjunction))
            for rule in model.rules
        )
        renewals = model.renewals
        self._renewal = slope * renewals.weight, None
        self._by_billing = {one.billing: (slope * one.weight, one.every_days) for one in renewals.by_billing}
        self._billings = tuple(one.billing for one in renewals.by_billing)

    def outlook(self, features: Features, renewal_days: float | None) -> Outlook:
        """See `curve.outlook`."""
        added = self.add(features)
        index = sum(added)
        effects = [self.slope * one for one in added]
        weight, due = self._renew(features, renewal_days)
        effects.append(weight if 0 in due else 0.0)
        alive = self._survive(index, weight, due)
        reasons = [Reason(source, effect) for source, effect in zip(self.sources, effects, strict=True)]
        reasons.sort(key=_size)
        expected = _find_days(alive)
        return Outlook(
            within=(
                _within(alive, HORIZONS[0]), _within(alive, HORIZONS[1]), _within(alive, HORIZONS[2])
            ),
            score=self.base + sum(effects),
            base=self.base,
            reasons=tuple(reasons),
            earliest=expected[0],
            expected=expected[1],
            latest=expected[2],
        )  # fmt: skip

    def add(self, features: Features) -> list[float]:
        """What each source but the renewal adds, not calibrated."""
        added: list[float] = []
        bases: list[Basis] = []
        for name, effect in self._effects:
            value, basis = effect(features.get(name))
            added.append(value)
            bases.append(basis)
        for first, second, corner, ones, twos, products in self._pairs:
            left, right = bases[first], bases[second]
            total = corner
            for weight, two in zip(twos, right):  # noqa: B905 - of one length by construction
                total += weight * two
            for weight, one, row in zip(ones, left, products):  # noqa: B905
                inner = weight
                for product, two in zip(row, right):  # noqa: B905
                    inner += product * two
                total += one * inner
            half = 0.5 * total
            added[first] += half
            added[second] += half
        for holding, failing, rule in self._rules:
            added.append(holding if rule(features) else failing)
        return added

    def weekly(
        self, features: Features, renewal_days: float | None, days: float
    ) -> tuple[list[tuple[float, float]], list[list[float]]]:
        """Of each week up to `days`: the hazard and the part of the week that counts; and which renewals fall in it,
        any and by billing period.
        """
        weight, due = self._renew(features, renewal_days)
        alive = self._survive(sum(self.add(features)), weight, due)
        count = min(FAR_WEEKS, math.ceil(days / DAYS))
        shares = [
            (1.0 - alive[week + 1] / alive[week] if alive[week] > 0 else 1.0, min(1.0, days / DAYS - week))
            for week in range(count)
        ]
        billing = features.get(BILLING)
        renewing = [
            [float(week in due), *(float(week in due and billing == one) for one in self._billings)]
            for week in range(count)
        ]
        return shares, renewing

    def _renew(self, features: Features, renewal_days: float | None) -> tuple[float, frozenset[int]]:
        """What a renewal adds, and the weeks in which one falls."""
        billing = features.get(BILLING)
        weight, every = (self._by_billing.get(billing) if isinstance(billing, str) else None) or self._renewal
        if renewal_days is None or not 0 <= renewal_days < math.inf:
            return weight, frozenset()
        due, time, last = [], 0, DAYS * FAR_WEEKS
        while (day := renewal_days + (time * every if every else 0.0)) < last:
            due.append(int(day // DAYS))
            time += 1
            if not every:
                break
        return weight, frozenset(due)

    def _survive(self, index: float, weight: float, due: frozenset[int]) -> list[float]:
        """The share that is still there at the beginning of each of 53 weeks."""
        factor = math.exp(max(-FARTHEST, min(FARTHEST, self.slope * index)))
        step = math.exp(max(-FARTHEST, min(FARTHEST, self.fade * index)) / (WEEKS - 1))
        renewing = math.exp(max(-FARTHEST, min(FARTHEST, weight)))
        share = 1.0
        alive = [share]
        for week, odds in enumerate(self.odds):
            here = odds * factor
            if week in due:
                here *= renewing
            share /= 1.0 + here
            alive.append(share)
            if week < WEEKS - 1:
                factor *= step
        return alive


def _within(alive: list[float], days: int) -> float:
    week, rest = divmod(days, DAYS)
    share = alive[week]
    if rest:
        share *= (alive[week + 1] / share) ** (rest / DAYS) if share > 0 else 1.0
    return 1.0 - share


def _find_days(alive: list[float]) -> tuple[float, float, float] | tuple[None, None, None]:
    """The quantiles of the day of leaving, among those who leave within 52 weeks."""
    reach = 1.0 - alive[-1]
    if reach < LEAST_REACH:
        return None, None, None
    found = []
    week = 0
    for quantile in QUANTILES:
        target = 1.0 - quantile * reach
        while alive[week + 1] > target and week < FAR_WEEKS - 1:
            week += 1
        part = math.log(alive[week] / target) / math.log(alive[week] / alive[week + 1])
        found.append(round(DAYS * (week + part), DATE_DECIMALS))
    return found[0], found[1], found[2]


def _size(reason: Reason) -> float:
    return -abs(reason.effect)


def _compile_effect(effect: Effect) -> Callable[[float | str | None], tuple[float, Basis]]:
    if isinstance(effect.part, Curve):
        return _compile_curve(effect, effect.part)
    return _compile_levels(effect, effect.part)


def _compile_curve(effect: Effect, part: Curve) -> Callable[[float | str | None], tuple[float, Basis]]:
    """See `parts.spline`, whose every step this takes in the same order."""
    low, high, constant = part.low, part.high, effect.constant
    width = high - low
    first, *bends = effect.weights
    none = sum(weight * mean for weight, mean in zip(effect.weights, part.means, strict=True)) + constant
    missing = (none if effect.missing is None else effect.missing, part.means)
    if len(part.knots) < 3:

        def read_line(value: float | str | None) -> tuple[float, Basis]:
            if value is None or isinstance(value, str) or value != value:
                return missing
            x = (min(max(value, low), high) - low) / width
            return first * x + constant, (x,)

        return read_line

    last, before = part.knots[-1], part.knots[-2]
    rest = tuple(
        (knot, (last - knot) / (last - before), weight)
        for knot, weight in zip(part.knots[:-2], bends, strict=True)
    )

    def read_curve(value: float | str | None) -> tuple[float, Basis]:
        if value is None or isinstance(value, str) or value != value:
            return missing
        x = (min(max(value, low), high) - low) / width
        tail = x - last
        tail = tail * tail * tail if tail > 0.0 else 0.0
        near = x - before
        near = near * near * near if near > 0.0 else 0.0
        total = first * x
        basis = [x]
        for knot, share, weight in rest:
            cube = x - knot
            cube = cube * cube * cube if cube > 0.0 else 0.0
            bend = cube - share * near + (share - 1.0) * tail
            basis.append(bend)
            total += weight * bend
        return total + constant, tuple(basis)

    return read_curve


def _compile_levels(effect: Effect, part: Levels) -> Callable[[float | str | None], tuple[float, Basis]]:
    def told(basis: Basis) -> tuple[float, Basis]:
        pairs = zip(effect.weights, basis, strict=True)
        return sum(weight * flag for weight, flag in pairs) + effect.constant, basis

    def flag(place: int) -> Basis:
        return tuple(float(place == other) for other in range(part.width))

    known: dict[str | None, tuple[float, Basis]] = {level: told(flag(-1)) for level in part.silent}
    known.update({level: told(flag(place)) for place, level in enumerate(part.levels)})
    others = told(flag(part.width - 1)) if part.others else told(part.means)

    def read(value: float | str | None) -> tuple[float, Basis]:
        return known.get(value if isinstance(value, str) else None, others)

    return read


def _compile_pair(
    pair: Pair,
) -> tuple[int, int, float, Basis, Basis, tuple[Basis, ...]]:
    corner, *twos = pair.weights[0]
    ones = tuple(row[0] for row in pair.weights[1:])
    return pair.first, pair.second, corner, ones, tuple(twos), tuple(row[1:] for row in pair.weights[1:])


def _compile_rule(rule: Conjunction) -> Callable[[Features], bool]:
    numbers = tuple((one.column, one.bound, one.turned) for one in rule.conditions if isinstance(one, Above))
    texts = tuple(
        (one.column, one.level, one.turned) for one in rule.conditions if not isinstance(one, Above)
    )

    def holds(features: Features) -> bool:
        for column, bound, turned in numbers:
            value = features.get(column)
            if value is None or isinstance(value, str) or not (value <= bound if turned else value > bound):
                return False
        for column, level, turned in texts:
            value = features.get(column)
            if ((value if isinstance(value, str) else None) == level) == turned:
                return False
        return True

    return holds
