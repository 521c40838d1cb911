"""The parts of an installation as real processes, which are killed and at once started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import psutil  # type: ignore[import-untyped]

from loops.child import Child, kill, look_at, spawn
from loops.embedded_postgres import EmbeddedPostgres
from loops.embedded_temporal import EmbeddedTemporal, plain_environ
from store.migrating import migrate
from tests.own_ports import own_port
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120
# Small, but as durable as in production: what was committed survives every kill.
MODEST = {"shared_buffers": "64MB"}


class Part:
    """One process; once kept, it is started again whenever it ends."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.kills = 0
        # Exit statuses of ends that nobody brought about.
        self.left: list[int] = []
        self._killed = False
        self._said = 0
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, *, ready: bool = True) -> None:
        """Start it, wait until it is ready (unless told not to), and keep it from now on."""
        self._said = self.child.log.stat().st_size if self.child.log.exists() else 0
        self.process = spawn(self.child)
        if ready:
            await self.until_ready()
        self._keeper = asyncio.create_task(self._keep())

    async def until_ready(self) -> None:
        """Wait until it does its work."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not await asyncio.to_thread(self.child.ready):
            assert time.monotonic() < give_up_at, f"{self.child.name} never got ready. {look_at(self.child)}"
            await asyncio.sleep(0.05)

    async def until_says(self, words: str) -> None:
        """Wait until its log has these words, said since it was started."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while words.encode() not in self.child.log.read_bytes()[self._said :]:
            assert time.monotonic() < give_up_at, (
                f"{self.child.name} never said {words!r}. {look_at(self.child)}"
            )
            await asyncio.sleep(0.05)

    async def _keep(self) -> None:
        while True:
            assert self.process is not None
            if (status := self.process.poll()) is not None:
                if not self._killed:
                    self.left.append(status)
                self._killed = False
                self.process = spawn(self.child)
            await asyncio.sleep(0.01)

    def kill(self) -> None:
        """kill -9; of PostgreSQL only the postmaster, whose backends may live on for a moment."""
        assert self.process is not None
        if self.process.poll() is None:
            self._killed = True
            self.kills += 1
            os.kill(self.process.pid, signal.SIGKILL)

    def kill_a_child(self, random: Random) -> bool:
        """kill -9 of one of its own processes, such as a backend of PostgreSQL; False if it has none."""
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            if children := psutil.Process(self.process.pid).children():
                random.choice(children).kill()
                self.kills += 1
                return True
        return False

    async def end(self, number: int = signal.SIGTERM, within_seconds: float = PATIENCE_SECONDS) -> int:
        """Let it go and end it; its exit status."""
        await self.let_go()
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, within_seconds)

    async def let_go(self) -> None:
        """Keep it no longer."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    async def remove(self) -> None:
        """Leave nothing of it behind."""
        await self.let_go()
        if self.process is not None:
            kill(self.child, self.process)


class Installation:
    """PostgreSQL, Temporal and workers over data in `directory`, against stand-ins in the test's process."""

    def __init__(self, directory: Path, smtp: SmtpStandIn, twilio: TwilioStandIn) -> None:
        self.directory, self.smtp, self.twilio = directory, smtp, twilio
        first, second = own_port(), own_port()
        self.postgres_server = EmbeddedPostgres(
            directory / "postgres", first, directory / "postgres.log", MODEST
        )
        self.temporal_server = EmbeddedTemporal(
            directory / "temporal.db", second, None, directory / "temporal.log"
        )
        # No file can be used, so what the test publishes stays live.
        self.playbooks = directory / "playbooks"
        self.playbooks.mkdir()
        (self.playbooks / "policy.yaml").write_text("[unreadable\n")
        self.postgres = Part(self.postgres_server.child())
        self.temporal = Part(self.temporal_server.child())
        self.workers: list[Part] = []

    @property
    def parts(self) -> list[Part]:
        return [self.postgres, self.temporal, *self.workers]

    @property
    def kills(self) -> dict[str, int]:
        """How often each part was killed."""
        return {part.child.name: part.kills for part in self.parts}

    async def start_servers(self) -> None:
        """PostgreSQL with the newest tables, and Temporal."""
        await asyncio.to_thread(self.postgres_server.prepare)
        await asyncio.gather(self.postgres.start(), self.temporal.start())
        await asyncio.to_thread(migrate, self.postgres_server.url())

    def unexplained_ends(self) -> list[str]:
        """Parts that ended without being killed; a worker may, if Temporal was killed just as it got up."""
        found = []
        for part in self.parts:
            log = part.child.log.read_text(errors="replace")
            if len(part.left) > log.count("RuntimeError: Worker validation failed"):
                found.append(f"{part.child.name}: {part.left}. {look_at(part.child)}")
        return found

    def hold_published(self, name: str) -> None:
        """See to it that workers don't retire this playbook, for which there is no good file."""
        (self.playbooks / f"{name}.yaml").write_text("[unreadable\n")

    async def start_worker(self) -> Part:
        """One more worker, ready and kept."""
        name = f"worker-{len(self.workers) + 1}"
        ready = self.directory / f"{name}.ready"
        part = Part(
            Child(
                name=name,
                argv=(sys.executable, "-m", "cli.main", "worker"),
                log=self.directory / f"{name}.log",
                ready=ready.exists,
                environ={**self._environ(), "HOLDFAST_READY_FILE": str(ready)},
                directory=self.directory,
                clear=lambda: ready.unlink(missing_ok=True),
            )
        )
        self.workers.append(part)
        await part.start()
        return part

    def _environ(self) -> dict[str, str]:
        ours = ("HOLDFAST_", "TWILIO_", "SMTP_")
        return {
            name: value for name, value in plain_environ(os.environ).items() if not name.startswith(ours)
        } | {
            "PYTHONPATH": str(CHECKOUT),
            "HOLDFAST_DATABASE_URL": self.postgres_server.url(),
            "HOLDFAST_PLAYBOOKS": str(self.playbooks),
            "HOLDFAST_SETTLE_SECONDS": "2",
            "HOLDFAST_PUBLIC_URL": "https://holdfast.example",
            "HOLDFAST_SECRET_KEY": "s" * 32,
            "HOLDFAST_MAIL_FROM": "Holdfast <care@example.com>",
            "TEMPORAL_ADDRESS": self.temporal_server.address,
            "SMTP_URL": self.smtp.url,
            "TWILIO_ACCOUNT_SID": self.twilio.account,
            "TWILIO_AUTH_TOKEN": self.twilio.token,
            "TWILIO_FROM": "+15005550006",
            "TWILIO_BASE_URL": self.twilio.url,
        }


