"""docs/tutorial-step.md is run: its step registered, its playbook validated and carried out, its test passed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.loader import Loaded, load_playbooks
from schemas.playbook_schema import build_playbook_schema
from tests.integration.plans import ada
from tests.integration.registering import registered
from tests.integration.running_engine import House
from tests.standins.receiver import ReceiverStandIn

FILE = re.compile(r"`((?:activities|playbooks|tests)/[^`]+)`:\n\n```\w+\n(.*?)```", re.DOTALL)


@pytest.fixture
def tutorial(checkout: Path) -> str:
    return (checkout / "docs/tutorial-step.md").read_text(encoding="utf-8")


@pytest.fixture
def project(tutorial: str, tmp_path: Path) -> Iterator[Path]:
    """The files that the tutorial has its reader write, its step registered."""
    for path, text in FILE.findall(tutorial):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    with registered(tmp_path / "activities"):
        yield tmp_path


def load(directory: Path) -> Loaded:
    return load_playbooks(directory, load_catalogue(), find_step_types())


def test_the_word_is_in_the_language_and_in_the_schema_of_editors(project: Path) -> None:
    assert sorted(file.name for file in project.rglob("*.*")) == [
        "payment-watch.yaml", "slack.py", "test_step_slack.py",
    ]  # fmt: skip
    step = build_playbook_schema(load_catalogue(), find_step_types())["$defs"]["step"]["properties"]["slack"]
    assert step["description"] == "Posts a line to the team's Slack channel."
    assert load(project / "playbooks").problems == []


def test_a_mistake_is_found_where_the_tutorial_says(project: Path, tutorial: str) -> None:
    wrong, told = re.findall(
        r"where it stands:\n\n```yaml\n(.*?)```\n\n```text\n(.*?)\n```", tutorial, re.DOTALL
    )[0]
    (project / "playbooks/payment-watch.yaml").write_text(wrong, encoding="utf-8")
    [problem] = load(project / "playbooks").problems
    place = f"playbooks/payment-watch.yaml:{problem.line}:{problem.column}"
    assert f"{place}: {problem.severity} {problem.code} at {problem.path}" == told


def test_its_test_passes(project: Path, checkout: Path) -> None:
    program = (
        "import sys, activities; activities.__path__.append(sys.argv[1]); import pytest; "
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-c', 'pyproject.toml', '--rootdir', '.', sys.argv[2]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(project / "activities"), str(project / "tests/unit/test_step_slack.py")],
        cwd=checkout, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


async def test_a_run_posts_what_the_playbook_says(
    project: Path, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ReceiverStandIn() as slack:
        monkeypatch.setenv("HOLDFAST_WEBHOOK_HOSTS", slack.host)
        monkeypatch.setenv("SLACK_WEBHOOK_URL", f"{slack.url}/services/T0/B0/x")
        await house.engine.publish(load(project / "playbooks").playbooks["payment-watch"])
        await ada(house)
        for _ in range(2):
            await house.engine.send("ada", "payment_failed")
        [run] = await house.engine.until("SELECT outcome FROM runs WHERE ended_at IS NOT NULL", seconds=60)
        said = [body["text"] for body in slack.bodies]
        assert {request.path for request in slack.requests} == {"/services/T0/B0/x"}
    first = ":credit_card: Ada (no name): second failed payment"
    assert said == [first, f":wave: That was {len(first)} characters, posted."]
    assert run["outcome"] == "completed"
    rows = await house.engine.rows(
        "SELECT step, word, outcome, detail, output FROM run_steps ORDER BY at, step"
    )
    assert [(row["word"], row["outcome"]) for row in rows] == [("slack", "posted")] * 2
    assert rows[0] | {"detail": "", "output": {}} != rows[0]
    assert rows[0]["output"] == {"answer": {"ok": True}, "length": len(first)}
    ledger = await house.engine.rows("SELECT channel, state, content FROM deliveries ORDER BY created_at")
    assert [(row["channel"], row["state"]) for row in ledger] == [("slack", "accepted")] * 2
    assert ledger[0]["content"]["title"] == first.removeprefix(":credit_card: ")
