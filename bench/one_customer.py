"""One customer scored on demand, with its features from the store and every reason: in a process, and by HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from bench.hazard_world import make_world
from bench.percentiles import percentile
from bench.posting import Poster
from bench.system import Say, System
from loops.assessing import assess_customer
from schemas.catalogue import load_catalogue
from scoring.features import allow_list_digest
from scoring.hazard import HazardModel, HazardSettings, fit_hazard, version_of, write_hazard
from store.churn_models import promote, save_model
from store.database import Database

WARMING = 20


@dataclass(frozen=True)
class OneCustomer:
    """Milliseconds for one customer at a time, at rest; `model` is how many terms the model that served adds up."""

    assess_p50_ms: float
    assess_p99_ms: float
    predict_p50_ms: float
    predict_p99_ms: float
    score_p50_ms: float
    score_p99_ms: float
    customers: int
    terms: int


async def measure(system: System, say: Say, *, customers: int) -> OneCustomer:
    """Score up to `customers` different ones, three times each in another way, while nothing else happens."""
    catalogue, database = load_catalogue(), Database(system.database_url, connections=2)
    settings = HazardSettings(rules=False)
    world = make_world(300, level=-4.0)
    model = fit_hazard(world.snapshots, catalogue_digest=allow_list_digest(catalogue), settings=settings)
    poster = await Poster(system.port, system.api_key).open()
    try:
        await _serve(database, model)
        found = await system.rows(
            "SELECT c.external_id FROM customers c JOIN signals s ON s.customer_id = c.id "
            "WHERE s.churn_probability IS NOT NULL ORDER BY c.id LIMIT %s",
            customers + WARMING,
        )
        names = [name for (name,) in found]
        say(f"  one customer: {len(names) - WARMING} of them, one at a time")

        async def assess(name: str) -> None:
            made = (await assess_customer(database, catalogue, name)).prediction
            assert made is not None
            assert made.source == "model"

        async def predict(name: str) -> None:
            status = await poster.get(f"/api/customer-success/churn-predictions/{quote(name)}")
            assert status == 200, f"the web process answered {status}"

        async def score(name: str) -> None:
            status = await poster.post(f"/api/customer-success/health-score/{quote(name)}", b"")
            assert status == 200, f"the web process answered {status}"

        assessed = await _time(names, assess)
        predicted = await _time(names, predict)
        scored = await _time(names, score)
        return OneCustomer(
            assess_p50_ms=percentile(assessed, 50),
            assess_p99_ms=percentile(assessed, 99),
            predict_p50_ms=percentile(predicted, 50),
            predict_p99_ms=percentile(predicted, 99),
            score_p50_ms=percentile(scored, 50),
            score_p99_ms=percentile(scored, 99),
            customers=len(assessed),
            terms=len(model.effects) + len(model.pairs) + len(model.rules),
        )
    finally:
        poster.close()
        await database.close()


async def _time(names: Sequence[str], work: Callable[[str], Awaitable[None]]) -> list[float]:
    took = []
    for number, name in enumerate(names):
        begun = time.perf_counter()
        await work(name)
        if number >= WARMING:
            took.append((time.perf_counter() - begun) * 1000)
        # What one left to be done in the background isn't the next one's.
        await asyncio.sleep(0.005)
    return took


async def _serve(database: Database, model: HazardModel) -> None:
    now, version = datetime.now(UTC), version_of(model)
    async with database.transaction() as connection:
        await save_model(connection, "model", version, write_hazard(model).decode(), trained_at=now)
        await promote(connection, "model", version, now=now, approved_by="bench", reason="to be measured")
