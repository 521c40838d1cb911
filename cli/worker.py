"""`holdfast worker`: one worker process, for production and for `holdfast dev`."""

from __future__ import annotations

import asyncio

import click


@click.command(epilog="Example: HOLDFAST_DATABASE_URL=postgresql://… TEMPORAL_ADDRESS=… holdfast worker")
def command() -> None:
    """Carry out runs: Temporal worker, evaluator and dispatcher, until SIGTERM."""
    import worker

    asyncio.run(worker.main())
