"""Whose an address is, and what speaks against it, is found by an index however many customers there are."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from store.addresses import find_by_address
from store.database import Database
from store.starts import load_running
from store.suppressions import find_suppressions


@pytest.fixture
def many(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO customers (external_id, email, phone, created_at) VALUES "
            "('ada', ' Ada@Example.com', '+1 (500) 555-0009', now()), "
            "('bob', 'bob@example.com', '0044 20 7946 0009', now())"
        )
        connection.execute(
            "INSERT INTO customers (external_id, email, phone, created_at) "
            "SELECT 'n' || n, n || '@example.com', '+1500' || lpad(n::text, 7, '0'), now() "
            "FROM generate_series(1, 20000) n"
        )
        connection.execute(
            "INSERT INTO suppressions (channel, address_hash, reason, at) SELECT 'email', md5(n::text), 'stop', now() "
            "FROM generate_series(1, 20000) n"
        )
        connection.execute(
            "INSERT INTO runs (id, playbook, version, customer_id, arm, state, outcome, entered_at, ended_at, "
            "workflow_id) SELECT gen_random_uuid(), 'helping', 'v', id, 'treated', 'ended', 'stopped', now(), now(), "
            "id FROM customers"
        )
        connection.execute("ANALYZE customers, suppressions, runs")
    return database_url


async def test_they_are_found_in_any_spelling_and_by_an_index(many: str) -> None:
    database = Database(many, connections=1)
    asked: list[tuple[str, Any]] = []

    @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        asked.append((statement, parameters))

    names = {}
    async with database.transaction() as connection:
        for channel, address in (
            ("email", "ada@example.COM "), ("sms", "+15005550009"), ("whatsapp", "+44 20 7946 0009"),
        ):  # fmt: skip
            names[address] = len(await find_by_address(connection, channel, address))
        await find_suppressions(connection, {"ada": {"email": "ada@example.com", "phone": "+15005550009"}})
        await load_running(connection, "00000000-0000-0000-0000-000000000000", 200)
        said = [one for one in asked if one[0].startswith("SELECT")]
        plans = []
        for statement, parameters in said:
            rows = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            plans.append("\n".join(rows.scalars()))
    await database.close()
    assert set(names.values()) == {1}
    for plan, index in zip(
        plans,
        ("customers_email_idx", "customers_phone_idx", "customers_phone_idx", "suppressions_address_hash_idx",
         "runs_running_idx"),
        strict=True,
    ):  # fmt: skip
        assert index in plan, plan
