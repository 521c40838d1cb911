"""The three stories that must work, on the whole system with the playbooks that ship: mails, calls, and the pages.

Time is played: what takes three weeks takes seconds, and nothing else is different from a live system.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Shot, assert_accessible
from tests.integration.stage import Stage, set_stage, text_of
from tests.integration.web_edge import RunningWeb

MAYA, ELENA, JONAS = "demo-story-1", "demo-story-2", "demo-story-3"


@pytest.fixture
async def stage(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with set_stage(database_url, monkeypatch) as stage:
        yield stage


@pytest.fixture
async def web(stage: Stage) -> RunningWeb:
    """The stage's own web process, in place of the one of other tests: `page` is on it."""
    return stage.web


async def test_story_1_a_new_photographer_is_helped_past_her_first_clients(
    stage: Stage, page: Page, shot: Shot
) -> None:
    begun = stage.time.now
    await page.goto(f"{stage.web.address}/customers/{MAYA}")
    await stage.pass_(hours=24)

    # Score and adoption mark her at risk, and within 24 hours a mail names the facts of her account.
    [run] = await stage.runs_of(MAYA)
    assert (run["playbook"], run["state"]) == ("first-steps", "running")
    [mail] = stage.mails_to("maya@")
    for said in ("5 clients", "1 form ", "2024 client list", "15-minute set-up call"):
        assert said in text_of(mail), said
    [sent] = await stage.web.rows("SELECT settled_at FROM deliveries d JOIN runs r ON r.id = d.run_id "
                                  "WHERE r.playbook = 'first-steps' AND d.state = 'accepted'")  # fmt: skip
    assert sent["settled_at"] - begun < timedelta(hours=24)
    await page.goto(f"{stage.web.address}/customers/{MAYA}")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Maya Lindqvist Photography")
    await expect(page.locator("header.who-is")).to_contain_text("at risk")
    await expect(page.get_by_role("region", name="In playbooks now")).to_contain_text("first-steps")
    happened = page.get_by_role("region", name="What happened")
    await expect(happened).to_contain_text("Maya, your first 5 clients are in")
    await assert_accessible(page)
    await shot(page, "story-1-mail")

    # She imports her list, and the goal is met.
    await stage.tell(MAYA, ("login", {}), ("client_imported", {"count": 41}))
    [run] = await stage.runs_of(MAYA)
    assert (run["state"], run["outcome"]) == ("ended", "success")
    assert "client-list-imported" in run["reason"]
    await page.goto(f"{stage.web.address}/runs/{run['id']}")
    await expect(page.get_by_role("main")).to_contain_text("client-list-imported")
    await shot(page, "story-1-goal")

    # Nothing further is sent, on any channel, while she goes on with her work.
    for _ in range(7):
        await stage.pass_(days=3)
        await stage.tell(MAYA, ("login", {}))
    assert len(stage.mails_to("maya@")) == 1
    messages = await stage.web.rows(
        "SELECT d.channel FROM deliveries d JOIN customers c ON c.id = d.customer_id WHERE c.external_id = :name",
        name=MAYA,
    )
    assert [one["channel"] for one in messages] == ["email"]
    assert [one for one in stage.twilio.accepted if "+447700900141" in str(one)] == []


