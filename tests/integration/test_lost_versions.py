"""A run whose version of the playbook is gone from the database: it is left as it is, and nobody else waits for it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from temporalio.client import Client

from activities.running import close_run
from activities.steps import StepOpening
from activities.versions import Versions
from loops.candidates import Candidates
from loops.evaluator import Evaluator
from loops.previewing import preview_entries
from loops.stuck_runs import VERSION_GONE, StuckRuns
from schemas.catalogue import load_catalogue
from schemas.run import RunEnd
from store import runs
from store.alerts import load_open_alerts
from store.customers import lock_customers
from store.population_standings import StoredRuns
from tests.integration.evaluation_desk import Desk, open_desk, read

HELPING, CARING = [
    read(
        f"playbook: {name}\nenter:\n  when:\n    event: {{name: help_wanted}}\n"
        "goal:\n  event: {name: login}\n  within: 30d\n"
    )
    for name in ("helping", "caring")
]


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    """Ada and Bob are in both playbooks; the version of the one is gone, and a worker begins that never knew it."""
    async with open_desk(database_url) as desk:
        await desk.publish(HELPING, CARING)
        for name in ("ada", "bob"):
            await desk.send(name, "help_wanted")
        async with desk.database.transaction() as connection:
            await connection.exec_driver_sql(
                "CREATE TABLE gone AS SELECT * FROM playbook_versions WHERE playbook = 'helping'"
            )
            await connection.exec_driver_sql("DELETE FROM playbook_versions WHERE playbook = 'helping'")
        desk.evaluator = Evaluator(opening(desk))
        yield desk


def opening(desk: Desk) -> StepOpening:
    return StepOpening(desk.database, load_catalogue(), Versions())


async def put_back(desk: Desk) -> None:
    async with desk.database.transaction() as connection:
        await connection.exec_driver_sql("INSERT INTO playbook_versions SELECT * FROM gone")


async def marked(desk: Desk) -> list[tuple[Any, ...]]:
    """Which runs are on their way to their end."""
    return await desk.rows(
        "SELECT c.external_id, r.playbook FROM runs r JOIN customers c ON c.id = r.customer_id "
        "WHERE r.interruption IS NOT NULL OR r.ended_at IS NOT NULL ORDER BY 1, 2"
    )


async def test_the_batch_goes_on_for_everybody_and_the_run_is_left_out(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.clock.now += timedelta(minutes=1)
    with caplog.at_level(logging.ERROR, logger="activities.versions"):
        for name in ("ada", "bob"):
            await desk.send(name, "login")
        await desk.send("cleo", "help_wanted")
    assert await marked(desk) == [("ada", "caring"), ("bob", "caring")]
    # Nobody waits to be looked at any more, and nobody entered what they are in.
    assert await desk.rows("SELECT 1 FROM evaluations") == []
    assert await desk.rows("SELECT playbook, count(*) FROM runs GROUP BY 1 ORDER BY 1") == [
        ("caring", 3), ("helping", 3),
    ]  # fmt: skip
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert f"helping {HELPING.version}" in told[0]


async def test_they_stay_where_they_are_and_go_on_when_the_version_is_there_again(desk: Desk) -> None:
    desk.clock.now += timedelta(minutes=1)
    await desk.send("ada", "login")
    await desk.send("ada", "help_wanted")
    assert await desk.why("helping", "ada") == ("already_running", "a run of helping is open")
    [previewed] = [
        one for one in await preview_entries(desk.database, "helping", ["ada"]) if one.user_id == "ada"
    ]
    assert not previewed.enters
    await put_back(desk)
    desk.evaluator = Evaluator(opening(desk))
    # What happened meanwhile counts.
    await desk.evaluate(everybody=True)
    assert ("ada", "helping") in await marked(desk)


async def test_a_run_over_everybody_goes_on_too(desk: Desk) -> None:
    async with desk.database.transaction() as connection:
        prepared = await Candidates(opening(desk)).prepare(connection)
        versions = [HELPING.version, CARING.version]
        yes = np.ones(2, np.bool_)
        stored = StoredRuns(np.arange(2), ["helping", "caring"], versions, [None, None], ~yes, yes)
        await prepared.note_runs(connection, stored)
    assert prepared.versions["helping", HELPING.version].playbook.goal is None
    assert prepared.versions["caring", CARING.version].playbook.goal == CARING.goal


async def test_it_can_be_ended_all_the_same(desk: Desk) -> None:
    async with desk.database.transaction() as connection:
        [[run_id]] = (
            await connection.exec_driver_sql("SELECT id::text FROM runs WHERE playbook = 'helping' LIMIT 1")
        ).all()
        run = await runs.load_run(connection, run_id)
        await lock_customers(connection, [run.customer_id])
        end = RunEnd(outcome="stopped", reason="nobody knows what it was for", at=desk.clock.now)
        await close_run(connection, opening(desk), run, end, desk.clock.now)
    assert await desk.rows("SELECT outcome FROM intervention_executions") == [("stopped",)]


async def test_somebody_gets_to_know_of_it_for_as_long_as_it_is_so(desk: Desk, temporal: str) -> None:
    looking = StuckRuns(desk.database, await Client.connect(temporal))

    async def alerts() -> list[tuple[str, str]]:
        desk.clock.now += timedelta(hours=1)
        await looking.run_once()
        async with desk.database.transaction() as connection:
            found = await load_open_alerts(connection)
        return [(one.message, one.at.isoformat()) for one in found if one.kind == VERSION_GONE]

    [first] = await alerts()
    assert f"2 of helping {HELPING.version}" in first[0]
    assert "Bring the version back from a backup, or stop them." in first[0]
    assert await alerts() == [first]
    assert await desk.rows(f"SELECT severity FROM alerts WHERE kind = '{VERSION_GONE}'") == [("critical",)]
    await put_back(desk)
    assert await alerts() == []
