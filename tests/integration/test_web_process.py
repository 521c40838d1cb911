"""`holdfast web`, `runs` and `trigger` as processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.integration.commanding import command
from tests.integration.web_edge import KEY, furnish, run_web


async def holdfast(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run one command to its end: exit status, output, errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", *arguments,
        env=_environ(environ), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def order(*arguments: str, environ: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """The same in this process, for commands that only talk to one."""
    return await asyncio.to_thread(command, *arguments, environ=environ)


def _environ(given: dict[str, str]) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "TEMPORAL_"))
    }
    return kept | {"TEMPORAL_ADDRESS": "127.0.0.1:9"} | given


@contextlib.asynccontextmanager
async def web_process(
    database_url: str, ready: Path
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    environ = {
        "HOLDFAST_DATABASE_URL": database_url,
        "HOLDFAST_API_KEY": KEY,
        "HOLDFAST_READY_FILE": str(ready),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli.main",
        "web",
        "--port",
        "0",
        env=_environ(environ),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        told = (await process.stderr.readline()).decode()
        address = re.search(r"http://\S+", told)
        assert address, told
        yield process, address.group()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_a_web_process_with_open_streams_stops_as_asked(
    database_url: str, tmp_path: Path, sent: signal.Signals
) -> None:
    ready = tmp_path / "running" / "web.ready"
    async with web_process(database_url, ready) as (process, address), contextlib.AsyncExitStack() as stack:
        headers = {"Authorization": f"Bearer {KEY}"}
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=address, headers=headers, timeout=30, trust_env=False)
        )
        answer = await client.post("/v1/track", json={"userId": "u", "event": "login"})
        assert answer.json() == {"success": True, "accepted": 1, "rejected": 0}
        assert ready.exists()
        streams = [await stack.enter_async_context(client.stream("GET", "/api/stream")) for _ in range(3)]
        assert [stream.status_code for stream in streams] == [200, 200, 200]
        process.send_signal(sent)
        _, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0
        # The server would say so if it had had to cut the streams off.
        assert b"Cancel" not in errors
        assert b"Traceback" not in errors


async def test_a_port_that_is_taken_is_told_plainly(database_url: str) -> None:
    async with run_web(database_url) as web:
        port = web.address.rsplit(":", 1)[1]
        status, _, errors = await holdfast("web", "--port", port, HOLDFAST_DATABASE_URL=database_url)
    assert status == 1
    assert f"127.0.0.1:{port} can't be listened on" in errors
    assert "--port" in errors


async def test_without_a_database_url_the_command_says_what_to_set() -> None:
    for told in (
        await holdfast("web"), await order("runs"), await order("trigger", "helping", "--customer", "u"),
    ):  # fmt: skip
        assert (told[0], "HOLDFAST_DATABASE_URL is not set" in told[2]) == (1, True)


async def test_runs_are_listed_as_a_table_and_as_json_lines(database_url: str) -> None:
    async with run_web(database_url) as web:
        ids = await furnish(web)
    url = {"HOLDFAST_DATABASE_URL": database_url}
    status, output, _ = await order("runs", environ=url)
    assert status == 0
    header, *lines = output.splitlines()
    assert header.split() == ["RUN", "PLAYBOOK", "CUSTOMER", "STATE", "AT", "ENTERED", "ENDED"]
    assert [line.split()[:4] for line in lines] == [
        [ids["open"], "rescue-open", "ada/1", "running"],
        [ids["ended"], "rescue-ended", "ada/1", "success"],
    ]
    status, output, _ = await order(
        "runs", "--state", "ended", "--customer", "ada/1", "--format", "json", environ=url
    )
    [run] = [json.loads(line) for line in output.splitlines()]
    assert (status, run["id"], run["userId"], run["outcome"]) == (0, ids["ended"], "ada/1", "success")
    status, output, errors = await order("runs", "--playbook", "nothing", environ=url)
    assert (status, output, errors) == (0, "", "no runs\n")


async def test_a_refused_trigger_says_why_and_fails(database_url: str) -> None:
    async with run_web(database_url) as web:
        await furnish(web)
    url = {"HOLDFAST_DATABASE_URL": database_url}
    status, output, errors = await order("trigger", "rescue-open", "--customer", "nobody", environ=url)
    assert (status, output) == (1, "")
    assert "There is no customer 'nobody'" in errors
    status, output, errors = await order("trigger", "playbooks/none.yaml", "--customer", "ada/1", environ=url)
    assert (status, output) == (1, "")
    assert "There is no playbook 'none'" in errors


async def test_a_database_that_is_away_is_a_plain_message() -> None:
    url = {"HOLDFAST_DATABASE_URL": "postgresql://nobody:secret-word@127.0.0.1:9/none"}
    for words in (("runs",), ("trigger", "helping", "--customer", "u")):
        status, _, errors = await order(*words, environ=url)
        assert (status, "can't be reached" in errors) == (1, True)
        assert "Traceback" not in errors
        assert "secret-word" not in errors
