"""How often signing in failed, by the hash of an account or of an address: each failure more makes the wait longer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from store.database import Connection
from store.tables import sign_in_failures

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
# After a day without another failure all is forgotten.
FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Subject:
    """What tries: an account or an address, and how many failures of it cost nothing."""

    hashed: str
    free: int


def of_account(email: str) -> Subject:
    """The account that somebody names, whether there is one or not."""
    return Subject(_hash("account", email.strip().lower()), free=5)


def of_address(address: str) -> Subject:
    """The place that somebody tries from; many people may share one."""
    return Subject(_hash("address", address), free=20)


def wait_after(failures: int, free: int) -> timedelta:
    """How long is waited after that many failures: nothing, then 30 s, doubled by each one, 15 minutes at most."""
    if failures <= free:
        return timedelta(0)
    doublings: int = min(failures - free - 1, 16)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


async def begin_attempt(
    connection: Connection, subjects: Sequence[Subject], now: datetime
) -> datetime | None:
    """Count an attempt as failed before it is made; when to come back, if any of `subjects` has to wait still.

    Counted beforehand, a hundred at once aren't a hundred free ones. Whoever has to wait isn't counted again.
    """
    # Always in the same order, so that no two attempts wait for each other.
    ordered = sorted(subjects, key=lambda one: one.hashed)
    hashes = [one.hashed for one in ordered]
    rows = await connection.execute(
        select(sign_in_failures)
        .where(sign_in_failures.c.subject_hash.in_(hashes))
        .order_by(sign_in_failures.c.subject_hash)
        .with_for_update()
    )
    until = _latest(now, (row.blocked_until for row in rows))
    if until is not None:
        return until
    counted = [await _count(connection, subject, now) for subject in ordered]
    # Those who came first at the same moment may have been too many meanwhile.
    until = _latest(now, (blocked_until for _, _, blocked_until in counted))
    for subject, failures, _ in counted:
        wait = wait_after(failures, subject.free)
        await connection.execute(
            update(sign_in_failures)
            .where(sign_in_failures.c.subject_hash == subject.hashed)
            .values(
                {"blocked_until": now + wait if wait else None}
                if until is None
                else {"failures": failures - 1}
            )
        )
    await _sweep(connection, now)
    return until


async def _count(
    connection: Connection, subject: Subject, now: datetime
) -> tuple[Subject, int, datetime | None]:
    """One failure more: how many these are, and whether others have had it blocked."""
    was = sign_in_failures.c
    rows = await connection.execute(
        insert(sign_in_failures)
        .values(subject_hash=subject.hashed, failures=1, last_at=now)
        .on_conflict_do_update(
            index_elements=["subject_hash"],
            set_={
                "failures": case((was.last_at <= now - FORGOTTEN_AFTER, 1), else_=was.failures + 1),
                "last_at": now,
            },
        )
        .returning(was.failures, was.blocked_until)
    )
    row = rows.one()
    return subject, row.failures, row.blocked_until


async def _sweep(connection: Connection, now: datetime) -> None:
    # What somebody else is counting just now stays, instead of being waited for.
    old = (
        select(sign_in_failures.c.subject_hash)
        .where(sign_in_failures.c.last_at <= now - FORGOTTEN_AFTER)
        .limit(100)
        .with_for_update(skip_locked=True)
    )
    await connection.execute(delete(sign_in_failures).where(sign_in_failures.c.subject_hash.in_(old)))


def _latest(now: datetime, moments: Iterable[datetime | None]) -> datetime | None:
    """The last of those that are still to come."""
    return max((at for at in moments if at is not None and at > now), default=None)


async def forgive(connection: Connection, account: Subject, address: Subject) -> None:
    """It was the right password: the account starts anew, and the address takes this one attempt back."""
    await connection.execute(
        delete(sign_in_failures).where(sign_in_failures.c.subject_hash == account.hashed)
    )
    rows = await connection.execute(
        select(sign_in_failures).where(sign_in_failures.c.subject_hash == address.hashed).with_for_update()
    )
    row = rows.one_or_none()
    if row is not None:
        failures = max(row.failures - 1, 0)
        blocked = row.blocked_until if wait_after(failures, address.free) else None
        await connection.execute(
            update(sign_in_failures)
            .where(sign_in_failures.c.subject_hash == address.hashed)
            .values(failures=failures, blocked_until=blocked)
        )


def _hash(kind: str, subject: str) -> str:
    return hashlib.sha256(f"{kind}:{subject}".encode("utf-8", "surrogatepass")).hexdigest()
