"""The worker process: Temporal activities and workflows, and the loops between the database and Temporal.

`python worker.py` and `holdfast worker` are the same. What computes for seconds at a stretch has a process of its own,
`holdfast worker --batch`, so that no message waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from temporalio.client import Client
from temporalio.envconfig import ClientConfig

from activities.links import LinkMaker
from activities.steps import StepOpening
from activities.versions import Versions
from channels.outcome import Channel
from channels.registry import make_channels
from channels.settings import ChannelSettings, parse_sender
from loops import bulletin
from loops.alerting import Alerting, AlertWebhook
from loops.dispatcher import Dispatcher
from loops.engine import Engine
from loops.erasing import Erasing
from loops.metrics import Readiness, WorkerPort, read_place
from loops.niceness import stand_back
from loops.notices import Notices
from loops.population_starting import PopulationStarting
from loops.publishing import publish_directory
from loops.stuck_runs import StuckRuns
from loops.temporal_runtime import make_runtime
from loops.temporal_workers import make_batch_workers, make_workers
from loops.tracing import make_interceptors
from loops.watching import Watcher
from schemas import tracing
from schemas.catalogue import Catalogue, load_catalogue
from schemas.log_lines import set_up_logging
from schemas.settings import Settings
from store.database import DATABASE_AWAY, Database
from store.playbooks import has_published
from workflows.payloads import choose_manner

log = logging.getLogger("holdfast.worker")

STOP_SECONDS = 4.0
# How much the batch process stands back where processors are scarce.
NICENESS = 10

# live: runs, sends and all loops; batch: scoring the population, training; all: both, for a small installation.
Part = Literal["live", "batch", "all"]


async def connect(settings: Settings) -> Client:
    """The client of the Temporal server that the environment names (address, profile, TLS), as soon as it answers."""
    patience_seconds = 0.2
    runtime = make_runtime(settings)
    while True:
        profile = ClientConfig.load_client_connect_config(override_env_vars=dict(settings.environ))
        profile.setdefault("target_host", settings.temporal_address)
        try:
            return await Client.connect(
                **profile, **choose_manner(settings), runtime=runtime, interceptors=make_interceptors()
            )
        except RuntimeError as error:
            reason = str(error).split(": tonic")[0]
            log.warning(
                "Temporal at %s doesn't answer yet (%s); trying again", profile["target_host"], reason
            )
        await asyncio.sleep(patience_seconds)
        patience_seconds = min(patience_seconds * 2, 5.0)


async def publish_first(database: Database, directory: Path, catalogue: Catalogue) -> None:
    """Make the playbooks live where none ever was, as soon as the database answers; elsewhere `holdfast apply` does."""
    patience_seconds = 0.2
    while True:
        try:
            async with database.transaction() as connection:
                if await has_published(connection):
                    return
            if not directory.is_dir():
                log.warning("there is no directory %s, so nothing is published", directory)
                return
            await publish_directory(database, directory, catalogue)
        except DATABASE_AWAY as error:
            log.warning(
                "the database doesn't answer yet (%s); trying again",
                str(error.__cause__ or error).split("\n")[0],
            )
            await asyncio.sleep(patience_seconds)
            patience_seconds = min(patience_seconds * 2, 5.0)
        else:
            return


def make_watcher(settings: Settings, database: Database, catalogue: Catalogue) -> Watcher:
    """What publishes playbooks as they are saved, telling the log, and the terminal of `holdfast dev`."""
    named = settings.environ.get(bulletin.VARIABLE)
    board = Path(named) if named else None

    def tell(lines: Sequence[str]) -> None:
        for line in lines:
            log.info(line)
        bulletin.post(board, lines)

    return Watcher(database, settings.playbooks, catalogue, tell)


async def run_worker(
    settings: Settings,
    stop: asyncio.Event,
    ready: asyncio.Event,
    *,
    watch: bool = False,
    part: Part = "live",
) -> None:
    """Run everything of this process until `stop` is set; sets `ready` once it is up.

    watch: playbooks become live as their files are saved, now and from now on.
    """
    # Nothing leaves that nobody could unsubscribe from, and nothing goes to Temporal for everybody to read.
    settings.require_secret_key()
    database = Database(settings.require_database_url(), connections=20 if part != "batch" else 6)
    catalogue = load_catalogue()
    opening = StepOpening(database, catalogue, Versions(), LinkMaker.of(settings))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        if place := read_place(settings.environ):
            # Before anything is waited for: whoever keeps this process running asks from its beginning.
            await stack.enter_async_context(WorkerPort(Readiness(database, ready, stop)).listen(*place))
        going: list[asyncio.Task[None]] = []
        if part == "batch":
            client = await connect(settings)
        else:
            client, going = await _go_live(settings, opening, stack, watch=watch)
        if part != "live":
            for worker in make_batch_workers(client, opening):
                await stack.enter_async_context(worker)
        if settings.ready_file:
            settings.ready_file.write_text("ready\n")
        ready.set()
        log.info("ready")
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([*going[:1], stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in going:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _go_live(
    settings: Settings, opening: StepOpening, stack: contextlib.AsyncExitStack, *, watch: bool
) -> tuple[Client, list[asyncio.Task[None]]]:
    """Publish, start the live workers, and the loops as tasks, the engine's first."""
    database, catalogue = opening.database, opening.catalogue
    channels = make_channels(ChannelSettings.from_environ(settings.environ))
    for channel in channels.values():
        stack.push_async_callback(channel.close)
    watcher = make_watcher(settings, database, catalogue) if watch else None
    if watcher:
        await watcher.publish_all()
    else:
        await publish_first(database, settings.playbooks, catalogue)
    client = await connect(settings)
    notices = _make_notices(settings, opening, channels)
    engine = Engine(database, opening, Dispatcher(database, client, opening.versions), notices)
    for worker in make_workers(client, opening, channels, settle_seconds=settings.settle_seconds):
        await stack.enter_async_context(worker)
    going = [
        asyncio.create_task(engine.run()),
        asyncio.create_task(PopulationStarting(database, client).run()),
        asyncio.create_task(StuckRuns(database, client).run()),
        asyncio.create_task(Erasing(opening, client).run()),
        asyncio.create_task(Alerting(database, AlertWebhook.read(settings)).run()),
    ]
    if watcher:
        going.append(asyncio.create_task(watcher.run()))
    return client, going


