"""What publishing edited files would change: playbooks, who would enter, where the runs inside would go on, load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from activities.steps import StepOpening
from loops.entrants import Entrants, find_entrants, landed
from loops.playbook_files import Files, file_name
from loops.publishing import compare_files
from rules.differences import Difference, differences
from rules.migration import Unplaced, place
from rules.progress import Progress, next_step, standing_at
from schemas.plan import CompiledPlaybook
from store.database import Connection
from store.planning import Inside, count_inside, read_only
from store.playbooks import load_policy
from store.publishing import Change

FINISHES = "finishes the old version"
STOPS = "stops"
STAYS = "goes on as it is"
WINDOW = "after the last step"
BEGINNING = "before the first step"


@dataclass(frozen=True)
class Landing:
    """So many runs are at a step of a version; `lands`: at which step of the new version, or what becomes of them."""

    version: str
    step: str
    count: int
    lands: str
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The object that `plan --format json` prints."""
        return {name: value for name, value in vars(self).items() if value != ""}


@dataclass
class Planned:
    """What publishing would make of one playbook, or of the policy."""

    file: str
    change: Change
    differences: Sequence[Difference] = ()
    landings: Sequence[Landing] = ()
    entrants: Entrants | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that `plan --format json` prints."""
        change = self.change
        told: dict[str, Any] = {"file": self.file, "name": change.name, "change": change.kind}
        if change.after:
            told["version"] = change.after.version
            told["status"] = change.after.status
        if change.before:
            told["was"] = {"version": change.before.version, "status": change.before.status}
        if self.differences:
            told["differences"] = [{"what": one.what, "told": one.told} for one in self.differences]
        if change.after:
            inside = sum(landing.count for landing in self.landings)
            told["inside"] = {
                "runs": inside, "on_change": change.after.on_change,
                "landings": [landing.to_json() for landing in self.landings],
            }  # fmt: skip
        if self.entrants is not None:
            told["entrants"] = landed(self.entrants.decided)
            told["entering"] = [{"customer": id_, "name": called} for id_, called in self.entrants.named]
            told["load"] = {
                "first_day": landed(self.entrants.load.first_day),
                "whole_run": landed(self.entrants.load.whole),
                "people": landed(self.entrants.people),
            }
        return told


@dataclass(frozen=True)
class Plan:
    """Everything that publishing would change, and the files that couldn't be published."""

    planned: Sequence[Planned]
    files: Sequence[Files]
    unchanged: Sequence[str]
    customers: int

    def to_json(self) -> dict[str, Any]:
        """The object that `plan --format json` prints."""
        problems = [problem.to_json() for files in self.files for problem in files.problems]
        return {
            "changes": [planned.to_json() for planned in self.planned],
            "problems": problems,
            "refused": sorted({file_name(p.file) for files in self.files for p in files.errors}),
            "unchanged": list(self.unchanged),
            "customers": self.customers,
        }


async def plan_files(
    opening: StepOpening,
    files: Sequence[Files],
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Plan:
    """What publishing these files would change now; writes nothing. `progress`: customers done, of how many."""
    planned: list[Planned] = []
    async with opening.database.transaction() as connection:
        await read_only(connection)
        now = await opening.database.clock.read(connection)
        policy = await load_policy(connection)
        for part in files:
            policy = part.policy or policy
            for change in await compare_files(connection, part):
                planned.append(Planned(str(part.directory / f"{change.name}.yaml"), change))
        inside = await count_inside(connection, [one.change.name for one in planned])
        for one in planned:
            before, after = one.change.before, one.change.after
            if before and after:
                one.differences = differences(before, after)
            if after:
                theirs = [group for group in inside if group.playbook == after.name]
                one.landings = await _land(opening, connection, one.change, theirs, now)
    entering = [
        one.change.after
        for one in planned
        if one.change.after and one.change.kind in ("new", "version", "status", "limits")
    ]
    found, customers = await find_entrants(opening, entering, policy, progress)
    for one in planned:
        one.entrants = found.get(one.change.name)
    changed = {one.change.name for one in planned}
    unchanged = sorted(name for part in files for name in part.playbooks if name not in changed)
    return Plan(planned, files, unchanged, customers)


async def _land(
    opening: StepOpening, connection: Connection, change: Change, inside: Sequence[Inside], now: datetime
) -> list[Landing]:
    """Where the runs inside go on, as many together as go from the same place to the same place."""
    assert change.after is not None
    landings: Counter[tuple[str, str, str, str]] = Counter()
    for group in inside:
        lands, reason = STAYS, ""
        at = group.step or BEGINNING
        if change.kind == "version" and group.version != change.after.version:
            lands = {"finish": FINISHES, "stop": STOPS}.get(change.after.on_change, "")
        if not lands:
            old = (await opening.versions.load_or_empty(connection, group.playbook, group.version)).playbook
            at, lands, reason = _place(old, change.after, group, now)
        landings[group.version, at, lands, reason] += group.count
    return [
        Landing(version, at, count, lands, reason)
        for (version, at, lands, reason), count in landings.most_common()
    ]


def _place(
    old: CompiledPlaybook, new: CompiledPlaybook, group: Inside, now: datetime
) -> tuple[str, str, str]:
    """The step that runs stand at, the one of the new version that they go on with, and why if there is none."""
    memory = (
        standing_at(old.steps, group.step, now, finished=group.finished) if group.step else Progress({}, {})
    )
    if memory is None:
        return group.step or "", FINISHES, "its version has no such step"
    at = group.step
    if at is None or group.finished:
        # A wait of a fixed length leaves no trace of its own: who has done a step stands at the one behind it.
        at = next_step(old.steps, memory)
        if at is not None and group.step is not None:
            memory = standing_at(old.steps, at, now) or memory
    found = place(old.steps, new.steps, memory.done, memory.since)
    told = at or WINDOW
    if isinstance(found, Unplaced):
        return told, FINISHES, found.reason
    return told, next_step(new.steps, Progress(found.done, found.since)) or WINDOW, ""
