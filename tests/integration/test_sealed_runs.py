"""Runs whose payloads are sealed: unreadable without the key, replayed with it, carried on through a change of keys.

And runs that can't go on are made known, or fail.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

from activities.result_limit import MOST_BYTES, ResultLimit
from channels.outcome import OutgoingMessage, Receipt
from cli.workflow_findings import examine_encryption
from loops.child import Child, start, stop
from loops.embedded_temporal import EmbeddedTemporal
from loops.stuck_runs import ALERT, StuckRuns, find_stuck
from schemas.log_lines import JsonLines, LogLines
from schemas.run import RUN_QUEUE
from schemas.settings import Settings
from store.alerts import load_open_alerts
from store.database import Database
from store.reading_rows import RunRow
from store.reading_runs import read_run
from tests.integration.canary import find
from tests.integration.plans import call, email, playbook
from tests.integration.running_engine import CONVERTER, SECRET, eventually, run_engine
from tests.own_ports import own_port
from web.executions import Executions
from web.hindrances import Hindrance, find_hindrances
from web.temporal_state import TemporalState
from workflows.payloads import key_of, make_data_converter
from workflows.playbook_run import PlaybookRun

OLD, NEW = "o" * 40, "n" * 40
# binary/encrypted, as JSON has it.
SEALED_AS = "YmluYXJ5L2VuY3J5cHRlZA=="
# What fails is tried again this soon.
TRIED = timedelta(seconds=1)
SOUGHT = {"name": "Kanarienvogel7f3a", "mail": "kanarie.mail.51d8@example.com", "reason": "Zwitschert2b6d"}


def converter(keys: str) -> Any:
    return make_data_converter(Settings.read({"HOLDFAST_SECRET_KEY": keys}))


async def look_for_hindrances(address: str, run: RunRow, workers: int = 1) -> Sequence[Hindrance]:
    """What the page of a run says keeps it from going on, where so many workers ask for work."""
    executions = Executions(Settings.read({"TEMPORAL_ADDRESS": address, "HOLDFAST_SECRET_KEY": SECRET}))
    state = TemporalState(True, "Answers", {RUN_QUEUE: workers}, ())
    return await find_hindrances(executions, state, run, datetime.now(UTC))


def a_run(workflow_id: str, execution_id: str | None) -> RunRow:
    """A run under way by that workflow."""
    empty = dict.fromkeys(RunRow.model_fields)
    return RunRow.model_construct(
        **empty | {"state": "running", "workflow_id": workflow_id, "execution_id": execution_id}
    )


class Tripping:
    """A mail channel with a fault in its code, whose exception quotes whom it was to write to."""

    name, provider = "email", "tripping"

    async def send(self, message: OutgoingMessage) -> Receipt:
        raise RuntimeError(f"{message.recipient} is none")

    async def look_up(self, message: OutgoingMessage, since: object) -> None:
        return None

    async def close(self) -> None:
        return None


async def test_a_run_is_unreadable_without_the_key_and_replays_with_it(
    database_url: str, temporal: str, caplog: pytest.LogCaptureFixture
) -> None:
    steps = (call("ring"), email("greet", text="Dear {{ customer.first_name }}"))
    caplog.handler.setFormatter(JsonLines({}))
    async with run_engine(database_url, temporal, {"email": Tripping()}) as engine:
        await engine.publish(playbook(*steps))
        await engine.identify(
            "c1", first_name=SOUGHT["name"], email=SOUGHT["mail"], timezone="UTC", csm="grace"
        )
        await engine.send("c1", "help_wanted")
        await engine.until("SELECT 1 FROM tasks WHERE state = 'open'")
        [run] = await engine.rows("SELECT workflow_id FROM runs")
        handle = engine.client.get_workflow_handle(run["workflow_id"])
        said = {"by": "grace", "step": "ring", "outcome": "done", "reason": SOUGHT["reason"]}
        await handle.execute_update("complete_step", said)

        async def failing() -> Any:
            return (await handle.describe()).raw_description.pending_activities

        [pending] = await eventually(failing, lambda found: found and found[0].HasField("last_failure"))
        # What went wrong is there for whoever has the key, and for nobody else.
        failure = pending.last_failure
        assert (failure.message, failure.stack_trace) == ("Encoded failure", "")
        assert key_of(failure.encoded_attributes) == key_of((await CONVERTER.encode([1]))[0])
        assert str(await CONVERTER.decode_failure(failure)) == f"RuntimeError: {SOUGHT['mail']} is none"
        # Its page says so, without a worker's help, in the words of the failure.
        async with engine.database.transaction() as connection:
            shown = await read_run(connection, str((await engine.rows("SELECT id FROM runs"))[0]["id"]))
        [kept] = await look_for_hindrances(temporal, shown)
        assert re.match(
            r"Delivery\.send failed \d+ times? and is tried again by itself\. Last: RuntimeError: ", kept.what
        )
        assert SOUGHT["mail"] in kept.what
        history = await handle.fetch_history()
        trace = await handle.query("trace")
        described = await handle.describe()
        assert "help_wanted" in (await described.static_summary() or "")
        await handle.terminate()
    assert "greet" in str(trace)
    raw = [event.SerializeToString() for event in history.events]
    raw += [described.raw_description.SerializeToString(), history.to_json().encode()]
    assert find(b"\n".join(raw), SOUGHT) == set()
    # The SDK's own record of the failure says which run it was.
    failed = [
        json.loads(line) for line in caplog.text.splitlines() if "Completing activity as failed" in line
    ]
    assert {(one["run_id"], one["step"]) for one in failed} == {(shown.id, "greet")}
    logged = "\n".join(LogLines({}).format(record) for record in caplog.records)
    assert "RuntimeError (message withheld)" in logged
    assert find(logged.encode(), SOUGHT) == set()
    # Every payload of it is sealed.
    written = history.to_json()
    assert written.count(SEALED_AS) > 10
    assert unsealed(json.loads(written)) == []
    await Replayer(workflows=[PlaybookRun], data_converter=CONVERTER).replay_workflow(history)
    with pytest.raises(Exception, match="SettingError"):
        await Replayer(workflows=[PlaybookRun], data_converter=converter(NEW)).replay_workflow(history)


def unsealed(node: Any, path: str = "") -> list[str]:
    """Where in a history's JSON there is a payload that isn't sealed; search attributes can't be."""
    if isinstance(node, list):
        return [found for number, one in enumerate(node) for found in unsealed(one, f"{path}/{number}")]
    if not isinstance(node, dict):
        return []
    if "metadata" in node and "encoding" in node["metadata"]:
        return [] if node["metadata"]["encoding"] == SEALED_AS else [path]
    own = ("searchAttributes", "sdkMetadata", "meteringMetadata")
    inner = [(name, value) for name, value in node.items() if name not in own]
    if node.get("markerName") == "core_local_activity":
        inner = [("details", {name: value for name, value in node["details"].items() if name != "data"})]
    return [found for name, value in inner for found in unsealed(value, f"{path}/{name}")]