@contextlib.asynccontextmanager
async def install(smtp: SmtpStandIn, twilio: TwilioStandIn) -> AsyncIterator[Installation]:
    """An installation with its servers running; nothing of it is left afterwards."""
    # Not under pytest's directories: other sessions tidy those, and PostgreSQL runs as another user.
    directory = Path(tempfile.mkdtemp(prefix="holdfast-kills-"))
    directory.chmod(0o755)
    try:
        async with smtp, twilio:
            installation = Installation(directory, smtp, twilio)
            try:
                await installation.start_servers()
                yield installation
            finally:
                for part in reversed(installation.parts):
                    await part.remove()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def kill_at_random(
    installation: Installation,
    kills: int,
    random: Random,
    say: Callable[[str], None],
    *,
    pause_seconds: tuple[float, float],
) -> None:
    """kill -9 `kills` times: one part, two at once, one that just gets up, or just as a message was taken."""
    order: list[Part] = []
    while sum(installation.kills.values()) < kills:
        # Each is met equally often, in any order, so that a short test meets all of them.
        order = order or random.sample(installation.parts, len(installation.parts))
        victim = order.pop()
        await asyncio.sleep(random.uniform(*pause_seconds))
        match random.choice(("alone", "alone", "taken", "taken", "with another", "twice", "child")):
            case "taken":
                await _until_taken(installation)
                say(f"{victim.child.name}, as a message was taken")
            case "with another":
                other = random.choice(installation.parts)
                other.kill()
                say(f"{victim.child.name} and {other.child.name}")
            case "twice":
                victim.kill()
                await asyncio.sleep(random.uniform(0.05, 0.5))
                say(f"{victim.child.name} twice")
            case "child" if victim.kill_a_child(random):
                say(f"a process of {victim.child.name}")
                continue
            case _:
                say(victim.child.name)
        victim.kill()


async def _until_taken(installation: Installation, within_seconds: float = 3) -> None:
    def count() -> int:
        return len(installation.smtp.accepted) + len(installation.twilio.accepted)

    before, give_up_at = count(), time.monotonic() + within_seconds
    while count() == before and time.monotonic() < give_up_at:  # noqa: ASYNC110 - it's the very moment that counts
        await asyncio.sleep(0.001)
