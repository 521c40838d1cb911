"""The worker process: Temporal activities and workflows, and the loops between the database and Temporal.

`python worker.py` and `holdfast worker` are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.delivery import SETTLE_SECONDS
from activities.steps import StepOpening
from activities.versions import Versions
from channels.registry import make_channels
from channels.settings import ChannelSettings
from loops.dispatcher import Dispatcher
from loops.engine import Engine
from loops.publishing import publish_directory
from loops.temporal_workers import make_workers
from schemas.catalogue import load_catalogue
from schemas.settings import Settings
from store.database import Database

log = logging.getLogger("holdfast.worker")


async def connect(settings: Settings) -> Client:
    """The Temporal client, as soon as the server answers."""
    while True:
        try:
            return await Client.connect(
                settings.temporal_address,
                namespace=settings.temporal_namespace,
                api_key=settings.temporal_api_key,
                data_converter=pydantic_data_converter,
            )
        except RuntimeError as error:
            log.warning("Temporal at %s doesn't answer yet: %s", settings.temporal_address, error)
            await asyncio.sleep(0.5)


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Run everything of this process until `stop` is set."""
    database = Database(settings.require_database_url(), connections=20)
    catalogue = load_catalogue()
    versions = Versions()
    opening = StepOpening(database, catalogue, versions)
    channels = make_channels(ChannelSettings.from_environ(settings.environ))
    client = await connect(settings)
    await publish_directory(database, settings.playbooks, catalogue)
    settle_seconds = float(settings.environ.get("HOLDFAST_SETTLE_SECONDS", SETTLE_SECONDS))
    engine = Engine(database, opening, Dispatcher(database, client, versions))
    async with contextlib.AsyncExitStack() as stack:
        for worker in make_workers(client, opening, channels, settle_seconds=settle_seconds):
            await stack.enter_async_context(worker)
        loops = asyncio.create_task(engine.run())
        if settings.ready_file:
            settings.ready_file.write_text("ready\n")
        log.info("ready")
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([loops, stopping], return_when=asyncio.FIRST_COMPLETED)
        loops.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loops
    for channel in channels.values():
        await channel.close()
    await database.close()


async def main(environ: Mapping[str, str] = os.environ) -> None:
    """Run a worker until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run_worker(Settings.read(environ), stop)


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).parent))
    from cli.leaving import leave

    asyncio.run(main())
    leave(0)
