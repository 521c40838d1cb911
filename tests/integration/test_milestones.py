"""Milestones on a real database: reached once, whoever finds out first, counted once, and told to other systems."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from activities.population import Population
from activities.registry import find_step_types
from activities.steps import StepOpening
from activities.versions import Versions
from loops.candidates import Candidates
from loops.playbook_files import read_directory
from loops.publishing import publish_files
from schemas.catalogue import load_catalogue
from schemas.incoming import IncomingEvent
from schemas.language import Language
from schemas.milestones import Milestones
from schemas.milestones_file import read_milestones
from schemas.population_run import FinishCall, PlanCall, ShardCall
from schemas.yaml_source import load_yaml
from scoring.moving import make_mover
from store.database import Database
from store.intake import take_in
from store.live_milestones import load_milestones, publish_milestones
from tests.integration.evaluation_desk import START, Desk, open_desk, when
from tests.integration.web_edge import RunningWeb, run_web

FILE = """
milestones:
  first_form: {name: First form, when: {forms_created: ">= 1"}, target_days: 7, critical: true, weight: 20}
  ten_clients: {name: Ten clients, when: {clients_total: ">= 10"}, target_days: 30}
  expert: {name: Expert, when: {forms_created: ">= 1"}, target_days: 90, segments: [power_user]}
  praised: {name: Praised, target_days: 60}
