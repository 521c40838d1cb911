"""Looking at everybody for a playbook that lets people in by other rules than before: whoever matches enters now."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from store import evaluations
from store.database import Database
from store.playbooks import Published

# Customers asked for in one transaction: few enough that an event just taken in isn't behind many.
PAGE = 1000
FIRST = "00000000-0000-0000-0000-000000000000"
ADMITTING = ("live", "shadow")

# (what, playbook, digest): `door`, who may enter at all; `limits`, how many and how often.
Mark = tuple[str, str, str]


class Newcomers:
    """What one process has yet to ask for. Two processes may both ask: to be looked at twice does no harm.

    What was asked for is marked in the database when all of it was, so that a process that dies has another go on.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._everybody: set[Mark] = set()
        self._kept_out: set[Mark] = set()
        self._silent: set[Mark] = set()
        self._after = FIRST
        self._lock = asyncio.Lock()

    async def compare(self, published: Published) -> None:
        """Note what is live now and hasn't been looked at yet."""
        async with self._lock:
            async with self._database.transaction() as connection:
                looked = await evaluations.load_looked(connection)
            doors = {name: ("door", name, door(one)) for name, one in published.playbooks.items()}
            limits = {
                name: ("limits", name, limit(one, published.policy))
                for name, one in published.playbooks.items()
            }
            admitting = {
                name for name, one in published.playbooks.items() if one.enter and one.status in ADMITTING
            }
            fresh = {mark for mark in (*doors.values(), *limits.values()) if mark not in looked}
            everybody = {doors[name] for name in admitting} & fresh
            if everybody - self._everybody:
                self._after = FIRST
            self._everybody = everybody
            # Whoever is looked at for the door needn't be for the limits.
            self._kept_out = {
                limits[name] for name in admitting if limits[name] in fresh and doors[name] not in everybody
            }
            self._silent = fresh - self._everybody - self._kept_out

    @property
    def pending(self) -> bool:
        """Whether anybody is yet to be asked for."""
        return bool(self._everybody or self._kept_out or self._silent)

    async def ask(self) -> None:
        """Ask for a look at the next customers."""
        async with self._lock:
            if not self.pending:
                return
            done: set[Mark] = set()
            async with self._database.transaction() as connection:
                now = await self._database.clock.read(connection)
                if self._kept_out:
                    await evaluations.request_kept_out(connection, now, [mark[1] for mark in self._kept_out])
                after = (
                    await evaluations.request_some(connection, now, self._after, PAGE)
                    if self._everybody
                    else None
                )
                done = self._kept_out | (self._everybody | self._silent if after is None else set())
                await evaluations.mark_looked(connection, done, now)
            self._after = after or FIRST
            self._everybody, self._kept_out, self._silent = (
                self._everybody - done, self._kept_out - done, self._silent - done,
            )  # fmt: skip


def door(playbook: CompiledPlaybook) -> str:
    """The digest of what decides who may enter at all: status, trigger, key, group, goal, and what the steps need."""
    enter = playbook.enter
    return _digest(
        {
            "status": playbook.status,
            "group": playbook.group,
            "version": playbook.version,
            "key": enter.key if enter else None,
        }
    )


def limit(playbook: CompiledPlaybook, policy: Policy) -> str:
    """The digest of what decides how many enter and how often."""
    enter = (
        playbook.enter.model_dump(mode="json", include={"again", "at_most_per_day"}) if playbook.enter else {}
    )
    return _digest(
        {**enter, **policy.model_dump(mode="json", include={"entries", "consent", "default_zone"})}
    )


def _digest(given: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:12]
