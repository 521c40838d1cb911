"""Publishing: what would change, and making it live with everything that must be written then."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from store.announcements import announce
from store.audit import Done, actor_called, record_changes
from store.database import encode
from store.playbooks import lock_publishing

POLICY = "policy"


@dataclass(frozen=True)
class Change:
    """What publishing makes of one playbook, of (`name` policy) the policy, or of (`name` health/NAME) a health model.

    new: it wasn't there; version: runs from now on are other ones; status, limits: live words alone; text: nothing but
    how it is written; retired: its file is gone. `before` and `after` are None for the policy and health models, and where there is none.
    """

    name: str
    kind: Literal["new", "version", "status", "limits", "text", "retired", "policy", "health", "milestones"]
    before: CompiledPlaybook | None = None
    after: CompiledPlaybook | None = None

    def describe(self) -> str:
        """A few words for people."""
        match self.kind:
            case "version" if self.after and self.before:
                told = f"new version {self.after.version}, was {self.before.version}"
            case "new" if self.after:
                return f"new, version {self.after.version}, {self.after.status}"
            case "limits":
                return "limits or description"
            case "text":
                return "only its text"
            case "retired":
                return "retired: its file is gone"
            case "policy":
                return "other rules for all"
            case "health":
                return "another health model"
            case "milestones":
                return "other milestones"
            case _:
                told = ""
        before, after = (one.status if one else "" for one in (self.before, self.after))
        moved = f"{before} is now {after}" if before != after else ""
        return ", ".join(filter(None, (told, moved)))


async def compare(
    connection: AsyncConnection,
    playbooks: Mapping[str, CompiledPlaybook],
    sources: Mapping[str, str],
    policy: Policy | None,
    *,
    invalid: Collection[str] = frozenset(),
    gone: Collection[str] | None = None,
    policy_source: str | None = None,
) -> list[Change]:
    """What publishing these would change now, by name; writes nothing. Arguments as for `publish`."""
    rows = await connection.execute(
        text("SELECT name, version, status FROM playbooks WHERE :all OR name = ANY(:names)"),
        {"all": gone is None, "names": [*playbooks, *(gone or ())]},
    )
    live = {row.name: row for row in rows}
    digests = await connection.execute(text(_LAST.format("md5(p.source)")), {"names": [*playbooks, POLICY]})
    texts: dict[str, str] = {row.name: row.text for row in digests}

    def is_same(name: str) -> bool:
        """What is written and means the same; the whole needn't be looked at."""
        row, playbook = live[name], playbooks[name]
        return (
            name in sources
            and texts.get(name) == _md5(sources[name])
            and (row.version, row.status) == (playbook.version, playbook.status)
        )

    retired = {name for name in set(live) - set(playbooks) - set(invalid) if live[name].status != "retired"}
    looked_at = {name for name in playbooks if name in live and not is_same(name)}
    loaded = await connection.execute(
        text("SELECT name, compiled FROM playbooks WHERE name = ANY(:names)"),
        {"names": [*looked_at, *retired]},
    )
    published = {row.name: CompiledPlaybook.model_validate(row.compiled) for row in loaded}
    changes = [Change(name, "new", None, playbooks[name]) for name in playbooks if name not in live]
    for name in looked_at:
        before, after = published[name], playbooks[name]
        if kind := _kind(before, after):
            changes.append(Change(name, kind, before, after))
        elif before != after or live[name].version != after.version or name in sources:
            changes.append(Change(name, "text", before, after))
    for name in retired:
        after = published[name].model_copy(update={"status": "retired"})
        changes.append(Change(name, "retired", published[name], after))
    changes.sort(key=lambda change: change.name)
    if policy is not None:
        found = await connection.execute(text("SELECT value FROM governance WHERE name = 'policy'"))
        before_policy = Policy.model_validate(found.scalar() or {})
        written = policy_source is not None and texts.get(POLICY, _md5("")) != _md5(policy_source)
        if before_policy != policy or written:
            changes.append(Change(POLICY, "policy"))
    return changes


def _kind(before: CompiledPlaybook, after: CompiledPlaybook) -> Literal["version", "status", "limits"] | None:
    if before.version != after.version:
        return "version"
    if before.status != after.status:
        return "status"
    kept = {"steps", "goal", "exits", "send", "templates"}
    one, other = (playbook.model_dump(exclude=kept) for playbook in (before, after))
    for limits in (one, other):
        # Where a condition stands in the file makes no difference.
        limits["enter"] = {**(limits["enter"] or {}), "when": None}
    return "limits" if one != other else None


def _md5(source: str) -> str:
    return hashlib.md5(source.encode(), usedforsecurity=False).hexdigest()