"""
COUNTS = (
    "SELECT milestones_completed, critical_milestones_done, last_milestone_at FROM signals JOIN customers c "
    "ON c.id = customer_id WHERE c.external_id = 'ada'"
)
REACHED = "SELECT milestone_type, achieved_at, days_to_achieve, metadata->>'found' FROM success_milestones ORDER BY 1"


def declared(written: str = FILE) -> Milestones:
    source = load_yaml(written, "milestones.yaml")
    found, problems = read_milestones(source, Language(load_catalogue(), find_step_types()), [])
    assert found is not None, problems
    return found


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as desk:
        async with desk.database.transaction() as connection:
            assert await publish_milestones(connection, declared(), FILE, START, author="test")
            assert not await publish_milestones(connection, declared(), FILE, START, author="test")
        yield desk


async def test_a_milestone_is_reached_by_the_event_that_makes_it_true_once_and_moves_the_signals(
    desk: Desk,
) -> None:
    await desk.publish(when("event: {name: milestone_achieved, where: {milestone: first_form}}"))
    await desk.send("ada", "identify", signed_up_at=(START - timedelta(days=3, hours=1)).isoformat())
    assert await desk.rows(REACHED) == []
    await desk.send("ada", "form_created")
    assert await desk.rows(REACHED) == [("first_form", START, 3, "condition")]
    assert await desk.rows(COUNTS) == [(1, 1, START)]
    assert [entry[:2] for entry in await desk.entries()] == [("ada", "helping")]
    desk.clock.now += timedelta(days=1)
    await desk.send("ada", "form_created")
    await desk.evaluate(everybody=True)
    assert len(await desk.rows(REACHED)) == 1
    assert await desk.rows(COUNTS) == [(1, 1, START)]
    [(told,)] = await desk.rows("SELECT properties FROM events WHERE name = 'milestone_achieved'")
    assert (told["milestone"], told["critical"], told["days"], told["on_time"]) == (
        "first_form",
        True,
        3,
        True,
    )


async def test_any_number_of_customers_with_long_names_reach_a_milestone_at_once(desk: Desk) -> None:
    names = [f"{number:03d}-{'x' * 190}" for number in range(60)]
    now = desk.clock.now
    events = [IncomingEvent("test", name, name, "form_created", now, now, now.date(), {}) for name in names]
    await take_in(desk.database, events, move=make_mover(load_catalogue()))
    await desk.evaluate()
    assert [row[0] for row in await desk.rows(REACHED)] == ["first_form"] * 60


async def test_what_the_product_says_is_reached_then_and_counted_once_whoever_was_first(desk: Desk) -> None:
    earlier = START - timedelta(days=2)
    await desk.send("ada", "identify", signed_up_at=(START - timedelta(days=9)).isoformat())
    await desk.send("ada", "milestone_completed", {"milestone": "praised", "critical": False}, at=earlier)
    assert await desk.rows(REACHED) == [("praised", earlier, 7, "product")]
    assert (await desk.rows(COUNTS))[0][:2] == (1, 0)
    # Found here first, and told of by the product then.
    await desk.send("ada", "form_created")
    assert (await desk.rows(COUNTS))[0][:2] == (2, 1)
    for _ in range(2):
        await desk.send("ada", "milestone_completed", {"milestone": "first_form", "critical": True})
        assert (await desk.rows(COUNTS))[0][:2] == (2, 1)
    # What nobody declared is counted as ever.
    await desk.send("ada", "milestone_completed", {"milestone": "other"})
    assert (await desk.rows(COUNTS))[0][:2] == (3, 1)
    assert [row[0] for row in await desk.rows(REACHED)] == ["first_form", "praised"]


async def test_milestones_that_are_published_later_are_found_in_everybody_at_once(desk: Desk) -> None:
    async with desk.database.transaction() as connection:
        assert await publish_milestones(connection, None, "", START, author="test")
        assert not (await load_milestones(connection)).watched
    await desk.send("ada", "client_imported", {"count": 12})
    assert await desk.rows(REACHED) == []
    async with desk.database.transaction() as connection:
        await publish_milestones(connection, declared(), FILE, START + timedelta(seconds=1), author="test")
    await desk.evaluate(everybody=True)
    assert [row[0] for row in await desk.rows(REACHED)] == ["ten_clients"]


async def test_milestones_are_published_with_the_playbooks_and_kept_while_their_file_is_broken(
    database_url: str, tmp_path: Path
) -> None:
    database = Database(database_url, connections=2)
    file = tmp_path / "milestones.yaml"

    async def apply() -> list[str]:
        done = await publish_files(database, read_directory(tmp_path, load_catalogue()))
        return [f"{change.name}: {change.describe()}" for change in done.changes]

    async def types() -> list[str]:
        async with database.transaction() as connection:
            return list((await load_milestones(connection)).by_type)

    file.write_text(FILE)
    assert await apply() == ["milestones: other milestones"]
    assert await apply() == []
    file.write_text(FILE + "  oops: 1\n")
    assert await apply() == []
    assert await types() == ["first_form", "ten_clients", "expert", "praised"]
    file.unlink()
    assert await apply() == ["milestones: other milestones"]
    assert (await types())[0] == "account_setup"
    await database.close()


async def test_reaching_takes_no_longer_than_the_look_itself_allows(desk: Desk) -> None:
    await desk.send("ada", "identify", plan="pro")
    began = time.perf_counter()
    await desk.send("ada", "form_created")
    print(f"from the event to the milestone: {1000 * (time.perf_counter() - began):.0f} ms")
    assert [row[0] for row in await desk.rows(REACHED)] == ["first_form"]


# ---- over the API, and on the page ----


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url, HOLDFAST_PAGES="open") as running:
        async with running.other.transaction() as connection:
            await publish_milestones(connection, declared(), FILE, START, author="test")
        for name, days in (("ada", 10), ("ben", 2), ("cleo", 400), ("dan", 50)):
            await running.change(
                "INSERT INTO customers (external_id, business_name, csm, created_at) VALUES (:id, initcap(:id), "
                ":csm, now() - make_interval(days => :days))",
                id=name, days=days, csm="anna" if name in ("ada", "dan") else "bob",
            )  # fmt: skip
            await running.change(
                "INSERT INTO signals (customer_id, signed_up_at, segment, subscription_status, last_login, changed_at) "
                "SELECT id, created_at, 'new_user', :status, now() - interval '9 days', now() FROM customers "
                "WHERE external_id = :id",
                id=name, status="cancelled" if name == "dan" else "active",
            )  # fmt: skip
        yield running


async def tell(web: RunningWeb, **told: object) -> httpx.Response:
    return await web.client.post("/api/customer-success/onboarding/milestone", json=told)


async def test_the_product_tells_of_a_milestone_once(web: RunningWeb) -> None:
    asked = {
        "userId": "ada",
        "milestoneType": "first_form",
        "metadata": {"timeToComplete": 2.5, "satisfactionRating": 5},
    }
    answer = await tell(web, **asked)
    assert answer.status_code == 200, answer.text
    first = answer.json()
    assert (first["success"], first["new"], first["daysToAchieve"], first["isCriticalPath"]) == (
        True,
        True,
        10,
        True,
    )
    again = (await tell(web, **asked)).json()
    assert again == first | {"new": False}
    [row] = await web.rows("SELECT metadata FROM success_milestones")
    assert row["metadata"] == {
        "time_to_complete": 2.5,
        "satisfaction_rating": 5,
        "found": "api",
        "counts": True,
    }
    assert await web.rows("SELECT count(*) AS n FROM events WHERE name = 'milestone_achieved'") == [{"n": 1}]
    assert [
        row["action"]
        for row in await web.rows("SELECT action FROM audit_log WHERE action LIKE 'milestone.%'")
    ] == ["milestone.reached"]


async def test_what_cannot_be_told_is_refused_with_what_can(web: RunningWeb) -> None:
    assert (await tell(web, userId="nobody", milestoneType="first_form")).status_code == 404
    unknown = await tell(web, userId="ada", milestoneType="first_from")
    assert unknown.status_code == 422
    remedy = unknown.json()["remedy"]
    assert remedy == "Did you mean first_form? Known are: first_form, ten_clients, expert, praised."
    bad = await tell(web, userId="ada", milestoneType="first_form", metadata={"satisfactionRating": 9})
    assert bad.status_code == 422


async def test_onboarding_is_read_by_customer_and_as_a_list_off_track_first(web: RunningWeb) -> None:
    one = (await web.client.get("/api/customer-success/onboarding/ada")).json()
    told = one["onboarding"]
    assert (told["currentStep"], told["totalSteps"], told["currentMilestone"]) == (1, 1, "first_form")
    assert (told["milestonesCompleted"], told["totalMilestones"], told["daysInOnboarding"]) == (0, 3, 10)
    assert (told["offTrack"], [blocker["kind"] for blocker in told["blockers"]]) == (
        True, ["milestone_overdue", "no_login"],
    )  # fmt: skip
    assert told["expectedCompletionDate"] is not None
    assert told["nextActions"]
    assert [step["milestoneType"] for step in one["path"]] == ["first_form", "ten_clients", "praised"]
    listed = (await web.client.get("/api/customer-success/onboarding")).json()
    assert [row["userId"] for row in listed["onboarding"]] == ["ada", "cleo", "ben"]
    assert (listed["total"], listed["totalOffTrack"], listed["nextCursor"]) == (3, 2, None)
    page = (await web.client.get("/api/customer-success/onboarding?limit=1&offTrack=true")).json()
    assert ([row["userId"] for row in page["onboarding"]], page["total"]) == (["ada"], 2)
    then = {"limit": "1", "offTrack": "true", "cursor": page["nextCursor"]}
    more = (await web.client.get("/api/customer-success/onboarding", params=then)).json()
    assert ([row["userId"] for row in more["onboarding"]], more["nextCursor"]) == (["cleo"], None)
    await tell(web, userId="cleo", milestoneType="first_form")
    left = (await web.client.get("/api/customer-success/onboarding?csm=bob")).json()
    assert [row["userId"] for row in left["onboarding"]] == ["ben"]
    assert (await web.client.get("/api/customer-success/onboarding/nobody")).status_code == 404


async def test_the_page_shows_paths_blockers_and_how_far_they_come(web: RunningWeb) -> None:
    headers = {"Accept": "text/html"}
    await tell(web, userId="ben", milestoneType="first_form")
    page = (await web.client.get("/onboarding?since=30", headers=headers)).text
    assert page.index(">Ada<") < page.index(">Cleo<") < page.index(">Ben<")
    assert "First form is 3 days past its target" in page
    assert "1 of 2" in page
    assert "50\N{NO-BREAK SPACE}%" in page
    late = (await web.client.get("/onboarding?off_track=true&csm=anna", headers=headers)).text
    assert ">Ada<" in late
    assert ">Cleo<" not in late
    assert "Nobody in onboarding fits." in (await web.client.get("/onboarding?csm=x", headers=headers)).text


# ---- what comes without an event ----

WHO_REACHED = (
    "SELECT c.external_id, milestone_type, achieved_at FROM success_milestones JOIN customers c ON c.id = customer_id "
    "ORDER BY achieved_at, 1, 2"
)
BY_TIME = """
milestones:
  faithful: {name: Faithful, when: {signed_up_at: {older_than: 30d}}, target_days: 31}
  ten_clients: {name: Ten clients, when: {clients_total: ">= 10"}, target_days: 30}
  expert: {name: Expert, when: {clients_total: ">= 10"}, target_days: 90, segments: [power_user]}
