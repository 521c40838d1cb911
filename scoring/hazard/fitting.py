"""A hazard model from snapshots: as much shape as those who left can carry, on as many weeks as time allows."""

from __future__ import annotations

import hashlib
from datetime import date

import msgspec
import numpy as np

from schemas.errors import InputError
from scoring.churning.choosing import Choice, Say, choose_shape, list_shapes
from scoring.churning.columns import Floats, Integers, Table, take
from scoring.churning.design import round_digits
from scoring.churning.fitting import (
    CALIBRATE_FROM_EVENTS,
    choosing_rows,
    fingerprint,
)
from scoring.churning.model import Terms, add_terms
from scoring.churning.planning import Plan, plan_shapes, refit
from scoring.churning.solving import solve
from scoring.hazard.model import (
    FORMAT,
    HazardCalibration,
    HazardModel,
    HazardTraining,
    Renewals,
    Renewing,
)
from scoring.hazard.preparing import DEFAULT_SETTINGS, HazardSettings, Prepared, prepare
from scoring.hazard.snapshots import Snapshots, check_snapshots
from scoring.hazard.uncertainty import measure_uncertainty
from scoring.hazard.weeks import (
    BILLING,
    BILLING_DAYS,
    PERIOD_WIDTH,
    fading,
)

# The least penalty of straight lines, where few have left: as if a column's standard deviation were known to move the
# log-odds by a fifth or so (1/√30). Without it ten of them tell more of themselves than of those to come.
LINES_LEAST = 30.0
SLOPES = (0.5, 1.5)
# What is left of the slope after 13 weeks is at least a fifth of it.
LEAST_LEFT = 0.2


def fit_hazard(
    snapshots: Snapshots,
    *,
    catalogue_digest: str,
    settings: HazardSettings = DEFAULT_SETTINGS,
    say: Say = lambda line: None,
) -> HazardModel:
    """Learn the hazard of leaving in each of the 13 weeks after a snapshot; the same input gives the same model.

    `catalogue_digest` is that of the allow-list under which the features were made. Raises InputError where the
    snapshots contradict themselves, or fewer than 10 customers left in a week that was observed whole.
    """
    check_snapshots(snapshots)
    snapshots = snapshots.take(np.lexsort((snapshots.day, snapshots.customer)))
    prepared = prepare(snapshots, settings, say)
    weeks, table, fixed = prepared.weeks, prepared.table, prepared.fixed
    anchor = settings.anchor if settings.anchor in table else None
    if settings.shape == "health":
        if anchor is None:
            raise InputError(
                f"{settings.anchor} is the same in every snapshot: nothing can be learned from it."
            )
        shapes = ["nothing", "anchor"]
    else:
        shapes = list_shapes(table, prepared.events, anchor=anchor, rules=settings.rules)
        if anchor is not None:
            # It needs no proof.
            shapes.remove("nothing")
    rows = choosing_rows(len(weeks.row), int(weeks.outcome.sum()))
    small, known, whose, some = table, weeks.outcome, prepared.customers, fixed
    if rows is not None:
        small, known, some = take(table, rows), known[rows], fixed.take(rows)
        whose = np.unique(whose[rows], return_inverse=True)[1]
    choice = choose_shape(
        small,
        known,
        shapes,
        anchor=anchor,
        groups=whose,
        say=say,
        fixed=some,
        events=prepared.events,
        lines_least=LINES_LEAST,
    )
    # Who asks for the health score alone gets it, however little it says.
    shape = "anchor" if settings.shape == "health" else choice.shape
    say(f"fitting {shape} to {len(weeks.row):,} of {weeks.total:,} weeks, {prepared.events:,} customers left")
    plan = plan_shapes(
        small, known, shapes[: shapes.index(shape) + 1], anchor=anchor, fixed=some, lines_least=LINES_LEAST
    )[shape]
    if rows is not None:
        plan = refit(plan, table, weeks.outcome, fixed)
    week = weeks.week if rows is None else weeks.week[rows]
    calibration = _calibrate(choice, known, week, weeks.offset, prepared.events)
    return _finish(snapshots, prepared, plan, shape, choice, calibration, settings, catalogue_digest)


