"""Training on a real history: promoted, refused, kept, calibrated anew, rolled back; the same bytes each time."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import Client, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from activities.training import ModelTrainingBooks
from cli.main import run
from schemas.catalogue import load_catalogue
from schemas.errors import ConflictError, NotFoundError
from schemas.training_run import DecideCall, FitCall, JudgeCall, TrainingCall, TrainingResult
from scoring.hazard import HazardSettings
from store import churn_models
from store.churn_models import StoredModel
from store.database import Database
from tests.integration.training_base import (
    UNTIL,
    Base,
    by_health,
    by_more,
    load_base,
    make_base,
    open_database,
)
from workflows.model_training import ModelTraining

# Fewer weeks than in use: what is tested is what becomes of a model, not how good it can be.
QUICK = HazardSettings(rules=False, most_weeks=2500)
QUEUE = "training-test"


def books_of(database: Database, **options: Any) -> ModelTrainingBooks:
    return ModelTrainingBooks(database, load_catalogue(), **{"settings": QUICK, **options})


async def models_of(database: Database) -> list[StoredModel]:
    async with database.transaction() as connection:
        return await churn_models.list_models(connection)


async def champions_of(database: Database) -> dict[str, str]:
    return {one.kind: one.version for one in await models_of(database) if one.state == "champion"}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_database(database_url)
    yield database
    await database.close()


@pytest.fixture(scope="module")
def rich() -> Base:
    """Customers of whom signals say more than the health score."""
    return make_base(by_more, customers=200, seed=7)


@pytest.fixture(autouse=True, scope="module")
def _told() -> Iterator[None]:
    # Whoever is asked for is no part of what is tested.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOGNAME", "tester")
        yield


async def test_a_model_that_proves_better_is_promoted_kept_and_rolled_back(
    database: Database, database_url: str, rich: Base, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    await load_base(database, rich)
    told: list[str] = []
    result = await books_of(database, say=told.append).train(TrainingCall(by="a person"))
    assert result.read.refused is None
    assert result.read.events >= 50
    assert {one.kind: one.outcome for one in result.decisions} == {"model": "promoted", "health": "promoted"}
    assert any("trial 1 of" in line for line in told)
    for one in await models_of(database):
        assert one.state == "champion"
        assert one.approved_by == "a person"
        assert one.promoted_at == UNTIL
        assert one.reason.startswith("Promoted: log loss within 90 days")
        async with database.transaction() as connection:
            artifact = await churn_models.load_artifact(connection, one.kind, one.version)
        assert hashlib.sha256(artifact.encode()).hexdigest().startswith(one.version)
        by_name = {(report["forecaster"], report["days"]): report for report in one.metrics["reports"]}
        assert by_name["model", 90]["log_loss"] < by_name["health", 90]["log_loss"]
        assert by_name["health", 90]["log_loss"] < by_name["rule_of_thumb", 90]["log_loss"]
        assert by_name["model", 30]["events"] < by_name["model", 90]["events"]
    first = await champions_of(database)

    # The same history again: the same bytes, and nothing to judge a challenger by.
    result = await books_of(database).train(TrainingCall(by="schedule"))
    assert {one.outcome for one in result.decisions} == {"kept"}
    assert "trained 0 days ago" in result.decisions[0].reason
    assert {one.challenger for one in result.decisions} == set(first.values())
    assert await champions_of(database) == first
    assert {one.state for one in await models_of(database)} == {"champion"}

    # Another one, approved of by a person, and back.
    other = await books_of(database).fit(FitCall(kind="model", as_of=UNTIL - timedelta(days=200)))
    assert other.version not in first.values()
    async with database.transaction() as connection:
        with pytest.raises(ConflictError, match="too short"):
            await churn_models.find_version(connection, "ab")
        with pytest.raises(NotFoundError):
            await churn_models.find_version(connection, "ffffffff0")
        assert await churn_models.find_version(connection, other.version[:8]) == ("model", other.version)
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    assert await _run("train", "--rollback", other.version[:8]) == 0
    assert (await champions_of(database))["model"] == other.version
    assert (await champions_of(database))["health"] == first["health"]
    assert await _run("train", "--rollback", first["model"]) == 0
    assert await _run("train", "--rollback", first["model"]) == 0
    shown = capsys.readouterr().out
    assert "serves again" in shown
    assert "serves already" in shown
    assert await champions_of(database) == first
    assert await _run("train", "--list") == 0
    listed = capsys.readouterr().out
    assert "champion" in listed
    assert "retired" in listed
    assert "approved by tester" in listed
    assert await _run("train", "--list", "--format", "json") == 0
    states = {(one["version"], one["state"]) for one in map(json.loads, capsys.readouterr().out.splitlines())}
    assert states == {(first["model"], "champion"), (first["health"], "champion"), (other.version, "retired")}
    assert await _run("train", "--rollback", "ffffffff0") == 1
    assert await _run("train", "--list", "--dry-run") == 2


async def _run(*arguments: str) -> int:
    """A command beside a loop that runs already."""
    return await asyncio.to_thread(run, arguments)


async def test_what_may_not_be_learned_from_changes_no_byte(database: Database, rich: Base) -> None:
    await load_base(database, rich)
    fitted = await books_of(database).fit(FitCall(kind="model", as_of=UNTIL, dry_run=True))
    again = await books_of(database).fit(FitCall(kind="model", as_of=UNTIL, dry_run=True))
    assert (again.version, again.bytes) == (fitted.version, fitted.bytes)
    # Each of them would tell who leaves, were it looked at.
    async with database.transaction() as connection:
        await connection.execute(
            text(
                "UPDATE signal_history h SET country = CASE WHEN left_ THEN 'NO' ELSE 'SE' END, "
                "vendor_type = 'leaves: ' || left_, monthly_price = CASE WHEN left_ THEN 1 ELSE 99 END, "
                "churn_probability = CASE WHEN left_ THEN 0.9 ELSE 0.1 END, churn_risk_level = 'high', "
                "tags = ARRAY[left_::text], best_templates = ARRAY['x'], "
                "custom = jsonb_build_object('email', 'a@b.example', 'notes', 'is leaving: ' || left_, "
                "  'venue_contract', left_, 'renewal_id', 'r1', 'country', left_) "
                "FROM (SELECT c.id, EXISTS (SELECT 1 FROM events e WHERE e.customer_id = c.id "
                "  AND e.name = 'subscription_cancelled') AS left_ FROM customers c) AS known "
                "WHERE known.id = h.customer_id"
            )
        )
    with_more = await books_of(database).fit(FitCall(kind="model", as_of=UNTIL, dry_run=True))
    assert (with_more.version, with_more.bytes) == (fitted.version, fitted.bytes)
    assert await models_of(database) == []
    # The check can fail: what may be learned from changes the bytes.
    async with database.transaction() as connection:
        await connection.execute(
            text("UPDATE signal_history SET support_tickets_30d = 7 - support_tickets_30d")
        )
    changed = await books_of(database).fit(FitCall(kind="model", as_of=UNTIL, dry_run=True))
    assert changed.version != fitted.version


async def test_a_model_that_says_no_more_than_the_health_score_is_refused(database: Database) -> None:
    await load_base(database, make_base(by_health, customers=140, seed=4))
    result = await books_of(database).train(TrainingCall())
    found = {one.kind: one for one in result.decisions}
    assert found["model"].outcome == "refused"
    assert "of the recalibrated health score" in found["model"].reason
    assert found["health"].outcome == "promoted"
    states = {one.kind: one.state for one in await models_of(database)}
    assert states == {"model": "refused", "health": "champion"}
    assert list(await champions_of(database)) == ["health"]


async def test_what_serves_is_calibrated_anew_when_twice_as_many_leave(database: Database) -> None:
    trained_at = UNTIL - timedelta(days=110)

    def moved(health: float, tickets: int, sessions: int, day: date) -> float:
        more = 1.5 if day >= trained_at.date() else 0.0
        return by_health(health, tickets, sessions, day) + 0.3 + more

    await load_base(database, make_base(moved, customers=260, seed=4))
    before = await books_of(database).fit(FitCall(kind="health", as_of=trained_at))
    async with database.transaction() as connection:
        await churn_models.promote(
            connection, "health", before.version, now=trained_at, approved_by="test", reason="first"
        )
    books = books_of(database)
    challenger = await books.fit(FitCall(kind="health", as_of=UNTIL))
    (decision,) = await books.judge(JudgeCall(as_of=UNTIL, fitted=(challenger,)))
    assert decision.outcome == "recalibrated", decision.reason
    assert decision.version not in (before.version, challenger.version)
    assert await books.decide(DecideCall(decision=decision, as_of=UNTIL, by="schedule"))
    # Carried out twice, as after a crash, it is the same.
    assert not await books.decide(DecideCall(decision=decision, as_of=UNTIL, by="schedule"))
    states = {one.version: one.state for one in await models_of(database)}
    assert states == {
        before.version: "retired", challenger.version: "refused", decision.version: "champion"
    }  # fmt: skip
    async with database.transaction() as connection:
        old = json.loads(await churn_models.load_artifact(connection, "health", before.version))
        new = json.loads(await churn_models.load_artifact(connection, "health", decision.version))
    assert new["calibration"] != old["calibration"]
    assert {**new, "calibration": None} == {**old, "calibration": None}


async def test_fewer_than_ten_who_left_teach_nothing_and_change_nothing(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    base = make_base(by_more, customers=12, until=now)
    await load_base(database, base)
    result = await books_of(database).train(TrainingCall(as_of=now))
    assert result.read.refused is not None
    assert "from 10 on. Nothing has changed." in result.read.refused
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    assert await _run("train") == 0
    assert "from 10 on" in capsys.readouterr().out
    assert await _run("churn", "evaluate") == 1
    assert "from 10 on" in capsys.readouterr().err
    assert await models_of(database) == []


async def test_commands_on_the_live_database(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    now = datetime.now(UTC).replace(microsecond=0)
    await load_base(database, make_base(by_more, customers=70, until=now))
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    monkeypatch.setattr("activities.training.HazardSettings", lambda: QUICK)
    assert await _run("train", "--dry-run") == 0
    shown, said = capsys.readouterr()
    assert "customers looked at" in said
    assert "within 90 days" in shown
    assert "rule of thumb, as it serves" in shown
    assert "A dry run: nothing was kept and nothing has changed." in shown
    assert await models_of(database) == []

    picture = tmp_path / "live.svg"
    assert await _run("churn", "evaluate", "--format", "json", "--picture", str(picture)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == sum(fold["rows"] for fold in told["folds"]) > 100
    assert set(told["overall"]) >= {
        "auc",
        "log_loss",
        "brier",
        "ece",
        "recall_at_10",
        "lift_at_10",
        "accuracy",
    }
    assert {one["forecaster"] for one in told["reports"]} >= {"model", "health", "rule_of_thumb", "base_rate"}
    assert "calibration" in picture.read_text()
    assert await _run("churn", "evaluate", "--label", "churned") == 2
    assert "give --data" in capsys.readouterr().err


async def test_the_workflow_resumes_at_the_last_step_that_was_finished(
    database: Database, temporal: str
) -> None:
    await load_base(database, make_base(by_more, customers=50))
    client = await Client.connect(temporal, data_converter=pydantic_data_converter)
    books = books_of(database)
    failed: list[str] = []
    read_training = books.evaluate

    def fail_first(*arguments: Any) -> Any:
        if not failed:
            failed.append("once")
            raise ConnectionError("the worker is gone")
        return read_training(*arguments)

    books.evaluate = fail_first  # type: ignore[method-assign]
    worker = Worker(
        client, task_queue=QUEUE, workflows=[ModelTraining],
        activities=[books.read, books.fit, books.judge, books.decide],
    )  # fmt: skip
    async with worker:
        handle = await client.start_workflow(
            ModelTraining.run, TrainingCall(by="the schedule"), id="scoring/training/test", task_queue=QUEUE
        )
        result = await handle.result()
        steps = await handle.query(ModelTraining.progress)
    assert isinstance(result, TrainingResult)
    assert {one.kind for one in result.decisions} == {"model", "health"}
    assert [(one.name, one.state) for one in steps] == [
        (name, "done") for name in ("read", "fit model", "fit health", "judge", "decide")
    ]
    assert "left" in steps[0].told
    history = await handle.fetch_history()
    begun = [
        event.activity_task_started_event_attributes.attempt
        for event in history.events
        if event.HasField("activity_task_started_event_attributes")
    ]
    # read, two fits, judge at the second attempt, two decisions.
    assert begun == [1, 1, 1, 2, 1, 1]
    # What passes through Temporal is small, whatever the history's size.
    assert history_bytes(history) < 200_000
    stored = {one.kind: one for one in await models_of(database)}
    assert {kind: one.version for kind, one in stored.items()} == {
        one.kind: one.version for one in result.decisions
    }
    assert all(one.reason for one in stored.values())
    strict = SandboxRestrictions.default.with_import_notification_policy(
        SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
    replayer = Replayer(
        workflows=[ModelTraining], data_converter=pydantic_data_converter,
        workflow_runner=SandboxedWorkflowRunner(restrictions=strict),
    )  # fmt: skip
    await replayer.replay_workflow(history)


def history_bytes(history: WorkflowHistory) -> int:
    return sum(event.ByteSize() for event in history.events)
