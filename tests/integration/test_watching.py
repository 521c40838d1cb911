"""A playbook becomes live as its file is saved, however an editor saves it, and nothing half-written ever does."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from loops.embedded_temporal import plain_environ
from loops.playbook_files import read_directory
from loops.rollback import roll_back
from loops.watching import Watcher
from schemas.catalogue import load_catalogue
from store.database import Database
from store.publishing import compare
from tests.deadlines import end
from tests.integration.running_engine import eventually

PLAYBOOK = """\
playbook: {name}
title: Win back
owner: cs-ops
status: live
steps:
  - email: {{subject: Hello, text: "{text}"}}
"""
MORE = '  - email: {{subject: More, text: "{text}"}}\n'


class Desk:
    """A directory of playbooks that is watched."""

    def __init__(self, directory: Path, database: Database) -> None:
        self.directory, self.database = directory, database
        self.told: list[str] = []

    def tell(self, lines: Sequence[str]) -> None:
        self.told += lines

    def text(self, name: str, words: str = "Hi") -> str:
        return PLAYBOOK.format(name=name, text=words)

    def write(self, name: str, words: str = "Hi") -> Path:
        path = self.directory / f"{name}.yaml"
        path.write_text(self.text(name, words))
        return path

    async def rows(self, sql: str) -> list[Mapping[str, Any]]:
        async with self.database.transaction() as connection:
            return [dict(row._mapping) for row in await connection.execute(text(sql))]

    async def until(self, sql: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = await eventually(lambda: self.rows(sql))
        return found

    async def until_live(self, name: str, words: str) -> None:
        await self.until(
            f"SELECT 1 FROM playbooks WHERE name = '{name}' AND compiled::text LIKE '%\"text\": \"{words}\"%'"
        )


@pytest.fixture
async def desk(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "playbooks" / "templates").mkdir(parents=True)
    database = Database(database_url, connections=4)
    desk = Desk(tmp_path / "playbooks", database)
    desk.write("one")
    desk.write("two")
    watcher = Watcher(database, desk.directory, load_catalogue(), desk.tell)
    await watcher.publish_all()
    watching = asyncio.create_task(watcher.run())
    yield desk
    await end(watching)
    await database.close()


async def test_what_is_there_at_the_start_is_live_and_what_is_saved_becomes_so(desk: Desk) -> None:
    await desk.until_live("one", "Hi")
    desk.write("one", "Other words")
    desk.write("three")
    await desk.until_live("one", "Other words")
    await desk.until_live("three", "Hi")
    assert any(line.startswith("published one: new version") for line in desk.told)


async def test_editors_that_write_beside_and_rename_are_noticed_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long the moment is in which nothing goes on here.
    for limit in ("GONE_SECONDS", "RESTLESS_SECONDS"):
        monkeypatch.setattr(f"loops.watching.{limit}", 60.0)
    path = desk.directory / "one.yaml"
    path.rename(path.with_suffix(".yaml~"))
    # For a moment the file isn't there: that retires nothing.
    await asyncio.sleep(0.3)
    beside = desk.directory / ".one.yaml.swp"
    beside.write_text(desk.text("one", "Other words"))
    beside.rename(path)
    await desk.until_live("one", "Other words")
    assert await desk.rows("SELECT 1 FROM publications WHERE kind = 'retired'") == []


async def test_a_file_that_is_written_piece_by_piece_is_published_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loops.watching.WRITTEN_SECONDS", 1.0)
    monkeypatch.setattr("loops.watching.RESTLESS_SECONDS", 60.0)
    with (desk.directory / "one.yaml").open("w") as file:
        for piece in (desk.text("one", "First"), *[MORE.format(text=f"Piece {n}") for n in range(5)]):
            file.write(piece)
            file.flush()
            await asyncio.sleep(0.08)
    await desk.until_live("one", "First")
    [row] = await desk.rows(
        "SELECT jsonb_array_length(compiled -> 'steps') AS n FROM playbooks WHERE name = 'one'"
    )
    assert row["n"] == 6
    [row] = await desk.rows("SELECT count(*) AS n FROM publications WHERE name = 'one'")
    assert row["n"] == 2


async def test_a_bad_file_changes_nothing_is_told_and_stops_no_other(desk: Desk) -> None:
    (desk.directory / "one.yaml").write_text(desk.text("one").replace("live", "lively"))
    desk.write("two", "Other words")
    await desk.until_live("two", "Other words")
    await desk.until("SELECT 1 FROM file_problems WHERE file = 'one.yaml'")
    await desk.until_live("one", "Hi")
    assert any("one.yaml:4:9: error PB" in line for line in desk.told)
    desk.write("one", "Mended")
    await desk.until_live("one", "Mended")
    assert await desk.rows("SELECT * FROM file_problems") == []
    assert any("no errors any more" in line for line in desk.told)


async def test_policy_and_templates_are_watched_too(desk: Desk) -> None:
    (desk.directory / "policy.yaml").write_text("caps: {total: 3 per 7d}\n")
    await desk.until("SELECT 1 FROM governance WHERE value -> 'caps' -> 'total' ->> 'times' = '3'")
    template = desk.directory / "templates" / "tips.yaml"
    template.write_text("template: tips\nemail: {subject: Tips, text: Old}\n")
    (desk.directory / "uses.yaml").write_text(
        desk.text("uses").replace('{subject: Hello, text: "Hi"}', "{template: tips}")
    )
    await desk.until_live("uses", "Old")
    template.write_text("template: tips\nemail: {subject: Tips, text: New}\n")
    await desk.until_live("uses", "New")


async def test_a_file_that_is_gone_retires_its_playbook_and_one_that_returns_is_live_again(
    desk: Desk,
) -> None:
    (desk.directory / "one.yaml").unlink()
    await desk.until("SELECT 1 FROM playbooks WHERE name = 'one' AND status = 'retired'")
    [row] = await desk.rows("SELECT status FROM playbooks WHERE name = 'two'")
    assert row["status"] == "live"
    desk.write("one")
    await desk.until("SELECT 1 FROM playbooks WHERE name = 'one' AND status = 'live'")


async def test_a_rollback_stays_though_the_directory_is_watched(desk: Desk) -> None:
    [before] = await desk.rows("SELECT version FROM playbooks WHERE name = 'one'")
    desk.write("one", "Other words")
    await desk.until_live("one", "Other words")
    done = await roll_back(desk.database, desk.directory, load_catalogue(), "one", before["version"])
    assert done.written == desk.directory / "one.yaml"
    desk.write("two", "A sign that the watcher has looked since")
    await desk.until_live("two", "A sign that the watcher has looked since")
    [after] = await desk.rows("SELECT version FROM playbooks WHERE name = 'one'")
    assert after == before
    files = read_directory(desk.directory, load_catalogue())
    async with desk.database.transaction() as connection:
        assert await compare(connection, files.playbooks, files.sources, files.policy) == []


async def test_a_directory_that_moves_away_for_a_while_retires_nothing(desk: Desk) -> None:
    away = desk.directory.with_name("away")
    desk.directory.rename(away)
    await eventually(lambda: _says(desk, "Nothing changes"))
    away.rename(desk.directory)
    desk.write("one", "Other words")
    await desk.until_live("one", "Other words")
    assert await desk.rows("SELECT 1 FROM publications WHERE kind = 'retired'") == []


async def _says(desk: Desk, words: str) -> bool:
    return any(words in line for line in desk.told)


def start_worker(
    checkout: Path, environ: Mapping[str, str], log: Path, *arguments: str
) -> subprocess.Popen[bytes]:
    """A worker process that knows no more of its surroundings than `environ`."""
    ours = ("HOLDFAST_", "TWILIO_", "SMTP_")
    others = {n: v for n, v in plain_environ(os.environ).items() if not n.startswith(ours)}
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, str(checkout / "worker.py"), *arguments],
            stderr=output,
            env={**others, **environ},
        )


@pytest.mark.parametrize("watch", [True, False])
async def test_a_worker_publishes_what_is_saved_only_where_it_watches(
    tmp_path: Path, checkout: Path, database_url: str, temporal: str, watch: bool
) -> None:
    database = Database(database_url, connections=2)
    desk = Desk(tmp_path / "playbooks", database)
    desk.directory.mkdir()
    desk.write("one")
    ready, bulletin = tmp_path / "ready", tmp_path / "bulletin"
    environ = {
        "HOLDFAST_SECRET_KEY": "a key of the tests".ljust(40, "x").replace(" ", "-"),
        "HOLDFAST_DATABASE_URL": database_url,
        "HOLDFAST_PLAYBOOKS": str(desk.directory),
        "HOLDFAST_READY_FILE": str(ready),
        "HOLDFAST_BULLETIN": str(bulletin),
        "TEMPORAL_ADDRESS": temporal,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    process = start_worker(checkout, environ, tmp_path / "log", *(["--watch"] if watch else []))
    try:
        await eventually(lambda: asyncio.to_thread(ready.exists), seconds=60)
        # Where nothing ever was published, everything is at the first start.
        await desk.until_live("one", "Hi")
        desk.write("one", "Other words")
        if watch:
            await desk.until_live("one", "Other words")
            # It is told once it is live.
            told = functools.partial(asyncio.to_thread, bulletin.read_text)
            await eventually(told, lambda text: "published one: new version" in text)
        else:
            await asyncio.sleep(3)
            [row] = await desk.rows("SELECT count(*) AS n FROM publications")
            assert row["n"] == 1
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0, (tmp_path / "log").read_text()
        await database.close()
