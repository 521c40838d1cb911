"""How often signing in failed, by a keyed hash of an account or of an address: each failure more makes the wait longer.

An address is counted apart at each door (password, link, identity provider): who stands before one of them with a
neighbour's failures may still come in by another.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Integer, case, cast, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from store.database import Connection
from store.sessions import Way
from store.tables import sign_in_failures

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
# After a day without another failure all is forgotten.
FORGOTTEN_AFTER = timedelta(days=1)
# Of an address that many share one failure is forgotten in so long: a busy house's slips of the hand don't add up, and
# whoever guesses gains nothing by it over waiting.
FADES_EVERY = timedelta(minutes=15)


@dataclass(frozen=True)
class Subject:
    """What tries: an account or an address, and how many failures of it cost nothing."""

    hashed: str
    free: int
    fades: bool = False


@dataclass(frozen=True)
class Attempt:
    """An attempt that was counted: `failures` of the first subject, this one included. Nothing was, where somebody has
    to wait `until`.
    """

    failures: int
    until: datetime | None = None


def of_account(email: str, key: str = "") -> Subject:
    """The account that somebody names, whether there is one or not.

    By the `key` nobody can try out what was written, which may be a password in the wrong field; nor who tried.
    """
    return Subject(_hash(key, "account", email.strip().lower()), free=5)


def of_address(address: str, way: Way = "password", key: str = "") -> Subject:
    """The place that somebody tries from, by this way; many people may share one."""
    return Subject(_hash(key, f"address {way}", address), free=20, fades=True)


def wait_after(failures: int, free: int) -> timedelta:
    """How long is waited after that many failures: nothing, then 30 s, doubled by each one, 15 minutes at most."""
    if failures <= free:
        return timedelta(0)
    doublings: int = min(failures - free - 1, 16)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


async def read_wait(connection: Connection, subject: Subject, now: datetime) -> datetime | None:
    """When to come back, if this one has to wait still."""
    rows = await connection.execute(
        select(sign_in_failures.c.blocked_until).where(sign_in_failures.c.subject_hash == subject.hashed)
    )
    return _latest(now, rows.scalars())


async def begin_attempt(connection: Connection, subjects: Sequence[Subject], now: datetime) -> Attempt:
    """Count an attempt as failed before it is made, unless one of `subjects` has to wait still.

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
        return Attempt(0, until)
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
    first = next(failures for subject, failures, _ in counted if subject == subjects[0])
    return Attempt(first if until is None else first - 1, until)


async def _count(
    connection: Connection, subject: Subject, now: datetime
) -> tuple[Subject, int, datetime | None]:
    """One failure more: how many these are, and whether others have had it blocked."""
    was = sign_in_failures.c
    seconds = FADES_EVERY.total_seconds()
    passed = func.extract("epoch", literal(now) - was.last_at)
    faded = func.greatest(func.floor(passed / seconds), 0) if subject.fades else literal(0)
    # What has passed of the next quarter of an hour isn't lost.
    since = was.last_at + func.make_interval(0, 0, 0, 0, 0, 0, faded * seconds) if subject.fades else now
    over = was.last_at <= now - FORGOTTEN_AFTER
    rows = await connection.execute(
        insert(sign_in_failures)
        .values(subject_hash=subject.hashed, failures=1, last_at=now)
        .on_conflict_do_update(
            index_elements=["subject_hash"],
            set_={
                "failures": case((over, 1), else_=cast(func.greatest(was.failures - faded, 0), Integer) + 1),
                "last_at": case((over, now), else_=since),
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


async def forgive(connection: Connection, address: Subject, account: Subject | None = None) -> None:
    """It was the right one: the account starts anew, and the address takes this one attempt back."""
    if account is not None:
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


def _hash(key: str, kind: str, subject: str) -> str:
    said = f"sign-in {kind}:{subject}".encode("utf-8", "surrogatepass")
    return hmac.new(key.encode(), said, hashlib.sha256).hexdigest()