def _calibrate(
    choice: Choice, outcome: Floats, week: Integers, offset: float, events: int
) -> HazardCalibration:
    """What the held-back log-odds lack, and how fast what is known of a customer loses its worth with the weeks."""
    if events < CALIBRATE_FROM_EVENTS or choice.shape == "nothing" or len(choice.rows) == 0:
        return HazardCalibration()
    # Where the model is used the weeks that were left out are back.
    eta = choice.eta - offset
    columns = np.column_stack([eta, fading(week[choice.rows]) * choice.index])
    found = solve(columns, outcome[choice.rows], np.array([0.0, 1.0]))
    slope = float(np.clip(found.coefficients[0], *SLOPES))
    fade = float(np.clip(found.coefficients[1], (LEAST_LEFT - 1.0) * slope, 0.5 * slope))
    return HazardCalibration(round(found.intercept - offset, 6), round(slope, 6), round(fade, 6))


def _finish(
    snapshots: Snapshots,
    prepared: Prepared,
    plan: Plan,
    shape: str,
    choice: Choice,
    calibration: HazardCalibration,
    settings: HazardSettings,
    digest: str,
) -> HazardModel:
    weeks = prepared.weeks
    terms, moved = _recentre(plan.terms(prepared.table), snapshots.table)
    fixed = np.round(plan.fixed_coefficients, 8)
    intercept = plan.solution.intercept - weeks.offset - float(prepared.centres @ fixed) + moved
    renewal = float(fixed[PERIOD_WIDTH])
    by_billing = tuple(
        Renewing(level, round(renewal + float(extra), 8), BILLING_DAYS[level])
        for level, extra in zip(prepared.billings, fixed[PERIOD_WIDTH + 1 : -1], strict=True)
    )
    days = snapshots.day.min(), snapshots.day.max()
    return HazardModel(
        format=FORMAT,
        kind="health" if settings.shape == "health" else "model",
        intercept=round(intercept, 8),
        period=tuple(float(weight) for weight in fixed[:PERIOD_WIDTH]),
        renewals=Renewals(renewal, by_billing),
        treated=float(fixed[-1]),
        effects=terms.effects,
        pairs=terms.pairs,
        rules=terms.rules,
        calibration=calibration,
        uncertainty=measure_uncertainty(
            plan, prepared.table, weeks.outcome, prepared.customers, prepared.centres
        ),
        allow_list=digest,
        training=HazardTraining(
            snapshots=len(snapshots),
            customers=len(np.unique(snapshots.customer)),
            events=prepared.events,
            weeks=weeks.total,
            weeks_fitted=len(weeks.row),
            first_day=date.fromordinal(int(days[0])).isoformat(),
            last_day=date.fromordinal(int(days[1])).isoformat(),
            fingerprint=_fingerprint(snapshots, tuple(prepared.table)),
            shape=shape,
        ),
        metrics={f"held_back_log_loss_{name}": round(loss, 6) for name, loss in choice.losses.items()},
        versions={"msgspec": msgspec.__version__, "numpy": np.__version__},
    )


def _recentre(terms: Terms, table: Table) -> tuple[Terms, float]:
    """The same terms, each zero on average over `table`, and what that moves to the intercept."""
    if not terms.effects:
        return terms, 0.0
    means = add_terms(terms, table).mean(axis=0)
    moves = [round_digits(float(mean)) for mean in means]
    effects = tuple(
        msgspec.structs.replace(
            effect,
            constant=round_digits(effect.constant - move),
            missing=None if effect.missing is None else round_digits(effect.missing - move),
        )
        for effect, move in zip(terms.effects, moves, strict=False)
    )
    rules = []
    for rule in terms.rules:
        support = float(rule.conjunction.holds(table).mean())
        rules.append(msgspec.structs.replace(rule, support=support))
    moved = sum(moves[: len(effects)])
    moved += sum(
        new.weight * (new.support - old.support) for new, old in zip(rules, terms.rules, strict=True)
    )
    return Terms(effects, terms.pairs, tuple(rules)), float(moved)


def _fingerprint(snapshots: Snapshots, names: tuple[str, ...]) -> str:
    """A hash of the data that was used: the features learned from, and everything else of the snapshots."""
    used = {name: snapshots.table[name] for name in names}
    if BILLING in snapshots.table:
        used[BILLING] = snapshots.table[BILLING]
    digest = hashlib.sha256(fingerprint(used, snapshots.left).encode())
    for name in ("customer", "day", "followed", "renewal", "treated_from", "treated_until"):
        digest.update(np.ascontiguousarray(getattr(snapshots, name) + 0.0).tobytes())
    return digest.hexdigest()[:32]
