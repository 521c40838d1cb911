"""The list of work as one's own, and the team's page: what everybody did, and has to do now."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from schemas.policy import Policy, Team
from store.publishing import publish
from tests.integration.browsing import signed_in
from tests.integration.web_edge import RunningWeb, furnish, run_web

pytestmark = pytest.mark.usefixtures("quick_hashes")

ANNA, BEN = "anna@example.com", "ben@example.com"
POLICY = Policy(teams={"cs": Team(members=(ANNA, BEN), lead=ANNA)})


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url, HOLDFAST_PUBLIC_URL="http://127.0.0.1") as running:
        async with running.other.transaction() as connection:
            await publish(connection, {}, {}, POLICY, author="test", now=datetime.now(UTC))
        yield running


async def test_whoever_is_signed_in_sees_their_own_work_and_what_nobody_has(web: RunningWeb) -> None:
    ids = await furnish(web)
    await web.change("UPDATE tasks SET team = 'cs', assignee = 'cs', due_at = now() - interval '1 hour'")
    async with signed_in(web, "csm", ANNA) as browser:

        async def see(query: str = "") -> str:
            answer = await browser.get(f"/tasks{query}")
            assert answer.status_code == 200
            return answer.text

        assert "Nothing is open here." in await see()
        waiting = await see("?view=unassigned&due=overdue")
        assert "Take it" in waiting
        assert "Your name" not in waiting
        assert "Nobody&#39;s yet <span>1</span>" in waiting
        assert "overdue" in waiting
        path = f"/tasks/{ids['task']}"
        taken = await browser.send(f"{path}/take", back="view=unassigned&due=overdue&evil=1")
        assert taken.headers["location"] == "/tasks?told=It+is+yours.&view=unassigned&due=overdue"
        assert "Give back" in await see()
        # What a form says of who it is doesn't count for whoever is signed in.
        done = await browser.send(
            f"{path}/complete", outcome="reached", notes="All is well.", rating="5", by="somebody else"
        )
        assert "Noted" in done.headers["location"]
        [row] = await web.rows("SELECT completed_by, taken_by, satisfaction_rating FROM tasks")
        assert tuple(row.values()) == (ANNA, ANNA, 5)
        again = await browser.send(f"{path}/complete", outcome="declined")
        assert "This+call+is+closed" in again.headers["location"]
        # Twice the same is once; what somebody else noted meanwhile isn't lost without a word.
        same = await browser.send(f"{path}/complete", outcome="reached", notes="All is well.")
        assert "told=Noted" in same.headers["location"]
        slower = await browser.send(f"{path}/complete", outcome="reached", notes="They want a demo.")
        assert "refused=This+call+is+closed" in slower.headers["location"]
        assert "Somebody+else+was+faster" in slower.headers["location"]


async def test_customer_facts_and_the_booking_link_are_there_to_unfold(web: RunningWeb) -> None:
    await furnish(web)
    await web.change("UPDATE customers SET csm = :csm, email = 'ada@example.com'", csm=ANNA)
    async with signed_in(web, "csm", ANNA) as browser:
        page = (await browser.get("/tasks?view=all")).text
    assert "What is known of" in page
    assert 'href="mailto:ada%40example.com"' in page
    assert "/book/" in page


async def test_the_team_page_adds_up_what_everybody_did_and_has(web: RunningWeb) -> None:
    ids = await furnish(web)
    await web.change(
        "UPDATE tasks SET assignee = :ben, team = 'cs', due_at = now() - interval '1 h'", ben=BEN
    )
    await web.change(
        "INSERT INTO tasks (id, customer_id, step, occurrence, kind, title, about, assignee, outcomes, state, outcome, "
        "notes, created_at, due_at, give_up_at, closed_at, satisfaction_rating) SELECT gen_random_uuid(), customer_id, "
        "'x', n, 'call', 'Call', '', :anna, '{reached}', 'done', 'reached', '', now() - interval '5 hours', now(), "
        "now(), now() - make_interval(days => n), CASE n WHEN 0 THEN 5 WHEN 1 THEN 2 END "
        "FROM tasks, generate_series(0, 2) n "
        "WHERE id = CAST(:id AS uuid)",
        anna=ANNA, id=ids["task"],
    )  # fmt: skip
    await web.change(
        "INSERT INTO churn_predictions (customer_id, prediction_date, churn_probability, risk_level, "
        "prediction_factors, model_version, source, ltv_at_risk, actual_churn, calculated_at, model_confidence, "
        "intervention_recommended, intervention_priority) SELECT customer_id, d::date, 0.8, 'critical', "
        "'{}', 'm', 'model', 700, false, now(), 'high', true, 1 "
        "FROM (SELECT DISTINCT customer_id, (closed_at AT TIME ZONE 'UTC')::date AS d "
        "FROM tasks WHERE state = 'done') t"
    )
    await web.change("UPDATE customers SET csm = :anna", anna=ANNA)
    async with signed_in(web, "csm", ANNA) as browser:
        page = (await browser.get("/team?period=7d&sort=name")).text
        cells = {
            name: [
                re.sub(r"<[^>]+>|\s+", " ", cell).strip()
                for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)
            ]
            for name, row in re.findall(r'<tr data-key="([^"]+)">(.*?)</tr>', page, re.S)
        }
        assert list(cells) == [ANNA, BEN]
        # Accounts, open, overdue, interactions, rating, hours, improved, stayed, upgrades, value.
        assert cells[ANNA][1:5] == ["0", "0", "3", "3.5  of 2"]
        # Whoever has cancelled is on nobody's account, nor on the list that the number leads to.
        assert cells[ANNA][0] == str(await web.count("customers"))
        await web.change("UPDATE signals SET subscription_status = 'cancelled' WHERE plan IS NOT NULL")
        [gone] = await web.rows("SELECT count(*) AS n FROM signals WHERE subscription_status = 'cancelled'")
        fewer = (await browser.get("/team?period=7d&sort=name")).text
        assert gone["n"] > 0
        assert f">{int(cells[ANNA][0]) - gone['n']}</a></td>" in fewer
        assert cells[ANNA][7:10] == ["1", "0", "$700"]
        assert cells[BEN][1:4] == ["1", "1", "0"]
        busiest = (await browser.get("/team?period=7d&sort=-load&team=cs")).text
        assert busiest.index(f'data-key="{BEN}"') < busiest.index(f'data-key="{ANNA}"')
        assert 'aria-sort="descending"' in busiest
        assert (await browser.get("/team?team=nobody")).status_code == 404
        assert (await browser.get("/team?period=1d")).status_code == 400
