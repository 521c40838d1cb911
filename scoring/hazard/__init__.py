"""Leaving in discrete time: a hazard per week, and the curve, dates and reasons that follow from it."""