def _make_notices(
    settings: Settings, opening: StepOpening, channels: Mapping[str, Channel]
) -> Notices | None:
    """Who mails people about their work, where there is a provider of e-mail."""
    if "email" not in channels:
        return None
    _, sender = parse_sender(ChannelSettings.from_environ(settings.environ).mail_from)
    return Notices(opening, channels["email"], settings.public_url, sender)


async def main(environ: Mapping[str, str] = os.environ, *, watch: bool = False, part: Part = "live") -> None:
    """Run a worker until SIGTERM or SIGINT; `watch`: playbooks become live as their files are saved."""
    set_up_logging(logging.INFO, environ)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = Settings.read(environ)
    tracing.set_up(environ, "holdfast-batch" if part == "batch" else "holdfast-worker")
    if part == "batch":
        stand_back(NICENESS)
    ready = asyncio.Event()
    running = asyncio.create_task(run_worker(settings, stop, ready, watch=watch, part=part))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        # A worker that is up stops by itself and in order; one that still waits for its stores has nothing to lose.
        if ready.is_set():
            await asyncio.wait([running], timeout=STOP_SECONDS)
        running.cancel()
    stopping.cancel()
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await running
    finally:
        await asyncio.to_thread(tracing.finish)


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).parent))
    from cli.leaving import leave
    from cli.main import run

    leave(run(["worker", *sys.argv[1:]]))
