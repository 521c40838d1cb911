"""The whole system on one machine, as `holdfast dev` runs it: stores, sinks, worker, web, addresses."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loops import bulletin
from loops.child import Child, end_orphan
from loops.data_directory import DataDirectory
from loops.embedded_postgres import DATABASE, EmbeddedPostgres
from loops.embedded_temporal import EmbeddedTemporal, plain_environ
from loops.first_sign_in import make_sign_in_link
from loops.ports import HOST, reserve_port
from loops.provider_reports import SECRET_VARIABLE, make_secret
from loops.push_sink import make_account
from loops.supervisor import Supervisor
from schemas.errors import UnavailableError
from schemas.settings import Settings, without_ports

DEFAULT_PORTS: Mapping[str, int] = {
    "web": 8080, "temporal": 7233, "temporal_ui": 8233, "smtp": 2525, "sms": 2526, "postgres": 15432,
}  # fmt: skip
PLAYED = "holdfast_played"
DEMO_MAIL_FROM = "Holdfast <care@holdfast.example>"
DEMO_SENDER = "+15005550006"  # Twilio's own number for tests
# Providers' settings without a prefix of their own, for `dev.json`.
PROVIDERS = ("SMTP_URL", "GOOGLE_APPLICATION_CREDENTIALS")

# The niceness of the worker; that of the batch worker is 10.
STANDS_BACK = 5
# Who stops first, and after how many seconds from the start of stopping the rest of a stage is killed.
STAGES = ((("web",), 1.2), (("worker", "batch"), 2.6), (("temporal", "postgres", "sinks"), 4.0))


@dataclass(frozen=True)
class Wanted:
    """What the user asked of `holdfast dev`; `commands` replaces the program of a child, by name."""

    data: DataDirectory
    environ: Mapping[str, str]
    port: int = DEFAULT_PORTS["web"]
    demo: bool = True
    # What is played brings its own customers, into a database of its own.
    played: bool = False
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Development:
    """Brings everything up in order and takes it down again; `say` gets a line per step."""

    def __init__(self, wanted: Wanted, say: Callable[[str], None]) -> None:
        self._wanted = wanted
        self.data = wanted.data
        self.say = say
        self._settings = Settings.read(wanted.environ)
        self.supervisor = Supervisor(say)
        self.ports: dict[str, int] = {}
        self.environ: dict[str, str] = {}
        self.postgres: EmbeddedPostgres | None = None
        self.temporal: EmbeddedTemporal | None = None
        self.sign_in: str | None = None

    def choose_ports(self) -> None:
        """Take the usual ports, else those of the last start, else the next free ones; names busy ones."""
        last = self.data.read_ports()
        for name, usual in {**DEFAULT_PORTS, "web": self._wanted.port}.items():
            port = reserve_port(usual, last.get(name), taken=self.ports.values())
            if port != usual:
                self.say(f"port {usual} is busy, so {name} takes {port}")
            self.ports[name] = port
        self.data.write_ports(self.ports)

    async def bring_up_stores(self, *, with_temporal: bool = True) -> None:
        """PostgreSQL, Temporal and the sinks, at the same time; then the newest tables and the demo data."""
        self._clear_remains()
        self.choose_ports()
        self.environ = self._environ()
        async with asyncio.TaskGroup() as group:
            if self._settings.database_url is None:
                group.create_task(self._bring_up_postgres())
            if with_temporal and self.embeds_temporal:
                group.create_task(self._bring_up_temporal())
            group.create_task(self._start(self._sinks()))
        await self._run("migrations", "migrate")
        if self._wanted.demo and not self._wanted.played:
            await self._run("demo data", "demo")

    async def bring_up_processes(self) -> None:
        """The workers and the web process, which need what `bring_up_stores` brings."""
        async with asyncio.TaskGroup() as group:
            # On one machine whoever waits for a page comes first.
            wanted = ("--watch", "--nice", str(STANDS_BACK))
            group.create_task(self._start(self._process("worker", self._has_ready_file("worker"), *wanted)))
            batch = self._process("batch", self._has_ready_file("batch"), "--batch", command="worker")
            group.create_task(self._start(batch))
            web = self._process("web", self._answers_health, "--port", str(self.ports["web"]))
            group.create_task(self._start(web))
        if self.environ.get("HOLDFAST_PAGES") != "open":
            address = f"http://{HOST}:{self.ports['web']}"
            self.sign_in = await make_sign_in_link(self.environ["HOLDFAST_DATABASE_URL"], address)

    def copy_for_playing(self) -> dict[str, str]:
        """A fresh copy of the embedded database, and the environment that names it."""
        if self.postgres is None:
            raise UnavailableError("only the embedded database can be copied for playing.")
        self.postgres.query(f"DROP DATABASE IF EXISTS {PLAYED} WITH (FORCE)", database="postgres")
        self.postgres.query(f"CREATE DATABASE {PLAYED} TEMPLATE {DATABASE}", database="postgres")
        return {**self.environ, "HOLDFAST_DATABASE_URL": self.postgres.url(PLAYED)}

    async def stop(self) -> None:
        """Stop everything within 4 s: web, worker, then the stores; what doesn't stop is killed."""
        await self.supervisor.stop(STAGES)

    @property
    def embeds_temporal(self) -> bool:
        """Whether Temporal is ours to start: nobody named another one."""
        return not self._wanted.environ.get("TEMPORAL_ADDRESS") and not self._wanted.environ.get(
            "TEMPORAL_PROFILE"
        )

    def addresses(self) -> dict[str, Any]:
        """What `dev.json` says."""
        web = f"http://{HOST}:{self.ports['web']}"
        return {
            "web": web,
            "sign_in": self.sign_in or web,
            "api_key": self.environ["HOLDFAST_API_KEY"].split(",")[0],
            "temporal": self.environ.get("TEMPORAL_ADDRESS"),
            "temporal_ui": self.temporal.ui_url if self.temporal else None,
            "smtp": f"{HOST}:{self.ports['smtp']}",
            "database_url": self.environ["HOLDFAST_DATABASE_URL"],
            "outbox": str(self.data.outbox),
            "logs": str(self.data.logs),
            "pid": os.getpid(),
            "environment": {
                name: value
                for name, value in self.environ.items()
                if name.startswith(("HOLDFAST_", "TEMPORAL_", "TWILIO_", "FCM_")) or name in PROVIDERS
            },
        }

    async def _bring_up_postgres(self) -> None:
        self.postgres = EmbeddedPostgres(
            self.data.postgres,
            self.ports["postgres"],
            self._log("postgres"),
            pid_file=self._pid_file("postgres"),
        )
        await asyncio.to_thread(self.postgres.prepare)
        self.environ["HOLDFAST_DATABASE_URL"] = self.postgres.url()
        await self._start(self.postgres.child())

    async def _bring_up_temporal(self) -> None:
        self.temporal = EmbeddedTemporal(
            self.data.temporal, self.ports["temporal"], self.ports["temporal_ui"], self._log("temporal"),
            pid_file=self._pid_file("temporal"),
            # Only the UI's own page, on this machine, is answered there: see web/codec.py.
            codec_endpoint=f"http://{HOST}:{self.ports['web']}/codec",
        )  # fmt: skip
        await self._start(self.temporal.child())

    async def _start(self, child: Child) -> None:
        self.say(f"starting {child.name}")
        await self.supervisor.start(child)

    async def _run(self, what: str, command: str) -> None:
        self.say(what)
        await self.supervisor.run(
            Child(what, self._command(command), self._log(command), environ=self.environ),
        )

    def _process(
        self, name: str, ready: Callable[[], bool], *arguments: str, command: str | None = None
    ) -> Child:
        ready_file = self.data.running / f"{name}.ready"
        return Child(
            name=name,
            argv=(*self._command(name, command), *arguments),
            log=self._log(name),
            ready=ready,
            environ={
                # A port is one process's, and here that is the worker's.
                **(self.environ if name == "worker" else without_ports(self.environ)),
                "HOLDFAST_READY_FILE": str(ready_file),
            },
            clear=lambda: ready_file.unlink(missing_ok=True),
            pid_file=self._pid_file(name),
        )

    def _sinks(self) -> Child:
        smtp, sms = self.ports["smtp"], self.ports["sms"]
        keys = self.data.keys()
        return Child(
            name="sinks",
            argv=(
                sys.executable, "-m", "loops.sinks", "--smtp-port", str(smtp), "--sms-port", str(sms),
                "--outbox", str(self.data.outbox), "--push-account", str(self.data.push_account),
            ),
            log=self._log("sinks"),
            ready=lambda: listens(smtp) and listens(sms),
            environ={**self.environ, "TWILIO_ACCOUNT_SID": keys.twilio_account_sid,
                     "TWILIO_AUTH_TOKEN": keys.twilio_auth_token},
            pid_file=self._pid_file("sinks"),
        )  # fmt: skip

    def _environ(self) -> dict[str, str]:
        given = dict(self._wanted.environ)
        environ = plain_environ(given) if self.embeds_temporal else given
        keys = self.data.keys()
        environ["HOLDFAST_SECRET_KEY"] = self._settings.secret_key or keys.secret_key
        if not self._settings.api_keys:
            environ["HOLDFAST_API_KEY"] = keys.api_key
        elif not environ.get("HOLDFAST_API_KEY"):
            environ["HOLDFAST_API_KEY"] = self._settings.api_keys[0]
        environ.setdefault("HOLDFAST_PUBLIC_URL", f"http://{HOST}:{self.ports['web']}")
        environ.setdefault("HOLDFAST_MAIL_FROM", DEMO_MAIL_FROM)
        # People read these logs.
        environ.setdefault("HOLDFAST_LOGS", "text")
        environ["HOLDFAST_OUTBOX"] = str(self.data.outbox)
        environ["HOLDFAST_DATA"] = str(self.data.path)
        if self.embeds_temporal:
            # Whoever reaches this machine's Temporal may ask it for everything; its UI may have payloads opened.
            environ.setdefault("HOLDFAST_CODEC", "open")
        # Where the worker tells this terminal what became live.
        environ[bulletin.VARIABLE] = str(self.data.path / "bulletin")
        environ["PYTHONUNBUFFERED"] = "1"
        # So that `python -m cli.main` finds this code from whatever directory.
        code = str(Path(__file__).resolve().parent.parent)
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, (code, environ.get("PYTHONPATH"))))
        if self.embeds_temporal:
            environ["TEMPORAL_ADDRESS"] = f"{HOST}:{self.ports['temporal']}"
            environ["HOLDFAST_TEMPORAL_UI"] = f"http://{HOST}:{self.ports['temporal_ui']}"
            # A profile in the user's home must not add TLS or another namespace to our own server.
            environ["TEMPORAL_CONFIG_FILE"] = os.devnull
        # Messages to people who don't exist never leave this machine, whatever credentials lie about.
        if self._wanted.demo or not environ.get("SMTP_URL"):
            environ["SMTP_URL"] = f"smtp://{HOST}:{self.ports['smtp']}"
        if self._wanted.demo or not environ.get("TWILIO_ACCOUNT_SID"):
            environ["TWILIO_ACCOUNT_SID"] = keys.twilio_account_sid
            environ["TWILIO_AUTH_TOKEN"] = keys.twilio_auth_token
            environ["TWILIO_BASE_URL"] = f"http://{HOST}:{self.ports['sms']}"
            for sender in ("TWILIO_FROM", "TWILIO_WHATSAPP_FROM", "TWILIO_VOICE_FROM"):
                environ[sender] = DEMO_SENDER
            environ.pop("TWILIO_MESSAGING_SERVICE_SID", None)
        sink = f"http://{HOST}:{self.ports['sms']}"
        # What was sent to the sinks can be reported on from the outbox page, signed.
        environ["HOLDFAST_SINKS_URL"] = sink
        environ.setdefault(SECRET_VARIABLE, make_secret(keys.secret_key))
        make_account(self.data.push_account, sink)
        if self._wanted.demo or not environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(self.data.push_account)
            environ["FCM_BASE_URL"] = sink
        return environ

    def _clear_remains(self) -> None:
        """End what a supervisor that was killed may have left, before its ports are looked at."""
        for pid_file in self.data.running.glob("*.pid"):
            end_orphan(pid_file)

    def _command(self, name: str, command: str | None = None) -> tuple[str, ...]:
        ours = (sys.executable, "-m", "cli.main", "--traceback", command or name)
        return self._wanted.commands.get(name, ours)

    def _log(self, name: str) -> Path:
        return self.data.logs / f"{name}.log"

    def _pid_file(self, name: str) -> Path:
        return self.data.running / f"{name}.pid"

    def _has_ready_file(self, name: str) -> Callable[[], bool]:
        return (self.data.running / f"{name}.ready").exists

    def _answers_health(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.ports["web"], timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def listens(port: int) -> bool:
    """Whether something accepts connections on `port` of the loopback address."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
