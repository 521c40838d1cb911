"""Making a playbook live as it is saved: notices, waits until it is written, and publishes what is another than before.

Notices of the operating system make it quick; a look at every file's time and size once a second is the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from watchfiles import awatch

from loops.playbook_files import BESIDE, Files, read_directory
from loops.publishing import Applied, publish_files
from schemas.catalogue import Catalogue
from schemas.errors import HoldfastError, Problem
from store.bells import until_rung
from store.database import DATABASE_AWAY, Database

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0
# A file that didn't change for so long is written; one that is gone may be about to be put back by its editor.
WRITTEN_SECONDS = 0.2
GONE_SECONDS = 0.7
# Something that never comes to rest is looked at all the same.
RESTLESS_SECONDS = 4.0
ROUNDS = 3
TOLD_ONE_BY_ONE = 5
AWAY = (*DATABASE_AWAY, OSError)

Snapshot = dict[str, tuple[int, int, int]]


class Watcher:
    """Watches one directory of playbooks; `tell` gets a line for everything that became live or can't.

    What somebody makes live by other means, such as a rollback, stays until the file itself is saved again.
    """

    def __init__(
        self, database: Database, directory: Path, catalogue: Catalogue, tell: Callable[[Sequence[str]], None]
    ) -> None:
        self._database = database
        self._directory = directory
        self._catalogue = catalogue
        self._tell = tell
        self._bell = asyncio.Event()
        self._seen: Snapshot | None = None
        self._read: Files | None = None
        self._told: frozenset[Problem] = frozenset()

    async def publish_all(self) -> None:
        """Publish the directory as it is, as soon as the database answers; where there is no directory, nothing."""
        patience_seconds = 0.2
        while True:
            try:
                await self._look()
            except AWAY as error:
                reason = str(error.__cause__ or error).split("\n")[0]
                log.warning("the database doesn't answer yet (%s); trying again", reason)
                await asyncio.sleep(patience_seconds)
                patience_seconds = min(patience_seconds * 2, 5.0)
            else:
                return

    async def run(self) -> None:
        """Publish what is saved, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            while True:
                await until_rung(self._bell, LOOK_EVERY_SECONDS)
                self._bell.clear()
                try:
                    await self._look()
                except AWAY as error:
                    log.warning("the database is away (%s); trying again", type(error).__name__)
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
                except Exception:
                    log.exception("watching met something that it didn't expect; trying again")
                    await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _listen(self) -> None:
        """Ring when the operating system says that something moved; it may be unable to, or lose the directory."""
        while True:
            with contextlib.suppress(OSError, RuntimeError):
                async for _ in awatch(self._directory, watch_filter=None, debounce=50, step=20):
                    self._bell.set()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _look(self) -> None:
        """Publish what changed since the last look, if anything did."""
        if await asyncio.to_thread(self._snapshot) == self._seen:
            return
        for _ in range(ROUNDS):
            written = await self._settle()
            try:
                files = await asyncio.to_thread(read_directory, self._directory, self._catalogue)
            except HoldfastError as error:
                # Without the directory nothing is gone: somebody moves things about.
                if self._seen != written:
                    self._tell([f"{error.message} Nothing changes."])
                self._seen = written
                return
            if await asyncio.to_thread(self._snapshot) == written:
                break
        applied = await publish_files(self._database, self._news(files))
        self._seen, self._read = written, files
        self._report(applied, files)

    async def _settle(self) -> Snapshot:
        """Wait until what is being written is written; what is there then."""
        begun = rests_since = time.monotonic()
        found = await asyncio.to_thread(self._snapshot)
        while True:
            await asyncio.sleep(WRITTEN_SECONDS / 2)
            now, before = time.monotonic(), found
            found = await asyncio.to_thread(self._snapshot)
            if found != before:
                rests_since = now
            gone = self._seen is not None and not self._seen.keys() <= found.keys()
            if (
                now - rests_since >= (GONE_SECONDS if gone else WRITTEN_SECONDS)
                or now - begun > RESTLESS_SECONDS
            ):
                return found

    def _news(self, files: Files) -> Files:
        """What of these files is another than at the last look; at the first look all."""
        before = self._read
        if before is None:
            return files
        playbooks = {
            name: playbook
            for name, playbook in files.playbooks.items()
            if before.playbooks.get(name) != playbook or before.sources.get(name) != files.sources[name]
        }
        same_policy = (before.policy, before.policy_source) == (files.policy, files.policy_source)
        there = {*files.playbooks, *files.invalid}
        return replace(
            files,
            playbooks=playbooks,
            sources={name: files.sources[name] for name in playbooks},
            policy=None if same_policy else files.policy,
            gone=[name for name in (*before.playbooks, *before.invalid) if name not in there],
        )

    def _report(self, applied: Applied, files: Files) -> None:
        changes = applied.changes
        lines = [f"published {change.name}: {change.describe()}" for change in changes]
        if len(changes) > TOLD_ONE_BY_ONE:
            names = ", ".join(change.name for change in changes[:TOLD_ONE_BY_ONE])
            lines = [f"published {len(changes)} files: {names} …"]
        errors = frozenset(applied.errors)
        lines += [f"{problem}" for problem in applied.errors if problem not in self._told]
        wrong = {problem.file for problem in errors - self._told}
        if wrong:
            lines.append(f"{', '.join(sorted(wrong))} can't be used: what was live stays live")
        mended = {problem.file for problem in self._told} - {problem.file for problem in errors}
        lines += [f"{file} has no errors any more" for file in sorted(mended)]
        self._told = errors
        if lines:
            self._tell(lines)

    def _snapshot(self) -> Snapshot:
        homes = (self._directory, *(self._directory / beside for beside in BESIDE))
        return {name: state for home in homes for name, state in _stat(home)}


def _stat(directory: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Every YAML file with its time, size and number; nothing where there is no directory."""
    with contextlib.suppress(OSError), os.scandir(directory) as found:
        for item in found:
            if item.name.endswith((".yaml", ".yml")) and not item.name.startswith("."):
                with contextlib.suppress(OSError):
                    state = item.stat()
                    yield item.path, (state.st_mtime_ns, state.st_size, state.st_ino)
