"""Leaving in discrete time: a hazard per week, and the curve, dates and reasons that follow from it."""

from scoring.hazard.artifact import read_hazard, version_of, write_hazard
from scoring.hazard.curve import coverages, covers, outlook, outlooks, within_days
from scoring.hazard.fitting import fit_hazard
from scoring.hazard.model import HazardModel
from scoring.hazard.preparing import HazardSettings
from scoring.hazard.recalibrating import recalibrate
from scoring.hazard.snapshots import Snapshots
from scoring.hazard.uncertainty import interval

__all__ = [
    "HazardModel",
    "HazardSettings",
    "Snapshots",
    "coverages",
    "covers",
    "fit_hazard",
    "interval",
    "outlook",
    "outlooks",
    "read_hazard",
    "recalibrate",
    "version_of",
    "within_days",
    "write_hazard",
]