"""


async def pass_night(desk: Desk) -> int:
    """The run over everybody of the night to come, and the looks that it asks for; how many those are."""
    opening = StepOpening(desk.database, load_catalogue(), Versions())
    population = Population(opening, Candidates(opening))
    desk.clock.now = (desk.clock.now + timedelta(days=1)).replace(hour=0, minute=5)
    day = desk.clock.now.date()
    plan = await population.plan(PlanCall(day=day))
    done = [
        await population.score_shard(ShardCall(day=day, shard=shard, shards=plan.shards))
        for shard in range(plan.shards)
    ]
    await population.finish(FinishCall(day=day))
    await desk.evaluate()
    return sum(shard.requested for shard in done)


async def test_what_time_or_a_silent_change_makes_true_is_found_in_the_night_and_once(desk: Desk) -> None:
    async with desk.database.transaction() as connection:
        assert await publish_milestones(connection, declared(BY_TIME), BY_TIME, START, author="test")
    for name, days in (("ada", 29), ("eve", 0)):
        await desk.send(name, "identify", signed_up_at=(START - timedelta(days=days)).isoformat())
    await pass_night(desk)
    assert await desk.rows(WHO_REACHED) == []
    # Thirty days are over, and nothing has happened that would tell of it.
    assert await pass_night(desk) == 1
    assert await desk.rows(WHO_REACHED) == [("ada", "faithful", desk.clock.now)]
    assert await pass_night(desk) == 0
    async with desk.database.transaction() as connection:
        await connection.execute(
            text(
                "UPDATE signals SET clients_total = 12 FROM customers c WHERE c.id = customer_id "
                "AND c.external_id = 'eve'"
            )
        )
    assert await pass_night(desk) == 1
    # What others are to reach isn't theirs.
    assert (await desk.rows(WHO_REACHED))[1:] == [("eve", "ten_clients", desk.clock.now)]
    assert await pass_night(desk) == 0


async def test_what_is_for_one_segment_is_found_in_the_night_in_whoever_has_come_to_be_of_it(
    desk: Desk,
) -> None:
    written = BY_TIME.replace("power_user", "established")
    async with desk.database.transaction() as connection:
        await publish_milestones(connection, declared(written), written, START, author="test")
    signed_up = START - timedelta(days=29)
    await desk.send("ada", "identify", signed_up_at=signed_up.isoformat())
    await desk.send("ada", "client_imported", {"count": 12})
    assert [row[1] for row in await desk.rows(WHO_REACHED)] == ["ten_clients"]
    await pass_night(desk)
    assert await pass_night(desk) == 1
    assert {row[1] for row in await desk.rows(WHO_REACHED)} == {"ten_clients", "expert", "faithful"}
    assert await pass_night(desk) == 0
