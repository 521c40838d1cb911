"""Simulated work goes to whom the live system's rules would give it, a team beginning with nothing to do."""

from __future__ import annotations

from tests.integration.simulated import ANN, POLICY, open_theatre

TEAMS = """teams:
  cs: {members: [anna, ben, carla], lead: lena, away: [ben], unowned: true}
"""
STEPS = """steps:
  - together:
      - steps: [{id: one, task: {title: Look, assign: {team: cs, by: round_robin}}}]
      - steps: [{id: two, task: {title: Look, assign: {team: cs, by: load}}}]
      - steps: [{id: own, task: {title: Look, assign: csm}}]
      - steps: [{id: any, call: {title: Ring, assign: {team: cs}, escalate: {after: 1h, to: lead}}}]
"""


async def test_a_team_shares_the_work_of_a_run() -> None:
    async with open_theatre() as theatre:
        alone = await theatre.play(STEPS, policy=POLICY + TEAMS)
        owned = await theatre.play(STEPS, policy=POLICY + TEAMS, profile={**ANN, "csm": "ben"})
    given = {line["step"]: (line["assignee"], line["because"]) for line in alone.lines if "assignee" in line}
    assert given == {
        "one": ("anna", "next in turn of cs"),
        "two": ("carla", "least open work of 2 of cs: 0"),
        "own": ("anna", "the customer has no CSM: next in turn of cs after carla"),
        "any": ("cs", "whoever takes it"),
    }
    [escalation] = [line for line in alone.lines if line.get("kind") == "escalation"]
    assert (escalation["step"], escalation["to"]) == ("any", "lena")
    [own] = [line for line in owned.lines if line.get("step") == "own" and "because" in line]
    assert own["because"] == "ben is away: next in turn of cs after carla"
