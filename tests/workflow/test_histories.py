"""Runs that began under earlier code go on under this code: every recorded history replays without a difference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from workflows.playbook_run import PlaybookRun

HISTORIES = sorted((Path(__file__).parent.parent / "histories").glob("*.json"))


def test_there_are_histories_to_replay() -> None:
    assert len(HISTORIES) >= 10


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_run_replays(path: Path) -> None:
    recorded = json.loads(path.read_text())
    history = WorkflowHistory.from_json(recorded["workflow_id"], recorded["history"])
    replayer = Replayer(workflows=[PlaybookRun], data_converter=pydantic_data_converter)
    await replayer.replay_workflow(history)


async def test_a_history_that_differs_is_noticed() -> None:
    """The check can fail: with a step's activity renamed, the replay raises."""
    recorded = json.loads(next(p for p in HISTORIES if "an_event_leads_to" in p.stem).read_text())
    text = json.dumps(recorded["history"]).replace('"Delivery.send"', '"Delivery.shout"')
    history = WorkflowHistory.from_json(recorded["workflow_id"], text)
    replayer = Replayer(workflows=[PlaybookRun], data_converter=pydantic_data_converter)
    with pytest.raises(Exception, match=r"[Nn]ondeterminism"):
        await replayer.replay_workflow(history)


async def test_the_workflow_sees_only_what_was_meant_to_pass_into_it() -> None:
    """No settings, SQL or YAML gets into the workflow's sandbox unnoticed."""
    strict = SandboxRestrictions.default.with_import_notification_policy(
        SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
    Replayer(
        workflows=[PlaybookRun],
        data_converter=pydantic_data_converter,
        workflow_runner=SandboxedWorkflowRunner(restrictions=strict),
    )
