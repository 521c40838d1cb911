"""Health models are published with author and text, listed, compared and rolled back as playbooks are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.main import run
from schemas.shipped_health import SHIPPED_HEALTH, shipped_models

MINE = """\
health: mine
factors:
  team: {signal: team_size, linear: {worst: 0, best: 10}}
weights: {everyone: {team: 100}}
bands: {healthy: 75, at_risk: 50}
"""


@pytest.fixture
def directory(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of playbooks, whose commands go to a database of its own."""
    directory = tmp_path / "playbooks"
    (directory / "health").mkdir(parents=True)
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    monkeypatch.setenv("HOLDFAST_PLAYBOOKS", str(directory))
    monkeypatch.setattr("loops.authorship.system_user", lambda: "hedy")
    monkeypatch.setattr("loops.model_rollback.system_user", lambda: "grace")
    return directory


def rows(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_a_model_has_versions_with_authors_a_diff_and_a_way_back(
    directory: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*arguments: str, status: int = 0) -> str:
        assert run(arguments) == status
        return capsys.readouterr().out

    mine = directory / "health" / "mine.yaml"
    (directory / "policy.yaml").write_text("health_model: mine\n")
    mine.write_text(MINE)
    told("apply", "--allow-empty")
    mine.write_text(MINE.replace("best: 10", "best: 6"))
    assert "another health model" in told("plan", "health/mine")
    told("apply", "health/mine")
    versions = [json.loads(line) for line in told("versions", "health/mine", "--format", "json").splitlines()]
    assert [(one["live"], one["author"]) for one in versions] == [(True, "hedy"), (False, "hedy")]
    second, first = (one["version"] for one in versions)
    shown = told("diff", "playbooks/health/mine.yaml", first[:6])
    assert "-  team: {signal: team_size, linear: {worst: 0, best: 10}}" in shown
    assert "+  team: {signal: team_size, linear: {worst: 0, best: 6}}" in shown
    rows(database_url, "INSERT INTO customers (external_id, created_at) VALUES ('ada', now()) RETURNING 1")
    shown = told("rollback", "health/mine", first)
    assert f"health/mine: version {first} is live again, was {second}" in shown
    assert mine.read_text() == MINE
    # Everybody is scored anew, by what is live again.
    assert rows(database_url, "SELECT everything FROM evaluations") == [(True,)]
    [last, *_] = rows(
        database_url, "SELECT kind, author, version, note, source FROM publications ORDER BY id DESC"
    )
    assert last == ("rollback", "grace", first, f"rolled back to {first} from {second}", MINE)
    assert "unchanged" not in told("apply", "health/mine")
    assert len(rows(database_url, "SELECT 1 FROM publications WHERE name = 'health/mine'")) == 3
    assert "is live already" in told("rollback", "health/mine", first)
    mine.unlink()
    (directory / "policy.yaml").write_text("health_model: points\n")
    told("apply", "--allow-empty")
    told("apply", "--allow-empty")
    assert rows(database_url, "SELECT kind FROM publications ORDER BY id DESC LIMIT 1") == [("retired",)]
    assert not any(
        json.loads(line)["live"] for line in told("versions", "health/mine", "--format", "json").splitlines()
    )


def test_what_ships_is_a_version_to_go_back_to(
    directory: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = shipped_models()["segment-weighted"]
    assert run(["versions", "health/segment-weighted"]) == 0
    assert f"{shipped.digest} *" in capsys.readouterr().out
    own = directory / "health" / "segment-weighted.yaml"
    own.write_text(
        (SHIPPED_HEALTH / "segment-weighted.yaml").read_text().replace("healthy: 75", "healthy: 80")
    )
    assert run(["apply", "--allow-empty"]) == 0
    capsys.readouterr()
    assert run(["diff", "health/segment-weighted", shipped.digest[:5]]) == 0
    assert "healthy: 80" in capsys.readouterr().out
    assert run(["rollback", "health/segment-weighted", shipped.digest]) == 0
    assert own.read_text() == (SHIPPED_HEALTH / "segment-weighted.yaml").read_text()
    assert rows(database_url, "SELECT version FROM publications ORDER BY id DESC LIMIT 1") == [
        (shipped.digest,)
    ]
    assert run(["versions", "health/nobody"]) == 1
    assert "There are: " in capsys.readouterr().err
    assert run(["rollback", "health/segment-weighted", "ffff"]) == 1