@activity.defn
async def give(bytes_: int) -> str:
    GIVEN.append(bytes_)
    return "x" * bytes_


GIVEN: list[int] = []
MENDED = asyncio.Event()
SOON = RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_interval=timedelta(milliseconds=50))


@workflow.defn(name="Sleeper")
class Sleeper:
    """Waits to be woken, then says what it was told at its start."""

    def __init__(self) -> None:
        self._woken: str | None = None

    @workflow.run
    async def run(self, told: str) -> list[str | None]:
        await workflow.wait_condition(lambda: self._woken is not None)
        return [told, self._woken]

    @workflow.signal
    def wake(self, word: str) -> None:
        self._woken = word


@workflow.defn(name="Greedy")
class Greedy:
    """Asks for more than Temporal takes."""

    @workflow.run
    async def run(self, local: bool) -> int:
        limits = {"start_to_close_timeout": timedelta(seconds=5), "retry_policy": SOON}
        if local:
            return len(await workflow.execute_local_activity(give, 3_000_000, **limits))
        return len(await workflow.execute_activity(give, 3_000_000, **limits))


@workflow.defn(name="Broken")
class Broken:
    """Has a fault in its code, until that is mended."""

    @workflow.run
    async def run(self) -> str:
        if not MENDED.is_set():
            raise KeyError("Zwitschert2b6d")
        return "mended"


