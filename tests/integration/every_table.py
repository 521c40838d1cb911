"""A customer of whom there is a row in every table that may hold one, its texts such as nothing else holds."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Column, Table, insert, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID
from sqlalchemy.types import (
    REAL,
    BigInteger,
    Boolean,
    Date,
    Double,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
)

from store.database import Database
from store.erasing_tables import TOMBSTONES
from store.tables import metadata

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_ENUMERATED = re.compile(r"^(\w+) IN \('([^']+)'")
# What the engine itself reads, and couldn't if it were any word.
_GIVEN: Mapping[tuple[str, str], Any] = {
    ("runs", "state"): "ended",
    ("runs", "ended_at"): NOW,
    ("runs", "interruption"): None,
    ("signals", "stamps"): {},
    # Names of what is declared, which stay.
    ("exposures", "experiment"): "helping/greeting",
    ("exposures", "variant"): "short",
    ("intervention_executions", "playbook"): "helping",
    ("intervention_executions", "version"): "v1",
    ("intervention_executions", "arm"): "treated",
    ("intervention_executions", "outcome"): "completed",
    ("deliveries", "state"): "accepted",
    ("customers", "timezone"): "UTC",
    ("tasks", "satisfaction_rating"): 4,
}


def person(tag: str) -> dict[str, str]:
    """Who they are; each string holds `tag`."""
    return {
        "external_id": f"id-{tag}-4b1f",
        "first_name": f"Vorname{tag}",
        "business_name": f"Firma{tag} GmbH",
        "email": f"mail.{tag}@example.com",
        "phone": "+49151" + "".join(str(ord(letter) % 10) for letter in tag.ljust(8, "x")[:8]),
    }


async def furnish(database: Database, tag: str) -> dict[str, str]:
    """Write the rows; returns the ids: customer, run, and what `person` gives."""
    who = person(tag)
    ids = {"customer": str(uuid.uuid4()), "run": str(uuid.uuid4()), **who}
    traits = {"last_name": f"Nachname{tag}", "address": f"Gasse{tag} 3"}
    async with database.transaction() as connection:
        for table in metadata.sorted_tables:
            if table.name == "customers":
                await connection.execute(
                    insert(table), {"id": ids["customer"], "created_at": NOW, "traits": traits, **who}
                )
            elif table.name != TOMBSTONES and ("customer_id" in table.c or "run_id" in table.c):
                await connection.execute(insert(table), _row(table, ids, tag))
        await connection.execute(
            text(
                "UPDATE events SET name = 'identify', properties = CAST(:p AS jsonb) WHERE customer_id = :id"
            ),
            {"id": ids["customer"], "p": f'{{"traits": {{"email": "frueher.{tag}@example.com"}}}}'},
        )
        await connection.execute(
            text(
                "INSERT INTO event_ids SELECT source, message_id, received_at FROM events WHERE customer_id = :id"
            ),
            {"id": ids["customer"]},
        )
        for statement in _NAMING:
            await connection.execute(
                text(statement),
                {
                    name: value
                    for name, value in {**ids, "now": NOW, "tag": tag}.items()
                    if f":{name}" in statement
                },
            )
    return ids


def _row(table: Table, ids: dict[str, str], tag: str) -> dict[str, Any]:
    row = {}
    for column in table.columns:
        if column.identity is not None:
            continue
        row[column.name] = _value(table, column, ids, tag)
    if "id" in row:
        ids[table.name] = row["id"]
    return row


def _value(table: Table, column: Column[Any], ids: Mapping[str, str], tag: str) -> Any:
    if (table.name, column.name) in _GIVEN:
        return _GIVEN[(table.name, column.name)]
    if column.name == "customer_id":
        return ids["customer"]
    if column.name == "run_id" or (table.name == "runs" and column.name == "id"):
        return ids["run"]
    for key in column.foreign_keys:
        return ids[key.column.table.name]
    for constraint in table.constraints:
        if not isinstance(constraint, CheckConstraint):
            continue
        found = _ENUMERATED.match(str(constraint.sqltext))
        if found and found[1] == column.name:
            return found[2]
    word = f"Zeile{tag}-{table.name}-{column.name}"
    match column.type:
        case UUID():
            return str(uuid.uuid4())
        case JSONB():
            return {"said": word}
        case ARRAY():
            return [word] if isinstance(column.type.item_type, Text) else [0.5]
        case Text():
            return word
        case Boolean():
            return False
        case TIMESTAMP():
            return None if column.nullable else NOW
        case Date():
            return date(2026, 3, 2)
        case LargeBinary():
            return word.encode()
        case BigInteger() | Integer() | SmallInteger():
            return 1
        case Double() | Numeric() | REAL():
            return 0.5
    raise AssertionError(f"{table.name}.{column.name}: what is {column.type}?")


# In tables of everybody's.
_NAMING = (
    "INSERT INTO dead_letters (received_at, source, code, reason, body, digest) VALUES (:now, 'api', 'HF116', 'wrong', "
    "'{\"userId\": \"' || :external_id || '\", \"x\": \"Wort' || :tag || '\"}', 'a' || :tag), (:now, 'api', 'HF116', "
    "'wrong', 'Wort' || :tag || ' frueher.' || :tag || '@example.com', 'b' || :tag)",
    "INSERT INTO hook_requests (source, request_id, body, received_at) VALUES ('twilio', 'r' || :tag, "
    "convert_to('From=' || replace(:phone, '+', '%2B') || '&Body=Wort' || :tag, 'UTF8'), :now)",
    "INSERT INTO delivery_reports (provider, report_id, delivery_id, kind, detail, at, received_at) "
    "SELECT 'x', 'r' || :tag, id, 'bounced', jsonb_build_object('said', 'Wort' || :tag), :now, :now FROM deliveries "
    "WHERE customer_id = CAST(:customer AS uuid)",
    "INSERT INTO alerts (kind, message, at) VALUES ('x', 'about ' || :email, :now)",
    "INSERT INTO comparisons (at, customers, answers, differences) "
    "VALUES (CAST(:now AS timestamptz) + random() * interval '1 day', 1, 1, "
    "jsonb_build_array(jsonb_build_object('customer', CAST(:external_id AS text))))",
    "INSERT INTO providers (channel, provider, state, reason, since) "
    "VALUES ('sms', md5(:tag), 'ok', 'refused ' || :phone, :now)",
    "INSERT INTO saved_views (owner, page, name, query, at) VALUES ('p', 'customers', :tag, "
    "jsonb_build_object('search', CAST(:email AS text)), :now)",
    "INSERT INTO audit_log (at, actor_kind, actor_id, actor_name, action, object_kind, object_id, after) "
    "VALUES (:now, 'key', 'k', 'k', 'x.changed', 'customer', CAST(:customer AS text), "
    "jsonb_build_object('to', CAST(:email AS text)))",
)


async def search(database: Database, *strings: str) -> dict[str, list[str]]:
    """By table, the rows (as text) that hold one of the strings, in whatever case and column."""
    found: dict[str, list[str]] = {}
    async with database.transaction() as connection:
        names = await connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
        )
        for table in [row.tablename for row in names]:
            columns = await connection.execute(
                text(
                    "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = :name "
                    "AND table_schema = 'public'"
                ),
                {"name": table},
            )
            whole = " || ' ' || ".join(
                f"coalesce(encode({c.column_name}, 'escape'), '')"
                if c.data_type == "bytea"
                else f"coalesce(\"{c.column_name}\"::text, '')"
                for c in columns
            )
            rows = await connection.execute(
                text(f"SELECT {whole} AS row FROM {table} WHERE lower({whole}) LIKE ANY(:patterns)"),
                {"patterns": [f"%{one.lower()}%" for one in strings]},
            )
            if holding := [row.row for row in rows]:
                found[table] = holding
    return found
