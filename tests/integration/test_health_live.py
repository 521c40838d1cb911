"""Health models from file to score: published, scoring live customers, and tried on the past."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from cli.score import command
from loops.playbook_files import read_directory, read_paths
from loops.publishing import publish_directory, publish_files
from schemas.catalogue import load_catalogue
from schemas.facts import Event
from schemas.shipped_health import SHIPPED_HEALTH
from scoring.replay import replay_customer
from store.database import Database
from store.health_models import load_active_model, load_models
from store.past import Past, PastEvent, load_past
from tests.integration.evaluation_desk import Desk, open_desk
from tests.integration.web_edge import run_web

CATALOGUE = load_catalogue()
MINE = """\
health: mine
factors:
  team: {signal: team_size, linear: {worst: 0, best: 10}}
weights: {everyone: {team: 100}}
bands: {healthy: 75, at_risk: 50}
"""


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as desk:
        yield desk


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "playbooks" / "health").mkdir(parents=True)
    return tmp_path / "playbooks"


async def score_of(desk: Desk, customer: str = "ada") -> Any:
    [(score, risk)] = await desk.rows(
        "SELECT health_score, risk_level FROM signals s JOIN customers c ON c.id = s.customer_id "
        f"WHERE c.external_id = '{customer}'"
    )
    return score, risk


async def test_the_model_that_the_policy_names_scores_from_the_moment_it_is_published(
    desk: Desk, directory: Path
) -> None:
    await desk.send("ada", "identify", team_size=6)
    assert await score_of(desk) == (22, "critical")
    (directory / "health" / "mine.yaml").write_text(MINE)
    (directory / "policy.yaml").write_text("health_model: mine\n")
    assert await publish_directory(desk.database, directory, CATALOGUE) == []
    await desk.evaluate()
    assert await score_of(desk) == (60, "at_risk")
    # An edit of the model is live in the same way.
    (directory / "health" / "mine.yaml").write_text(MINE.replace("best: 10", "best: 6"))
    changes = (await publish_files(desk.database, read_directory(directory, CATALOGUE))).changes
    assert [(change.name, change.describe()) for change in changes] == [
        ("health/mine", "another health model")
    ]
    await desk.evaluate()
    assert await score_of(desk) == (100, "healthy")
    assert (await publish_files(desk.database, read_directory(directory, CATALOGUE))).changes == []


async def test_who_is_hardly_known_has_no_score_and_loses_the_one_there_was(
    desk: Desk, directory: Path
) -> None:
    await desk.send("ada", "login")
    assert (await score_of(desk))[1] == "critical"
    (directory / "health" / "mine.yaml").write_text(MINE)
    (directory / "policy.yaml").write_text("health_model: mine\n")
    await publish_directory(desk.database, directory, CATALOGUE)
    await desk.evaluate()
    assert await score_of(desk) == (None, None)


async def test_a_file_with_errors_leaves_the_last_good_model_scoring(desk: Desk, directory: Path) -> None:
    (directory / "health" / "mine.yaml").write_text(MINE)
    (directory / "policy.yaml").write_text("health_model: mine\n")
    await publish_directory(desk.database, directory, CATALOGUE)
    (directory / "health" / "mine.yaml").write_text(MINE.replace("100", "90"))
    [problem] = await publish_directory(desk.database, directory, CATALOGUE)
    assert problem.code == "PB504"
    assert await desk.rows("SELECT file FROM file_problems") == [("health/mine.yaml",)]
    await desk.send("ada", "identify", team_size=6)
    assert await score_of(desk) == (60, "at_risk")


async def test_a_model_goes_with_its_file_and_what_ships_is_always_there(desk: Desk, directory: Path) -> None:
    async def state() -> tuple[str, list[str]]:
        async with desk.database.transaction() as connection:
            active, stored = await load_active_model(connection), await load_models(connection)
        return active.digest, sorted(stored)

    shipped = (await state())[0]
    mine = directory / "health" / "mine.yaml"
    mine.write_text(MINE)
    own = directory / "health" / "segment-weighted.yaml"
    own.write_text(
        (SHIPPED_HEALTH / "segment-weighted.yaml").read_text().replace("healthy: 75", "healthy: 80")
    )
    await publish_directory(desk.database, directory, CATALOGUE)
    replaced, stored = await state()
    assert replaced != shipped
    assert stored == ["mine", "segment-weighted"]
    own.unlink()
    mine.unlink()
    # The file of another kind that is named alone takes nothing away.
    (directory / "policy.yaml").write_text("holdout: 5%\n")
    for files in read_paths([directory / "policy.yaml"], CATALOGUE):
        await publish_files(desk.database, files)
    assert await state() == (replaced, stored)
    await publish_directory(desk.database, directory, CATALOGUE)
    assert (await state())[0] == shipped


async def test_one_model_can_be_published_by_itself(desk: Desk, directory: Path) -> None:
    (directory / "health" / "mine.yaml").write_text(MINE)
    (directory / "health" / "other.yaml").write_text(MINE.replace("mine", "other"))
    [files] = read_paths([directory / "health" / "mine.yaml"], CATALOGUE)
    assert [change.name for change in (await publish_files(desk.database, files)).changes] == ["health/mine"]


# The past.

NOW = datetime(2025, 6, 30, 9, tzinfo=UTC)
LOYAL, LEAVING = 12, 8


def past(name: str, days: Sequence[int], cancelled: int | None) -> Past:
    """Somebody who logs in and uses a feature on these days before NOW, and cancels some days before it."""
    at = [NOW - timedelta(days=back) for back in sorted(days, reverse=True)]
    events = [Event("identify", at[0], {"plan": "pro", "subscription_status": "active"})]
    events += [
        Event(what, moment, {"feature": "analytics"}) for moment in at for what in ("login", "feature_used")
    ]
    if cancelled is not None:
        events.append(Event("subscription_cancelled", NOW - timedelta(days=cancelled)))
    replayed = replay_customer(events, until=NOW, days=120, catalogue=CATALOGUE)
    return Past(
        name, {}, {}, [PastEvent(f"{name}-{i}", one.name, one.at, one.properties) for i, one in enumerate(events)],
        replayed.signals, replayed.stamps, [tuple(one) for one in replayed.tallies], replayed.days,  # type: ignore[misc]
    )  # fmt: skip


@pytest.fixture
def past_url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database whose customers came 130 days ago: some are there every day, some seldom and leave."""

    async def fill() -> None:
        database = Database(database_url, connections=1)
        pasts = [past(f"loyal-{i}", range(130), None) for i in range(LOYAL)]
        pasts += [past(f"leaving-{i}", range(40 + i, 130, 13), 40) for i in range(LEAVING - 2)]
        pasts += [past(f"silent-{i}", range(85 + i, 130, 13), None) for i in range(2)]
        async with database.transaction() as connection:
            await load_past(connection, pasts, source="test", demo=False, now=NOW)
            await connection.execute(
                text("UPDATE customers SET created_at = :at"), {"at": NOW - timedelta(days=130)}
            )
        await database.close()

    asyncio.run(fill())
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    return database_url


