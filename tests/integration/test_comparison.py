"""The nightly comparison on a real database: what agrees is recorded, what differs is an alert that names it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from activities.steps import StepOpening
from activities.versions import Versions
from loops.comparison import HOLDS, NightlyComparison, judge_by_columns
from loops.triggers import Triggers
from schemas.catalogue import load_catalogue
from schemas.facts import Facts
from store.alerts import load_open_alerts
from store.comparisons import load_last_comparison
from tests.integration.evaluation_desk import Desk, open_desk, when


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as desk:
        await desk.publish(
            when("plan: pro\nlast_login: {is: present}", "active-pro"),
            when("event: {name: payment_failed, at_least: 2, within: 30d}\nnone: [{plan: free}]", "failing"),
            when("last_login: {within: 1d}\ntags: {contains: vip}", "vip-here"),
        )
        for name, plan in (("ada", "pro"), ("bob", "free"), ("cleo", None)):
            await desk.send(name, "identify", **({"plan": plan} if plan else {}), tags=["vip"])
            await desk.send(name, "payment_failed")
            await desk.send(name, "payment_failed")
        await desk.send("ada", "login")
        yield desk


def opening(desk: Desk) -> StepOpening:
    return StepOpening(desk.database, load_catalogue(), Versions())


def columns_that_take_unknown_for_true(
    triggers: Triggers, customers: Sequence[Facts]
) -> list[Mapping[str, str]]:
    """As if a missing plan were no free one."""
    judged = judge_by_columns(triggers, customers)
    return [
        {
            name: HOLDS if name == "failing" and facts.customer == "cleo" else path
            for name, path in one.items()
        }
        for facts, one in zip(customers, judged, strict=True)
    ]


async def test_batch_and_live_path_agree_and_that_is_kept(desk: Desk) -> None:
    comparison = await NightlyComparison(opening(desk)).run_once()
    assert comparison is not None
    assert (comparison.customers, comparison.answers, comparison.differences) == (3, 9, [])
    async with desk.database.transaction() as connection:
        assert await load_last_comparison(connection) == comparison
        assert await load_open_alerts(connection) == []
    answers: list[tuple[str, str]] = await desk.rows(
        "SELECT c.external_id, r.playbook FROM runs r JOIN customers c ON c.id = r.customer_id ORDER BY 1, 2"
    )  # type: ignore[assignment]
    assert answers == [("ada", "active-pro"), ("ada", "failing"), ("ada", "vip-here")]


async def test_a_difference_is_an_alert_that_names_customer_playbook_and_both_answers(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    broken = NightlyComparison(opening(desk), batch=columns_that_take_unknown_for_true)
    with caplog.at_level(logging.ERROR):
        comparison = await broken.run_once()
    assert comparison is not None
    said = (
        "customer cleo, playbook failing: the live path says that it fails at enter.when.none, "
        "the batch that it holds"
    )
    assert [record.getMessage() for record in caplog.records] == [f"the evaluators differ: {said}"]
    async with desk.database.transaction() as connection:
        [alert] = await load_open_alerts(connection)
    assert alert.kind == "evaluators_differ"
    assert alert.message == f"1 of 9 answers differ; {said}"
    assert alert.detail["differences"] == [
        {
            "customer": "cleo", "playbook": "failing", "live": "enter.when.none", "batch": "holds",
            "now": "2026-03-02T09:00:00Z",
        }
    ]  # fmt: skip

    # The next one that finds nothing closes it.
    desk.clock.now += timedelta(days=1)
    await NightlyComparison(opening(desk)).run_once()
    async with desk.database.transaction() as connection:
        assert await load_open_alerts(connection) == []


async def test_once_a_day_at_its_hour_whoever_asks(desk: Desk) -> None:
    desk.clock.now += timedelta(hours=12)
    tonight = [NightlyComparison(opening(desk), hour=22), NightlyComparison(opening(desk), hour=22)]
    assert [await one.run_once() for one in tonight] == [None, None]
    desk.clock.now += timedelta(hours=1)
    done = [await one.run_once() for one in tonight]
    assert [one is not None for one in done] == [True, False]
    desk.clock.now += timedelta(hours=23)
    assert await tonight[0].run_once() is None
    desk.clock.now += timedelta(hours=1)
    assert await tonight[1].run_once() is not None


async def test_no_more_than_a_sample_is_looked_at(desk: Desk) -> None:
    comparison = await NightlyComparison(opening(desk), customers=2).run_once()
    assert comparison is not None
    assert comparison.customers == 2


async def test_the_doctor_shows_it(desk: Desk, database_url: str, checkout: Path) -> None:
    def examine() -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "doctor", "--format", "json"],
            capture_output=True, text=True, timeout=60, check=False, cwd=checkout,
            env={"PATH": os.environ["PATH"], "HOLDFAST_DATABASE_URL": database_url, "TEMPORAL_ADDRESS": "127.0.0.1:1"},
        )  # fmt: skip
        findings = [json.loads(line) for line in done.stdout.splitlines()]
        return next(finding for finding in findings if finding["part"] == "comparison")

    assert examine()["found"] == "none made yet"
    await NightlyComparison(opening(desk), batch=columns_that_take_unknown_for_true).run_once()
    found = examine()
    assert not found["ok"]
    assert "3 customers on 2026-03-02, 1 of 9 answers differ; open alert of 2026-03-02:" in str(
        found["found"]
    )
    assert found["remedy"]