def work(client: Client, *workflows: type, queue: str) -> Worker:
    return Worker(
        client, task_queue=queue, workflows=list(workflows), activities=[give], interceptors=[ResultLimit()],
        workflow_runner=UnsandboxedWorkflowRunner(), max_cached_workflows=0,
    )  # fmt: skip


async def test_a_run_goes_on_through_a_change_of_keys(temporal: str) -> None:
    """Known first, then sealing, then alone: nobody meets a payload that they can't open."""
    known = (OLD, f"{OLD} {NEW}", f"{NEW} {OLD}")
    clients = {keys: await Client.connect(temporal, data_converter=converter(keys)) for keys in known}
    handle = await clients[OLD].start_workflow(
        "Sleeper", "old", id="keys", task_queue="keys", result_type=list[str]
    )
    async with work(clients[OLD], Sleeper, queue="keys"):
        await eventually(lambda: _events(handle), lambda seen: seen >= 4)
    # One process seals with the new key already, while another only knows it.
    async with work(clients[f"{OLD} {NEW}"], Sleeper, queue="keys"):
        await clients[f"{NEW} {OLD}"].get_workflow_handle("keys").signal("wake", "new")
        assert await handle.result() == ["old", "new"]


async def test_a_run_whose_key_was_dropped_too_early_waits_for_it(temporal: str) -> None:
    old, new, both = [
        await Client.connect(temporal, data_converter=converter(keys)) for keys in (OLD, NEW, f"{NEW} {OLD}")
    ]
    handle = await old.start_workflow(
        "Sleeper", "old", id="early", task_queue="early", result_type=list[str], task_timeout=TRIED
    )
    await handle.signal("wake", "now")
    async with work(new, Sleeper, queue="early"):
        await eventually(
            lambda: _types(handle), lambda seen: EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED in seen
        )
    failures = [
        event.workflow_task_failed_event_attributes.failure.message
        async for event in handle.fetch_history_events()
        if event.HasField("workflow_task_failed_event_attributes")
    ]
    assert set(failures) == {"Encoded failure"}
    async with work(both, Sleeper, queue="early"):
        assert await both.get_workflow_handle("early", result_type=list[str]).result() == ["old", "now"]


async def _events(handle: WorkflowHandle[Any, Any]) -> int:
    return len(await _types(handle))


async def _types(handle: WorkflowHandle[Any, Any]) -> list[int]:
    return [event.event_type async for event in handle.fetch_history_events()]


@pytest.mark.parametrize("local", [True, False])
async def test_a_result_that_temporal_would_not_take_fails_at_once_and_is_not_done_again(
    temporal: str, local: bool
) -> None:
    GIVEN.clear()
    client = await Client.connect(temporal, data_converter=CONVERTER)
    async with work(client, Greedy, queue="greedy"):
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow("Greedy", local, id=f"greedy-{local}", task_queue="greedy")
    cause = caught.value.cause if local else caught.value.cause.__cause__
    assert isinstance(cause, ApplicationError)
    assert (cause.type, GIVEN) == ("ResultTooLarge", [3_000_000])
    assert (
        cause.message == f"give gave 3000019 bytes, and {MOST_BYTES} are the most" or "bytes" in cause.message
    )


