"""Starting an intervention over the API: by type or by playbook, in one's own words, with a refusal that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.loader import load_paths, load_playbooks
from schemas.policy import Policy
from tests.integration.running_engine import House
from tests.integration.web_edge import RunningWeb, run_web

URL = "/api/customer-success/interventions/trigger"
SHIPPED = Path(__file__).parents[2] / "playbooks"
OPEN = Policy(consent={"email": "assumed"})


async def post(web: RunningWeb, status: int, **body: Any) -> dict[str, Any]:
    answer = await web.client.post(URL, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_a_type_starts_its_playbook_in_the_words_of_whoever_asked_for_it(
    house: House, database_url: str, temporal: str
) -> None:
    loaded = load_playbooks(SHIPPED, load_catalogue(), find_step_types())
    shipped = loaded.playbooks["email-sequence"]
    # Whatever time it is, it may leave.
    steps = [
        step.model_copy(update={"send": None}) if hasattr(step, "send") else step for step in shipped.steps
    ]
    await house.engine.publish(shipped.model_copy(update={"send": None, "steps": tuple(steps)}), policy=OPEN)
    await house.engine.identify("ada", first_name="Ada", email="ada@example.com", timezone="UTC")
    async with run_web(database_url, temporal) as web:
        made = await post(
            web, 200, supplierId="ada", interventionType="email_sequence", reason="she rang us", priority="critical",
            customization={
                "message": "Bring <b>both</b> lists {{ signals.health_score }}",
                "timeline": "this week",
                "specialOffers": ["a session & a call"],
            },
        )  # fmt: skip
        assert made["playbook"] == "email-sequence"
        again = await post(web, 409, userId="ada", interventionType="email_sequence")
        assert "already_running" in again["detail"]
        assert again["remedy"]
        [run] = await house.engine.until("SELECT * FROM runs")
        assert str(run["id"]) == made["runId"]
        assert run["trigger"]["priority"] == "critical"
        assert run["trigger"]["asked_by"] == "api"
        [sent] = await house.engine.until("SELECT content FROM deliveries WHERE state = 'accepted'")
    text, html = sent["content"]["text"], sent["content"]["html"]
    # Words are words: they are no template, and no markup.
    assert "Bring <b>both</b> lists {{ signals.health_score }}" in text
    assert "Bring &lt;b&gt;both&lt;/b&gt; lists {{ signals.health_score }}" in html
    assert "this week" in html
    assert "<li>a session &amp; a call</li>" in html


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"userId": "ada"}, "interventionType"),
        ({"userId": "ada", "playbook": "x", "interventionType": "phone_call"}, "either"),
        ({"userId": "ada", "interventionType": "a_hug"}, "/body/interventionType"),
        ({"userId": "ada", "playbook": "x", "priority": "huge"}, "/body/priority"),
        (
            {"userId": "ada", "playbook": "x", "customization": {"message": "x" * 1001}},
            "/body/customization/message",
        ),
        (
            {"userId": "ada", "playbook": "x", "customization": {"message": "a\x1b[2J"}},
            "/body/customization/message",
        ),
        ({"userId": "ada", "playbook": "x", "customization": {"specialOffers": ["x"] * 11}}, "specialOffers"),
        ({"userId": "ada", "playbook": "x", "customization": {"specialOffers": [""]}}, "specialOffers"),
        ({"playbook": "x"}, "/body/userId"),
        ({"userId": "", "playbook": "x"}, "/body/userId"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_the_field(
    database_url: str, body: dict[str, Any], told: str
) -> None:
    async with run_web(database_url) as web:
        problem = await post(web, 422, **body)
        assert told in problem["detail"]


async def test_a_type_without_its_playbook_says_so(database_url: str) -> None:
    async with run_web(database_url) as web:
        await web.client.post("/v1/identify", json={"userId": "ada"})
        problem = await post(web, 404, userId="ada", interventionType="phone_call")
        assert "'phone-call'" in problem["detail"]


def test_the_policy_maps_types_to_playbooks_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "ring-them.yaml").write_text((SHIPPED / "in-app-message.yaml").read_text().replace(
        "playbook: in-app-message", "playbook: ring-them"))  # fmt: skip
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/note-on-screen.yaml").write_text(
        (SHIPPED / "templates/note-on-screen.yaml").read_text()
    )
    (tmp_path / "policy.yaml").write_text("interventions: {phone_call: ring-them}\n")
    loaded = load_paths([tmp_path], load_catalogue(), find_step_types())
    assert loaded.problems == []
    assert loaded.policy is not None
    assert loaded.policy.playbook_for("phone_call") == "ring-them"
    assert loaded.policy.playbook_for("feature_tour") == "feature-tour"
    (tmp_path / "policy.yaml").write_text("interventions: {phone_call: ring-hem, letter: ring-them}\n")
    found = load_paths([tmp_path], load_catalogue(), find_step_types()).problems
    assert [(one.code, one.path) for one in found] == [("PB102", "interventions.letter")]
    (tmp_path / "policy.yaml").write_text("interventions: {phone_call: ring-hem}\n")
    [problem] = load_paths([tmp_path], load_catalogue(), find_step_types()).problems
    assert (problem.code, problem.path, problem.line) == ("PB410", "interventions.phone_call", 1)
    assert "ring-them" in problem.hint
