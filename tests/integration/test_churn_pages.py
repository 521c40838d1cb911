"""The churn page: predictions by filters and order, what is at stake, who predicts, the table for other programs."""

from __future__ import annotations

import csv
import io
import json
import re

import httpx

from tests.integration.web_edge import RunningWeb, furnish

REASONS = (("health_score", 0.9), ("days_since_last_login > 14", 0.4), ("plan", -0.3), ("team_size", 0.1))


async def add(web: RunningWeb, *customers: tuple[str, float, str]) -> None:
    """Customers of (id, churn probability, who predicted); each put 1,000 times that at risk."""
    for user_id, churn, source in customers:
        level = (
            "critical" if churn >= 0.8 else "high" if churn >= 0.6 else "medium" if churn >= 0.4 else "low"
        )
        await web.change(
            "INSERT INTO customers (external_id, business_name, csm, created_at) "
            "VALUES (:id, 'Business ' || :id, 'anna', now() - interval '90 days')",
            id=user_id,
        )
        await web.change(
            "INSERT INTO signals (customer_id, churn_probability, churn_risk_level, ltv_at_risk, last_login, "
            "changed_at) SELECT id, :churn, :level, 1000 * :churn, now(), now() FROM customers WHERE external_id = :id",
            id=user_id, churn=churn, level=level,
        )  # fmt: skip
        await web.change(
            "INSERT INTO churn_predictions (customer_id, prediction_date, churn_probability, risk_level, reasons, "
            "source, model_version, model_confidence, intervention_recommended, intervention_priority, ltv_at_risk, "
            "calculated_at, prediction_factors) SELECT id, (now() AT TIME ZONE 'UTC')::date, :churn, :level, "
            "CAST(:reasons AS jsonb), :source, 'v1', 'high', :churn >= 0.6, 4, 1000 * :churn, now(), "
            "CAST(:factors AS jsonb) FROM customers WHERE external_id = :id",
            id=user_id, churn=churn, level=level, source=source,
            reasons=json.dumps([{"signal": signal, "effect": effect} for signal, effect in REASONS]),
            factors=json.dumps({"declining_health_score": 0.9}),
        )  # fmt: skip


async def test_the_page_lists_counts_and_says_what_to_do(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    await add(web, ("a", 0.9, "model"), ("b", 0.65, "health"), ("c", 0.3, "model"))
    page = (await browser.get("/churn")).text
    assert page.index("Business a") < page.index("Business b") < page.index("Business c")
    assert "<strong>2</strong><span>at risk of 3" in page
    assert "<strong>$1,550</strong><span>LTV at risk" in page
    assert "A plain count without a counterfactual" in page
    assert "The rule of thumb predicts" in page
    row = page.split('href="/customers/a"')[1].split("</tr>")[0]
    assert "health score" in row
    # A rule is told by its signal, never by the side on which the customer is.
    assert "days since last login: 0" in row
    assert "health score: not known" in row
    assert "&gt; 14" not in row
    assert "team size" not in row
    assert "Call now" in row
    assert "Start a multi-channel rescue" in row
    assert "$900" in row
    only = (await browser.get("/churn?source=health")).text
    assert "Business b" in only
    assert "Business a" not in only
    turned = (await browser.get("/churn?least=0.6&sort=churn")).text
    assert turned.index("Business b") < turned.index("Business a")
    assert "Business c" not in turned
    assert "No prediction is like that" in (await browser.get("/churn?segment=nowhere")).text
    for wrong in ("sort=luck", "least=0.55", "cursor=x", f"csm={'x' * 201}", "csm=%00"):
        assert (await browser.get(f"/churn?{wrong}")).status_code == 400, wrong


async def test_a_page_goes_on_where_the_one_before_ended(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    await add(web, *((f"n{number:03}", (number % 9) / 10, "model") for number in range(30)))
    for sort in ("-ltv", "churn", "date"):
        first = (await browser.get(f"/churn?sort={sort}")).text
        [link] = re.findall(r'rel="next" href="([^"]+)"', first)
        second = (await browser.get(link.replace("&amp;", "&"))).text
        shown = [re.findall(r'class="name" href="/customers/(n\d+)"', text) for text in (first, second)]
        assert [len(part) for part in shown] == [25, 5]
        assert len({*shown[0], *shown[1]}) == 30
        assert (await browser.get(f"{link.replace('&amp;', '&')}&sort=-churn")).status_code == 400


async def test_the_table_for_other_programs_has_all_of_the_filter(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await add(web, ("a", 0.9, "model"), ("=1+1", 0.85, "model"), ("c", 0.3, "model"))
    answer = await browser.get("/churn.csv?level=critical")
    assert answer.headers["content-disposition"] == 'attachment; filename="churn.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["userId"] for row in rows] == ["a", "'=1+1"]
    assert (rows[0]["churnProbability"], rows[0]["ltvAtRisk"], rows[0]["interventionUrgency"]) == (
        "0.9",
        "900.0",
        "immediate",
    )
    assert rows[0]["reasons"].startswith("health_score +0.90; days_since_last_login +0.40")


async def test_who_predicts_is_told_with_how_it_was_judged_and_its_alerts(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    tried = {
        "days": 90,
        "rows": 800,
        "events": 60,
        "auc": 0.871,
        "log_loss": 0.212,
        "accuracy": 0.93,
        "majority": 0.925,
    }
    metrics = {"reports": [{"forecaster": "model", **tried},
                           {"forecaster": "base_rate", **tried, "auc": 0.5, "log_loss": 0.266}]}  # fmt: skip
    await web.change(
        "INSERT INTO churn_models (version, kind, state, artifact, trained_at, promoted_at, approved_by, metrics) "
        "VALUES ('3f6c1a0d9e2b4c57', 'model', 'champion', '{}', now(), now(), 'training', CAST(:metrics AS jsonb))",
        metrics=json.dumps(metrics),
    )
    since = {
        "rows": 4000,
        "auc": 0.842,
        "log_loss": 0.231,
        "base_log_loss": 0.27,
        "accuracy": 0.91,
        "majority_rate": 0.9,
    }
    report = {"status": "warning", "why": ["Accuracy is fine."], "matured": {"untreated": since}}
    await web.change(
        "INSERT INTO model_reports (day, at, report) VALUES (current_date, now(), CAST(:report AS jsonb))",
        report=json.dumps(report),
    )
    await web.change(
        "INSERT INTO alerts (kind, message, at) VALUES ('model_drift', 'More leave than was said.', now()), "
        "('stuck', 'Something else.', now())"
    )
    page = (await browser.get("/churn")).text
    for word in ("3f6c1a0d9e2b", "AUC 0.871", "log loss 0.212", "(base rate 0.266)", "93.0", "(majority 92.5",
                 "AUC 0.842",
                 "(base rate 0.270)", "More leave than was said."):  # fmt: skip
        assert word in page, word
    assert "Something else." not in page


async def test_an_empty_base_says_so(web: RunningWeb, browser: httpx.AsyncClient) -> None:
    assert "Nothing is predicted yet" in (await browser.get("/churn")).text
    await furnish(web)
    assert (await browser.get("/churn")).status_code == 200
