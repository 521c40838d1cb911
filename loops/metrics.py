"""The worker's own small port: `/metrics` for Prometheus, `/livez` and `/readyz` for whoever keeps it running."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from schemas.errors import SettingError
from schemas.settings import METRICS_PORTS
from store.database import Database
from store.faults import is_away
from store.metrics import CONTENT_TYPE, Figures, expose
from store.patience import within
from store.reading_health import newest_revision, read_revision

log = logging.getLogger(__name__)

# Ours, and that of what Temporal's SDK counts itself.
VARIABLE, TEMPORAL_PORT = METRICS_PORTS
MOST_HEAD_BYTES = 8192
ANSWER_SECONDS = 5.0
DATABASE_SECONDS = 2.0


@dataclass(frozen=True)
class Answer:
    """What is answered; `kind` is its content type."""

    status: int
    body: bytes
    kind: str = "application/json"


def read_place(environ: Mapping[str, str], variable: str = VARIABLE) -> tuple[str, int] | None:
    """Where to listen: `9464` on this machine alone, `0.0.0.0:9464` everywhere; None where nobody asked for it.

    Raises SettingError.
    """
    given = environ.get(variable)
    if given is None:
        return None
    found = re.fullmatch(r"(?:(\[[0-9a-fA-F:.]+\]|[\w.-]+):)?(\d{1,5})", given)
    if found is None or int(found[2]) > 65535:
        raise SettingError(
            f"{variable} is {given!r}, which is no port.",
            remedy="Write it like 9464 (for this machine alone) or 0.0.0.0:9464.",
        )
    return (found[1] or "127.0.0.1").strip("[]"), int(found[2])


@dataclass
class Readiness:
    """Whether this process takes work: once it has begun, and until it is told to stop."""

    database: Database
    begun: asyncio.Event
    stopping: asyncio.Event
    figures: Figures = field(init=False)

    def __post_init__(self) -> None:
        self.figures = Figures(self.database)

    async def check(self) -> str:
        """What keeps it from being ready; empty where nothing does."""
        if self.stopping.is_set():
            return "it is stopping"
        if not self.begun.is_set():
            return "it hasn't begun yet"
        try:
            found = await within(DATABASE_SECONDS, read_revision(self.database))
        except Exception as error:
            if not is_away(error) and not isinstance(error, TimeoutError):
                raise
            return "the database can't be reached"
        wanted = newest_revision()
        return "" if found == wanted else f"the database is at {found}, this version wants {wanted}"


class WorkerPort:
    """As much HTTP as three addresses need: GET, one answer, and the connection is closed."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._answers: Mapping[str, Callable[[], Awaitable[Answer]]] = {
            "/metrics": self._tell_metrics, "/livez": self._tell_life, "/readyz": self._tell_readiness,
        }  # fmt: skip

    @contextlib.asynccontextmanager
    async def listen(self, host: str, port: int) -> AsyncIterator[int | None]:
        """Answer until the block ends; gives the port. Where it is taken that is told, and the work goes on without."""
        try:
            server = await asyncio.start_server(self._serve, host, port, limit=MOST_HEAD_BYTES)
        except OSError as error:
            log.error("metrics: %s:%s can't be listened on: %s", host, port, error)  # noqa: TRY400 - it says it all
            yield None
            return
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                answer = await self._answer(head.split("\r\n", 1)[0])
                writer.write(_write(answer, with_body=not head.startswith("HEAD ")))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, line: str) -> Answer:
        method, _, rest = line.partition(" ")
        path = rest.split(" ")[0].split("?")[0]
        answer = self._answers.get(path)
        if answer is None:
            return Answer(404, json.dumps({"detail": f"There are {', '.join(self._answers)}."}).encode())
        if method not in ("GET", "HEAD"):
            return Answer(405, b'{"detail": "Only GET."}')
        try:
            return await answer()
        except Exception:
            log.exception("%s can't be answered", path)
            return Answer(500, b'{"detail": "It is in the log."}')

    async def _tell_metrics(self) -> Answer:
        return Answer(200, await expose(self._readiness.figures, "worker"), CONTENT_TYPE)

    async def _tell_life(self) -> Answer:
        return Answer(200, b'{"success": true}')

    async def _tell_readiness(self) -> Answer:
        detail = await self._readiness.check()
        told = json.dumps({"success": not detail, "detail": detail or "ready"}).encode()
        return Answer(503 if detail else 200, told)


def _write(answer: Answer, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\nContent-Type: {answer.kind}\r\n"
        f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (answer.body if with_body else b"")
