"""Whoever works here: their accounts, written down in the audit as they change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

from schemas.access import STAFF, Principal, Role
from schemas.errors import ConflictError, InputError, NotFoundError
from store.audit import record_change
from store.database import Connection
from store.sessions import end_sessions
from store.tables import people, sign_in_links

LONGEST_NAME = 200


@dataclass(frozen=True)
class Person:
    """An account. `password_hash` is argon2id's text, None where nobody has chosen a password yet."""

    id: str
    email: str
    name: str
    role: Role
    active: bool
    password_hash: str | None
    oidc_issuer: str | None
    oidc_subject: str | None
    created_at: datetime
    signed_in_at: datetime | None


def read_email(written: str) -> str:
    """A mail address as it is kept. Raises InputError."""
    try:
        found = validate_email(
            written.strip(), check_deliverability=False, allow_display_name=False, test_environment=True
        )
    except EmailNotValidError:
        # A machine of one's own has no domain: the account of `holdfast dev` is there.
        if written.strip().lower().endswith("@localhost") and " " not in written.strip():
            return written.strip().lower()
        raise InputError("That is no mail address.", remedy="Write it like ada@example.com.") from None
    return found.normalized


def read_name(written: str) -> str:
    """A name as it is kept. Raises InputError."""
    name = " ".join(written.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InputError(
            f"A name has 1 to {LONGEST_NAME} characters.", remedy="Write what colleagues call them."
        )
    return name


async def add_person(
    connection: Connection, actor: Principal, email: str, name: str, role: Role, now: datetime
) -> Person:
    """Make an account, which nobody can sign in to yet. Raises InputError, ConflictError."""
    _check_role(role)
    values = {"email": read_email(email), "name": read_name(name), "role": role, "created_at": now}
    try:
        async with connection.begin_nested():
            rows = await connection.execute(insert(people).values(values).returning(people))
            person = _read(rows.mappings().one())
    except IntegrityError as error:
        raise ConflictError(
            "There is an account of that mail address already.",
            remedy="Make a new link for it, if they can't sign in.",
        ) from error
    await record_change(
        connection, actor, "person.added", object_kind="person", object_id=person.id, after={"role": role}
    )
    return person


async def count_people(connection: Connection) -> int:
    """How many accounts there are, those that are closed included."""
    return int((await connection.execute(select(func.count()).select_from(people))).scalar_one())


async def list_people(connection: Connection) -> list[Person]:
    """All accounts: who may come in first, then by name."""
    rows = await connection.execute(
        select(people).order_by(people.c.active.desc(), people.c.name, people.c.id)
    )
    return [_read(row) for row in rows.mappings()]


async def find_person(connection: Connection, email: str) -> Person | None:
    """The account of this mail address, however its letters are written."""
    rows = await connection.execute(select(people).where(func.lower(people.c.email) == email.strip().lower()))
    row = rows.mappings().one_or_none()
    return _read(row) if row else None


async def find_linked_person(connection: Connection, issuer: str, subject: str) -> Person | None:
    """The account that an identity provider's subject signs in to."""
    rows = await connection.execute(
        select(people).where(people.c.oidc_issuer == issuer, people.c.oidc_subject == subject)
    )
    row = rows.mappings().one_or_none()
    return _read(row) if row else None


async def load_person(connection: Connection, person_id: str, *, lock: bool = False) -> Person:
    """The account of this id. Raises NotFoundError."""
    wanted = select(people).where(text("people.id::text = :id")).params(id=person_id)
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("There is no such account.", remedy="`holdfast people list` names them.")
    return _read(row)


async def need_person(connection: Connection, email: str) -> Person:
    """The account of this mail address. Raises NotFoundError."""
    found = await find_person(connection, email)
    if found is None:
        raise NotFoundError(f"There is no account of {email}.", remedy="`holdfast people list` names them.")
    return found


async def change_role(
    connection: Connection, actor: Principal, person: Person, role: Role, *, keep_an_admin: bool = True
) -> None:
    """Give the person another role, which ends their sessions: nobody's cookie is worth more, or less, than when it was
    given. Raises ConflictError for the last admin's.
    """
    _check_role(role)
    before = await load_person(connection, person.id, lock=True)
    if before.role == role:
        return
    if keep_an_admin:
        await _keep_an_admin(connection, before)
    await connection.execute(update(people).where(people.c.id == person.id).values(role=role))
    await record_change(
        connection,
        actor,
        "person.role_changed",
        object_kind="person",
        object_id=person.id,
        before={"role": before.role},
        after={"role": role},
    )
    await end_sessions(connection, actor, person.id, "new_role")


async def set_active(connection: Connection, actor: Principal, person: Person, active: bool) -> None:
    """Close an account, which ends its sessions and links, or open it again. Raises ConflictError for the last admin's."""
    before = await load_person(connection, person.id, lock=True)
    if before.active == active:
        return
    if not active:
        await _keep_an_admin(connection, before)
    await connection.execute(update(people).where(people.c.id == person.id).values(active=active))
    await record_change(
        connection,
        actor,
        "person.reactivated" if active else "person.deactivated",
        object_kind="person",
        object_id=person.id,
        before={"active": before.active},
        after={"active": active},
    )
    if not active:
        await end_sessions(connection, actor, person.id, "account_closed")
        await _drop_links(connection, person.id)


async def set_password(
    connection: Connection,
    actor: Principal,
    person_id: str,
    password_hash: str,
    *,
    name: str | None = None,
    but: str | None = None,
) -> None:
    """A new password, and a name with it. Links of before are good no longer, and sessions end: all, or all `but` the
    one of this hash.
    """
    values = {"password_hash": password_hash} | ({"name": name} if name is not None else {})
    await connection.execute(update(people).where(people.c.id == person_id).values(values))
    await _drop_links(connection, person_id)
    await record_change(connection, actor, "person.password_set", object_kind="person", object_id=person_id)
    await end_sessions(connection, actor, person_id, "new_password", but=but)


async def replace_hash(connection: Connection, person_id: str, old: str, new: str) -> None:
    """The same password under today's parameters, unless it was changed meanwhile."""
    await connection.execute(
        update(people)
        .where(people.c.id == person_id, people.c.password_hash == old)
        .values(password_hash=new)
    )


async def note_signed_in(connection: Connection, person_id: str, now: datetime) -> None:
    """When somebody signed in last."""
    await connection.execute(update(people).where(people.c.id == person_id).values(signed_in_at=now))


async def link_identity(
    connection: Connection, actor: Principal, person: Person, issuer: str, subject: str
) -> None:
    """Let an identity provider's subject sign in to this account from now on."""
    await connection.execute(
        update(people).where(people.c.id == person.id).values(oidc_issuer=issuer, oidc_subject=subject)
    )
    await record_change(
        connection,
        actor,
        "person.identity_linked",
        object_kind="person",
        object_id=person.id,
        after={"issuer": issuer},
    )


async def _drop_links(connection: Connection, person_id: str) -> None:
    # Those that were used stay until the next one is made: that somebody tries one again is worth telling.
    await connection.execute(
        delete(sign_in_links).where(sign_in_links.c.person_id == person_id, sign_in_links.c.used_at.is_(None))
    )


async def _keep_an_admin(connection: Connection, person: Person) -> None:
    if person.role != "admin" or not person.active:
        return
    rows = await connection.execute(
        select(people.c.id)
        .where(people.c.role == "admin", people.c.active)
        .order_by(people.c.id)
        .with_for_update()
    )
    if len(rows.all()) < 2:
        raise ConflictError("Nobody else is admin.", remedy="Give somebody else the role admin first.")


def _check_role(role: str) -> None:
    if role not in STAFF:
        raise InputError(f"{role!r} is no role of people.", remedy=f"Use one of {', '.join(STAFF)}.")


def _read(row: RowMapping) -> Person:
    return Person(
        id=str(row["id"]),
        email=row["email"],
        name=row["name"],
        role=cast(Role, row["role"]),
        active=row["active"],
        password_hash=row["password_hash"],
        oidc_issuer=row["oidc_issuer"],
        oidc_subject=row["oidc_subject"],
        created_at=row["created_at"],
        signed_in_at=row["signed_in_at"],
    )
