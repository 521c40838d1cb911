"""Values that nobody can have meant, and answers that must not be kept: each is told as what it is."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.errors import SettingError
from tests.integration.open_pages import browser_of
from tests.integration.web_edge import RunningWeb, furnish, run_web

ROOT = Path(__file__).parents[2]
# The end of the calendar, and a moment after which no deadline fits into it.
LAST, NEARLY_LAST = "9999-12-31T23:59:00", "9999-12-15T00:00:00"


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url, HOLDFAST_PAGES="open") as running:
        yield running


def told(answer: httpx.Response) -> str:
    """Why a form was refused."""
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


@pytest.mark.parametrize("moment", [LAST, NEARLY_LAST, "2126-03-02T09:00:00"])
async def test_a_year_that_was_mistyped_is_told_so_wherever_a_time_is_agreed_on(
    web: RunningWeb, moment: str
) -> None:
    ids = await furnish(web)
    asked: tuple[tuple[str, dict[str, Any]], ...] = (
        ("reschedule", {"startsAt": f"{moment}Z"}),
        ("reschedule", {"dueAt": f"{moment}Z"}),
        ("complete", {"outcome": "reached", "followUpAt": f"{moment}Z"}),
    )
    for verb, body in asked:
        answer = await web.client.post(f"/api/tasks/{ids['task']}/{verb}", json=body)
        assert answer.status_code == 400, answer.text
        assert "five years" in answer.json()["detail"]
        assert answer.json()["remedy"] == "Check the year."
    async with browser_of(web) as browser:
        called = await browser.post("/customers/ada%2F1/call", data={"at": moment[:16]})
        assert "refused=That+is+more+than+five+years+ahead" in told(called)
        moved = await browser.post(f"/tasks/{ids['task']}/reschedule", data={"due_at": moment[:16]})
        assert "refused=That+is+more+than+five+years+ahead" in told(moved)
    [task] = await web.rows("SELECT state FROM tasks")
    assert task["state"] == "open"


async def test_so_many_minutes_that_no_number_holds_them_are_refused(web: RunningWeb) -> None:
    ids = await furnish(web)
    async with browser_of(web) as browser:
        fields = {"outcome": "reached", "minutes": "000000000999999999999", "by": "anna"}
        answer = await browser.post(f"/tasks/{ids['task']}/complete", data=fields)
    assert "refused=The+minutes+must+be+a+whole+number" in told(answer)


async def test_a_field_of_the_editor_that_the_database_cannot_hold_is_refused(
    database_url: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "playbooks", tmp_path / "playbooks")
    source = (ROOT / "playbooks" / "come-back.yaml").read_text(encoding="utf-8")
    settings = {"HOLDFAST_PLAYBOOKS": str(tmp_path / "playbooks"), "HOME": os.environ.get("HOME", "/")}
    async with (
        run_web(database_url, HOLDFAST_PAGES="open", **settings) as web,
        browser_of(web) as browser,
    ):
        fields = {"source": "playbook: come-back", "action": "find", "search": "\x00", "based_on": ""}
        answer = await browser.post("/playbooks/come-back/try", data=fields)
        trial = {"source": source, "facts": {"customer": "c-17"}, "start": "0001-01-01T00:00:00+14:00"}
        early = await web.client.post("/api/playbooks/come-back/simulate", json=trial)
    assert answer.status_code == 400
    assert "a character that can&#39;t be stored" in answer.text
    # The year before the first: told as the simulation tells it.
    assert early.status_code == 400, early.text


async def test_a_stranger_sends_no_large_form(database_url: str) -> None:
    async with run_web(database_url) as web:
        headers = {"Authorization": "", "Content-Type": "application/x-www-form-urlencoded"}
        answer = await web.client.post("/playbooks/come-back/try", content=b"x" * 12_000_000, headers=headers)
    assert answer.status_code in (303, 401, 403)


async def test_what_is_said_to_be_kept_by_nobody_is_kept_by_no_cache(web: RunningWeb) -> None:
    await furnish(web)
    answer = await web.client.get("/api/customers/ada%2F1/export")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


async def test_a_page_that_is_asked_for_in_another_way_says_which_ways_there_are(web: RunningWeb) -> None:
    async with browser_of(web) as browser:
        answer = await browser.put("/alerts")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "path", ["/book/cut-off", "/calendar/cut-off.ics", "/u/cut-off", "/preferences/cut-off"]
)
async def test_customers_whose_link_is_cut_off_see_nothing_of_the_operators_pages(
    database_url: str, path: str
) -> None:
    async with run_web(database_url, HOLDFAST_SECRET_KEY="s" * 64) as web:
        answer = await web.client.get(path, headers={"Accept": "text/html", "Authorization": ""})
    assert answer.status_code == 404
    assert "This link is not complete" in answer.text
    assert "/playbooks" not in answer.text
    assert "Go to the overview" not in answer.text


async def test_who_sees_metrics_is_settled_before_anybody_asks(database_url: str) -> None:
    with pytest.raises(SettingError, match="HOLDFAST_METRICS is 'everybody'"):
        async with run_web(database_url, HOLDFAST_METRICS="everybody"):
            pass


async def test_a_bulk_start_that_waits_for_a_worker_is_looked_at_anew_by_a_script_and_without_one(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.page_bulk.PATIENCE_SECONDS", 0.1)
    await furnish(web)
    batch = "7d7f5e6e-7a0c-4a3c-9d5e-0d5c8f1f2a3b"
    async with browser_of(web) as browser:
        chosen = {"playbook": "rescue-open", "pick": "ada/1", "batch": batch}
        assert (await browser.post("/bulk/start", data=chosen)).status_code == 303
        page = (await browser.get(f"/bulk/{batch}")).text
        script = await browser.get("/static/bulk.js")
    # A page that loads itself anew takes the place of whoever reads it by ear.
    assert page.count("http-equiv") == len(re.findall(r"<noscript><meta http-equiv", page)) == 1
    assert "data-undecided" in page
    assert '<script type="module" src="/static/bulk.js">' in page
    assert "[data-undecided]" in script.text