async def publish(
    connection: AsyncConnection,
    playbooks: Mapping[str, CompiledPlaybook],
    sources: Mapping[str, str],
    policy: Policy | None,
    *,
    author: str,
    now: datetime,
    invalid: Collection[str] = frozenset(),
    gone: Collection[str] | None = None,
    authors: Mapping[str, str] | None = None,
    note: str = "",
    kind: Literal["playbook", "rollback"] = "playbook",
    policy_source: str | None = None,
) -> list[Change]:
    """Make these playbooks live, tell the runs inside what that means for them, and note it all; returns what changed.

    What is `gone` is retired (None: whatever is published and isn't among these), unless its name is in `invalid`: a file
    with errors changes nothing. A `policy` of None (its file has errors) leaves the last good one in force. `authors` has who wrote
    what, by name, where that isn't `author`; `note` says why, where there is more to say than what changed.
    """
    await lock_publishing(connection)
    changes = await compare(
        connection, playbooks, sources, policy, invalid=invalid, gone=gone, policy_source=policy_source
    )
    written = await _load_texts(connection, [change.name for change in changes])
    rows = [
        {
            "name": change.name,
            "kind": {"policy": "policy", "retired": "retired"}.get(change.kind, kind),
            "version": change.after.version if change.after else _digest(policy),
            "status": change.after.status if change.after else "",
            "compiled": change.after.model_dump(mode="json") if change.after else None,
            "file": f"{change.name}.yaml",
            "source": policy_source or ""
            if change.kind == "policy"
            else sources.get(change.name, written.get(change.name, "")),
            "author": (authors or {}).get(change.name, author),
            "note": note or change.describe(),
        }
        for change in changes
    ]
    if rows:
        await _write(connection, rows, now)
    if policy is not None and any(change.kind == "policy" for change in changes):
        await connection.execute(_WRITE_POLICY, {"value": policy.model_dump_json(), "now": now})
    for change in changes:
        if change.after:
            await announce(connection, change.before, change.after, now)
    done = [_done(change, row) for change, row in zip(changes, rows, strict=True)]
    await record_changes(connection, actor_called(author), done)
    return changes


def _done(change: Change, row: Mapping[str, Any]) -> Done:
    what = {"retired": "playbook.retired", "rollback": "playbook.rolled_back"}
    after = {"version": row["version"], "status": row["status"], "change": change.kind}
    if row["author"]:
        after["author"] = row["author"]
    return Done(
        "policy.published" if change.kind == "policy" else what.get(row["kind"], "playbook.published"),
        "policy" if change.kind == "policy" else "playbook",
        change.name,
        {"version": change.before.version, "status": change.before.status} if change.before else None,
        after,
    )


def _digest(policy: Policy | None) -> str:
    return hashlib.sha256(policy.model_dump_json().encode()).hexdigest()[:12] if policy else ""


async def _load_texts(connection: AsyncConnection, names: Sequence[str]) -> dict[str, str]:
    """The text that each of these was last published from."""
    rows = await connection.execute(text(_LAST.format("p.source")), {"names": list(names)})
    return {row.name: row.text for row in rows}


_LAST = (
    "SELECT n.name, {} AS text FROM unnest(CAST(:names AS text[])) AS n (name), "
    "LATERAL (SELECT source FROM publications WHERE name = n.name ORDER BY id DESC LIMIT 1) AS p"
)
_GIVEN = (
    "WITH given AS (SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(name text, kind text, version text, "
    "status text, compiled jsonb, file text, source text, author text, note text)) "
)
_WRITES = (
    text(
        _GIVEN + "INSERT INTO playbook_versions (playbook, version, compiled, source, author, published_at) "
        "SELECT name, version, compiled, source, author, :now FROM given WHERE compiled IS NOT NULL "
        # Limits, title and what else makes no version are as they were published last.
        "ON CONFLICT (playbook, version) DO UPDATE SET compiled = excluded.compiled"
    ),
    text(
        _GIVEN + "INSERT INTO playbooks (name, version, status, compiled, file, updated_at) "
        "SELECT name, version, status, compiled, file, :now FROM given WHERE compiled IS NOT NULL "
        "ON CONFLICT (name) DO UPDATE SET version = excluded.version, status = excluded.status, "
        "compiled = excluded.compiled, file = excluded.file, updated_at = excluded.updated_at"
    ),
    text(
        _GIVEN + "INSERT INTO publications (name, kind, version, status, source, author, note, at) "
        "SELECT name, kind, version, status, source, author, note, :now FROM given"
    ),
)
_WRITE_POLICY = text(
    "INSERT INTO governance (name, value, updated_at) VALUES ('policy', CAST(:value AS jsonb), :now) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at"
)


async def _write(connection: AsyncConnection, rows: list[dict[str, Any]], now: datetime) -> None:
    encoded = encode(rows)
    for statement in _WRITES:
        await connection.execute(statement, {"rows": encoded, "now": now})
