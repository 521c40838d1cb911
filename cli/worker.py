"""`holdfast worker`: one worker process, for production and for `holdfast dev`."""

from __future__ import annotations

import gc
import os

import click

from loops import event_loop
from loops.niceness import stand_back

# Python's own: so many objects more, or collections of the younger generation, until one is looked through.
_USUAL = (700, 10, 10)


@click.command(epilog="Example: HOLDFAST_DATABASE_URL=postgresql://… TEMPORAL_ADDRESS=… holdfast worker")
@click.option(
    "--watch", is_flag=True, help="Make playbooks live when it starts, and as their files are saved."
)
@click.option("--batch", is_flag=True, help="Score the population and train churn models, and nothing else.")
@click.option("--all", "everything", is_flag=True, help="Do both in one process, for a small installation.")
@click.option(
    "--nice",
    type=click.IntRange(0, 19),
    default=0,
    show_default=True,
    help="How far to stand back behind the other processes of this machine, such as those that answer people.",
)
def command(watch: bool, batch: bool, everything: bool, nice: int) -> None:
    """Carry out runs: Temporal worker, evaluator and dispatcher, until SIGTERM.

    Without --watch it publishes playbooks only where none ever was; from then on `holdfast apply` does. Somebody has to
    do the batch work, too: `holdfast worker --batch` beside this one, as often as there are processors to spare.
    """
    if batch and (everything or watch):
        raise click.UsageError("--batch goes with neither --all nor --watch.")
    if batch:
        # Shards are worked on side by side; threads inside each of them would only get in each other's way.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    stand_back(nice)
    import worker

    # What is loaded stays; of what runs make, nothing is to stay longer than it need be.
    gc.freeze()
    gc.set_threshold(*_USUAL)
    event_loop.run(worker.main(watch=watch, part="batch" if batch else "all" if everything else "live"))
