"""The system under measurement: what `holdfast dev` runs, process by process, with stand-ins for the providers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import psycopg

from loops.data_directory import DataDirectory
from loops.development import Development, Wanted
from loops.embedded_temporal import plain_environ
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn

Say = Callable[[str], None]
PROCESSES = ("web", "worker", "postgres", "temporal")
PLAYBOOKS = Path(__file__).resolve().parent.parent / "playbooks"

# Whatever the hour, messages may leave: a benchmark run at night must not measure quiet hours.
POLICY = "default_zone: UTC\nconsent: {email: assumed, sms: assumed, topics: [tips, offers, product]}\n"
# The playbook that the latency is measured with: an event, a mail.
ANSWER = """\
playbook: bench-answer
title: Answer at once
owner: bench
status: live
enter:
  when:
    event: {name: bench_asked, within: 1h}
steps:
  - id: answer
    email:
      subject: "About your question"
      text: "Hello {{ customer.first_name }}, your health score is {{ signals.health_score }}."
"""


@dataclass
class System:
    """A running system: where its parts are, and what to ask them."""

    development: Development
    smtp: SmtpStandIn
    twilio: TwilioStandIn
    api_key: str
    port: int
    database_url: str
    temporal: str

    async def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What a query gives."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            return list(await (await connection.execute(sql, parameters or None)).fetchall())

    async def value(self, sql: str, *parameters: Any) -> Any:
        """The one value that a query gives."""
        [(value,)] = await self.rows(sql, *parameters)
        return value

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time that each process of the system has used so far, its children's included."""
        return {name: _cpu_seconds(self.development.supervisor.pid(name)) for name in PROCESSES}


def machine_seconds() -> float:
    """CPU time that the machine has spent since its start, on whatever; `steal` is what other machines took of ours."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return float(sum(times[:8]) - idle)


def _cpu_seconds(pid: int | None) -> float:
    if pid is None:
        return 0.0
    process = psutil.Process(pid)
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            spent = child.cpu_times()
            total += spent.user + spent.system
    return float(total)


@contextlib.asynccontextmanager
async def run_system(
    say: Say, *, prepare: Callable[[str, Say], Any] | None = None, processes: bool = True
) -> AsyncIterator[System]:
    """Start everything in a directory of its own, which is removed at the end.

    Durable as in `holdfast dev`: nothing is switched off for speed. `prepare` may fill the database (its URL is given)
    before worker and web start; without `processes` those two stay away.
    """
    directory = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    directory.chmod(0o755)
    playbooks = directory / "playbooks"
    shutil.copytree(PLAYBOOKS, playbooks)
    (playbooks / "policy.yaml").write_text(POLICY)
    (playbooks / "bench-answer.yaml").write_text(ANSWER)
    data = DataDirectory(directory / "data")
    data.acquire()
    async with SmtpStandIn() as smtp, TwilioStandIn() as twilio:
        environ = _environ(playbooks, smtp, twilio)
        development = Development(Wanted(data, environ, demo=False), lambda line: say(f"  {line}"))
        try:
            await development.bring_up_stores()
            url = development.environ["HOLDFAST_DATABASE_URL"]
            if prepare is not None:
                await prepare(url, say)
            if processes:
                await development.bring_up_processes()
            yield System(
                development,
                smtp,
                twilio,
                development.environ["HOLDFAST_API_KEY"].split(",")[0],
                development.ports["web"],
                url,
                development.environ["TEMPORAL_ADDRESS"],
            )
        finally:
            await development.stop()
            data.release()
            await asyncio.to_thread(_remove, directory)


def _remove(directory: Path) -> None:
    if os.environ.get("HOLDFAST_BENCH_KEEP"):
        return
    shutil.rmtree(directory, ignore_errors=True)


def _environ(playbooks: Path, smtp: SmtpStandIn, twilio: TwilioStandIn) -> Mapping[str, str]:
    # Python's bytecode is cached as it is for anybody who starts `holdfast dev`.
    inherited = {
        name: value
        for name, value in plain_environ(os.environ).items()
        if not name.startswith(("HOLDFAST_", "TWILIO_")) and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {
        **inherited,
        "HOLDFAST_PLAYBOOKS": str(playbooks),
        # Counted like any key's requests, and never enough of them to be refused.
        "HOLDFAST_RATE_PER_MINUTE": "9000000",
        # Its dashboards all come by one key.
        "HOLDFAST_STREAMS_PER_KEY": "0",
        "HOLDFAST_MAIL_FROM": "Holdfast <care@holdfast.example>",
        "SMTP_URL": smtp.url,
        "TWILIO_ACCOUNT_SID": twilio.account,
        "TWILIO_AUTH_TOKEN": twilio.token,
        "TWILIO_BASE_URL": twilio.url,
        "TWILIO_FROM": "+15005550006",
    }


async def poll(look: Callable[[], Any], *, every_seconds: float, patience_seconds: float, what: str) -> Any:
    """Wait for `look` to give something true; raises TimeoutError that names `what`."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + patience_seconds
    while True:
        found = await look()
        if found:
            return found
        if loop.time() > give_up_at:
            raise TimeoutError(f"waited {patience_seconds:.0f} s in vain for {what}")
        await asyncio.sleep(every_seconds)
