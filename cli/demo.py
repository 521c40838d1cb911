"""`holdfast demo`."""

from __future__ import annotations

import os

import click

from schemas.settings import Settings


@click.command()
def command() -> None:
    """Load the demo customers into the database of HOLDFAST_DATABASE_URL: 500 invented suppliers, marked.

    Loading it again changes nothing. `holdfast dev` does it by itself.

    \b
    Example:
      HOLDFAST_DATABASE_URL=postgresql://me:secret@db/trial holdfast demo
    """
    from loops.demo import load_demo

    load_demo(Settings.read(os.environ).require_database_url())
