"""What the evaluator writes of health and churn, day by day, and which predictor it goes by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from activities.health import STALE_AFTER, load_predictors
from activities.past_scores import PastScores, load_scores
from loops.assessing import assess_customer
from schemas.catalogue import load_catalogue
from schemas.condition import Value
from schemas.policy import ChurnPolicy, MarketRow, Policy
from scoring.hazard import HazardModel, version_of, write_hazard
from store.churn_models import promote, save_model
from store.database import Waker
from tests.integration.evaluation_desk import START, Desk, open_desk, when
from tests.small_hazard import small_health, small_model

TODAY = START.date()
SIGNED_UP = START - timedelta(days=100)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as found:
        yield found


async def come(desk: Desk, name: str = "ada", **traits: Any) -> None:
    """A customer who signed up 100 days ago and logged in on the day before yesterday."""
    given = {
        "signed_up_at": SIGNED_UP.isoformat(),
        "subscription_status": "active",
        "monthly_price": 50,
        **traits,
    }
    await desk.send(name, "identify", at=SIGNED_UP, **given)
    await desk.send(name, "login", at=START - timedelta(days=2))


async def row(desk: Desk, table: str, name: str = "ada", day: date | None = None) -> dict[str, Any]:
    """The customer's row of that day, or of the latest."""
    column = "day" if table == "customer_health" else "prediction_date"
    async with desk.database.transaction() as connection:
        found = await connection.execute(
            text(
                f"SELECT t.* FROM {table} t JOIN customers c ON c.id = t.customer_id WHERE c.external_id = :name "
                f"AND ({column} = :day OR CAST(:day AS date) IS NULL) ORDER BY {column} DESC LIMIT 1"
            ),
            {"name": name, "day": day},
        )
        return dict(found.one()._mapping)


async def make_champion(
    desk: Desk, model: HazardModel, kind: Any = "model", *, age: timedelta = timedelta()
) -> str:
    version = version_of(model)
    async with desk.database.transaction() as connection:
        now = (await connection.execute(text("SELECT now()"))).scalar_one()
        await save_model(connection, kind, version, write_hazard(model).decode(), trained_at=now - age)
        await promote(connection, kind, version, now=now, approved_by="test", reason="for a test")
    return version


async def test_the_first_look_writes_the_days_rows(desk: Desk) -> None:
    await come(desk)
    health, churn = await row(desk, "customer_health"), await row(desk, "churn_predictions")
    assert (health["day"], health["health_score"], health["risk_level"]) == (TODAY, 47, "critical")
    assert (health["previous_score"], health["score_trend"]) == (None, "stable")
    assert (health["feature_adoption_score"], health["support_ticket_score"]) == (0, 100)
    assert (health["billing_health_score"], health["client_engagement_score"]) == (100, 0)
    assert health["factors"] == pytest.approx([12 / 14, 0, 0, 1, 1, 1])
    assert health["last_login"] == START - timedelta(days=2)
    assert health["next_review_date"] == TODAY + timedelta(days=7)
    assert health["calculated_at"] == START
    assert not health["intervention_triggered"]
    assert (churn["prediction_date"], churn["churn_probability"], churn["risk_level"]) == (TODAY, 0.3, "low")
    assert (churn["source"], churn["model_version"], churn["model_confidence"]) == (
        "rule_of_thumb", "rule-of-thumb", "medium",
    )  # fmt: skip
    assert churn["ltv_at_risk"] == pytest.approx(0.3 * 18 * 50)
    assert churn["reasons"] == [
        {"signal": "unique_features_used", "effect": 0.2},
        {"signal": "days_since_last_milestone", "effect": 0.1},
    ]
    assert set(churn["prediction_factors"]) == {
        "declining_health_score", "low_engagement", "billing_issues", "support_dissatisfaction",
        "competitor_activity", "seasonal_factors",
    }  # fmt: skip
    assert churn["actual_churn"] is None


