"""A file that says what it does, carried out by the whole engine: reward, set, start, webhook and task in one run."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from sqlalchemy import text

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.loader import load_playbooks
from store.tasks import complete_task
from tests.integration.plans import ada
from tests.integration.running_engine import House
from tests.standins.http import respond
from tests.standins.receiver import ReceiverStandIn, verify

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
MAIN = """\
playbook: everything
title: One of each
owner: cs
status: live
enter:
  when:
    event: {name: help_wanted}
steps:
  - id: premium
    reward: {feature: premium, for: 7d}
  - id: good
    reward: analytics
  - id: mark
    set: {tag: vip, attributes: {tier: "{{ steps.premium.outcome }}"}}
  - id: ask
    webhook:
      url: URL/tiers
      body: {who: "{{ customer.id }}", tags: "{{ signals.tags | join('+') }}"}
  - id: only-gold
    if: {tags: {contains: vip}}
    then:
      - id: look
        task: {title: "{{ customer.first_name }} is {{ steps.ask.body.tier }}", due: 1h}
        outcomes: {seen: next}
  - start: other
"""
OTHER = """\
playbook: other
title: Started by another
owner: cs
status: live
steps:
  - wait: 1d
"""


async def test_each_step_does_its_part_and_later_ones_see_it(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ReceiverStandIn([respond(200, b'{"tier": "gold"}')]) as receiver:
        monkeypatch.setenv("HOLDFAST_WEBHOOK_HOSTS", receiver.host)
        monkeypatch.setenv("HOLDFAST_WEBHOOK_SECRET", SECRET)
        (tmp_path / "everything.yaml").write_text(MAIN.replace("URL", receiver.url), encoding="utf-8")
        (tmp_path / "other.yaml").write_text(OTHER, encoding="utf-8")
        loaded = load_playbooks(tmp_path, load_catalogue(), find_step_types())
        assert loaded.problems == []
        await house.engine.publish(*loaded.playbooks.values())
        await ada(house)
        await house.engine.send("ada", "help_wanted")
        [task] = await house.engine.until("SELECT id::text AS id, title FROM tasks", seconds=60)
        assert task["title"] == "Ada is gold"
        await complete_task(house.engine.database, task["id"], "seen", by="grace")
        [run] = await house.engine.until(
            "SELECT id::text AS id FROM runs WHERE ended_at IS NOT NULL", seconds=60
        )
        [request] = receiver.requests
        assert verify(request, SECRET)
        assert receiver.bodies == [{"who": "ada", "tags": "vip"}]
    rows = await house.engine.rows(
        "SELECT step, outcome FROM run_steps WHERE run_id = :run ORDER BY at, step", run=run["id"]
    )
    assert {row["step"]: row["outcome"] for row in rows} == {
        "premium": "granted", "good": "granted", "mark": "set", "ask": "done", "only-gold": "then", "look": "seen",
        "steps[5]": "asked",
    }  # fmt: skip
    rewards = await house.engine.rows("SELECT feature, until FROM rewards ORDER BY until")
    assert [(row["feature"], row["until"] is None) for row in rewards] == [
        ("premium", False),
        ("analytics", True),
    ]
    [customer] = await house.engine.rows("SELECT traits ->> 'tier' AS tier FROM customers")
    assert customer["tier"] == "granted"
    await house.engine.until("SELECT 1 FROM runs WHERE playbook = 'other' AND state = 'running'", seconds=30)
    # The week is over; upkeep comes by every second.
    async with house.engine.database.transaction() as connection:
        await connection.execute(text("UPDATE rewards SET until = now() WHERE until IS NOT NULL"))
    await house.engine.until("SELECT 1 FROM events WHERE name = 'feature_locked'", seconds=30)
    [taken] = await house.engine.rows(
        "SELECT revoked_at = until AS in_time FROM rewards WHERE feature = 'premium'"
    )
    assert taken["in_time"]
