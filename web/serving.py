"""Serving the application: told when it listens, and stopped within a second, open streams included."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Generator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from schemas.errors import UnavailableError
from web.edge import Edge

# What is under way at a stop has this long; then it is cut off. Callers repeat what wasn't answered.
GRACE_SECONDS = 1


class WebServer(uvicorn.Server):
    """uvicorn that ends event streams before it waits for connections, and obeys signals silently."""

    def __init__(
        self, app: FastAPI, *, listening: Callable[[str], None] = lambda _: None, drain_seconds: float = 0.0
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,
                # Its records go where all others go, and are told as those are.
                log_config=None,
                log_level="warning",
                lifespan="on",
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                # Behind a proxy the addresses it names aren't used for anything here.
                proxy_headers=False,
                ws="none",
            )
        )
        self._app = app
        self._listening = listening
        self._drain_seconds = drain_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell where."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Streams have no end of their own, so they are ended first.

        Before that it answers for `drain_seconds`, and says that it isn't ready: load balancers take it off their
        lists.
        """
        edge: Edge = self._app.state.edge
        self._app.state.draining = True
        if self._drain_seconds and not self.force_exit:
            await asyncio.sleep(self._drain_seconds)
        edge.changes.end_streams()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """SIGINT and SIGTERM stop the server; that is a success, so they aren't raised again."""
        try:
            before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread: whoever runs us there stops us by `should_exit`
            yield
            return
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)


def freeze_memory() -> None:
    """Have the garbage collector look only at what comes from now on.

    What was loaded by now stays for good, and looking through it takes a sixth of a second in which nobody is answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 50)


def bind(host: str, port: int) -> socket.socket:
    """A socket listening on `port` (0: any). Raises UnavailableError when it can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it an answer takes 40 ms
    # longer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        raise UnavailableError(
            f"{host}:{port} can't be listened on: {error}.",
            remedy="Choose another with --port, or stop what holds it.",
        ) from error
    return listener


def mark_ready(file: Path | None) -> None:
    """Leave the file that says: this process listens."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("ready\n")
