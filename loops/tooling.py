"""Commands that take long, in a process of their own: whoever waits for them does other things meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UnavailableError

_CODE = str(Path(__file__).resolve().parent.parent)
# So much of what a command says to people is kept.
_KEPT_LINES = 200
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit status, what it printed, and the last lines that it said to people."""

    status: int
    printed: bytes
    said: Sequence[str]


async def run_tool(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    given: bytes = b"",
    say: Callable[[str], None] = lambda line: None,
    patience_seconds: float,
) -> Finished:
    """Carry out `holdfast ARGUMENTS` in a process of its own, `given` on its standard input; `say` gets each line that
    it says to people as it comes.

    It is ended, with all that it started, when whoever waits gives up. Raises UnavailableError after
    `patience_seconds`.
    """
    environ = {
        **{
            name: os.environ[name]
            for name in ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
            if name in os.environ
        },
        **environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (_CODE, os.environ.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", *arguments, env=environ, limit=_LONGEST_LINE,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(patience_seconds):
            return await _attend(process, given, say)
    except TimeoutError:
        raise UnavailableError(
            f"This took longer than {patience_seconds:.0f} s and was ended.",
            remedy="Try it with less, or on the command line.",
        ) from None
    finally:
        await _end(process)


async def _attend(process: asyncio.subprocess.Process, given: bytes, say: Callable[[str], None]) -> Finished:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[str] = []

    async def listen(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            told = line.decode("utf-8", "replace").rstrip()
            said.append(told)
            del said[:-_KEPT_LINES]
            say(told)

    async def tell(stream: asyncio.StreamWriter) -> None:
        # Whoever needs none of it may be gone already.
        with contextlib.suppress(ConnectionError):
            stream.write(given)
            await stream.drain()
            stream.close()

    printed, _, _ = await asyncio.gather(process.stdout.read(), listen(process.stderr), tell(process.stdin))
    return Finished(await process.wait(), printed, said)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the process and what it started; it has a session of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(process.wait())
