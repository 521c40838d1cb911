"""Messages through the SMTP channel: claimed in PostgreSQL, rendered, handed to a real SMTP server, settled.

What workers' activities do is called directly, in one process for each processor: a workflow engine beside them is
measured elsewhere. The limit is the same mails over as many connections with nothing around them.

`python -m bench.sending DATABASE_URL SMTP_PORT RUN…` is one of those processes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
from sqlalchemy import text

from activities.claims import Claimed
from activities.delivery import MessageDelivery
from activities.links import LinkMaker
from activities.steps import StepOpening
from activities.versions import Versions
from bench.percentiles import percentile
from bench.system import Say
from channels.settings import parse_smtp_url
from channels.smtp import SmtpChannel
from loops import event_loop
from loops.child import Child, start, stop
from loops.development import listens
from loops.embedded_postgres import EmbeddedPostgres
from loops.evaluator import Evaluator
from loops.ports import HOST, choose_port
from schemas.catalogue import load_catalogue
from schemas.condition import AllOf, EventCount
from schemas.incoming import IncomingEvent
from schemas.link_token import LinkKey
from schemas.plan import Act, CompiledPlaybook, Enter
from schemas.policy import Policy
from schemas.run import StepCall, StepResult
from scoring.moving import make_mover
from store.database import Database
from store.intake import take_in
from store.migrating import migrate
from store.publishing import publish

RATE_WANTED = 200.0
PREPARE_LIMIT_MS = 20.0
SIDE_BY_SIDE = 16
WARMING = 50
CHECKOUT = Path(__file__).resolve().parent.parent
HTML = """<p>Hello {{ customer.first_name }},</p>
<p>you are on the {{ customer.plan | default("free") }} plan. {% if signals.health_score %}Your score is
{{ signals.health_score }}.{% endif %}</p><p><a href="{{ links.unsubscribe }}">Unsubscribe</a></p>"""


@dataclass(frozen=True)
class Sending:
    """Messages a second by `processes` with `side_by_side` at once in each.

    Milliseconds from a step's request to the message ready to leave, claimed and committed, one at a time. `cpu_ms` is
    what those processes computed for a message, which other work on the machine disturbs less.
    """

    messages: int
    processes: int
    side_by_side: int
    per_second: float
    cpu_ms: float
    bare_per_second: float
    prepare_p50_ms: float
    prepare_p99_ms: float
    taken_twice: int
    lost: int


class _Stopwatch(MessageDelivery):
    """The activity, which notes when a claimed message is ready to leave."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.prepared: list[float] = []
        self.began = 0.0
        transmit = self._transmission.transmit

        async def note(call: StepCall, claimed: Claimed) -> StepResult:
            self.prepared.append((time.perf_counter() - self.began) * 1000)
            return await transmit(call, claimed)

        self._transmission.transmit = note  # type: ignore[method-assign]


async def measure(say: Say, *, messages: int, alone: int, processes: int = 2) -> Sending:
    """Send `messages` as fast as possible, then `alone` one after the other, then as many without any books."""
    async with _place() as (database, smtp_port, log):
        say(f"  sending: {messages + alone} customers enter")
        runs = await _enter(database, messages + alone)
        say(f"  sending: {messages} messages by {processes} processes, {SIDE_BY_SIDE} at once in each")
        shares = [runs[alone:][n::processes] for n in range(processes)]
        spans = await asyncio.gather(*(_send_elsewhere(database.url, smtp_port, share) for share in shares))
        seconds = max(end for _, end, _ in spans) - min(begin for begin, _, _ in spans)
        computed = sum(computed for _, _, computed in spans)
        say(f"  sending: {alone} messages, one after the other")
        prepared = await _send_alone(database, smtp_port, runs[:alone])
        taken = [json.loads(line)["delivery"] for line in log.read_text().splitlines()]
        say("  sending: the same mails with no books")
        bare = await _send_bare(smtp_port, messages)
    timed = messages - processes * WARMING
    return Sending(
        messages, processes, SIDE_BY_SIDE, timed / seconds, 1000 * computed / timed, messages / bare,
        percentile(prepared, 50), percentile(prepared, 99), len(taken) - len(set(taken)), len(runs) - len(set(taken)),
    )  # fmt: skip