async def test_a_day_has_one_row_that_moves_on_while_its_midnight_stays(desk: Desk) -> None:
    await come(desk)
    # Of the day on which a customer came nothing is known at midnight.
    assert (await row(desk, "customer_health"))["midnight_score"] is None
    await desk.go_to(START + timedelta(days=1))
    tomorrow = TODAY + timedelta(days=1)
    before = await row(desk, "customer_health")
    assert (before["day"], before["midnight_score"], before["health_score"]) == (tomorrow, 47, 47)
    await desk.send("ada", "login")
    after = await row(desk, "customer_health")
    assert (after["day"], after["midnight_score"], after["health_score"]) == (tomorrow, 47, 50)
    assert (after["previous_score"], after["score_trend"], after["risk_level"]) == (None, "stable", "at_risk")
    assert len(await desk.rows("SELECT 1 FROM customer_health")) == 2


async def test_the_previous_score_is_that_of_an_earlier_midnight(desk: Desk) -> None:
    await come(desk)
    await desk.go_to(START + timedelta(days=1))
    await desk.send("ada", "payment_failed")
    await desk.go_to(START + timedelta(days=2))
    found = await row(desk, "customer_health")
    assert found["previous_score"] == 47
    assert found["health_score"] < 41
    assert found["score_trend"] == "declining"


async def test_looks_that_change_nothing_write_nothing(desk: Desk) -> None:
    await come(desk)
    [(before,)] = await desk.rows("SELECT calculated_at FROM customer_health")
    desk.clock.now += timedelta(minutes=5)
    await desk.send("ada", "ticket_closed")
    assert await desk.rows("SELECT calculated_at FROM customer_health") == [(before,)]


async def test_past_scores_are_those_of_the_midnights(desk: Desk) -> None:
    await come(desk)
    await desk.go_to(START + timedelta(days=3))
    async with desk.database.transaction() as connection:
        [(id_,)] = [tuple(r) for r in await connection.execute(text("SELECT id::text FROM customers"))]
        today = desk.clock.now.date()
        scores = await load_scores(connection, [id_], today)
        assert scores[id_] == {TODAY + timedelta(days=1): 47, TODAY + timedelta(days=2): 46}
        assert await load_scores(connection, [], today) == {}
        memory = PastScores()
        assert await memory.load(connection, [id_], today) == scores
        await connection.execute(
            text("UPDATE customer_health SET midnight_score = 9 WHERE midnight_score = 46")
        )
        assert await memory.load(connection, [id_], today) == scores
        memory.forget([id_])
        assert (await memory.load(connection, [id_], today))[id_][TODAY + timedelta(days=2)] == 9


async def test_an_entry_marks_the_day_as_treated(desk: Desk) -> None:
    await desk.publish(when("health_score: < 60"), policy=Policy(holdout_percent=0))
    await come(desk)
    assert (await row(desk, "customer_health"))["intervention_triggered"]
    assert (await row(desk, "churn_predictions"))["intervention_sent"]
    desk.clock.now += timedelta(hours=1)
    await desk.send("ada", "login")
    assert (await row(desk, "customer_health"))["intervention_triggered"]
    await desk.go_to(START + timedelta(days=1))
    assert not (await row(desk, "customer_health"))["intervention_triggered"]


async def test_who_is_held_out_from_everything_is_marked_and_not_treated(desk: Desk) -> None:
    await desk.publish(when("health_score: < 60"), policy=Policy(holdout_percent=99.999999))
    await come(desk)
    churn = await row(desk, "churn_predictions")
    assert (churn["held_out"], churn["intervention_sent"]) == (True, False)


async def test_the_young_and_the_cancelled_have_health_and_no_prediction(desk: Desk) -> None:
    await desk.send("new", "identify", signed_up_at=(START - timedelta(days=3)).isoformat())
    await desk.send("gone", "identify", signed_up_at=SIGNED_UP.isoformat(), subscription_status="cancelled")
    assert len(await desk.rows("SELECT 1 FROM customer_health")) == 2
    assert await desk.rows("SELECT 1 FROM churn_predictions") == []


async def test_the_champion_predicts_as_soon_as_there_is_one(desk: Desk) -> None:
    await come(desk, plan="pro")
    assert (await row(desk, "churn_predictions"))["source"] == "rule_of_thumb"
    health = await make_champion(desk, small_health(), "health")
    await desk.send("ada", "feature_used", {"feature": "templates"})
    found = await row(desk, "churn_predictions")
    assert (found["source"], found["model_version"]) == ("health", health)
    version = await make_champion(desk, small_model())
    await desk.send("ada", "feature_used", {"feature": "analytics"})
    found = await row(desk, "churn_predictions")
    assert (found["source"], found["model_version"]) == ("model", version)
    assert found["within_30d"] < found["within_60d"] < found["within_90d"]
    assert found["churn_probability"] == pytest.approx(found["within_90d"], abs=1e-5)
    [(probability,)] = await desk.rows("SELECT churn_probability FROM signals")
    assert probability == found["churn_probability"]


