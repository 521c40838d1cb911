"""Who comes first to a web process that has just started waits for nothing that it could have done before."""

from __future__ import annotations

import pytest

from schemas.catalogue import load_catalogue
from schemas.settings import Settings
from scoring.moving import make_mover
from store.database import Database
from web import rendering
from web.application import Application, build_application
from web.page_overview import KEPT
from web.warming import count_ahead, prepare_pages


def build(database_url: str, database: Database) -> Application:
    settings = Settings.read({"HOLDFAST_DATABASE_URL": database_url, "TEMPORAL_ADDRESS": "127.0.0.1:9"})
    return build_application(settings, database, move=make_mover(load_catalogue()))


async def test_templates_are_compiled_the_api_described_and_everybody_counted_before_anybody_asks(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url, connections=2)
    try:
        app = build(database_url, database)
        monkeypatch.setattr(rendering, "_templates", rendering._environment())
        prepare_pages(app)
        assert rendering._templates.cache is not None
        assert len(rendering._templates.cache) >= len(list(rendering.HERE.glob("templates/*.html")))
        assert app.openapi_schema is not None
        await count_ahead(app)
        for counter in (app.state.facets._everybody, app.state.churn._everybody, app.state.cohorts):
            assert counter._found is not None
        assert (await app.state.facets.read(KEPT)).total == 0
    finally:
        await database.close()


async def test_a_database_that_is_away_keeps_nobody_from_starting(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    away = Database(database_url.rsplit("@", 1)[0] + "@127.0.0.1:9/nowhere", connections=1)
    try:
        await count_ahead(build(database_url, away))
    finally:
        await away.close()
    assert "customers couldn't be counted ahead" in caplog.text