async def _send_elsewhere(
    database_url: str, smtp_port: int, runs: Sequence[str]
) -> tuple[float, float, float]:
    """Send the mails of these runs from a process of its own; when it began and ended and the seconds that it computed,
    warming left out.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.sending", database_url, str(smtp_port),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=CHECKOUT,
    )  # fmt: skip
    told, _ = await process.communicate("\n".join(runs).encode())
    begin, end, computed = json.loads(told)
    return begin, end, computed


async def send_here(database_url: str, smtp_port: int, runs: Sequence[str]) -> tuple[float, float, float]:
    """The work of such a process."""
    database = Database(database_url, connections=SIDE_BY_SIDE)
    channel = _make_channel(smtp_port)
    try:
        activity = MessageDelivery(_open(database), {"email": channel})
        calls = [_call(run) for run in runs]
        await _all(calls[:WARMING], activity.send, SIDE_BY_SIDE)
        begin, computed = time.time(), time.process_time()
        await _all(calls[WARMING:], activity.send, SIDE_BY_SIDE)
        return begin, time.time(), time.process_time() - computed
    finally:
        await channel.close()
        await database.close()


async def _send_alone(database: Database, smtp_port: int, runs: Sequence[str]) -> list[float]:
    """Milliseconds from request to readiness, of one message at a time; the first ones left out."""
    channel = _make_channel(smtp_port)
    try:
        activity = _Stopwatch(_open(database), {"email": channel})
        for run in runs:
            activity.began = time.perf_counter()
            await activity.send(_call(run))
    finally:
        await channel.close()
    return activity.prepared[min(20, len(runs) // 2) :]


def _make_channel(smtp_port: int) -> SmtpChannel:
    server = parse_smtp_url(f"smtp://{HOST}:{smtp_port}")
    return SmtpChannel(server, sender=("Holdfast", "care@example.com"))


def _open(database: Database) -> StepOpening:
    links = LinkMaker(LinkKey("s" * 32), "https://holdfast.example")
    return StepOpening(database, load_catalogue(), Versions(), links)


def _call(run: str) -> StepCall:
    now = datetime.now(UTC)
    return StepCall(run_id=run, execution_id="bench", step="mail", due_at=now, at=now)


async def _enter(database: Database, people: int) -> list[str]:
    """A playbook of one mail, and so many customers in it; their runs."""
    mail = Act(
        id="mail", word="email", activity="Delivery.send", sends=True,
        args={"subject": "News for {{ customer.first_name }}", "html": HTML, "text": "Hello {{ customer.first_name }}"},
    )  # fmt: skip
    asked = Enter(when=AllOf(items=(EventCount(name="asked", path="enter.when.event.asked"),)))
    playbook = CompiledPlaybook(
        name="bench", title="Bench", owner="bench", status="live", steps=(mail,), enter=asked
    )
    policy = Policy(consent={"email": "assumed"})
    async with database.transaction() as connection:
        now = await database.clock.read(connection)
        await publish(connection, {"bench": playbook}, {}, policy, author="bench", now=now)
    mover = make_mover(load_catalogue())
    for first in range(0, people, 250):
        events = [
            _event(n, name) for n in range(first, min(first + 250, people)) for name in ("identify", "asked")
        ]
        await take_in(database, events, move=mover)
    evaluator = Evaluator(_open(database))
    while (await evaluator.run_once()).customers:
        pass
    async with database.transaction() as connection:
        rows = await connection.execute(text("SELECT id::text FROM runs ORDER BY id"))
        return [row.id for row in rows]


def _event(number: int, name: str) -> IncomingEvent:
    now = datetime.now(UTC)
    traits = {
        "first_name": f"Ada {number}",
        "email": f"ada{number}@example.com",
        "timezone": "UTC",
        "plan": "pro",
    }
    return IncomingEvent(
        "bench",
        str(uuid.uuid4()),
        f"c{number}",
        name,
        now,
        now,
        now.date(),
        {},
        traits if name == "identify" else {},
    )


async def _all(items: Iterable[Any], work: Callable[[Any], Awaitable[object]], side_by_side: int) -> None:
    """Do all of it, so many at once."""
    waiting = iter(items)

    async def go_on() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(go_on() for _ in range(side_by_side)))


async def _send_bare(port: int, messages: int) -> float:
    """Seconds for the same mails over four kept connections, by aiosmtplib alone."""
    mails: list[EmailMessage] = []
    for number in range(messages):
        mail = EmailMessage()
        mail["From"], mail["To"] = "care@example.com", f"ada{number}@example.com"
        mail["Subject"], mail["X-Holdfast-Delivery"] = f"News for Ada {number}", str(uuid.uuid4())
        mail.set_content(f"Hello Ada {number}")
        mail.add_alternative(HTML, subtype="html")
        mails.append(mail)
    waiting = iter(mails)

    async def go_on() -> None:
        async with aiosmtplib.SMTP(hostname=HOST, port=port) as client:
            for mail in waiting:
                await client.send_message(mail)

    began = time.perf_counter()
    await asyncio.gather(*(go_on() for _ in range(4)))
    return time.perf_counter() - began


@asynccontextmanager
async def _place() -> AsyncIterator[tuple[Database, int, Path]]:
    """PostgreSQL as durable as in production, and an SMTP server in a process of its own, which notes what it takes."""
    directory = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    directory.chmod(0o755)
    server = EmbeddedPostgres(directory / "postgres", choose_port(0), directory / "postgres.log")
    await asyncio.to_thread(server.prepare)
    children: list[tuple[Child, Any]] = []
    port, log = choose_port(0, taken=[server.port]), directory / "taken.jsonl"
    smtp = Child(
        "smtp", (sys.executable, "-m", "tests.standins.smtp", "--port", str(port), "--log", str(log)),
        directory / "smtp.log", lambda: listens(port), directory=CHECKOUT,
    )  # fmt: skip
    try:
        for child in (server.child(), smtp):
            children.append((child, await asyncio.to_thread(start, child)))
        await asyncio.to_thread(migrate, server.url())
        async with Database(server.url(), connections=SIDE_BY_SIDE) as database:
            yield database, port, log
    finally:
        for child, process in reversed(children):
            await asyncio.to_thread(stop, child, process)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    told = event_loop.run(send_here(sys.argv[1], int(sys.argv[2]), sys.stdin.read().split()))
    print(json.dumps(told))
