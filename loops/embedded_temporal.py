"""Temporal's development server on this machine, with its UI, a file database and our search attributes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loops.child import Child
from loops.ports import HOST
from schemas.errors import UnavailableError

SEARCH_ATTRIBUTES = ("PlaybookName", "PlaybookVersion", "CustomerId", "Variant", "PlaybookStep", "Outcome")
NAMESPACE = "default"

# The development server forgets closed runs after a day; people look at a run weeks later.
RETENTION_HOURS = 720


@dataclass(frozen=True)
class EmbeddedTemporal:
    """One server listening on `port` (gRPC) and `ui_port`; `database` None keeps everything in memory.

    codec_endpoint: where the UI has payloads opened that are sealed.
    """

    database: Path | None
    port: int
    ui_port: int | None
    log: Path
    pid_file: Path | None = None
    codec_endpoint: str | None = None

    @property
    def address(self) -> str:
        """Where clients connect, as host:port."""
        return f"{HOST}:{self.port}"

    @property
    def ui_url(self) -> str:
        """Where a browser finds the UI."""
        return f"http://{HOST}:{self.ui_port}"

    def child(self) -> Child:
        """The server as a process for the supervisor."""
        argv = [
            _binary(),
            "server",
            "start-dev",
            "--ip",
            HOST,
            "--port",
            str(self.port),
            "--log-level",
            "error",
        ]
        argv += (
            ["--headless"]
            if self.ui_port is None
            else ["--ui-port", str(self.ui_port), "--ui-disable-news-fetch"]
        )
        if self.ui_port is not None and self.codec_endpoint is not None:
            argv += ["--ui-codec-endpoint", self.codec_endpoint]
        if self.database is not None:
            # Without these pragmas every transaction waits for the disk twice, at a quarter of the speed.
            argv += ["--db-filename", str(self.database)]
            argv += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"]
        for name in SEARCH_ATTRIBUTES:
            argv += ["--search-attribute", f"{name}=Keyword"]
        return Child(
            name="temporal",
            argv=tuple(argv),
            log=self.log,
            ready=self.is_ready,
            environ=plain_environ(os.environ),
            pid_file=self.pid_file,
        )

    def is_ready(self) -> bool:
        """Whether the server answers for the namespace, which from then on keeps closed runs for 30 days."""
        # To ask by its own tool costs a process, which as long as nobody listens can be spared.
        with socket.socket() as knocking:
            if knocking.connect_ex((HOST, self.port)) != 0:
                return False
        try:
            described = json.loads(self.call("namespace", "describe", "-n", NAMESPACE, "-o", "json"))
            if described["config"]["workflowExecutionRetentionTtl"] != f"{RETENTION_HOURS * 3600}s":
                self.call("namespace", "update", "-n", NAMESPACE, "--retention", f"{RETENTION_HOURS}h")
        except (UnavailableError, ValueError, KeyError, TypeError):
            return False
        return True

    def call(self, *arguments: str) -> str:
        """What `temporal operator …` prints when asked of this server. Raises UnavailableError."""
        try:
            done = subprocess.run(
                [_binary(), "operator", *arguments, "--address", self.address, "--disable-config-file"],
                capture_output=True, text=True, timeout=3, check=False, env=plain_environ(os.environ),
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"Temporal at {self.address} doesn't answer.") from error
        if done.returncode != 0:
            raise UnavailableError(f"Temporal at {self.address}: {done.stderr.strip()[-300:]}")
        return done.stdout


def plain_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without the variables that point Temporal's tools and SDK to another server."""
    return {name: value for name, value in environ.items() if not name.startswith("TEMPORAL_")}


def _binary() -> str:
    found = shutil.which("temporal", path=sysconfig.get_path("scripts")) or shutil.which("temporal")
    if found is None:
        raise UnavailableError(
            "the program `temporal` isn't installed, so there is no Temporal server to start.",
            remedy="Run `make install`, or set TEMPORAL_ADDRESS to a server of your own.",
        )
    return found