async def test_an_old_champion_is_less_sure_and_an_unreadable_one_doesnt_serve(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await make_champion(desk, small_model(), age=STALE_AFTER + timedelta(days=1))
    await come(desk, plan="pro")
    assert (await row(desk, "churn_predictions"))["model_confidence"] == "medium"
    async with desk.database.transaction() as connection:
        await connection.execute(text("UPDATE churn_models SET version = 'broken', artifact = '{}'"))
    await desk.send("ada", "feature_used", {"feature": "templates"})
    assert (await row(desk, "churn_predictions"))["source"] == "rule_of_thumb"
    assert "churn model broken (model) can't serve" in caplog.text


async def test_the_policy_says_the_horizon_the_worth_and_the_market(desk: Desk) -> None:
    market = (MarketRow(vendor_type="venue", month=3, seasonal_factors=0.4),)
    churn = ChurnPolicy(horizon_days=30, lifetime_months=10, market=market)
    await desk.publish(policy=Policy(churn=churn))
    await make_champion(desk, small_model())
    await come(desk, vendor_type="venue")
    found = await row(desk, "churn_predictions")
    assert found["churn_probability"] == pytest.approx(found["within_30d"], abs=1e-5)
    assert found["ltv_at_risk"] == pytest.approx(found["churn_probability"] * 10 * 50)
    assert found["prediction_factors"]["seasonal_factors"] == 0.4
    async with desk.database.transaction() as connection:
        served = await load_predictors(connection, load_catalogue())
        assert served.policy == churn
        assert await load_predictors(connection, load_catalogue()) is served


async def test_scoring_on_demand_writes_the_rows_and_has_playbooks_hear_of_it(desk: Desk) -> None:
    await come(desk)
    await desk.publish(when("health_score: < 45"))
    await desk.evaluate()
    desk.clock.now += timedelta(days=4)
    assert await desk.entries() == []
    looked = await assess_customer(desk.database, load_catalogue(), "ada")
    assert (looked.health.score, looked.user_id) == (41, "ada")
    assert (await row(desk, "customer_health"))["day"] == TODAY
    bell = Waker(desk.database, "holdfast_evaluate")
    assert await assess_customer(desk.database, load_catalogue(), "ada", bell=bell) == looked
    found = await row(desk, "customer_health")
    assert (found["day"], found["health_score"], found["midnight_score"]) == (
        TODAY + timedelta(days=4), 41, None,
    )  # fmt: skip
    await desk.evaluate()
    assert [entry[:2] for entry in await desk.entries()] == [("ada", "helping")]


async def test_referrals_raise_the_enhanced_score_alone(desk: Desk) -> None:
    await come(desk)
    for _ in range(2):
        await desk.send("ada", "referral_made")
    found = await row(desk, "customer_health")
    assert (found["health_score"], found["enhanced_score"], found["risk_level"]) == (47, 58, "critical")
    assert await desk.rows("SELECT enhanced_score FROM signals") == [(58.0,)]


async def test_days_of_a_loaded_past_have_their_health(desk: Desk) -> None:
    from store.past import Past, PastEvent, load_past

    days: dict[date, dict[str, Value]] = {
        TODAY - timedelta(days=2): {"health_score": 60, "risk_level": "at_risk", "enhanced_score": 63},
        TODAY - timedelta(days=1): {"health_score": 50, "risk_level": "at_risk", "enhanced_score": 53},
        TODAY: {"plan": "pro"},
    }
    event = PastEvent("e1", "login", datetime(2026, 2, 1, tzinfo=UTC), {})
    past = Past("old", {}, {}, [event], {"health_score": 50}, {}, (), days)
    async with desk.database.transaction() as connection:
        await load_past(connection, [past], source="past", demo=True, now=START)
    assert await desk.rows(
        "SELECT day, health_score, midnight_score, previous_score, enhanced_score FROM customer_health ORDER BY day"
    ) == [
        (TODAY - timedelta(days=2), 60, 60, None, 63),
        (TODAY - timedelta(days=1), 50, 50, 60, 53),
    ]
