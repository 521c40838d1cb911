"""The pages of playbooks, as they come without a script: what they show, and what their forms do."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from loops.playbook_files import read_directory
from loops.publishing import publish_files
from loops.rollback import roll_back
from schemas.catalogue import load_catalogue
from store.database import Database
from tests.integration.open_pages import browser_of, page
from tests.integration.web_edge import SECRET, RunningWeb, run_web

ROOT = Path(__file__).parents[2]
NAME = "rescue-declining-supplier"


POPULATION = (
    "INSERT INTO customers (id, external_id, created_at) "
    "SELECT gen_random_uuid(), 'c' || n, now() FROM generate_series(1, 40) AS n",
    """
    INSERT INTO runs (id, playbook, version, customer_id, arm, state, entered_at, workflow_id, step, outcome, ended_at)
    SELECT gen_random_uuid(), :name, (SELECT version FROM playbooks WHERE name = :name), id,
        CASE WHEN n <= 24 THEN 'treated' WHEN n <= 34 THEN 'held_out' ELSE 'shadow' END,
        CASE WHEN n <= 4 THEN 'running' ELSE 'ended' END, now() - n * interval '12 hours', 'w' || n,
        CASE WHEN n <= 4 THEN 'success-call' END,
        CASE WHEN n > 4 AND n % 2 = 0 THEN 'success' WHEN n > 4 THEN 'expired' END,
        CASE WHEN n > 4 THEN now() END
    FROM (SELECT id, substr(external_id, 2)::int AS n FROM customers) AS c
    """,
    """
    INSERT INTO exposures (customer_id, experiment, variant, run_id, at)
    SELECT customer_id, playbook || '/templates-or-checklist',
        CASE WHEN row_number() OVER (ORDER BY entered_at) % 2 = 0 THEN 'templates' ELSE 'checklist' END, id, entered_at
    FROM runs WHERE arm = 'treated'
    """,
    """
    INSERT INTO deliveries (id, run_id, customer_id, step, occurrence, channel, state, created_at, settled_at,
        opened_at)
    SELECT gen_random_uuid(), id, customer_id, 'checklist', 0, 'email', 'accepted', now(), now(), now()
    FROM runs WHERE arm = 'treated' AND ended_at IS NOT NULL
    """,
    """
    INSERT INTO run_steps (run_id, step, occurrence, word, outcome, at)
    SELECT id, 'checklist', 0, 'email', CASE WHEN arm = 'shadow' THEN 'shadow' ELSE 'sent' END, now()
    FROM runs WHERE arm <> 'held_out'
    """,
    """
    INSERT INTO decision_counts (playbook, day, reason, line, count)
    VALUES (:name, current_date, 'condition', 'enter.when.churn_probability', 1234),
        (:name, current_date, 'again', '', 5)
    """,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "playbooks", tmp_path / "playbooks")
    return tmp_path / "playbooks"


@pytest.fixture
async def web(database_url: str, directory: Path) -> AsyncIterator[RunningWeb]:
    database = Database(database_url, connections=2)

    async def back(playbook: str, version: str, author: str, based_on: str | None) -> dict[str, Any]:
        done = await roll_back(
            database, directory, load_catalogue(), playbook, version, author=author, based_on=based_on
        )
        return {**vars(done), "written": str(done.written) if done.written else None}

    await publish_files(database, read_directory(directory, load_catalogue()))
    environ = {
        "HOLDFAST_PAGES": "open",
        "HOLDFAST_PLAYBOOKS": str(directory),
        "HOME": os.environ.get("HOME", "/"),
    }
    try:
        async with run_web(database_url, roll_back=back, **environ) as running:
            yield running
    finally:
        await database.close()


@pytest.fixture
async def browser(web: RunningWeb) -> AsyncIterator[httpx.AsyncClient]:
    async with browser_of(web, timeout=100, follow_redirects=True) as client:
        yield client


async def send(browser: httpx.AsyncClient, path: str, status: int = 200, **fields: str) -> str:
    answer = await browser.post(path, data=fields)
    assert answer.status_code == status, answer.text
    return answer.text


async def form_of(browser: httpx.AsyncClient, path: str) -> dict[str, str]:
    text = await page(browser, path)
    [based_on] = re.findall(r'name="based_on" value="([^"]*)"', text)
    [csrf] = re.findall(r'name="csrf" content="([^"]*)"', text)
    return {"based_on": based_on, "csrf": csrf}


async def populate(web: RunningWeb) -> None:
    """Runs of every kind: inside, over, held out, in the shadow, with messages, arms and decisions."""
    for statement in POPULATION:
        await web.change(statement, **({"name": NAME} if ":name" in statement else {}))


async def test_the_list_has_live_figures_and_is_filtered_sorted_and_searched(
    web: RunningWeb, browser: httpx.AsyncClient, directory: Path
) -> None:
    await populate(web)
    text = await page(browser, "/playbooks")
    row = text[text.index(f'data-key="{NAME}"') :].split("</tr>")[0]
    assert f'href="/playbooks/{NAME}"' in row
    assert ">4</a>" in row
    assert "50\N{NO-BREAK SPACE}%" in row
    assert "10 of 20" in row
    assert re.search(r'<td class="number">10</td>\s*<td class="number">50', row)
    names = re.findall(r'<tr data-key="([^"]+)"', await page(browser, "/playbooks?sort=-open"))
    assert names[0] == NAME
    assert len(names) == await web.count("playbooks")
    assert re.findall(r'<tr data-key="([^"]+)"', await page(browser, "/playbooks?q=rescue")) == [NAME]
    assert "No playbook is like that" in await page(browser, "/playbooks?state=paused")
    (directory / "half-done.yaml").write_text("playbook: half-done\n", encoding="utf-8")
    text = await page(browser, "/playbooks")
    assert '<a href="/playbooks/half-done">half-done</a>' in text
    assert 'href="/playbooks/policy/edit"' in text
    assert 'href="/playbooks/templates/premium-week/edit"' in text


async def test_a_playbook_shows_its_picture_with_figures_lines_and_who_is_in_it(
    web: RunningWeb, browser: httpx.AsyncClient, directory: Path
) -> None:
    await populate(web)
    text = await page(browser, f"/playbooks/{NAME}")
    line = next(
        number
        for number, written in enumerate((directory / f"{NAME}.yaml").read_text().splitlines(), start=1)
        if "id: success-call" in written
    )
    box = text[text.index('id="step-success-call"') :].split("</li>")[0]
    assert f'href="/playbooks/{NAME}/edit#L{line}"' in box
    assert "4 here now" in box
    assert "20 sent, 20 opened, 0 clicked" in text
    assert "templates: 50 %" in text
    assert "goal back-on-track: success" in text
    assert text.count("/runs/") >= 4


async def test_its_results_have_intervals_the_shadow_and_the_reasons(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    await populate(web)
    text = await page(browser, f"/playbooks/{NAME}/results")
    assert "This isn't a verdict" in text
    assert re.search(r"checklist</th><td class=\"number\">12</td>", text)
    assert re.search(r"\d+.% <span class=\"muted small\">\d+.% to \d+.%</span>", text)
    assert "customers would have entered" in text
    assert "would have been done" in text
    assert "1,234" in text
    assert 'title="enter.when.churn_probability">churn probability<' in text


async def test_versions_are_compared_and_an_earlier_one_made_live_again(
    web: RunningWeb, browser: httpx.AsyncClient, directory: Path
) -> None:
    fields = await form_of(browser, f"/playbooks/{NAME}/edit")
    before = (directory / f"{NAME}.yaml").read_text(encoding="utf-8")
    [first] = [
        row["version"] for row in await web.rows("SELECT version FROM playbooks WHERE name = :n", n=NAME)
    ]
    after = before.replace("due: 24h", "due: 12h")
    text = await send(browser, f"/playbooks/{NAME}/publish", source=after, note="sooner", **fields)
    assert "Published." in text
    assert "sooner" in text
    [second] = [
        row["version"] for row in await web.rows("SELECT version FROM playbooks WHERE name = :n", n=NAME)
    ]
    text = await page(browser, f"/playbooks/{NAME}/versions?from={first}&to={second}")
    assert "-      due: 24h" in text
    assert "+      due: 12h" in text
    text = await send(browser, f"/playbooks/{NAME}/rollback", version=first, csrf=fields["csrf"])
    assert f"Version {first} is live again, was {second}." in text
    assert (directory / f"{NAME}.yaml").read_text(encoding="utf-8") == before
    [row] = await web.rows(
        "SELECT author, kind FROM publications WHERE name = :n ORDER BY id DESC LIMIT 1", n=NAME
    )
    assert (row["author"], row["kind"]) == ("pages", "rollback")
    audit = await web.rows(
        "SELECT action, actor_kind FROM audit_log WHERE object_id = :n ORDER BY id DESC LIMIT 2", n=NAME
    )
    assert [(one["action"], one["actor_kind"]) for one in audit] == [
        ("playbook.rolled_back", "open"),
        ("playbook.published", "open"),
    ]


async def test_a_playbook_says_what_its_status_comes_to_and_what_going_back_would_make_of_it(
    web: RunningWeb, browser: httpx.AsyncClient, directory: Path
) -> None:
    fields = await form_of(browser, f"/playbooks/{NAME}/edit")
    live = (directory / f"{NAME}.yaml").read_text(encoding="utf-8")
    assert "nobody enters" not in await page(browser, f"/playbooks/{NAME}")
    [first] = [
        row["version"] for row in await web.rows("SELECT version FROM playbooks WHERE name = :n", n=NAME)
    ]
    paused = live.replace("status: live", "status: paused").replace("due: 24h", "due: 12h")
    text = await send(browser, f"/playbooks/{NAME}/try", source=paused, action="plan", **fields)
    assert "Paused: nobody enters, and those inside stand still." in text
    text = await send(browser, f"/playbooks/{NAME}/publish", source=paused, note="wait", **fields)
    assert "Paused: nobody enters, and those inside stand still." in text
    assert ">current: paused</span>" in text
    assert "<strong>It is paused now, and goes live by this:</strong>" in text
    # And back: what is made current again needn't be live.
    text = await send(browser, f"/playbooks/{NAME}/rollback", version=first, csrf=fields["csrf"])
    assert f"Version {first} is live again" in text
    [second] = re.findall(r"Yes, make (\w+) current, as paused", text)
    text = await send(browser, f"/playbooks/{NAME}/rollback", version=second, csrf=fields["csrf"])
    assert f"Version {second} is published again, as paused, was {first}." in text


async def test_the_editors_form_works_without_a_script(browser: httpx.AsyncClient, directory: Path) -> None:
    path = f"/playbooks/{NAME}/edit"
    fields = await form_of(browser, path)
    source = (directory / f"{NAME}.yaml").read_text(encoding="utf-8").replace("\n", "\r\n")
    text = await send(browser, f"/playbooks/{NAME}/try", source=source, action="check", **fields)
    assert "No problems" in text
    wrong = source.replace("status: live", "status: alive")
    text = await send(
        browser, f"/playbooks/{NAME}/try", source=wrong, action="simulate", facts="{}", **fields
    )
    assert "It has errors: mend those first." in text
    assert "status: alive" in text
    assert 'data-line="5"' in text
    text = await send(browser, f"/playbooks/{NAME}/publish", 400, source=wrong, **fields)
    assert "nothing was published" in text
    facts = '{"customer": "c1", "signals": {"churn_probability": 0.8, "usage_drop_percent": 40, "health_score": 30}}'
    text = await send(
        browser, f"/playbooks/{NAME}/try", source=source, action="simulate", facts=facts, **fields
    )
    assert "What would happen" in text
    assert "variant" in text
    text = await send(browser, f"/playbooks/{NAME}/try", source=source, action="plan", **fields)
    assert "Nothing: what is live says the same." in text
    other = source.replace("holdout: 10%", "holdout: 20%").replace("due: 24h", "due: 12h")
    text = await send(browser, f"/playbooks/{NAME}/try", source=other, action="plan", **fields)
    assert f"{NAME}: a new version" in text
    assert "Would enter at once" in text
    assert "Nobody is inside." in text


async def test_whoever_publishes_what_was_changed_meanwhile_sees_how_and_may_do_it_then(
    browser: httpx.AsyncClient, directory: Path
) -> None:
    fields = await form_of(browser, f"/playbooks/{NAME}/edit")
    file = directory / f"{NAME}.yaml"
    source = file.read_text(encoding="utf-8")
    file.write_text(source.replace("due: 24h", "due: 6h"), encoding="utf-8")
    mine = source.replace("due: 24h", "due: 12h")
    text = await send(browser, f"/playbooks/{NAME}/publish", 409, source=mine, **fields)
    assert "was changed since you opened it" in text
    assert "-      due: 6h" in text
    assert "+      due: 12h" in text
    assert "due: 6h" in file.read_text(encoding="utf-8")
    [based_on] = re.findall(r'name="based_on" value="([^"]*)"', text)
    await send(browser, f"/playbooks/{NAME}/publish", source=mine, **{**fields, "based_on": based_on})
    assert file.read_text(encoding="utf-8") == mine


async def test_a_new_playbook_begins_valid_and_commented(browser: httpx.AsyncClient, directory: Path) -> None:
    assert "Names are lower-case words with dashes, such as win-back" in await page(
        browser, "/playbooks/new?name=Win+Back"
    )
    assert "already" in await page(browser, f"/playbooks/new?name={NAME}")
    text = await page(browser, "/playbooks/new?name=win-back")
    assert "No problems" in text
    assert "playbook: win-back" in text
    assert "# every line must hold" in text
    assert not (directory / "win-back.yaml").exists()


async def test_policy_templates_and_health_models_are_edited_the_same_way(
    web: RunningWeb, browser: httpx.AsyncClient, directory: Path
) -> None:
    fields = await form_of(browser, "/playbooks/templates/premium-week/edit")
    file = directory / "templates" / "premium-week.yaml"
    source = file.read_text(encoding="utf-8")
    broken = source.replace("template: premium-week", "template: other")
    assert "error" in await send(
        browser, "/playbooks/templates/premium-week/try", source=broken, action="check", **fields
    )
    text = await send(
        browser, "/playbooks/templates/premium-week/publish", source=source + "# kept\n", **fields
    )
    assert "Published." in text
    assert file.read_text(encoding="utf-8").endswith("# kept\n")
    fields = await form_of(browser, "/playbooks/health/points/edit")
    source = (directory / "health" / "points.yaml").read_text(encoding="utf-8")
    await send(browser, "/playbooks/health/points/publish", source=source + "# kept\n", **fields)
    assert (directory / "health" / "points.yaml").read_text(encoding="utf-8").endswith("# kept\n")
    fields = await form_of(browser, "/playbooks/policy")
    source = (directory / "policy.yaml").read_text(encoding="utf-8")
    text = await send(
        browser, "/playbooks/policy/publish", source=source + "# kept\n", note="as agreed", **fields
    )
    assert "Published. policy: other rules for all." in text
    assert "as agreed" in text


async def test_a_backtest_goes_on_beside_everything_else_and_shows_what_it_found(
    web: RunningWeb, browser: httpx.AsyncClient, database_url: str
) -> None:
    [csrf] = re.findall(r'name="csrf" content="([^"]*)"', await page(browser, f"/playbooks/{NAME}/backtest"))
    refused = await send(
        browser,
        f"/playbooks/{NAME}/backtest",
        csrf=csrf,
        first="2026-05-31",
        last="2026-03-01",
        customers="50",
    )
    assert "The first day comes after the last." in refused
    for asked in (
        'name="first" value="2026-05-31"',
        'name="last" value="2026-03-01"',
        'name="customers" value="50"',
    ):
        assert asked in refused
    ages = {"first": "0001-01-01", "last": "9999-12-31", "customers": "50"}
    refused = await send(browser, f"/playbooks/{NAME}/backtest", csrf=csrf, **ages)
    assert "more than five years" in refused
    for number in range(5):
        await web.client.post(
            "/v1/identify",
            json={"userId": f"c{number}", "messageId": f"i{number}", "traits": {"firstName": "Ada"}},
        )
    [row] = await web.rows(
        "SELECT (now() - interval '3 days')::date::text AS first, now()::date::text AS last"
    )
    text = await send(
        browser,
        f"/playbooks/{NAME}/backtest",
        csrf=csrf,
        first=row["first"],
        last=row["last"],
        customers="50",
    )
    assert "Under way" in text or "entrants" in text
    for _ in range(600):
        text = await page(browser, f"/playbooks/{NAME}/backtest")
        if "Under way" not in text:
            break
        await asyncio.sleep(0.2)
    assert "How well the trigger tells" in text, text
    assert "What this can't tell" in text
    [shown] = re.findall(r"\?show=([0-9a-f]{12})&amp;", text)
    over = await send(browser, f"/playbooks/{NAME}/backtest", csrf=csrf, cancel=shown)
    assert "It was over already (done): nothing was cancelled." in over
    assert "How well the trigger tells" in over


async def test_a_backtest_of_a_process_that_has_ended_is_told_to_be_gone_and_its_period_stays(
    web: RunningWeb, browser: httpx.AsyncClient
) -> None:
    asked = (
        "show=0123456789ab&first=2026-01-02&last=2026-02-03&customers=77&churn_within=30d&as_happened=True"
    )
    answer = await browser.get(f"/playbooks/{NAME}/backtest?{asked}")
    assert answer.status_code == 404
    assert (
        "That backtest isn&#39;t here any more" in answer.text
        or "That backtest isn't here any more" in answer.text
    )
    assert "no result was stored" in answer.text
    assert "data-watch" not in answer.text
    for field in ('name="first" value="2026-01-02"', 'name="last" value="2026-02-03"', 'name="customers" value="77"',
                  'name="churn_within" value="30d"', 'name="as_happened" value="yes" checked'):  # fmt: skip
        assert field in answer.text, field
    # An address with a period that can't be is no reason to show nothing.
    assert 'name="customers" value="1000"' in await page(
        browser, f"/playbooks/{NAME}/backtest?first=x&last=y"
    )


def test_the_command_that_serves_gives_the_pages_their_tools(tmp_path: Path) -> None:
    """`holdfast web` is put together as these tests put it together."""
    source = (ROOT / "cli" / "web.py").read_text(encoding="utf-8")
    assert "workbench=make_workbench(settings, database, catalogue)" in source
    done = subprocess.run(
        [sys.executable, "-c", "import cli.workbench"], cwd=ROOT, capture_output=True, check=False,
        env={**os.environ, "HOLDFAST_SECRET_KEY": SECRET},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
