"""What a stand-in does with each message: by a script, or by chance with a seed."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import IO, Any

OK = "ok"


class Programme:
    """The fault for each message in turn: the script's until it is used up, then by chance, else none.

    rates: the share of messages that meet each fault, from 0 to 1.
    """

    def __init__(
        self, script: Sequence[str] = (), rates: Mapping[str, float] | None = None, seed: int = 0
    ) -> None:
        self.script = deque(script)
        self._rates = dict(rates or {})
        self._random = Random(seed)

    def draw(self) -> str:
        """The fault for the next message, or "ok"."""
        if self.script:
            return self.script.popleft()
        draw = self._random.random()
        for fault, rate in self._rates.items():
            draw -= rate
            if draw < 0:
                return fault
        return OK


def share(rate: float, faults: Sequence[str]) -> dict[str, float]:
    """Equal parts of a total rate of failure."""
    return {fault: rate / len(faults) for fault in faults}


class Journal:
    """One JSON line per accepted message, out of the process before the client hears that it was accepted."""

    def __init__(self, path: str | Path | None) -> None:
        self._file: IO[str] | None = Path(path).open("a", encoding="utf-8") if path else None  # noqa: SIM115

    def write(self, entry: Mapping[str, Any]) -> None:
        if self._file:
            self._file.write(json.dumps({**entry, "at": datetime.now(UTC).isoformat()}) + "\n")
            self._file.flush()

    def close(self) -> None:
        if self._file:
            self._file.close()


def read_script(path: str | None) -> list[str]:
    """A JSON list of faults."""
    return [str(fault) for fault in json.loads(Path(path).read_text("utf-8"))] if path else []
