"""What sealing payloads costs: the converter alone, and runs of local and ordinary activities, with and without it.

python -m bench.sealing
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from loops.child import start, stop
from loops.embedded_temporal import EmbeddedTemporal
from loops.ports import choose_port
from schemas.settings import Settings
from workflows.payloads import choose_manner, make_data_converter

SIZES_BYTES = (1024, 64 * 1024)
# Local activities, and ordinary ones, of one run.
MIXES = {"10 local activities": (10, 0), "5 ordinary activities": (0, 5)}
ROUNDS = 3
ONE_BY_ONE, AT_ONCE = 8, 20
SEALED = Settings.read({"HOLDFAST_SECRET_KEY": "s" * 43})


@dataclass(frozen=True)
class Cost:
    """One round: how long a run alone took (ms, median), how many a second at once, processor time of this process."""

    alone_ms: float
    runs_per_second: float
    cpu_ms_per_run: float


@activity.defn
async def echo(text: str) -> str:
    """Give back what was given."""
    return text


@workflow.defn
class Echoing:
    """Hands a text from activity to activity."""

    @workflow.run
    async def run(self, text: str, local: int, ordinary: int) -> str:
        """The text, after that many activities of each kind."""
        limit = timedelta(seconds=10)
        for _ in range(local):
            text = await workflow.execute_local_activity(echo, text, start_to_close_timeout=limit)
        for _ in range(ordinary):
            text = await workflow.execute_activity(echo, text, start_to_close_timeout=limit)
        return text


def make_text(size_bytes: int) -> str:
    """Words, as playbooks and messages are made of: the client compresses what it sends, and sealed text can't be."""
    random = Random(7)
    words = ["".join(random.choices("etaoinshrdlu", k=random.randint(2, 9))) for _ in range(900)]
    text = ""
    while len(text) < size_bytes:
        text += random.choice(words) + " "
    return text[:size_bytes]


async def time_converter(converter: DataConverter, text: str) -> tuple[float, float]:
    """Microseconds to encode and to decode one payload: the best of five times 300."""
    best = [float("inf"), float("inf")]
    for _ in range(5):
        begun = time.process_time()
        for _ in range(300):
            payloads = await converter.encode([text])
        between = time.process_time()
        for _ in range(300):
            await converter.decode(payloads, [str])
        spent = (between - begun, time.process_time() - between)
        best = [min(old, new / 300 * 1e6) for old, new in zip(best, spent, strict=True)]
    return best[0], best[1]


async def time_runs(client: Client, text: str, local: int, ordinary: int) -> Cost:
    """One round over a worker of its own."""
    queue = f"sealing-{uuid.uuid4()}"

    async def one() -> float:
        begun = time.monotonic()
        await client.execute_workflow(
            Echoing.run, args=[text, local, ordinary], id=str(uuid.uuid4()), task_queue=queue
        )
        return (time.monotonic() - begun) * 1000

    async with Worker(
        client, task_queue=queue, workflows=[Echoing], activities=[echo],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):  # fmt: skip
        await one()
        alone = [await one() for _ in range(ONE_BY_ONE)]
        begun, spent = time.monotonic(), time.process_time()
        await asyncio.gather(*(one() for _ in range(AT_ONCE)))
        seconds, cpu = time.monotonic() - begun, time.process_time() - spent
    return Cost(statistics.median(alone), AT_ONCE / seconds, cpu / AT_ONCE * 1000)


async def measure(say: Callable[[str], None], *, rounds: int = ROUNDS) -> None:
    """All of it, told line by line."""
    converters = {"plain": pydantic_data_converter, "sealed": make_data_converter(SEALED)}
    for size in SIZES_BYTES:
        for name, converter in converters.items():
            encode_us, decode_us = await time_converter(converter, make_text(size))
            say(
                f"converter, {size:>6} bytes, {name:>6}: encode {encode_us:.0f} µs, decode {decode_us:.0f} µs"
            )
    with tempfile.TemporaryDirectory() as place:
        server = EmbeddedTemporal(None, choose_port(0), None, Path(place) / "temporal.log")
        child = server.child()
        process = await asyncio.to_thread(start, child)
        try:
            clients = {
                "plain": await Client.connect(server.address, data_converter=pydantic_data_converter),
                "sealed": await Client.connect(server.address, **choose_manner(SEALED)),
            }
            for mix, (local, ordinary) in MIXES.items():
                for size in SIZES_BYTES:
                    costs: dict[str, list[Cost]] = {name: [] for name in clients}
                    for _ in range(rounds):
                        for name, client in clients.items():
                            costs[name].append(await time_runs(client, make_text(size), local, ordinary))
                    for name, found in costs.items():
                        say(f"{mix}, {size:>6} bytes, {name:>6}: {_told(found)}")
        finally:
            stop(child, process)


def _told(found: Sequence[Cost]) -> str:
    alone = statistics.median(cost.alone_ms for cost in found)
    rate = statistics.median(cost.runs_per_second for cost in found)
    cpu = statistics.median(cost.cpu_ms_per_run for cost in found)
    return f"{alone:.0f} ms alone, {rate:.1f} runs a second, {cpu:.1f} ms of processor a run"


if __name__ == "__main__":
    asyncio.run(measure(print))
