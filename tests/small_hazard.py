"""Small churn models, fitted in a second: what serves is real, how well it predicts is no matter."""

from __future__ import annotations

from functools import cache

from bench.hazard_world import make_world
from schemas.catalogue import load_catalogue
from scoring.features import allow_list_digest
from scoring.hazard import HazardModel, HazardSettings, fit_hazard


@cache
def small_model() -> HazardModel:
    """A model of all that 300 customers show."""
    return _fit(HazardSettings(rules=False))


@cache
def small_health() -> HazardModel:
    """The health score alone, recalibrated."""
    return _fit(HazardSettings(shape="health", rules=False))


def _fit(settings: HazardSettings) -> HazardModel:
    world = make_world(300, level=-4.0)
    return fit_hazard(
        world.snapshots, catalogue_digest=allow_list_digest(load_catalogue()), settings=settings
    )