def backtest(*arguments: str) -> Any:
    result = CliRunner().invoke(command, ["backtest", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result


def test_a_model_is_tried_on_the_past(past_url: str, tmp_path: Path) -> None:
    picture = tmp_path / "bands.svg"
    period = ("--from", "2025-04-10", "--to", "2025-04-24", "--playbooks", str(tmp_path))
    told = json.loads(backtest(*period, "--format", "json", "--picture", str(picture)).stdout)
    assert told["days"] == ["2025-04-10", "2025-04-17", "2025-04-24"]
    assert told["sample"] == {"customers": 20, "of": 20}
    assert (told["rows"], told["base_rate"], told["majority_rate"]) == (60, 0.4, 0.6)
    bands = {band["name"]: band for band in told["bands"]}
    # Those who leave come every 13 days: on 6 of their 24 days the last login was recent.
    assert (bands["critical"]["rows"], bands["critical"]["left"]["rate"]) == (18, 1.0)
    assert (bands["at_risk"]["rows"], bands["at_risk"]["left"]["hits"]) == (42, 6)
    assert (bands["healthy"]["rows"], bands["healthy"]["left"]["rate"]) == (0, None)
    assert (told["accuracy"], told["precision"], told["recall"], told["monotone"]) == (0.9, 1.0, 0.75, True)
    assert 0.9 < told["auc"] <= 1
    words = " ".join(ElementTree.parse(picture).getroot().itertext())
    assert "accuracy 90.0% beside the majority's 60.0%" in words
    page = backtest(*period).stdout
    assert "critical" in page
    assert "always saying what is more frequent: 60.0%" in page


def test_days_whose_horizon_is_not_over_are_not_judged(past_url: str, tmp_path: Path) -> None:
    late = CliRunner().invoke(command, ["backtest", "--from", "2999-01-01", "--to", "2999-02-01"])
    assert "can be judged yet" in str(late.exception)


async def test_features_are_told_with_stage_value_and_risk(database_url: str) -> None:
    async with run_web(database_url) as web:
        now = datetime.now(UTC)
        events = [
            {"type": "track", "userId": "ada/1", "event": "feature_used", "properties": {"feature": "analytics"},
             "timestamp": (now - timedelta(days=back)).isoformat(), "messageId": f"m{back}"}
            for back in (0, 1, 2, 40)
        ]  # fmt: skip
        assert (await web.client.post("/v1/batch", json={"batch": events})).status_code == 200
        answer = (await web.client.get("/api/customers/ada/1/features")).json()
        assert [one["featureKey"] for one in answer["features"]] == list(CATALOGUE.core_features)
        row = next(one for one in answer["features"] if one["featureKey"] == "analytics")
        assert (row["adoptionStage"], row["usageFrequency"], row["usageCount"]) == ("adopting", "monthly", 4)
        assert row["firstUsedAt"] == (now - timedelta(days=40)).date().isoformat()
        assert 0 < row["valueRealizationScore"] < 100
        assert answer["features"][0]["adoptionStage"] == "never_used"
        assert (await web.client.get("/api/customers/nobody/features")).status_code == 404
