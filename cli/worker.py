"""`holdfast worker`: one worker process, for production and for `holdfast dev`."""

from __future__ import annotations

import asyncio

import click


@click.command(epilog="Example: HOLDFAST_DATABASE_URL=postgresql://… TEMPORAL_ADDRESS=… holdfast worker")
@click.option(
    "--watch", is_flag=True, help="Make playbooks live when it starts, and as their files are saved."
)
def command(watch: bool) -> None:
    """Carry out runs: Temporal worker, evaluator and dispatcher, until SIGTERM.

    Without --watch it publishes playbooks only where none ever was; from then on `holdfast apply` does.
    """
    import worker

    asyncio.run(worker.main(watch=watch))
