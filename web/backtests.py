"""Backtests that were asked for on pages: under way or over, in this process; nobody has to wait before them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlencode

from schemas.errors import ConflictError, HoldfastError, NotFoundError
from web.workbench import Draft, Period, Workbench

logger = logging.getLogger("holdfast.web")
# What is over is kept until so many others are; and so many may wait or run at once.
KEPT, OPEN = 30, 4
_SHARE = re.compile(r"(\d+) of (\d+) customers")


@dataclass
class Backtest:
    """One backtest; `said` is what it told last, `share` (0–1) how much of its present round is done."""

    id: str
    playbook: str
    file: str
    period: Period
    by: str
    begun_at: datetime
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    said: str = "starting"
    share: float | None = None
    ended_at: datetime | None = None
    result: Mapping[str, Any] | None = None
    error: str = ""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def query(self) -> str:
        """What leads to it on its playbook's page, and names its period, should it be gone by then."""
        asked = {"show": self.id} | {
            name: value for name, value in asdict(self.period).items() if value is not False
        }
        return urlencode(asked)


class Backtests:
    """All of this process, the latest first."""

    def __init__(self) -> None:
        self._all: dict[str, Backtest] = {}
        # From then on they are known here.
        self.since = datetime.now(UTC)

    def start(self, bench: Workbench, draft: Draft, period: Period, by: str) -> Backtest:
        """Begin one, or have it wait for the one under way. Raises ConflictError where too many wait."""
        if sum(one.state == "running" for one in self._all.values()) >= OPEN:
            raise ConflictError(
                f"{OPEN} backtests are under way or waiting.", remedy="Cancel one, or wait until one is over."
            )
        made = Backtest(uuid.uuid4().hex[:12], draft.name, draft.file, period, by, datetime.now(UTC))
        made.task = asyncio.create_task(self._carry_out(made, bench, draft))
        self._all[made.id] = made
        over = [one.id for one in self._all.values() if one.state != "running"]
        for gone in over[: max(0, len(over) - KEPT)]:
            del self._all[gone]
        return made

    def find(self, playbook: str, id_: str) -> Backtest:
        """The one of that id. Raises NotFoundError."""
        found = self._all.get(id_)
        if found is None or found.playbook != playbook:
            raise NotFoundError(
                f"There is no backtest {id_[:40]!r} of {playbook} here.",
                remedy="They are kept by the web process that played them, until it ends. Play it again.",
            )
        return found

    def list_of(self, playbook: str) -> Sequence[Backtest]:
        """Those of a playbook, the latest first."""
        return [one for one in reversed(self._all.values()) if one.playbook == playbook]

    def cancel(self, playbook: str, id_: str) -> Backtest:
        """End one that is under way."""
        found = self.find(playbook, id_)
        if found.task is not None and found.state == "running":
            found.task.cancel()
        return found

    async def close(self) -> None:
        """End all that are under way."""
        tasks = [one.task for one in self._all.values() if one.task is not None and not one.task.done()]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(self, made: Backtest, bench: Workbench, draft: Draft) -> None:
        def say(line: str) -> None:
            made.said = line[:200]
            counted = _SHARE.search(line)
            made.share = int(counted[1]) / max(1, int(counted[2])) if counted else None

        try:
            made.result = await bench.backtest(draft, made.period, say)
            made.state = "done"
        except asyncio.CancelledError:
            made.state = "cancelled"
            raise
        except HoldfastError as error:
            made.state, made.error = "failed", f"{error.message} {error.remedy}"
        except Exception:
            logger.exception("a backtest of %s failed", made.playbook)
            made.state, made.error = "failed", "It failed for a reason that is in the log."
        finally:
            made.ended_at = datetime.now(UTC)