async def test_story_2_a_photographer_who_is_leaving_is_rescued(stage: Stage, page: Page, shot: Shot) -> None:
    await stage.pass_(hours=4)
    # The rescue starts by itself, with a call on the list of her success manager.
    [run] = await stage.runs_of(ELENA)
    assert (run["playbook"], run["state"]) == ("rescue-declining-supplier", "running")
    await page.goto(f"{stage.web.address}/churn")
    row = page.get_by_role("row").filter(has_text="Foxglove & Light")
    [known] = await stage.web.rows("SELECT churn_probability FROM signals s JOIN customers c ON c.id = s.customer_id "
                                   "WHERE c.external_id = :name", name=ELENA)  # fmt: skip
    assert known["churn_probability"] >= 0.7
    await expect(row.first).to_contain_text(f"{known['churn_probability']:.0%}".replace("%", " %"))
    await shot(page, "story-2-churn")
    await page.goto(f"{stage.web.address}/tasks?mine=chiara.rossi@example.com")
    call = page.get_by_role("article").filter(has_text="Elena, Foxglove & Light: use is down")
    await expect(call).to_contain_text("chiara.rossi@example.com")
    await assert_accessible(page)
    await shot(page, "story-2-call")

    # Chiara has called, and says so on the page; her own templates that work best follow.
    await call.get_by_label("Notes").fill("The season was slow. She wants to send invitations again.")
    await call.get_by_label("Minutes").fill("18")
    await call.get_by_label("Your name").first.fill("chiara.rossi@example.com")
    await call.get_by_role("button", name="reached").click()
    await expect(page.get_by_role("article").filter(has_text="Elena, Foxglove")).to_have_count(0)
    await stage.follow()
    [mail] = stage.mails_to("elena@")
    assert "Client invitation: short and warm" in text_of(mail)

    # She is back: premium is hers for seven days, and no longer.
    await stage.pass_(hours=26)
    await stage.tell(ELENA, ("login", {}))
    [reward] = await _rewards(stage)
    assert (reward["feature"], reward["active"]) == ("premium", True)
    await page.goto(f"{stage.web.address}/customers/{ELENA}")
    await expect(page.get_by_role("region", name="What happened")).to_contain_text("premium")
    await shot(page, "story-2-premium")
    await stage.pass_(days=1)
    await stage.tell(ELENA, ("plan_changed", {"from": "monthly", "to": "annual"}))
    run = (await stage.runs_of(ELENA))[0]
    assert (run["state"], run["outcome"]) == ("ended", "success")
    await stage.pass_(days=5)
    [reward] = await _rewards(stage)
    assert reward["active"] is True
    await stage.pass_(days=1, hours=1)
    [reward] = await _rewards(stage)
    assert reward["active"] is False

    # The result and what it cost.
    [done] = await stage.web.rows("SELECT outcome, cost_to_execute, success_achieved FROM intervention_executions "
                                  "WHERE run_id = CAST(:id AS uuid)", id=run["id"])  # fmt: skip
    assert (done["outcome"], done["success_achieved"]) == ("success", True)
    # Eighteen minutes of Chiara's at the policy's price, and the mail.
    assert float(done["cost_to_execute"]) == pytest.approx(18 * 0.8, abs=0.1)
    await page.goto(f"{stage.web.address}/runs/{run['id']}")
    facts = page.locator("[data-part=facts]")
    await expect(facts).to_contain_text("goal back-on-track")
    await expect(facts).to_contain_text(f"${float(done['cost_to_execute']):.2f} messages and people's time")
    await expect(facts).to_contain_text("Value kept$")
    # What was taken back afterwards comes after the end.
    happened = (
        await page.get_by_role("region", name="What happened").locator(".timeline li").all_inner_texts()
    )
    assert "Ended" in happened[-2]
    assert "taken back" in happened[-1]
    await assert_accessible(page)
    await shot(page, "story-2-result")
    # The effect can't be told of one customer, but what it cost can.
    await page.goto(f"{stage.web.address}/playbooks/rescue-declining-supplier/results")
    told = page.get_by_role("region", name="Did it help, and what did it cost?")
    await expect(told).to_contain_text("people's time of 1 run that is over")
    await assert_accessible(page)
    await shot(page, "story-2-report")


async def test_story_3_whoever_stays_away_is_written_to_and_called_until_he_is_back(
    stage: Stage, page: Page, shot: Shot
) -> None:
    await stage.pass_(hours=9)
    # Twelve days away, and a score of 35; the mail leaves in his morning, in New York.
    [mail] = stage.mails_to("jonas@")
    assert mail["Subject"] == "Jonas, what stopped you?"
    assert "12 days" in text_of(mail)
    await page.goto(f"{stage.web.address}/customers/{JONAS}")
    await expect(page.locator("header.who-is")).to_contain_text("35")
    await expect(page.locator("header.who-is")).to_contain_text("critical")
    await expect(page.get_by_role("region", name="In playbooks now")).to_contain_text("come-back")
    await shot(page, "story-3-mail")

    # Two working days later a call is due, and nobody answers: the free session is offered by mail.
    await stage.pass_(days=2)
    await page.goto(f"{stage.web.address}/tasks?mine=ben.okafor@example.com")
    call = page.get_by_role("article").filter(has_text="Jonas hasn't logged in for 14 days")
    await call.get_by_label("Your name").first.fill("ben.okafor@example.com")
    await call.get_by_role("button", name="no answer").click()
    await expect(page.get_by_role("article").filter(has_text="Jonas hasn't logged in")).to_have_count(0)
    await stage.follow()
    await stage.pass_(hours=24)
    assert "complimentary" in text_of(stage.mails_to("jonas@")[1])

    # The moment he is back the run stops, and the last message is never sent.
    await stage.tell(JONAS, ("login", {}))
    [run] = await stage.runs_of(JONAS)
    assert (run["state"], run["outcome"]) == ("ended", "success")
    assert run["ended_at"] - stage.time.now < timedelta(minutes=5)
    await page.goto(f"{stage.web.address}/customers/{JONAS}")
    await expect(page.get_by_role("region", name="What happened")).to_contain_text("come-back")
    await assert_accessible(page)
    await shot(page, "story-3-back")
    await stage.pass_(days=10)
    assert len(stage.mails_to("jonas@")) == 2
    assert [one for one in stage.twilio.accepted if "+12125550172" in str(one)] == []


async def _rewards(stage: Stage) -> list[dict[str, object]]:
    """What playbooks unlocked for Elena, as the product asks for it."""
    answer = await stage.web.client.get(f"/api/customers/{ELENA}/rewards")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["rewards"])
