"""Monitoring on a real database: predictions mature, what they came to is kept, and what is wrong is an alert."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from activities.steps import StepOpening
from activities.versions import Versions
from cli.main import run
from loops.maturing import mature, mature_day
from loops.monitoring import ModelMonitor
from loops.observing import observe
from schemas.catalogue import load_catalogue
from schemas.facts import Event
from schemas.incoming import IncomingEvent
from schemas.policy import Policy
from scoring.leaving import trace_stay
from scoring.model_report import ModelReport
from scoring.moving import make_mover
from store.alerts import load_open_alerts
from store.database import Database, PlayedClock
from store.intake import take_in
from store.monitoring import load_matured_until

CATALOGUE = load_catalogue()
# A Monday.
DAY = date(2026, 3, 2)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
STAYING = tuple(range(-40, 130, 20))


def after(days: float) -> datetime:
    return MIDNIGHT + timedelta(days=days)


@dataclass
class Scene:
    """A database whose clock is ours."""

    database: Database
    clock: PlayedClock

    async def have(
        self,
        *names: str,
        created: float = -300,
        events: Sequence[tuple[str, float]] = (),
        logins: Sequence[float] = (),
    ) -> None:
        """Customers with these events, in days from the second of March."""
        told = [("identify", created), *events, *(("login", at) for at in logins)]
        sent = [
            IncomingEvent("t", str(uuid.uuid4()), name, what, after(at), after(at), after(at).date(), {}, {})
            for name in names
            for what, at in told
        ]
        await take_in(self.database, sent, move=make_mover(CATALOGUE), evaluate=False)
        for name in names:
            await self.run(
                "UPDATE customers SET created_at = :at WHERE external_id = :name",
                at=after(created),
                name=name,
            )

    async def predict(
        self,
        name: str,
        probability: float = 0.2,
        *,
        day: date = DAY,
        source: str = "model",
        hour: float = 0.1,
        **more: Any,
    ) -> None:
        """A prediction on record."""
        row = {
            "within_30d": probability / 3 if source != "rule_of_thumb" else None, "risk_level": "low",
            "model_version": "v1", "model_confidence": "high", "intervention_recommended": False,
            "intervention_priority": 1, "held_out": False,
            "calculated_at": datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour),
        } | more  # fmt: skip
        columns = ", ".join(row)
        await self.run(
            f"INSERT INTO churn_predictions (customer_id, prediction_date, churn_probability, source, {columns}) "
            f"SELECT id, :day, :probability, :source, {', '.join(f':{one}' for one in row)} FROM customers "
            "WHERE external_id = :name",
            day=day, probability=probability, source=source, name=name, **row,
        )  # fmt: skip

    async def run(self, sql: str, **given: Any) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(text(sql), given)

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.database.transaction() as connection:
            return [tuple(row) for row in await connection.execute(text(sql))]

    async def outcomes(self, day: date = DAY) -> dict[str, bool | None]:
        rows = await self.rows(
            "SELECT c.external_id, p.actual_churn FROM churn_predictions p JOIN customers c ON c.id = p.customer_id "
            f"WHERE p.prediction_date = '{day}' ORDER BY 1"
        )
        return dict(rows)  # type: ignore[arg-type]

    async def mature(self, days_later: float) -> int:
        return await mature(self.database, CATALOGUE, 90, after(days_later))

    def monitor(self, **more: Any) -> ModelMonitor:
        return ModelMonitor(StepOpening(self.database, CATALOGUE, Versions()), **more)

    async def alerts(self) -> list[tuple[str, str]]:
        async with self.database.transaction() as connection:
            return sorted((one.kind, one.message) for one in await load_open_alerts(connection))


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    clock = PlayedClock(after(0))
    database = Database(database_url, connections=4, clock=clock)
    yield Scene(database, clock)
    await database.close()


class TestMaturing:
    async def test_outcomes_are_filled_in_once_the_horizon_is_over(self, scene: Scene) -> None:
        await scene.have("cancelled", logins=STAYING, events=[("subscription_cancelled", 89)])
        await scene.have("cancelled-later", logins=STAYING, events=[("subscription_cancelled", 90.1)])
        await scene.have("silent", logins=[-40, 25])
        await scene.have("silent-later", logins=[-40, 10, 40])
        await scene.have("stays", logins=STAYING)
        await scene.have("gone-silent", logins=[-70])
        await scene.have("gone", logins=STAYING, events=[("subscription_cancelled", -1)])
        await scene.have(
            "back", logins=STAYING, events=[("subscription_cancelled", -9), ("subscription_started", -1)]
        )
        await scene.have("newcomer", created=-10, logins=[])
        for name in ("cancelled", "cancelled-later", "silent", "silent-later", "stays", "gone-silent", "gone", "back",
                     "newcomer"):  # fmt: skip
            await scene.predict(name)
        # The day's last moment is 90 days ago only when the 91st begins.
        assert await scene.mature(90.9) == 0
        assert set((await scene.outcomes()).values()) == {None}
        assert await scene.mature(91) == 7
        assert await scene.outcomes() == {
            "cancelled": True, "cancelled-later": False, "silent": True, "silent-later": False, "stays": False,
            "gone-silent": None, "gone": None, "back": False, "newcomer": True,
        }  # fmt: skip

    async def test_it_counts_from_the_moment_of_the_prediction(self, scene: Scene) -> None:
        await scene.have("early", "late", logins=STAYING, events=[("subscription_cancelled", 90.5)])
        await scene.predict("early", hour=1)
        await scene.predict("late", hour=20)
        await scene.mature(91)
        assert await scene.outcomes() == {"early": False, "late": True}

    async def test_again_changes_nothing_and_goes_on_where_it_was(self, scene: Scene) -> None:
        await scene.have("ada", logins=STAYING)
        tuesday = DAY + timedelta(days=1)
        await scene.predict("ada")
        await scene.predict("ada", day=tuesday)
        assert await scene.mature(91) == 1
        assert await scene.mature(91) == 0
        assert await mature_day(scene.database, CATALOGUE, DAY, 90, after(91)) == 0
        async with scene.database.transaction() as connection:
            assert await load_matured_until(connection) == DAY
        assert await scene.outcomes(tuesday) == {"ada": None}
        assert await scene.mature(92) == 1
        assert await scene.outcomes(tuesday) == {"ada": False}

    async def test_what_is_corrected_counts_as_corrected(self, scene: Scene) -> None:
        await scene.have("ada", logins=STAYING, events=[("subscription_cancelled", 30)])
        await scene.predict("ada")
        await scene.mature(91)
        assert await scene.outcomes() == {"ada": True}
        await scene.run(
            "INSERT INTO corrections (source, message_id, customer_id, author, at) SELECT source, message_id, "
            "customer_id, 'ops', :at FROM events WHERE name = 'subscription_cancelled'",
            at=after(95),
        )
        assert await mature_day(scene.database, CATALOGUE, DAY, 90, after(96)) == 1
        assert await scene.outcomes() == {"ada": False}

    async def test_in_pages_and_by_the_one_definition_of_leaving(self, scene: Scene) -> None:
        drawn = random.Random(5)
        expected: dict[str, bool | None] = {}
        for number in range(60):
            name, created = f"c{number:02}", -drawn.choice([5, 30, 200])
            logins = [drawn.uniform(created, 120) for _ in range(drawn.choice([0, 1, 2, 3, 6, 30]))]
            events = [
                (drawn.choice(["subscription_cancelled", "subscription_started", "payment_failed"]),
                 drawn.uniform(created, 120))
                for _ in range(drawn.choice([0, 0, 1, 2]))
            ]  # fmt: skip
            await scene.have(name, created=created, events=events, logins=logins)
            hour = drawn.uniform(0, 24)
            await scene.predict(name, hour=hour)
            happened = [Event(what, after(at)) for what, at in [*events, *(("login", at) for at in logins)]]
            stay = trace_stay(name, after(created), happened, CATALOGUE)
            at = after(hour / 24)
            expected[name] = None if stay.is_gone(at) else stay.leaves_within(at, timedelta(days=90))
        await mature_day(scene.database, CATALOGUE, DAY, 90, after(200), page=7)
        assert await scene.outcomes() == expected
        assert set(expected.values()) == {True, False, None}


async def populate(scene: Scene, *, leavers: int, of: int = 120, day: date = DAY, prefix: str = "c") -> None:
    """Customers who stay and some who cancel ten days after; 6 % are expected to within 30 days."""
    gone = (day - DAY).days + 10
    names = [f"{prefix}{number}" for number in range(of)]
    await scene.have(*names[:leavers], logins=STAYING, events=[("subscription_cancelled", gone)])
    await scene.have(*names[leavers:], logins=STAYING)
    for name in names:
        await scene.predict(name, 0.18, day=day)


class TestLoop:
    async def test_drift_is_an_alert_until_it_is_over(self, scene: Scene) -> None:
        await populate(scene, leavers=30)
        scene.clock.now = after(31) + timedelta(hours=5)
        report = await scene.monitor().run_once()
        assert report is not None
        assert report.drift == "alarm"
        [week] = report.early.weeks
        assert (week.day, week.untreated.observed) == (DAY, 30)
        assert week.untreated.expected == pytest.approx(120 * (1 - 0.94 ** (28 / 30)), rel=1e-6)
        [(kind, message)] = await scene.alerts()
        assert kind == "model_drift"
        assert "2026-03-02 30 left within 28 days where 7 were expected" in message

        # The next day it is still so: the same alert stays open.
        opened = await scene.rows("SELECT id, at FROM alerts")
        scene.clock.now += timedelta(days=1)
        assert await scene.monitor().run_once() is not None
        assert await scene.rows("SELECT id, at FROM alerts") == opened

        # A week later the newest predictions hold.
        await populate(scene, leavers=7, day=DAY + timedelta(days=7), prefix="d")
        scene.clock.now += timedelta(days=7)
        report = await scene.monitor().run_once()
        assert report is not None
        assert [one.untreated.observed for one in report.early.weeks] == [30, 7]
        assert report.drift == "none"
        assert await scene.alerts() == [
            (
                "scoring_stale",
                "No population run has finished since 2026-04-02: see whether a batch process runs.",
            )
        ]

    async def test_once_a_day_at_its_hour_whoever_asks(self, scene: Scene) -> None:
        scene.clock.now = after(0) + timedelta(hours=3)
        both = [scene.monitor(), scene.monitor()]
        assert [await one.run_once() for one in both] == [None, None]
        scene.clock.now += timedelta(hours=1)
        assert [await one.run_once() is not None for one in both] == [True, False]
        scene.clock.now += timedelta(days=1)
        assert [await one.run_once() is not None for one in both] == [True, False]
        assert await scene.rows("SELECT day FROM model_reports ORDER BY 1") == [
            (DAY,),
            (DAY + timedelta(days=1),),
        ]

    async def test_a_week_long_past_is_no_news(self, scene: Scene) -> None:
        await populate(scene, leavers=30)
        scene.clock.now = after(29 + 14.5)
        report = await scene.monitor().run_once()
        assert report is not None
        assert report.drift == "alarm"
        scene.clock.now = after(29 + 15.5)
        report = await scene.monitor().run_once()
        assert report is not None
        assert (report.drift, len(report.early.weeks)) == ("unknown", 1)
        assert [kind for kind, _ in await scene.alerts()] == []

    async def test_with_nothing_there_nothing_is_wrong(self, scene: Scene) -> None:
        scene.clock.now = after(0.5)
        report = await scene.monitor().run_once()
        assert report is not None
        assert (report.status, report.drift, report.matured, report.health) == (
            "unknown",
            "unknown",
            None,
            None,
        )
        assert await scene.alerts() == []

    async def test_a_model_that_says_the_wrong_is_critical(self, scene: Scene) -> None:
        # Half of those who are said to leave do, and half of the others.
        await scene.have(
            *(f"a{n}" for n in range(30)), logins=STAYING, events=[("subscription_cancelled", 40)]
        )
        await scene.have(*(f"b{n}" for n in range(30)), logins=STAYING)
        for n in range(30):
            for name in (f"a{n}", f"b{n}"):
                await scene.predict(name, 0.9 if n < 15 else 0.1)
        scene.clock.now = after(95.5)
        report = await scene.monitor().run_once()
        assert report is not None
        assert report.status == "critical"
        [(kind, message)] = [one for one in await scene.alerts() if one[0] == "model_critical"]
        assert kind == "model_critical"
        assert "Accuracy is 50.0%" in message
        assert "AUC is 0.500" in message

    async def test_what_is_stale_is_told(self, scene: Scene) -> None:
        await scene.have("ada", logins=STAYING)
        await scene.run(
            "INSERT INTO churn_models (version, kind, state, artifact, trained_at) "
            "VALUES ('abc', 'model', 'champion', '{}', :at)", at=after(-50),
        )  # fmt: skip
        await scene.run(
            "INSERT INTO population_runs (day, started_at, finished_at) VALUES (:day, :at, :at)",
            day=DAY - timedelta(days=3), at=after(-3),
        )  # fmt: skip
        # One that goes on isn't one that finished.
        await scene.run(
            "INSERT INTO population_runs (day, started_at) VALUES (:day, :at)", day=DAY, at=after(0)
        )
        await scene.predict("ada")
        scene.clock.now = after(0.5)
        report = await scene.monitor().run_once()
        assert report is not None
        assert report.freshness.last_run_age_hours == pytest.approx(84)
        assert (report.coverage.active, dict(report.coverage.predicted)) == (1, {"model": 1})
        assert [kind for kind, _ in await scene.alerts()] == ["model_stale", "scoring_stale"]
        await scene.run("UPDATE churn_models SET trained_at = :at", at=after(0))
        await scene.run("UPDATE population_runs SET finished_at = :at WHERE day = :day", day=DAY, at=after(1))
        scene.clock.now = after(1.5)
        await scene.monitor().run_once()
        assert await scene.alerts() == []


class TestObserving:
    async def observe(self, scene: Scene, days: float, **more: Any) -> ModelReport:
        await scene.mature(days)
        return await observe(scene.database, CATALOGUE, Policy(), after(days), **more)

    async def test_matured_predictions_are_judged_apart_for_the_untreated(self, scene: Scene) -> None:
        await scene.have("left", "held", logins=STAYING, events=[("subscription_cancelled", 50)])
        await scene.have("stays", "treated", "treated-later", logins=STAYING)
        await scene.have("left-first", logins=STAYING, events=[("subscription_cancelled", 5)])
        for name, day in (("treated", -20), ("treated-later", 30), ("left-first", 8)):
            await scene.run(
                "INSERT INTO runs (id, playbook, version, customer_id, arm, state, entered_at, workflow_id) "
                "SELECT gen_random_uuid(), 'p', 'v', id, 'treated', 'running', :at, 'w' || id FROM customers "
                "WHERE external_id = :name", at=after(day), name=name,
            )  # fmt: skip
        for name in ("left", "stays", "treated", "treated-later", "left-first"):
            await scene.predict(name)
        await scene.predict("held", held_out=True, risk_level="high", source="rule_of_thumb")
        matured = (await self.observe(scene, 100)).matured
        assert matured is not None
        assert matured.everybody is not None
        assert (matured.everybody.rows, matured.everybody.left) == (6, 3)
        assert matured.untreated is not None
        assert (matured.untreated.rows, matured.untreated.left, matured.untreated.held_out) == (4, 3, 1)
        assert dict(matured.sources) == {"model": 3, "rule_of_thumb": 1}
        assert [level.name for level in matured.untreated.levels] == ["low", "high"]

    async def test_health_is_judged_on_the_same_days(self, scene: Scene) -> None:
        await scene.have("a", "b", logins=STAYING, events=[("subscription_cancelled", 50)])
        await scene.have("c", "d", logins=STAYING)
        await scene.have("gone", logins=[-100])
        scores = {"a": (20, "critical"), "b": (60, "at_risk"), "c": (60, "at_risk"), "d": (90, "healthy")}
        for name, (score, risk) in (scores | {"gone": (0, "critical")}).items():
            await scene.predict(name)
            await scene.run(
                "INSERT INTO customer_health (customer_id, day, health_score, risk_level, model, calculated_at) "
                "SELECT id, :day, :score, :risk, 'digest', :at FROM customers WHERE external_id = :name",
                day=DAY, score=score, risk=risk, at=after(0), name=name,
            )  # fmt: skip
        health = (await self.observe(scene, 100)).health
        assert health is not None
        assert health.models == ("digest",)
        assert health.untreated is not None
        # Pairs of one who left and one who stayed: three in order, one tied.
        assert health.untreated["auc"] == pytest.approx(3.5 / 4)
        assert health.untreated["majority_rate"] == 0.5
        assert {band["name"]: (band["rows"], band["left"]["hits"]) for band in health.untreated["bands"]} == {
            "healthy": (1, 0), "at_risk": (2, 1), "critical": (1, 1),
        }  # fmt: skip

    async def test_the_date_told_is_held_against_the_day_of_leaving(self, scene: Scene) -> None:
        await scene.have("in", "out", logins=STAYING, events=[("subscription_cancelled", 50)])
        dates = {"in": (45, 55), "out": (60, 70)}
        for name, (first, last) in dates.items():
            given = {"earliest_churn_date": after(first).date(), "latest_churn_date": after(last).date()}
            await scene.predict(name, **given)
        matured = (await self.observe(scene, 100)).matured
        assert matured is not None
        assert (matured.dated, matured.inside) == (2, 1)

    async def test_who_should_have_a_prediction_of_today(self, scene: Scene) -> None:
        await scene.have("model", "thumb", "none", "tomorrow", logins=[-1])
        await scene.have("gone", events=[("subscription_cancelled", -1)])
        await scene.have("young", created=-6.5)
        await scene.have("old-enough", created=-7)
        for name in ("model", "gone", "young"):
            await scene.predict(name)
        await scene.predict("thumb", source="rule_of_thumb")
        await scene.predict("tomorrow", day=DAY + timedelta(days=1))
        coverage = (await self.observe(scene, 0.5)).coverage
        assert (coverage.active, dict(coverage.predicted)) == (5, {"model": 1, "rule_of_thumb": 1})
        assert coverage.share == pytest.approx(0.4)

    async def test_no_more_than_a_sample_is_looked_at(self, scene: Scene) -> None:
        await populate(scene, leavers=3, of=12)
        report = await self.observe(scene, 100, customers=5)
        assert (report.customers, report.customers_of) == (5, 12)
        assert report.matured is not None
        assert report.matured.everybody is not None
        assert report.matured.everybody.rows == 5


class TestCommand:
    @pytest.fixture(autouse=True)
    def surroundings(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
        self.capsys = capsys

    async def run(self, *arguments: str, status: int = 0) -> str:
        """What `holdfast report` prints; where it fails, what it complains of."""
        self.capsys.readouterr()
        found = await asyncio.to_thread(run, ["report", *arguments])
        printed = self.capsys.readouterr()
        assert found == status, printed.err
        return printed.err if status else printed.out

    async def test_the_reports_that_were_kept(self, scene: Scene, tmp_path: Path) -> None:
        await populate(scene, leavers=30)
        scene.clock.now = after(95.5)
        kept = await scene.monitor().run_once()
        assert kept is not None
        day = ("--day", kept.day.isoformat())

        picture = tmp_path / "model.svg"
        told = await self.run("model", *day, "--picture", str(picture))
        assert "2026-06-05: WARNING" in told
        assert "Accuracy 75.0% beside 75.0% for always saying the more frequent" in told
        assert "O/E  4.46, z +9.2" in told
        assert "<svg" in picture.read_text()
        assert ModelReport.model_validate_json(await self.run("model", *day, "--format", "json")) == kept
        assert "No report of 2020-01-01 is kept." in await self.run("model", "--day", "2020-01-01", status=1)

    async def test_the_report_of_now_writes_nothing(self, scene: Scene) -> None:
        now = datetime.now(UTC)
        monday = (now - timedelta(days=95)).date()
        await populate(scene, leavers=4, of=10, day=monday)
        await mature(scene.database, CATALOGUE, 90, now)
        found = json.loads(await self.run("model", "--format", "json", "--capacity", "20"))
        assert found["customers"] == 10
        assert found["matured"]["days"] == [monday.isoformat()]
        assert found["matured"]["everybody"]["capacity"] == pytest.approx(0.2)
        assert await scene.rows("SELECT 1 FROM model_reports") == []

    async def test_nothing_matured_and_the_report_of_playbooks(self, scene: Scene) -> None:
        told = await self.run("model")
        assert "No prediction is 91 days old yet" in told
        assert "0 of 0 active customers have a prediction of today" in told
        assert "What playbooks achieved" in await self.run()
        assert await self.run("--format", "json") == ""
