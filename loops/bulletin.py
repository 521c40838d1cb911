"""Lines that one process has for the terminal of another: appended to a file, and followed there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

VARIABLE = "HOLDFAST_BULLETIN"
LOOK_EVERY_SECONDS = 0.3


def post(file: Path | None, lines: Iterable[str]) -> None:
    """Add lines; without a file, or where it can't be written, nobody reads them."""
    if file is None:
        return
    with contextlib.suppress(OSError), file.open("a", encoding="utf-8") as bulletin:
        bulletin.writelines(f"{line}\n" for line in lines)


async def follow(file: Path, say: Callable[[str], None]) -> None:
    """Say every line that is added from now on, for ever."""
    file.unlink(missing_ok=True)
    told = 0
    while True:
        with contextlib.suppress(OSError):
            text = file.read_bytes()[told:]
            whole = text[: text.rfind(b"\n") + 1]
            told += len(whole)
            for line in whole.decode("utf-8", "replace").splitlines():
                say(line)
        await asyncio.sleep(LOOK_EVERY_SECONDS)
