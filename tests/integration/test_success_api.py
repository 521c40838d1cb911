"""Health and churn over HTTP: scores, reasons, lists and the stream, and nothing of what they were worked out from."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from activities.facts import load_known
from activities.steps import StepOpening
from activities.versions import Versions
from loops.evaluator import Evaluator
from rules.needs import Needs
from schemas.catalogue import load_catalogue
from scoring.features import feature_row
from scoring.hazard import version_of, write_hazard
from store.churn_models import promote, save_model
from store.database import Database
from tests.integration.running_engine import eventually
from tests.integration.test_web_stream import open_stream
from tests.integration.web_edge import RunningWeb, run_web
from tests.small_hazard import small_model

HEALTH = "/api/customer-success/health-score"
CHURN = "/api/customer-success/churn-predictions"
CATALOGUE = load_catalogue()


@dataclass
class Product:
    """A web process, and an evaluator of the same database."""

    web: RunningWeb
    database: Database
    evaluator: Evaluator

    async def customer(
        self, name: str, *, login_days_ago: float = 2, age_days: float = 100, **traits: Any
    ) -> None:
        """Take in a customer."""
        now = datetime.now(UTC)
        signed_up = (now - timedelta(days=age_days)).isoformat()
        given = {"signedUpAt": signed_up, "subscription_status": "active", **traits}
        await self.post("identify", {"userId": name, "traits": given, "timestamp": signed_up})
        at = (now - timedelta(days=login_days_ago)).isoformat()
        await self.post("track", {"userId": name, "event": "login", "timestamp": at})

    async def post(self, kind: str, body: dict[str, Any]) -> None:
        answer = await self.web.client.post(f"/v1/{kind}", json={"messageId": str(uuid.uuid4()), **body})
        assert answer.status_code == 200, answer.text

    async def evaluate(self) -> None:
        while (await self.evaluator.run_once()).customers:
            pass

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        answer = await self.web.client.get(path, params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def serve_model(self) -> str:
        model = small_model()
        version = version_of(model)
        async with self.database.transaction() as connection:
            now = datetime.now(UTC)
            await save_model(connection, "model", version, write_hazard(model).decode(), trained_at=now)
            await promote(connection, "model", version, now=now, approved_by="test", reason="for a test")
        return version


@pytest.fixture
async def product(database_url: str) -> AsyncIterator[Product]:
    database = Database(database_url, connections=3)
    async with run_web(database_url) as web:
        yield Product(web, database, Evaluator(StepOpening(database, CATALOGUE, Versions())))
    await database.close()


async def test_the_health_of_a_customer(product: Product) -> None:
    await product.customer("a/b 1", plan="pro", influencer=True)
    await product.evaluate()
    found = await product.get(f"{HEALTH}/a/b 1", includeBreakdown=True)
    assert (found["success"], found["userId"]) == (True, "a/b 1")
    score = found["healthScore"]
    assert (score["current"], score["previous"], score["trend"], score["riskLevel"]) == (
        47,
        None,
        "stable",
        "critical",
    )
    assert score["breakdown"] == {
        "loginFrequency": 86, "featureAdoption": 0, "clientEngagement": 0, "supportHealth": 100,
        "billingHealth": 100, "onboardingProgress": 100,
    }  # fmt: skip
    assert score["recommendations"] == [
        "Help them to bring their clients into the product.", "Show them a core feature that they don't use yet.",
    ]  # fmt: skip
    today = datetime.now(UTC).date()
    assert score["nextReviewDate"] == (today + timedelta(days=7)).isoformat()
    assert score["history"] == [
        {"day": today.isoformat(), "score": 47, "riskLevel": "critical", "enhancedScore": 47}
    ]
    assert (score["enhancedScore"], score["influencer"], score["model"]) == (47, True, "segment-weighted")
    assert score["cohort"] == {"customers": 0, "median": None, "percentile": None}
    assert score["projection"] is None
    assert (await product.get(f"{HEALTH}/a/b 1"))["healthScore"]["breakdown"] is None


async def test_history_by_range_and_where_it_leads(product: Product) -> None:
    await product.customer("ada")
    await product.evaluate()
    await product.web.change(
        "INSERT INTO customer_health "
        "(customer_id, day, health_score, midnight_score, risk_level, model, calculated_at) "
        "SELECT c.id, current_date - n, 47 + n, 47 + n, 'at_risk', '', now() FROM customers c, generate_series(1, 60) n"
    )
    for days, length in (("7d", 7), ("30d", 30), ("90d", 61)):
        score = (await product.get(f"{HEALTH}/ada", timeRange=days))["healthScore"]
        assert [one["score"] for one in score["history"]] == [46 + n for n in range(length, 0, -1)]
    assert (score["previous"], score["trend"]) == (48, "stable")
    assert score["projection"] == {
        "slopePerDay": -1.0, "inDays": 30, "expected": 17.0, "lower": 17.0, "upper": 17.0, "basedOnDays": 30,
    }  # fmt: skip


async def test_the_cohort_is_of_the_same_segment_plan_and_age(product: Product) -> None:
    for name, days_ago in (("ada", 2), ("ben", 1), ("cid", 9), ("dan", 2)):
        await product.customer(name, login_days_ago=days_ago, plan="pro")
    await product.customer("other-plan", plan="free")
    await product.customer("older", plan="pro", age_days=500)
    await product.evaluate()
    cohort = (await product.get(f"{HEALTH}/ada"))["healthScore"]["cohort"]
    assert cohort == {"customers": 3, "median": 47.0, "percentile": 50.0}
    assert (await product.get(f"{HEALTH}/ben"))["healthScore"]["cohort"]["percentile"] == 100.0


async def test_of_whom_too_little_is_known_there_is_no_score(product: Product) -> None:
    from schemas.health_model import Bands, Factor, HealthModel, Linear
    from store.health_models import publish_models

    shape = Linear(signal="journey_performance", worst=0, best=1)
    model = HealthModel(
        name="segment-weighted", factors=(Factor(name="journeys", shape=shape),),
        weights={"everyone": {"journeys": 100}}, bands=Bands(healthy=70, at_risk=40), minimum_coverage=0.5,
    )  # fmt: skip
    await product.customer("ada")
    async with product.database.transaction() as connection:
        await publish_models(connection, {model.name: model}, datetime.now(UTC))
    score = (await product.get(f"{HEALTH}/ada", includeBreakdown=True))["healthScore"]
    assert (score["current"], score["riskLevel"], score["trend"], score["breakdown"]) == (
        None,
        "unknown",
        None,
        {},
    )


async def test_scoring_now_writes_it_down_and_asks_the_evaluator(product: Product) -> None:
    await product.customer("ada")
    await product.evaluate()
    await product.web.change("DELETE FROM customer_health")
    answer = await product.web.client.post(f"{HEALTH}/ada")
    assert answer.status_code == 200, answer.text
    assert answer.json()["healthScore"]["breakdown"]["loginFrequency"] == 86
    assert await product.web.count("customer_health") == 0, "nothing changed, so there is nothing to write"
    await product.web.change("UPDATE signals SET health_score = 80, churn_probability = NULL")
    assert (await product.web.client.post(f"{HEALTH}/ada")).status_code == 200
    assert [
        row["health_score"] for row in await product.web.rows("SELECT health_score FROM customer_health")
    ] == [47]
    assert await product.web.count("evaluations") == 1
    await product.evaluate()
    assert [row["health_score"] for row in await product.web.rows("SELECT health_score FROM signals")] == [47]


async def test_a_prediction_with_its_reasons_actions_and_worth(product: Product) -> None:
    await product.customer("ada", login_days_ago=20, monthly_price=100)
    await product.post("track", {"userId": "ada", "event": "payment_failed"})
    await product.evaluate()
    found = await product.get(f"{CHURN}/ada")
    told = found["prediction"]
    assert (told["churnProbability"], told["riskLevel"], told["interventionUrgency"]) == (
        0.6,
        "high",
        "urgent",
    )
    assert (told["source"], told["confidence"], told["modelVersion"]) == (
        "rule_of_thumb",
        "medium",
        "rule-of-thumb",
    )
    assert (told["ltvAtRisk"], told["preventionCost"]) == (pytest.approx(1080), pytest.approx(108))
    assert (told["interventionRecommended"], told["multiChannel"], told["interventionPriority"]) == (
        True,
        False,
        4,
    )
    assert told["predictedChurnDate"] is None
    assert "Settle the billing issue" in told["recommendedActions"]
    assert {one["name"] for one in told["factors"]} == {
        "declining_health_score", "low_engagement", "billing_issues", "support_dissatisfaction",
        "competitor_activity", "seasonal_factors",
    }  # fmt: skip
    why = found["explanation"]
    assert why["scale"] == "points"
    assert why["base"] + sum(one["effect"] for one in why["reasons"]) == pytest.approx(why["score"], abs=1e-9)
    assert why["reasons"][0]["about"] == CATALOGUE.signals["days_since_last_login"].about
    assert (await product.get(f"{CHURN}/ada", includeExplanation=False))["explanation"] is None


async def test_the_models_prediction_adds_up_too(product: Product) -> None:
    version = await product.serve_model()
    await product.customer("ada", login_days_ago=20, plan="pro")
    await product.evaluate()
    found = await product.get(f"{CHURN}/ada")
    told, why = found["prediction"], found["explanation"]
    assert (told["source"], told["modelVersion"], why["scale"]) == ("model", version, "log_odds")
    assert why["base"] + sum(one["effect"] for one in why["reasons"]) == pytest.approx(why["score"], abs=1e-9)
    assert told["within"]["30"] < told["within"]["60"] < told["within"]["90"]
    [listed] = (await product.get(CHURN))["predictions"]
    for key in (
        "churnProbability",
        "riskLevel",
        "factors",
        "recommendedActions",
        "reasons",
        "predictedChurnDate",
    ):
        assert listed[key] == told[key], key


async def test_of_the_young_and_the_cancelled_nothing_is_predicted(product: Product) -> None:
    await product.customer("new", age_days=3)
    await product.customer("gone", subscription_status="cancelled")
    await product.evaluate()
    for name, why in (("new", "younger_than_7_days"), ("gone", "cancelled")):
        assert await product.get(f"{CHURN}/{name}") == {
            "success": True, "userId": name, "prediction": None, "explanation": None, "notPredicted": why,
        }  # fmt: skip
    assert (await product.get(CHURN))["total"] == 0


async def test_the_list_goes_by_value_at_risk_and_page_by_page(product: Product) -> None:
    for number, (days_ago, price) in enumerate(
        [(20, 10), (20, 300), (5, 300), (20, None), (2, None), (20, 10)]
    ):
        await product.customer(
            f"c{number}", login_days_ago=days_ago, **({"monthly_price": price} if price else {})
        )
    await product.evaluate()
    whole = await product.get(CHURN)
    order = [one["userId"] for one in whole["predictions"]]
    assert order[:2] == ["c1", "c2"]
    assert set(order[2:4]) == {"c0", "c5"}
    assert order[4:] == ["c3", "c4"]
    assert (whole["total"], whole["totalAtRisk"], whole["nextCursor"]) == (6, 4, None)
    assert whole["totalLtvAtRisk"] == pytest.approx(0.6 * 18 * (300 + 10 + 10))
    paged, cursor = [], None
    while True:
        page = await product.get(CHURN, limit=2, **({"cursor": cursor} if cursor else {}))
        paged += [one["userId"] for one in page["predictions"]]
        assert page["totalLtvAtRisk"] == whole["totalLtvAtRisk"]
        if (cursor := page["nextCursor"]) is None:
            break
    assert paged == order


async def test_the_list_is_narrowed(product: Product) -> None:
    await product.customer("calm", login_days_ago=1)
    await product.customer("away", login_days_ago=20)
    await product.evaluate()

    async def names(**query: Any) -> list[str]:
        found = await product.get(CHURN, **query)
        assert found["total"] == len(found["predictions"])
        return [one["userId"] for one in found["predictions"]]

    assert await names(riskLevel="high") == ["away"]
    assert await names(riskLevel="critical") == []
    assert await names(minProbability=0.3) == ["away", "calm"]
    assert await names(minProbability=0.31) == ["away"]
    assert await names(source="rule_of_thumb", segment="established") == ["away", "calm"]
    assert await names(source="model") == []
    assert await names(segment="power_user") == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{HEALTH}/nobody", 404),
        (f"{CHURN}/nobody", 404),
        (f"{HEALTH}/nobody?timeRange=8d", 422),
        (f"{HEALTH}/nobody?includeBreakdown=perhaps", 422),
        (f"{CHURN}?riskLevel=huge", 422),
        (f"{CHURN}?minProbability=2", 422),
        (f"{CHURN}?limit=0", 422),
        (f"{CHURN}?cursor=none-of-ours", 422),
        (f"{CHURN}?cursor=bmFufG5hbnwwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDA", 422),
        (f"{HEALTH}/%00", 422),
    ],
)
async def test_what_cant_be_answered_is_a_problem(product: Product, path: str, status: int) -> None:
    answer = await product.web.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["success"] is False
    assert (await product.web.client.get(path, headers={"Authorization": ""})).status_code == 401


def leaves(value: Any) -> Iterator[Any]:
    """Every text and number of an answer, names of fields left out."""
    match value:
        case dict():
            for one in value.values():
                yield from leaves(one)
        case list():
            for one in value:
                yield from leaves(one)
        case _:
            yield value


# Health is what these endpoints are there to tell; a trend's three words aren't anybody's own.
TOLD = {"health_score", "avg_health_30d", "health_trend"}


@pytest.mark.parametrize("serving", ["model", "rule_of_thumb"])
async def test_no_raw_value_of_any_feature_leaves_whatever_is_asked(product: Product, serving: str) -> None:
    if serving == "model":
        await product.serve_model()
    await product.customer("ada", login_days_ago=911, age_days=1733, plan="business", billing_period="annual",
                           monthly_price=37)  # fmt: skip
    await product.evaluate()
    stored = {
        name: 5101 + 7 * place
        for place, name in enumerate(
            ["team_size", "forms_created", "clients_imported", "journeys_created", "templates_used", "clients_total",
             "open_tickets", "milestones_completed", "critical_milestones_done", "critical_milestones_total",
             "referrals"])
    } | {"form_completion_rate": 0.61803, "journey_performance": 0.27183, "last_support_rating": 2.7319}  # fmt: skip
    await product.web.change(
        f"UPDATE signals SET {', '.join(f'{name} = {value}' for name, value in stored.items())}, "
        "last_milestone_at = now() - interval '823 days'"
    )
    events = {
        "session_ended": ("", 6007, 6007 * 43.4321), "ticket_opened": ("", 6011, 0), "payment_failed": ("", 6029, 0),
        "ticket_rated": ("", 6037, 6037 * 1.7321), "login": ("", 1, 0), "feature_used": ("analytics", 3, 0),
        "client_active": ("someone", 1, 0),
    }  # fmt: skip
    for name, (detail, count, total) in events.items():
        for back in range(19 if name == "login" else 13 if name == "session_ended" else 1):
            await product.web.change(
                "INSERT INTO tallies (customer_id, name, detail, day, count, total) "
                "SELECT id, :name, :detail, current_date - CAST(:back AS int), :count, :total FROM customers "
                "ON CONFLICT (customer_id, name, detail, day) DO UPDATE SET count = excluded.count",
                name=name, detail=detail, back=back, count=count, total=total,
            )  # fmt: skip
    async with product.database.transaction() as connection:
        [(id_,)] = [tuple(r) for r in await connection.execute(text("SELECT id::text FROM customers"))]
        known = await load_known(connection, [id_], datetime.now(UTC), Needs(), CATALOGUE)
    features = feature_row(known[id_].facts.signals, CATALOGUE)
    # Values that nothing else can have by chance: small counts, a few small numbers, can't be told from others.
    canaries = {
        name: value
        for name, value in features.items()
        if name not in TOLD
        and value is not None
        and not (isinstance(value, float) and abs(value) < 20 and value == int(value))
    }
    assert len(canaries) >= 20, canaries
    await product.evaluate()
    everything = [
        await product.get(f"{HEALTH}/ada", timeRange="90d", includeBreakdown=True),
        await product.get(CHURN),
        await product.get(CHURN, 422, includeFeatures=True, raw=True, include="features"),
        await product.get(f"{CHURN}/ada", includeExplanation=True),
        await product.get(f"{CHURN}/ada", 422, includeExplanation=True, includeFeatures=True, raw=1),
        (await product.web.client.post(f"{HEALTH}/ada", json={"raw": True})).json(),
        (await product.web.client.post(f"{HEALTH}/ada")).json(),
    ]
    assert everything[3]["prediction"]["source"] == serving
    for leaf in leaves(everything):
        for name, value in canaries.items():
            if isinstance(value, float):
                assert not (isinstance(leaf, int | float) and leaf == pytest.approx(value, rel=1e-6)), (
                    name,
                    leaf,
                )
                written = str(int(value)) if value == int(value) else str(value)
                assert not (isinstance(leaf, str) and leaf == written), (name, leaf)
            else:
                assert leaf != value, (name, leaf)
    assert "business" not in json.dumps(everything)
    assert "annual" not in json.dumps(everything)


async def test_a_rule_is_told_by_its_signals_and_not_by_its_bounds() -> None:
    from scoring.hazard.outlook import Reason
    from web.success_telling import tell_reason

    told = tell_reason(Reason("days_since_last_login > 14 and plan is free", 0.4), CATALOGUE)
    assert (told.signal, told.effect) == ("days_since_last_login + plan", 0.4)
    assert "14" not in told.model_dump_json()
    assert "free" not in told.model_dump_json()
    assert tell_reason(Reason("renewal_date", 0.1), CATALOGUE).signal == "renewal_date"


# Whether the web process hears of scores by now, from whoever makes them.
LISTENS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN \"holdfast_scores\"'"


async def test_a_new_score_and_a_new_prediction_are_streamed(product: Product) -> None:
    await product.customer("ada", login_days_ago=20)
    await product.evaluate()
    async with open_stream(product.web, "/api/stream?userId=ada") as stream:
        await eventually(lambda: product.web.rows(LISTENS))
        await product.post("track", {"userId": "ada", "event": "login"})
        await product.evaluate()
        told = [await asyncio.wait_for(stream.next(), 30) for _ in range(2)]
    assert {one["event"]: one["data"]["state"] for one in told} == {
        "health_changed": "at_risk",
        "churn_scored": "low",
    }
    assert all(one["data"]["userId"] == "ada" for one in told)


async def test_the_description_has_examples_of_every_answer(product: Product) -> None:
    document = await product.get("/openapi.json")
    for path, verbs in document["paths"].items():
        if path.startswith((HEALTH, CHURN)):
            for verb in verbs.values():
                answer = verb["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rsplit(
                    "/", 1
                )[1]
                [example] = document["components"]["schemas"][answer]["examples"]
                assert example["success"] is True
                assert verb["summary"]


async def test_of_many_customers_the_cohort_is_told_from_a_sample(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    from store import cohorts
    from web.recounting import Recount

    await product.customer("ada", plan="pro")
    await product.evaluate()
    await product.web.change(
        "INSERT INTO customers (external_id, created_at) SELECT 'c' || n, now() FROM generate_series(1, 4000) n"
    )
    await product.web.change(
        "INSERT INTO signals (customer_id, plan, segment, signed_up_at, health_score, changed_at) "
        "SELECT c.id, s.plan, s.segment, s.signed_up_at, substr(c.external_id, 2)::int % 100, now() "
        "FROM customers c, signals s WHERE c.external_id <> 'ada'"
    )
    await product.web.change("ANALYZE signals")
    whole = (await product.get(f"{HEALTH}/ada"))["healthScore"]["cohort"]
    assert whole == {"customers": 4000, "median": 49.5, "percentile": 47.5}
    monkeypatch.setattr(cohorts, "SAMPLED", 2000)
    # Counted anew at once.
    monkeypatch.setattr(Recount, "WORTH", 0.0)
    monkeypatch.setattr(Recount, "QUICK_SECONDS", 60.0)
    part = (await product.get(f"{HEALTH}/ada"))["healthScore"]["cohort"]
    assert part == (await product.get(f"{HEALTH}/ada"))["healthScore"]["cohort"]
    assert part["customers"] == pytest.approx(4000, rel=0.5)
    assert part["percentile"] == pytest.approx(47.5, abs=10)
