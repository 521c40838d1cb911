"""The teams that playbooks name are those of the policy beside them."""

from __future__ import annotations

from pathlib import Path

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.loader import Loaded, load_paths
from schemas.policy import Team

STEP = """playbook: p
title: P
owner: cs
status: draft
steps:
  - call: {title: Hello, assign: {team: TEAM, by: load}}
"""
POLICY = (
    "teams:\n  success: {members: [anna@example.com, ben@example.com], lead: carla@example.com, away: []}\n"
)


def load(directory: Path, team: str, policy: str | None, *names: str) -> Loaded:
    (directory / "p.yaml").write_text(STEP.replace("TEAM", team))
    if policy is not None:
        (directory / "policy.yaml").write_text(policy)
    return load_paths(
        [directory / name for name in names] or [directory], load_catalogue(), find_step_types()
    )


def test_a_team_of_the_policy_is_good_also_where_only_the_playbook_was_named(tmp_path: Path) -> None:
    for names in ((), ("p.yaml",)):
        loaded = load(tmp_path, "success", POLICY, *names)
        assert loaded.problems == []
        assert loaded.playbooks["p"].steps[0].args["assign"] == {"team": "success", "by": "load"}  # type: ignore[union-attr]
    assert loaded.policy is not None
    assert loaded.policy.teams == {
        "success": Team(members=("anna@example.com", "ben@example.com"), lead="carla@example.com")
    }


def test_another_team_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    loaded = load(tmp_path, "sucess", POLICY)
    [problem] = loaded.problems
    assert (problem.line, problem.column, problem.code) == (6, 41, "PB244")
    assert problem.hint == "Did you mean `success`?"
    assert loaded.playbooks == {}
    assert loaded.invalid == {"p"}


def test_a_policy_with_errors_says_nothing_of_teams(tmp_path: Path) -> None:
    loaded = load(tmp_path, "success", "default_zone: Nowhere\n")
    assert [problem.code for problem in loaded.problems] == ["PB401"]
    assert "p" in loaded.playbooks
