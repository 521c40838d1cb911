"""How both kinds of churn model are learned from snapshots, the same way for use and for trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from scoring.churning.columns import Floats, Numbers
from scoring.hazard import HazardModel, HazardSettings, fit_hazard, recalibrate, within_days
from scoring.hazard.outlook import HORIZONS
from scoring.hazard.snapshots import Snapshots
from scoring.promotion import HELD_OUT_EVENTS
from scoring.succession import Craft
from scoring.training import count_events, rows_of
from scoring.trial import (
    BASE_RATE,
    MAPPED_THUMB,
    THUMB,
    Forecast,
    Learner,
    Say,
    learn_base_rate,
    learn_mapped_thumb,
    learn_thumb,
)

ANCHOR = "health_score"


def has_health(snapshots: Snapshots) -> bool:
    """Whether any row has a health score to calibrate."""
    column = snapshots.table.get(ANCHOR)
    return isinstance(column, Numbers) and not bool(np.isnan(column.values).all())


def learn(
    kind: str,
    snapshots: Snapshots,
    catalogue_digest: str,
    settings: HazardSettings,
    say: Say = lambda line: None,
) -> HazardModel:
    """A model of this kind, fitted to all rows and, where enough held-out customers left, calibrated on these alone.

    Nobody treats the held-out, so what becomes of them is what becomes of customers without a playbook.
    """
    settings = replace(settings, shape="health" if kind == "health" else "chosen")
    model = fit_hazard(snapshots, catalogue_digest=catalogue_digest, settings=settings, say=say)
    treated = ~np.isnan(snapshots.treated_from) & ~snapshots.held_out
    held = rows_of(snapshots, np.flatnonzero(snapshots.held_out))
    # Without treatment everybody is as good as held out, and all rows have calibrated the model already.
    if treated.any() and (events := count_events(held)) >= HELD_OUT_EVENTS:
        say(f"calibrating on {len(held.day):,} held-out rows, {events:,} left")
        model = recalibrate(model, held)
    return model


def forecast(model: HazardModel, snapshots: Snapshots) -> Floats:
    """Probabilities of leaving within 30, 60 and 90 days if nobody treats them, shape (rows, 3)."""
    return np.column_stack(
        [within_days(model, snapshots.table, snapshots.renewal, days) for days in HORIZONS]
    )


CRAFT: Craft[HazardModel] = Craft(forecast, recalibrate)


def learner_of(kind: str, catalogue_digest: str, settings: HazardSettings) -> Learner:
    """Learns a model of this kind and forecasts with it."""

    def learn_one(train: Snapshots) -> Forecast:
        model = learn(kind, train, catalogue_digest, settings)
        return lambda rows: forecast(model, rows)

    return learn_one


def learners(snapshots: Snapshots, catalogue_digest: str, settings: HazardSettings) -> Mapping[str, Learner]:
    """Everything that a trial sets beside one another."""
    found: dict[str, Learner] = {"model": learner_of("model", catalogue_digest, settings)}
    if has_health(snapshots):
        found["health"] = learner_of("health", catalogue_digest, settings)
    return found | {MAPPED_THUMB: learn_mapped_thumb, THUMB: learn_thumb, BASE_RATE: learn_base_rate}
