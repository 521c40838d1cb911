"""What a web process gets ready by itself, so that nobody who comes first waits for it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from store.churn_predictions import RiskFilter
from store.database import DATABASE_AWAY
from store.reading_churn import ChurnFilter
from web.page_overview import KEPT
from web.rendering import compile_templates

logger = logging.getLogger("holdfast.web")


def prepare_pages(app: FastAPI) -> None:
    """Compile every template and describe the API: a second of work that would otherwise be the first visitors'."""
    compile_templates()
    app.openapi()


async def count_ahead(app: FastAPI) -> None:
    """Count what the pages show of everybody, and look at Temporal; what can't be read now is read when asked for."""
    state = app.state
    first: tuple[tuple[str, Callable[[], Awaitable[object]]], ...] = (
        ("customers", lambda: state.facets.read(KEPT)),
        ("predictions", lambda: state.churn.read(ChurnFilter({}))),
        ("cohorts", state.cohorts.read),
        ("risk", lambda: state.risk_totals.read(RiskFilter())),
        ("Temporal", state.temporal_watch.look),
    )
    for what, read in first:
        try:
            await read()
        except DATABASE_AWAY as error:
            logger.warning("%s couldn't be counted ahead: %s", what, type(error).__name__)
