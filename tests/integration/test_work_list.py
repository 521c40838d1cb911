"""The work list of the API and the pages: filters, how work stands, taking, handing on, moving, completing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.policy import Policy, Team
from store.publishing import publish
from tests.integration.web_edge import KEY, RunningWeb, furnish, run_web

DAY = timedelta(days=1)
POLICY = Policy(teams={"cs": Team(members=("anna@example.com", "ben@example.com"))})


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url, HOLDFAST_API_KEY=KEY) as web:
        async with web.other.transaction() as connection:
            await publish(connection, {}, {}, POLICY, author="test", now=datetime.now(UTC))
        yield web


async def tasks(web: RunningWeb, **params: str) -> list[dict[str, Any]]:
    answer = await web.client.get("/api/tasks", params=params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["tasks"])


async def post(web: RunningWeb, path: str, status: int = 200, **body: Any) -> Any:
    answer = await web.client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_task_says_how_it_stands_and_what_is_known_of_the_customer(web: RunningWeb) -> None:
    ids = await furnish(web)
    [task] = await tasks(web)
    assert (task["id"], task["sla"], task["holder"], task["playbook"]) == (
        ids["task"], "on_time", "grace", "rescue-open",
    )  # fmt: skip
    assert (task["plan"], task["healthScore"], task["riskLevel"], task["churnProbability"]) == (
        "pro", 31, "critical", 0.73,
    )  # fmt: skip
    await web.change("UPDATE tasks SET remind_at = now() - interval '1 minute'")
    assert [one["sla"] for one in await tasks(web)] == ["due_soon"]
    await web.change("UPDATE tasks SET due_at = now() - interval '1 second'")
    assert [one["sla"] for one in await tasks(web)] == ["overdue"]


async def test_lists_are_mine_my_teams_overdue_or_due_today(web: RunningWeb) -> None:
    await furnish(web)
    await web.change("UPDATE tasks SET team = 'cs', assignee = 'cs', due_at = now() + interval '3 days'")
    found = {
        name: len(await tasks(web, **{key: value}))
        for name, key, value in (
            ("team", "team", "cs"), ("other", "team", "sales"), ("mine", "mine", "anna@example.com"),
            ("waiting", "mine", "cs"), ("overdue", "due", "overdue"), ("today", "due", "today"),
        )
    }  # fmt: skip
    assert found == {"team": 1, "other": 0, "mine": 0, "waiting": 1, "overdue": 0, "today": 0}
    await web.change("UPDATE tasks SET taken_by = 'anna@example.com', due_at = now() - interval '1 hour'")
    for params in ({"mine": "anna@example.com"}, {"due": "overdue"}, {"due": "today"}, {"assignee": "cs"}):
        assert len(await tasks(web, **params)) == 1
    assert await tasks(web, mine="cs") == []


async def test_work_is_taken_given_back_handed_on_and_moved(web: RunningWeb) -> None:
    task = f"/api/tasks/{(await furnish(web))['task']}"
    await web.change("UPDATE tasks SET team = 'cs', assignee = 'cs'")
    assert (await post(web, f"{task}/take", by="anna@example.com"))["task"]["holder"] == "anna@example.com"
    assert "anna@example.com has it" in (await post(web, f"{task}/take", 409, by="ben@example.com"))["detail"]
    assert (await post(web, f"{task}/release"))["task"]["holder"] == "cs"
    moved = await post(web, f"{task}/reassign", to="ben@example.com", by="lena")
    assert moved["task"]["assignedBecause"] == "lena handed it on from cs"
    begins = (datetime.now(UTC) + 2 * DAY).replace(microsecond=0)
    answer = await post(web, f"{task}/reschedule", startsAt=begins.isoformat())
    assert datetime.fromisoformat(answer["task"]["startsAt"]) == begins
    assert datetime.fromisoformat(answer["task"]["dueAt"]) == begins + timedelta(minutes=30)
    later = await post(web, f"{task}/reschedule", dueAt=(begins + DAY).isoformat())
    assert later["task"]["startsAt"] is None
    for wrong in ({}, {"startsAt": "2020-01-01T09:00:00Z"}, {"startsAt": "2030-01-01T09:00:00"}):
        await post(web, f"{task}/reschedule", 422, **wrong)
    await post(web, f"{task}/complete", outcome="reached")
    for verb in ("take", "release"):
        await post(web, f"{task}/{verb}", 409)
    await post(web, f"{task}/reassign", 409, to="x")


async def test_completing_notes_rating_minutes_and_what_follows(web: RunningWeb) -> None:
    task = f"/api/tasks/{(await furnish(web))['task']}"
    again = (datetime.now(UTC) + 7 * DAY).replace(microsecond=0)
    await post(web, f"{task}/complete", 422, outcome="reached", satisfactionRating=6)
    await post(web, f"{task}/complete", 422, outcome="reached", followUpAt="2020-01-01T09:00:00Z")
    body: dict[str, Any] = {
        "outcome": "reached",
        "satisfactionRating": 4,
        "durationMinutes": 12,
        "followUpAt": again.isoformat(),
    }
    await post(web, f"{task}/complete", **body)
    more, done = await tasks(web)
    assert (done["satisfactionRating"], done["durationMinutes"], done["sla"]) == (4, 12, "on_time")
    assert (more["follows"], more["runId"], more["holder"]) == (done["id"], None, "grace")
    assert datetime.fromisoformat(more["dueAt"]) == again
    rows = (await web.client.get("/api/customer-success/performance")).json()["metrics"]
    assert [(row["agent"], row["interactionsCompleted"], row["avgSatisfactionRating"]) for row in rows] == [
        ("grace", 1, 4.0)
    ]
    assert (await web.client.get("/api/customer-success/performance?team=x")).status_code == 404
    assert (await web.client.get("/api/customer-success/performance?team=cs")).json()["metrics"] == []


async def test_the_page_takes_moves_and_hands_on(database_url: str) -> None:
    async with run_web(database_url, HOLDFAST_PAGES="open") as web:
        async with web.other.transaction() as connection:
            await publish(connection, {}, {}, POLICY, author="test", now=datetime.now(UTC))
        ids = await furnish(web)
        await web.change("UPDATE tasks SET team = 'cs', assignee = 'cs', assigned_because = '<b>whoever</b>'")
        page = (await web.client.get("/tasks?team=cs")).text
        assert "Take it" in page
        assert "on time" in page
        assert "&lt;b&gt;whoever" in page
        headers = {"Origin": web.address}

        async def do(verb: str, **fields: str) -> str:
            answer = await web.client.post(f"/tasks/{ids['task']}/{verb}", data=fields, headers=headers)
            assert answer.status_code == 303, answer.text
            return str(answer.headers["location"])

        assert "refused=Say+who" in await do("take")
        assert await do("take", by="anna@example.com") == "/tasks?told=It+is+yours.&mine=anna%40example.com"
        page = (await web.client.get("/tasks?mine=anna@example.com")).text
        assert "Give back" in page
        assert "Take it" not in page
        begins = f"{datetime.now(UTC) + 2 * DAY:%Y-%m-%dT%H:%M}"
        assert "told=Moved." in await do("reschedule", starts_at=begins, by="anna@example.com")
        assert "can%27t+be+read" in await do("reschedule", starts_at="tomorrow")
        assert "told=Handed+on." in await do("reassign", to="ben@example.com", by="anna@example.com")
        assert "whole+number+from+1+to+5" in await do("complete", outcome="reached", rating="9")
        await do(
            "complete", outcome="reached", rating="5", minutes="10", follow_up=begins, by="ben@example.com"
        )
        rows = await web.rows("SELECT state, satisfaction_rating FROM tasks ORDER BY created_at")
        assert [tuple(row.values()) for row in rows] == [("done", 5), ("open", None)]
        assert (await web.client.get("/tasks")).status_code == 200
        stolen = await web.client.post(f"/tasks/{ids['task']}/take", data={"by": "x"})
        assert stolen.status_code == 403
