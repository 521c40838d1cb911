"""From a hazard model to probabilities, dates and reasons: of one customer, and of many at once."""

from __future__ import annotations

import math

import numpy as np

from scoring.churning.columns import Categories, Column, Flags, Floats, Integers, Table, count_rows, cut
from scoring.churning.model import CHUNK_ROWS, add_terms, add_up
from scoring.churning.parts import missing_of
from scoring.hazard.compiled import (
    DATE_DECIMALS,
    FARTHEST,
    LEAST_REACH,
    QUANTILES,
    Features,
    compile_model,
    weekly_odds,
)
from scoring.hazard.model import HazardModel
from scoring.hazard.outlook import HORIZONS, Outlook, Outlooks
from scoring.hazard.weeks import BILLING, DAYS, FAR_WEEKS, WEEKS, period_basis, renews_in


def outlook(model: HazardModel, features: Features, renewal_days: float | None) -> Outlook:
    """What the model says of one customer; `renewal_days` from now, None unknown.

    Within a week the hazard is constant. Beyond the 13 weeks learned from, the last week's hazard goes on, with the
    renewals that are known, up to 52 weeks.
    """
    return compile_model(model).outlook(features, renewal_days)


def outlooks(model: HazardModel, table: Table, renewal_days: Floats, *, dates: bool = True) -> Outlooks:
    """The same of many; `renewal_days` has shape (rows,), nan unknown. Without `dates` they are nan."""
    rows = len(renewal_days)
    sources = model.sources
    effects = np.empty((rows, len(sources)))
    within = np.empty((rows, len(HORIZONS)))
    score = np.empty(rows)
    days = np.full((len(QUANTILES), rows), np.nan)
    curve = _Curve(model)
    slope = model.calibration.slope
    for first in range(0, rows, CHUNK_ROWS):
        chunk = slice(first, min(first + CHUNK_ROWS, rows))
        part = {name: cut(table[name], chunk) for name in curve.reads if name in table}
        mine = effects[chunk]
        terms = add_terms(model.terms, part) if model.effects else np.zeros((len(mine), len(sources) - 1))
        index = terms.sum(axis=1)
        np.multiply(terms, slope, out=mine[:, :-1])
        renewing = curve.renew(part, renewal_days[chunk])
        mine[:, -1] = 0.0 if renewing is None else np.where(renewing.due[0], renewing.weight, 0.0)
        score[chunk] = model.base + mine.sum(axis=1)
        alive = curve.survive(index, renewing, FAR_WEEKS if dates else -(-HORIZONS[-1] // DAYS))
        for place, horizon in enumerate(HORIZONS):
            within[chunk, place] = _within(alive, horizon)
        if dates:
            days[:, chunk] = _find_days(alive)
    return Outlooks(within, score, model.base, effects, sources, days[1], days[0], days[2])


def within_days(model: HazardModel, table: Table, renewal_days: Floats, days: float) -> Floats:
    """The probability of leaving within so many days (at most 364), shape (rows,)."""
    rows = len(renewal_days)
    found = np.empty(rows)
    curve = _Curve(model)
    days = min(days, float(DAYS * FAR_WEEKS))
    for first in range(0, rows, CHUNK_ROWS):
        chunk = slice(first, min(first + CHUNK_ROWS, rows))
        part = {name: cut(table[name], chunk) for name in curve.reads if name in table}
        index = add_up(model.terms, part) if model.effects else np.zeros(chunk.stop - chunk.start)
        alive = curve.survive(index, curve.renew(part, renewal_days[chunk]), math.ceil(days / DAYS))
        found[chunk] = _within(alive, days)
    return found


def weekly_log_odds(
    model: HazardModel,
    index: Floats,
    renewal_days: Floats,
    billing: Categories | None,
    week: Integers,
    treated: Flags,
) -> Floats:
    """Log-odds of leaving in that week after the snapshot, shapes (rows,); `index` is what the terms add up to."""
    every = np.full(len(index), np.nan)
    weight = np.full(len(index), model.renewals.weight)
    for one in model.renewals.by_billing:
        if billing is not None and one.billing in billing.levels:
            mine = billing.codes == billing.levels.index(one.billing)
            weight[mine] = one.weight
            every[mine] = math.nan if one.every_days is None else one.every_days
    plain = model.intercept + period_basis(week) @ np.array(model.period) + index
    plain = plain + weight * renews_in(renewal_days, every, week) + model.treated * treated
    found = model.calibration
    faded = np.minimum(week, WEEKS - 1) / (WEEKS - 1)
    log_odds: Floats = found.shift + found.slope * plain + found.fade * faded * index
    return log_odds


def covers(model: HazardModel, features: Features) -> float:
    """The share of the model's columns that have a value, 0 to 1; 1 for a model without columns."""
    columns = model.columns
    if not columns:
        return 1.0
    known = 0
    for name in columns:
        value = features.get(name)
        known += value is not None and value == value
    return known / len(columns)


def coverages(model: HazardModel, table: Table) -> Floats:
    """`covers` of each row, shape (rows,); a column that the table hasn't is unknown."""
    known = np.zeros(count_rows(table))
    for name in model.columns:
        if name in table:
            known += ~missing_of(table[name])
    shares: Floats = known / len(model.columns) if model.columns else known + 1.0
    return shares


class _Renewing:
    """What a renewal adds to each row, and the weeks in which one falls, shape (52, rows)."""

    def __init__(self, weight: Floats, due: Flags) -> None:
        self.weight, self.due = weight, due


class _Curve:
    def __init__(self, model: HazardModel) -> None:
        self.reads = tuple(dict.fromkeys((*model.columns, BILLING)))
        self.slope, self.fade = model.calibration.slope, model.calibration.fade
        self.odds = weekly_odds(model)
        self.renewals = model.renewals

    def renew(self, table: Table, renewal_days: Floats) -> _Renewing | None:
        """None where no renewal is known."""
        with np.errstate(invalid="ignore"):
            known = np.flatnonzero((renewal_days >= 0) & (renewal_days < DAYS * FAR_WEEKS))
        if len(known) == 0:
            return None
        rows = len(renewal_days)
        due = np.zeros((FAR_WEEKS, rows), dtype=bool)
        due[(renewal_days[known] // DAYS).astype(np.int64), known] = True
        weight = np.full(rows, self.slope * self.renewals.weight)
        column: Column | None = table.get(BILLING)
        for one in self.renewals.by_billing:
            if not isinstance(column, Categories) or one.billing not in column.levels:
                continue
            mine = column.codes == column.levels.index(one.billing)
            weight[mine] = self.slope * one.weight
            if one.every_days is None:
                continue
            places = known[mine[known]]
            first = renewal_days[places]
            for time in range(1, math.ceil(DAYS * FAR_WEEKS / one.every_days)):
                later = first + time * one.every_days
                inside = later < DAYS * FAR_WEEKS
                due[(later[inside] // DAYS).astype(np.int64), places[inside]] = True
        return _Renewing(weight, due)

    def survive(self, index: Floats, renewing: _Renewing | None, weeks: int) -> Floats:
        """The share that is still there at the beginning of each week, shape (weeks + 1, rows)."""
        factor = np.exp(np.clip(self.slope * index, -FARTHEST, FARTHEST))
        step = np.exp(np.clip(self.fade * index, -FARTHEST, FARTHEST) / (WEEKS - 1)) if self.fade else None
        extra = None if renewing is None else np.exp(np.clip(renewing.weight, -FARTHEST, FARTHEST)) - 1.0
        alive = np.empty((weeks + 1, len(index)))
        alive[0] = 1.0
        here = np.empty(len(index))
        for week in range(weeks):
            np.multiply(factor, self.odds[week], out=here)
            if renewing is not None and extra is not None:
                here *= 1.0 + extra * renewing.due[week]
            here += 1.0
            np.divide(alive[week], here, out=alive[week + 1])
            if step is not None and week < WEEKS - 1:
                factor *= step
        return alive


def _within(alive: Floats, days: float) -> Floats:
    week = int(days // DAYS)
    rest = days - DAYS * week
    share = alive[week]
    if rest:
        with np.errstate(invalid="ignore"):
            kept = np.where(share > 0, alive[week + 1] / np.maximum(share, 5e-324), 1.0)
        share = share * kept ** (rest / DAYS)
    found: Floats = 1.0 - share
    return found


def _find_days(alive: Floats) -> Floats:
    """The quantiles of the day of leaving among those who leave within 52 weeks, shape (3, rows); nan where few do."""
    rows = alive.shape[1]
    reach = 1.0 - alive[-1]
    chosen = np.flatnonzero(reach >= LEAST_REACH)
    found = np.full((len(QUANTILES), rows), np.nan)
    if len(chosen) == 0:
        return found
    if len(chosen) < rows:
        alive = np.ascontiguousarray(alive[:, chosen])
    columns = np.arange(len(chosen))
    for place, quantile in enumerate(QUANTILES):
        target = 1.0 - quantile * reach[chosen]
        week = np.zeros(len(chosen), dtype=np.int8)
        for share in alive[1:-1]:
            week += share > target
        begin, end = alive[week, columns], alive[week + np.int8(1), columns]
        found[place, chosen] = np.round(
            DAYS * (week + np.log(begin / target) / np.log(begin / end)), DATE_DECIMALS
        )
    return found
