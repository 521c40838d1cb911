"""`holdfast erase` and `holdfast export`, and the same over the API."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from cli.main import holdfast
from store.api_keys import hash_key
from store.database import Database
from tests.integration.every_table import furnish, person, search
from tests.integration.running_engine import SECRET
from tests.integration.web_edge import RunningWeb, run_web

ID = "id-kanarie-4b1f"


class Terminal:
    """A command line beside a database and a Temporal."""

    def __init__(self, database: Database, environ: dict[str, str]) -> None:
        self.database, self.environ = database, environ

    async def run(self, *words: str, answer: str | None = None) -> Result:
        def invoke() -> Result:
            return CliRunner().invoke(holdfast, words, env=self.environ, input=answer)

        return await asyncio.to_thread(invoke)


@pytest.fixture
async def terminal(database_url: str, temporal: str) -> AsyncIterator[Terminal]:
    database = Database(database_url, connections=2)
    yield Terminal(
        database,
        {"HOLDFAST_DATABASE_URL": database_url, "TEMPORAL_ADDRESS": temporal, "HOLDFAST_SECRET_KEY": SECRET},
    )
    await database.close()


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        yield running


async def test_an_export_holds_whatever_there_is_and_names_each_part(
    terminal: Terminal, tmp_path: Path
) -> None:
    await furnish(terminal.database, "kanarie")
    await furnish(terminal.database, "meise")
    out = tmp_path / "kanarie.json"
    done = await terminal.run("export", "--customer", ID, "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "1 events" in done.output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    written = out.read_text()
    document: dict[str, Any] = json.loads(written)
    assert document["customer"] == ID
    assert document["profile"]["email"] == person("kanarie")["email"]
    assert document["profile"]["traits"]["address"] == "Gassekanarie 3"
    # A part for each, filled, and said what it is.
    parts = {name: rows for name, rows in document.items() if isinstance(rows, list)}
    assert set(parts) <= set(document["about"])
    empty = {name for name, rows in parts.items() if not rows}
    assert empty == {"erasure", "suppressions", "messages_of_nobody"}
    # Every text of theirs that lies anywhere, and none of anybody else's.
    assert "meise" not in written.lower()
    left_out = {"alerts", "comparisons", "providers", "saved_views", "event_ids"}
    for table, rows in (await search(terminal.database, "Zeilekanarie-", "Wortkanarie")).items():
        for word in {
            word.strip('"{}[],') for row in rows for word in row.split() if "kanarie-" in word.lower()
        }:
            # Partitions hold what their table does; of our machinery these say nothing.
            hidden = word.endswith(("external_id_hash",)) or table in left_out
            assert hidden or word in written, (table, word)
    last = "SELECT action, actor_kind FROM audit_log ORDER BY id DESC LIMIT 1"
    [audited] = await _rows(terminal.database, last)
    assert audited == {"action": "customer.exported", "actor_kind": "system"}
    again = await terminal.run("export", "--customer", ID)
    assert json.loads(again.output)["audit"][-1]["action"] == "customer.exported"


async def test_nobody_is_exported_or_erased_who_isnt_there(terminal: Terminal) -> None:
    for words in (("export", "--customer", "nobody"), ("erase", "--customer", "nobody")):
        done = await terminal.run(*words)
        assert done.exit_code == 1
        assert "There is no customer 'nobody'" in str(done.exception)


async def test_erasing_asks_first_tells_how_far_it_is_and_what_went(terminal: Terminal) -> None:
    await furnish(terminal.database, "kanarie")
    refused = await terminal.run("erase", "--customer", ID, answer="n\n")
    assert refused.exit_code == 1
    assert "1 events" in refused.output
    assert await search(terminal.database, "kanarie")
    done = await terminal.run("erase", "--customer", ID, "--wait", answer="y\n")
    assert done.exit_code == 0, done.output
    assert "fenced: nothing is taken in" in done.output
    assert "erased for good: " in done.output
    assert "1 runs" in done.output
    assert await search(terminal.database, "kanarie") == {}
    listed = await terminal.run("erase", "--list")
    assert " done " in listed.output
    # Again: there is nothing to ask about.
    assert "erased for good" in (await terminal.run("erase", "--customer", ID)).output


async def test_without_waiting_a_worker_carries_it_on(terminal: Terminal) -> None:
    await furnish(terminal.database, "kanarie")
    done = await terminal.run("erase", "--customer", ID, "--yes", "--reason", "asked for")
    assert done.exit_code == 0
    assert "a worker carries it on" in done.output
    [row] = await _rows(terminal.database, "SELECT state, reason FROM erasures")
    assert row == {"state": "fenced", "reason": "asked for"}


async def test_without_temporal_the_customer_is_fenced_all_the_same(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.erase.CONNECT_SECONDS", 0.5)
    await furnish(terminal.database, "kanarie")
    terminal.environ["TEMPORAL_ADDRESS"] = "127.0.0.1:9"
    done = await terminal.run("erase", "--customer", ID, "--yes", "--wait")
    assert "can't be reached; the customer is fenced" in str(done.exception)
    assert await _rows(terminal.database, "SELECT state FROM erasures") == [{"state": "fenced"}]


async def test_what_was_erased_since_a_backup_is_erased_from_it(terminal: Terminal, tmp_path: Path) -> None:
    ids = await furnish(terminal.database, "kanarie")
    await terminal.run("erase", "--customer", ID, "--yes", "--wait")
    kept = await terminal.run("erase", "--list", "--format", "json")
    saved = tmp_path / "erasures.jsonl"
    saved.write_text(kept.output)
    assert "kanarie" not in kept.output
    # The database as it was before, tombstone and all.
    await _change(terminal.database, "DELETE FROM erasures")
    await _change(terminal.database, "DELETE FROM suppressions")
    await _change(
        terminal.database,
        "INSERT INTO customers (id, external_id, email, created_at) VALUES (:id, :name, :email, now())",
        id=ids["customer"], name=ID, email=ids["email"],
    )  # fmt: skip
    imported = await terminal.run("erase", "--import", str(saved))
    assert imported.exit_code == 0, imported.output
    assert "1 of 1 erasure(s) were not known here" in imported.output
    assert "1 erased customer(s) are in this database" in imported.output
    assert (await terminal.run("erase", "--customer", ID, "--yes", "--wait")).exit_code == 0
    assert await search(terminal.database, "kanarie") == {}
    assert await _rows(terminal.database, "SELECT count(*) > 0 AS any FROM suppressions") == [{"any": True}]
    again = await terminal.run("erase", "--import", str(saved))
    assert "0 of 1 erasure(s) were not known here" in again.output
    saved.write_text("{}\n")
    assert "this is no erasure" in str((await terminal.run("erase", "--import", str(saved))).exception)


async def test_allowing_somebody_again_says_what_stays(terminal: Terminal) -> None:
    await furnish(terminal.database, "kanarie")
    early = await terminal.run("erase", "--customer", ID, "--allow-again")
    assert "no finished erasure" in str(early.exception)
    await terminal.run("erase", "--customer", ID, "--yes", "--wait")
    done = await terminal.run("erase", "--customer", ID, "--allow-again")
    assert done.exit_code == 0
    assert "stay suppressed" in done.output
    assert "allowed again" in (await terminal.run("erase", "--list")).output


async def test_over_the_api_a_manager_erases_and_exports(web: RunningWeb) -> None:
    await furnish(web.other, "kanarie")
    exported = await web.client.get(f"/api/customers/{ID}/export")
    assert exported.status_code == 200
    assert exported.headers["content-disposition"] == 'attachment; filename="customer.json"'
    assert exported.json()["events"][0]["properties"]["traits"]["email"] == "frueher.kanarie@example.com"
    assert (await web.client.get(f"/api/customers/{ID}/erasure")).status_code == 404
    asked = await web.client.post(f"/api/customers/{ID}/erasure", json={"reason": "asked for"})
    assert asked.status_code == 202, asked.text
    assert asked.json()["state"] == "fenced"
    assert (await web.client.post(f"/api/customers/{ID}/erasure")).json()["id"] == asked.json()["id"]
    assert (await web.client.get(f"/api/customers/{ID}/erasure")).json()["state"] == "fenced"
    actions = await web.rows(
        "SELECT action, actor_name FROM audit_log WHERE action LIKE 'customer.%' ORDER BY id"
    )
    assert [row["action"] for row in actions] == ["customer.exported", "customer.erasure_requested"]
    # From the answer on nothing of theirs is taken in.
    sent = await web.client.post("/v1/track", json={"userId": ID, "event": "form_created"})
    assert sent.status_code == 200
    assert await web.rows("SELECT 1 FROM events WHERE name = 'form_created'") == []
    missing = await web.client.post("/api/customers/nobody/erasure")
    assert (missing.status_code, missing.json()["code"]) == (404, "HF200")


@pytest.mark.parametrize("role", ["csm", "ops", "service"])
async def test_nobody_below_a_manager_may(web: RunningWeb, role: str) -> None:
    await furnish(web.other, "kanarie")
    await web.change(
        "INSERT INTO api_keys (secret_hash, name, created_at, role) VALUES (:hash, 'k', :now, :role)",
        hash=hash_key("another-key-0123456789"), now=datetime.now(UTC), role=role,
    )  # fmt: skip
    headers = {"Authorization": "Bearer another-key-0123456789"}
    for method, path in (("POST", "erasure"), ("GET", "erasure"), ("GET", "export")):
        answer = await web.client.request(method, f"/api/customers/{ID}/{path}", headers=headers)
        assert answer.status_code == 403, (method, path, answer.text)
    assert await web.rows("SELECT 1 FROM erasures") == []


async def _rows(database: Database, sql: str) -> list[dict[str, Any]]:
    async with database.transaction() as connection:
        return [dict(row._mapping) for row in await connection.execute(text(sql))]


async def _change(database: Database, sql: str, **parameters: Any) -> None:
    async with database.transaction() as connection:
        await connection.execute(text(sql), parameters)