@pytest.fixture
async def impatient_temporal(quick_path: Path) -> AsyncIterator[str]:
    """A server that says after the first failure already that a workflow can't go on."""
    server = EmbeddedTemporal(None, own_port(), None, quick_path / "temporal.log")
    child = server.child()
    setting = "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=1"
    argv = (*child.argv, "--dynamic-config-value", setting)
    impatient = Child(name=child.name, argv=argv, log=child.log, ready=child.ready, environ=child.environ)
    process = await asyncio.to_thread(start, impatient)
    yield server.address
    stop(impatient, process)


async def test_a_workflow_that_cannot_go_on_is_made_known_until_it_can(
    impatient_temporal: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    MENDED.clear()
    client = await Client.connect(impatient_temporal, data_converter=CONVERTER)
    database = Database(database_url)
    looking = StuckRuns(database, client)

    async def alerts() -> list[str]:
        async with database.transaction() as connection:
            return [one.message for one in await load_open_alerts(connection) if one.kind == ALERT]

    async def look_again() -> None:
        async with database.transaction() as connection:
            await connection.exec_driver_sql("UPDATE upkeep SET at = at - interval '1 hour'")
        await looking.run_once()

    assert (await looking.run_once(), await alerts()) == ([], [])
    async with work(client, Broken, queue="broken"):
        handle = await client.start_workflow("Broken", id="broken", task_queue="broken", task_timeout=TRIED)
        [stuck] = await eventually(lambda: find_stuck(client))
        assert (stuck.workflow_id, stuck.cause) == ("broken", "WorkflowWorkerUnhandledFailure")
        shown = a_run("broken", handle.first_execution_run_id)
        [kept] = await eventually(
            lambda: look_for_hindrances(impatient_temporal, shown),
            lambda found: bool(found and "code" in found[0].what),
        )
        assert "Its workflow's own code failed or took too long" in kept.what
        first, *_ = await look_for_hindrances(impatient_temporal, shown, workers=0)
        assert first.what.startswith("No worker asks")
        [lost] = await look_for_hindrances(impatient_temporal, a_run("nowhere", stuck.workflow_id))
        assert "no workflow of it any more" in lost.what
        await look_again()
        await look_again()
        told = "1 workflow(s) can't go on: broken (WorkflowWorkerUnhandledFailure); a worker's log says why"
        assert await alerts() == [told]
        assert [r.getMessage() for r in caplog.records if r.name == "loops.stuck_runs"] == [told]
        MENDED.set()
        assert await handle.result() == "mended"
        await eventually(lambda: find_stuck(client), lambda found: not found)
        await look_again()
        assert await alerts() == []
    await database.close()


def test_doctor_says_what_runs_are_sealed_with() -> None:
    def examine(keys: str, sealed_with: dict[str, int], **environ: str) -> tuple[bool, str]:
        settings = Settings.read({"HOLDFAST_SECRET_KEY": keys, **environ})
        finding = examine_encryption(settings, sealed_with)
        assert finding.ok or finding.remedy
        return finding.ok, finding.found

    ids = {keys: make_id(keys) for keys in (OLD, NEW)}
    assert examine(NEW, {ids[NEW]: 3}) == (True, f"sealed with the key {ids[NEW]}")
    assert examine(f"{NEW} {OLD}", {ids[NEW]: 3, ids[OLD]: 2, "": 1}) == (
        True,
        f"sealed with the key {ids[NEW]}, 1 older known; 2 open workflow(s) need an older key; "
        "1 open workflow(s) began unsealed",
    )
    lost = f"sealed with a key that isn't set: 2 open workflow(s) with the key {ids[OLD]}"
    assert examine(NEW, {ids[OLD]: 2}) == (False, lost)
    assert examine(NEW, {}, HOLDFAST_SEAL_PAYLOADS="off") == (False, "HOLDFAST_SEAL_PAYLOADS is off")


def make_id(keys: str) -> str:
    from schemas.sealing import SealingKeys

    return SealingKeys(keys).ids[0]
