"""`holdfast web`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

from loops import event_loop
from schemas import tracing
from schemas.errors import Problem
from schemas.log_lines import set_up_logging
from schemas.settings import Settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The port; 0 takes any."
)
def command(host: str, port: int) -> None:
    """One web process: events in (Segment's API under /v1), the REST API, the pages, the event stream.

    Needs HOLDFAST_DATABASE_URL, Temporal's address, and HOLDFAST_API_KEY for callers. Stops within two
    seconds at SIGTERM or Ctrl-C. HOLDFAST_READY_FILE is made when it listens.

    \b
    Example:
      HOLDFAST_DATABASE_URL=postgresql://me:secret@db/holdfast HOLDFAST_API_KEY=… holdfast web --port 8080
    """
    set_up_logging(logging.WARNING)
    settings = Settings.read(os.environ)
    settings.require_database_url()
    tracing.set_up(os.environ, "holdfast-web")
    if not settings.api_keys:
        click.echo("HOLDFAST_API_KEY is not set: only keys in the database are let in.", err=True)
    try:
        event_loop.run(_serve(settings, host, port))
    finally:
        tracing.finish()


async def _serve(settings: Settings, host: str, port: int) -> None:
    from activities.registry import find_step_types
    from channels.outcome import Channel
    from cli.workbench import make_workbench
    from loops.assessing import assess_customer
    from loops.explaining import explain_entries
    from loops.looking_up import look_up_delivery
    from loops.previewing import preview_entries
    from loops.rollback import roll_back as put_back
    from schemas.access import Principal
    from schemas.catalogue import load_catalogue
    from schemas.compiled_cache import open_cache
    from schemas.errors import SettingError, UnavailableError
    from schemas.loader import load_playbooks
    from scoring.assessment import Assessment
    from scoring.moving import make_mover
    from store.database import Database, Waker
    from web.application import BELL, build_application
    from web.serving import WebServer, bind, freeze_memory, mark_ready
    from web.warming import count_ahead, prepare_pages

    catalogue = load_catalogue()
    channels: dict[str, Channel] = {}
    steps = find_step_types()

    def find_problems() -> Sequence[Problem]:
        if not settings.playbooks.is_dir():
            return ()
        return load_playbooks(settings.playbooks, catalogue, steps, open_cache(os.environ)).problems

    async def roll_back(playbook: str, version: str, author: str, based_on: str | None) -> Mapping[str, Any]:
        done = await put_back(
            database, settings.playbooks, catalogue, playbook, version, author=author, based_on=based_on
        )
        return {**vars(done), "written": str(done.written) if done.written else None}

    async def look_up(delivery: str, actor: Principal) -> str:
        """Providers are connected to when somebody first asks for one."""
        if not channels:
            # Their clients take a fifth of a second to load, which no start waits for.
            from channels.registry import make_channels
            from channels.settings import ChannelSettings

            try:
                channels.update(make_channels(ChannelSettings.from_environ(settings.environ)))
            except SettingError as error:
                raise UnavailableError(
                    f"Providers can't be asked: {error.message}", remedy=error.remedy
                ) from error
        return (await look_up_delivery(database, channels, delivery, actor)).told

    async def assess(external_id: str, record: bool) -> Assessment:
        return await assess_customer(database, catalogue, external_id, bell=bell if record else None)

    def tell(address: str) -> None:
        click.echo(f"holdfast web listens on {address}", err=True)
        if not settings.secret_key:
            click.echo("HOLDFAST_SECRET_KEY is not set: nobody can unsubscribe here.", err=True)
        freeze_memory()
        mark_ready(settings.ready_file)

    # Bound before anything else, so that a port that is taken is told plainly.
    listener = bind(host, port)
    database = Database(settings.require_database_url(), connections=15)
    bell = Waker(database, BELL)
    try:
        app = build_application(
            settings,
            database,
            move=make_mover(catalogue),
            find_problems=find_problems,
            roll_back=roll_back,
            look_up=look_up,
            assess=assess,
            workbench=make_workbench(settings, database, catalogue),
            preview=lambda playbook, names: preview_entries(database, playbook, names),
            explain=lambda name: explain_entries(database, name),
        )
        await asyncio.to_thread(prepare_pages, app)
        counting = asyncio.create_task(count_ahead(app))
        try:
            await WebServer(app, listening=tell, drain_seconds=settings.drain_seconds).serve([listener])
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
    finally:
        for channel in channels.values():
            await channel.close()
        await database.close()
