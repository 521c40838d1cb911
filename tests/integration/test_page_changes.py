"""Open pages hear of what they show, whoever changed it and by whatever way, and of nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from activities.steps import StepOpening
from activities.versions import Versions
from loops.message_taking import MessageTaking
from schemas.catalogue import load_catalogue
from schemas.delivery_report import InboundMessage
from schemas.link_token import LinkKey, LinkToken
from schemas.plan import CompiledPlaybook
from store.addresses import hash_address
from store.contact import record_consent
from store.publishing import publish
from store.suppressions import lift, suppress
from tests.integration.evaluation_desk import when
from tests.integration.web_edge import SECRET, RunningWeb, furnish, run_web

PATIENCE_SECONDS = 20.0
ADDRESS, PHONE = "ada@example.com", "+4915112345678"


@pytest.fixture
async def web(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningWeb]:
    """Open pages; what is told to everybody is looked for at rings alone."""
    monkeypatch.setattr("web.changes.Changes.INTERVAL_SECONDS", 3600.0)
    async with run_web(database_url, HOLDFAST_PAGES="open") as running:
        yield running


class Listener:
    """A page's stream, read event by event."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> tuple[str, dict[str, Any]]:
        """The next event's kind and what it carries."""
        kind, data = "", {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    data = json.loads(value)
                elif not line and kind:
                    return kind, data
        raise AssertionError("the stream has ended")

    async def until(self, kind: str, part: str = "") -> dict[str, Any]:
        """The next event of a kind, of which one of the parts is this."""
        while True:
            found, data = await self.next()
            if found == kind and (not part or part in data["state"].split()):
                return data


@contextlib.asynccontextmanager
async def listening(web: RunningWeb, **about: str) -> AsyncIterator[Listener]:
    """A page's stream that misses nothing from here on."""
    async with web.client.stream("GET", "/changes", params=about) as response:
        assert response.status_code == 200
        listener = Listener(response.aiter_lines())
        assert await listener.next() == ("listening", {})
        yield listener


async def customer_id(web: RunningWeb, name: str = "ada/1") -> str:
    [row] = await web.rows("SELECT id::text AS id FROM customers WHERE external_id = :name", name=name)
    return str(row["id"])


async def sign(web: RunningWeb, purpose: Any, **more: str) -> str:
    return LinkKey(SECRET).sign(LinkToken(purpose, await customer_id(web), **more))


async def post_form(web: RunningWeb, path: str, fields: dict[str, str]) -> None:
    """As a browser's form does."""
    headers = {"Origin": web.address}
    async with httpx.AsyncClient(base_url=web.address, headers=headers, trust_env=False) as browser:
        answer = await browser.post(path, data=fields)
        assert answer.status_code == 303, answer.text


# ---- what changes, by what way ----


async def save_preferences(web: RunningWeb, ids: dict[str, str]) -> None:
    where = f"/preferences/{await sign(web, 'preferences')}"
    assert (await web.client.post(where, data={"do": "nothing"})).status_code == 303


async def unsubscribe(web: RunningWeb, ids: dict[str, str]) -> None:
    answer = await web.client.post(f"/u/{await sign(web, 'unsubscribe', channel='email')}")
    assert answer.status_code == 200


async def declare_by_api(web: RunningWeb, ids: dict[str, str]) -> None:
    said = {"source": "shop", "consents": [{"channel": "email", "granted": False}]}
    assert (await web.client.put("/api/customers/ada/1/consents", json=said)).status_code == 200


async def declare_in_another_tab(web: RunningWeb, ids: dict[str, str]) -> None:
    said = {"channel": "email", "word": "no", "source": "phone"}
    await post_form(web, "/customers/ada%2F1/consent", said)


async def import_an_older_word(web: RunningWeb, ids: dict[str, str]) -> None:
    async with web.other.transaction() as connection:
        await record_consent(
            connection, await customer_id(web), "email", "", granted=True, source="import",
            at=datetime.now(UTC) - timedelta(days=30),
        )  # fmt: skip


async def write_stop(web: RunningWeb, ids: dict[str, str]) -> None:
    taking = MessageTaking(StepOpening(web.other, load_catalogue(), Versions()))
    await taking.take(InboundMessage("twilio", "SM1", "sms", PHONE, "STOP", datetime.now(UTC)))


async def write_back(web: RunningWeb, ids: dict[str, str]) -> None:
    taking = MessageTaking(StepOpening(web.other, load_catalogue(), Versions()))
    await taking.take(InboundMessage("twilio", "SM2", "sms", PHONE, "Thank you", datetime.now(UTC)))


async def suppress_address(web: RunningWeb, ids: dict[str, str]) -> None:
    async with web.other.transaction() as connection:
        await suppress(connection, "email", hash_address("email", ADDRESS), "hard_bounce", datetime.now(UTC))


async def lift_suppression(web: RunningWeb, ids: dict[str, str]) -> None:
    async with web.other.transaction() as connection:
        hashes = [hash_address("email", ADDRESS)]
        assert await lift(connection, "email", hashes, None, by="cli", at=datetime.now(UTC))


async def track(web: RunningWeb, ids: dict[str, str]) -> None:
    body = {"userId": "ada/1", "event": "something_of_our_own", "messageId": str(uuid.uuid4())}
    assert (await web.client.post("/v1/track", json=body)).status_code == 200


async def identify(web: RunningWeb, ids: dict[str, str]) -> None:
    body = {"userId": "ada/1", "traits": {"firstName": "Ada Maria"}, "messageId": str(uuid.uuid4())}
    assert (await web.client.post("/v1/identify", json=body)).status_code == 200


async def move_score(web: RunningWeb, ids: dict[str, str]) -> None:
    await web.change("UPDATE signals SET health_score = 77, risk_level = 'healthy'")


async def score_the_day(web: RunningWeb, ids: dict[str, str]) -> None:
    await web.change(
        "INSERT INTO customer_health (customer_id, day, health_score, model, calculated_at) "
        "VALUES (CAST(:id AS uuid), current_date, 50, 'm', now())",
        id=await customer_id(web),
    )


async def take_task(web: RunningWeb, ids: dict[str, str]) -> None:
    answer = await web.client.post(f"/api/tasks/{ids['task']}/take", json={"by": "ben"})
    assert answer.status_code == 200


async def hand_on_task(web: RunningWeb, ids: dict[str, str]) -> None:
    body = {"to": "carla", "by": "grace"}
    assert (await web.client.post(f"/api/tasks/{ids['task']}/reassign", json=body)).status_code == 200


async def agree_on_a_time(web: RunningWeb, ids: dict[str, str]) -> None:
    at = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    body = {"startsAt": at}
    assert (await web.client.post(f"/api/tasks/{ids['task']}/reschedule", json=body)).status_code == 200


async def complete_task(web: RunningWeb, ids: dict[str, str]) -> None:
    body = {"outcome": "reached", "notes": "she is well", "durationMinutes": 5}
    assert (await web.client.post(f"/api/tasks/{ids['task']}/complete", json=body)).status_code == 200


async def schedule_call(web: RunningWeb, ids: dict[str, str]) -> None:
    said = {"about": "Usage is down", "who": "grace"}
    await post_form(web, "/customers/ada%2F1/call", said)


async def deliver(web: RunningWeb, ids: dict[str, str]) -> None:
    await web.change(
        "UPDATE deliveries SET status = 'delivered', status_at = now() WHERE id = :id", id=ids["email"]
    )


async def take_step(web: RunningWeb, ids: dict[str, str]) -> None:
    await web.change(
        "INSERT INTO run_steps (run_id, step, occurrence, word, outcome, at) "
        "VALUES (CAST(:run AS uuid), 'steps[5].set', 0, 'set', 'done', now())",
        run=ids["open"],
    )


async def pause_run(web: RunningWeb, ids: dict[str, str]) -> None:
    await web.change("UPDATE runs SET paused = true WHERE id = :run", run=ids["open"])


async def unlock(web: RunningWeb, ids: dict[str, str]) -> None:
    await web.change(
        "INSERT INTO rewards (id, run_id, customer_id, step, occurrence, feature, granted_at) "
        "VALUES (gen_random_uuid(), CAST(:run AS uuid), CAST(:id AS uuid), 's', 0, 'themes', now())",
        run=ids["open"], id=await customer_id(web),
    )  # fmt: skip


async def reach_milestone(web: RunningWeb, ids: dict[str, str]) -> None:
    body = {"userId": "ada/1", "milestoneType": "first_form"}
    answer = await web.client.post("/api/customer-success/onboarding/milestone", json=body)
    assert answer.status_code == 200


async def ask_for_erasure(web: RunningWeb, ids: dict[str, str]) -> None:
    answer = await web.client.post("/api/customers/ada/1/erasure", json={"reason": "asked to"})
    assert answer.status_code == 202


Way = Callable[[RunningWeb, dict[str, str]], Awaitable[None]]
# One after the other, and which parts of the page are others then.
WAYS: list[tuple[Way, set[str]]] = [
    (import_an_older_word, {"consent"}), (unsubscribe, {"consent"}), (save_preferences, {"consent"}),
    (declare_by_api, {"consent"}), (declare_in_another_tab, {"consent"}), (write_stop, {"consent", "suppressions"}),
    (write_back, {"replies"}), (suppress_address, {"suppressions"}), (lift_suppression, {"suppressions"}),
    (track, {"events"}), (identify, {"profile"}), (move_score, {"signals"}), (score_the_day, {"scores"}),
    (take_task, {"tasks"}), (hand_on_task, {"tasks"}), (agree_on_a_time, {"tasks"}), (complete_task, {"tasks"}),
    (schedule_call, {"tasks"}), (deliver, {"messages"}), (take_step, {"steps"}), (pause_run, {"runs"}),
    (unlock, {"rewards"}), (reach_milestone, {"milestones"}), (ask_for_erasure, {"erasure"}),
]  # fmt: skip


async def test_a_customers_page_hears_of_whatever_it_shows_by_whatever_way_it_came(web: RunningWeb) -> None:
    ids = await furnish(web)
    await identify_number(web)
    await give_to_team(web)
    async with listening(web, customer="ada/1") as page:
        for way, parts in WAYS:
            await way(web, ids)
            heard: set[str] = set()
            while not parts <= heard:
                try:
                    told = await page.until("page")
                except TimeoutError:
                    pytest.fail(f"{way.__name__}: told of {sorted(heard)}, not of {sorted(parts - heard)}")
                # Ours and the caller's id, and what changed: nothing that is personal.
                assert set(told) == {"kind", "id", "runId", "playbook", "userId", "state", "at"}
                assert told["userId"] == "ada/1"
                heard |= set(told["state"].split())
        assert told["id"] == await customer_id(web)


async def give_to_team(web: RunningWeb) -> None:
    await web.change("UPDATE tasks SET team = 'cs', assignee = 'cs'")


async def identify_number(web: RunningWeb) -> None:
    body = {"userId": "ada/1", "traits": {"phone": PHONE}, "messageId": "number"}
    assert (await web.client.post("/v1/identify", json=body)).status_code == 200


async def test_a_customers_page_hears_nothing_of_others(web: RunningWeb) -> None:
    ids = await furnish(web)
    for name in ("eve", "nobody-else"):
        await web.client.post("/v1/identify", json={"userId": name, "messageId": name, "traits": {}})
    async with listening(web, customer="eve") as page, listening(web) as overview:
        await complete_task(web, ids)
        await web.other.notify("holdfast_changes")
        assert (await overview.until("task"))["userId"] == "ada/1"
        body = {"userId": "eve", "event": "login", "messageId": "e1"}
        await web.client.post("/v1/track", json=body)
        # The first thing that this page hears of is its own customer's.
        kind, told = await page.next()
        assert (kind, told["userId"]) == ("page", "eve")


async def test_the_page_of_one_who_is_not_there_keeps_nobody_from_hearing(web: RunningWeb) -> None:
    ids = await furnish(web)
    await give_to_team(web)
    gone = str(uuid.uuid4())
    async with (
        listening(web, customer="zoe"),
        listening(web, run=gone),
        listening(web, customer="ada/1") as page,
    ):
        await take_task(web, ids)
        await page.until("page", "tasks")
    for wrong in ({"run": "no-uuid"}, {"run": f"{gone}\n"}, {"customer": "a\x00b"}):
        assert (await web.client.get("/changes", params=wrong)).status_code == 400


async def test_a_page_that_is_gone_is_told_so_and_one_that_comes_too(web: RunningWeb) -> None:
    async with listening(web, customer="ada/1") as page:
        await furnish(web)
        assert "profile" in (await page.until("page"))["state"]
        await web.change("DELETE FROM customers")
        assert (await page.until("page", "profile"))["userId"] == "ada/1"


async def test_a_runs_page_hears_of_its_run_alone(web: RunningWeb) -> None:
    ids = await furnish(web)
    async with listening(web, run=ids["open"]) as page, listening(web, run=ids["ended"]) as other:
        await web.change("UPDATE runs SET reason = 'won back' WHERE id = :id", id=ids["open"])
        told = await page.until("page", "run")
        assert (told["runId"], told["playbook"], told["userId"]) == (ids["open"], "rescue-open", "ada/1")
        await take_step(web, ids)
        await page.until("page", "steps")
        await complete_task(web, ids)
        await page.until("page", "tasks")
        await web.change("UPDATE runs SET reason = 'as imported' WHERE id = :id", id=ids["ended"])
        kind, told = await other.next()
        assert (kind, told["runId"]) == ("page", ids["ended"])


async def test_a_playbooks_page_hears_of_its_runs_and_of_its_being_published(web: RunningWeb) -> None:
    ids = await furnish(web)
    await web.change("DELETE FROM playbooks")
    playbooks: dict[str, CompiledPlaybook] = {
        "helping": when("health_score: < 40"), "another": when("health_score: < 40", "another"),
    }  # fmt: skip
    async with listening(web, playbook="rescue-open") as rescue, listening(web, playbook="helping") as page:
        async with web.other.transaction() as connection:
            await publish(connection, playbooks, {}, None, author="test", now=datetime.now(UTC))
        await take_step(web, ids)
        await web.other.notify("holdfast_changes")
        told = await page.until("playbook")
        assert (told["id"], told["playbook"]) == ("helping", "helping")
        heard = [await rescue.until("step")]
        assert {one["playbook"] for one in heard} == {"rescue-open"}


async def test_lists_hear_of_work_that_only_changes_hands_or_its_time(web: RunningWeb) -> None:
    ids = await furnish(web)
    await give_to_team(web)
    bodies = {
        "take": {"by": "grace"}, "release": {}, "reassign": {"to": "ben"},
        "reschedule": {"dueAt": (datetime.now(UTC) + timedelta(days=3)).isoformat()},
    }  # fmt: skip
    async with listening(web) as page:
        for verb, body in bodies.items():
            answer = await web.client.post(f"/api/tasks/{ids['task']}/{verb}", json=body)
            assert answer.status_code == 200
            await web.other.notify("holdfast_changes")
            told = await page.until("task")
            assert (told["id"], told["state"], told["userId"]) == (ids["task"], "open", "ada/1"), verb
