"""`holdfast score`: what scripts read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.score import command
from schemas.shipped_health import SHIPPED_HEALTH


def score(*arguments: str, facts: str) -> Result:
    return CliRunner().invoke(command, ["--facts", "-", *arguments], input=facts)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


KNOWN = '{"customer": "c1", "signals": {"days_since_last_login": 5, "subscription_status": "active"}}\n'


@pytest.fixture
def playbooks(tmp_path: Path) -> Path:
    (tmp_path / "health").mkdir()
    text = (SHIPPED_HEALTH / "points.yaml").read_text().replace("health: points", "health: ours")
    (tmp_path / "health" / "ours.yaml").write_text(text)
    (tmp_path / "policy.yaml").write_text("health_model: ours\n")
    return tmp_path


def test_each_line_is_one_object(tmp_path: Path) -> None:
    result = score("--playbooks", str(tmp_path), facts=KNOWN)
    assert result.exit_code == 0
    assert lines(result) == [
        {
            "customer": "c1", "model": "segment-weighted", "score": 43, "risk_level": "critical",
            "factors": {
                "login_frequency": 9 / 14, "feature_adoption": 0, "client_engagement": 0, "support_health": 1,
                "billing_health": 1, "onboarding_progress": 1,
            },
            "segment": "established",
        }
    ]  # fmt: skip


def test_factors_of_points_are_told_in_points(tmp_path: Path) -> None:
    [line] = lines(score("--playbooks", str(tmp_path), "--model", "points", facts=KNOWN))
    assert (line["model"], line["score"]) == ("points", 20)
    assert line["factors"] == {
        "login_recency": 20, "adoption": 0, "client_activity": 0, "form_completion": 0, "journey_performance": 0,
    }  # fmt: skip


def test_the_model_that_the_policy_names_scores(playbooks: Path) -> None:
    assert lines(score("--playbooks", str(playbooks), facts=KNOWN))[0]["model"] == "ours"
    path = str(playbooks / "health" / "ours.yaml")
    assert lines(score("--model", path, facts=KNOWN))[0]["score"] == 20


def test_the_viral_boost_is_left_out(tmp_path: Path) -> None:
    boosted = '{"customer": "c1", "signals": {"referrals": 9, "recent_viral_activity": true}}\n'
    plain = '{"customer": "c1"}\n'
    assert lines(score(facts=boosted))[0]["score"] == lines(score(facts=plain))[0]["score"] == 22


def test_a_bad_line_is_named_and_the_others_are_scored() -> None:
    result = score(facts=f"{{}}\n{KNOWN}\n")
    assert (result.exit_code, len(lines(result))) == (1, 1)
    assert "-:1:" in result.stderr


def test_who_is_hardly_known_has_no_score(playbooks: Path) -> None:
    path = playbooks / "health" / "ours.yaml"
    path.write_text(path.read_text() + "minimum_coverage: 50%\n")
    [line] = lines(score("--playbooks", str(playbooks), facts='{"customer": "c1"}\n'))
    assert (line["score"], line["risk_level"]) == (None, "unknown")


def test_an_unknown_model_is_used_wrongly_and_a_broken_one_is_a_problem(playbooks: Path) -> None:
    unknown = score("--model", "pionts", facts=KNOWN)
    assert unknown.exit_code == 2
    assert "Did you mean `points`?" in unknown.stderr
    (playbooks / "health" / "ours.yaml").write_text("health: ours\n")
    broken = score("--playbooks", str(playbooks), facts=KNOWN)
    assert broken.exit_code == 1
    assert "ours.yaml:1:1" in broken.stderr
    assert broken.stdout == ""


def test_facts_must_be_named() -> None:
    assert CliRunner().invoke(command, []).exit_code == 2
