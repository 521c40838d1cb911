"""A wait that counts from a date goes by that date wherever it moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.plan import BeforeDate, Wait
from schemas.policy import Policy
from store import waits
from tests.integration.evaluation_desk import DAY, START, Desk, open_desk, when
from tests.integration.plans import email, playbook
from tests.integration.running_engine import House

RENEWAL = Wait(id="renewal", spec=BeforeDate(signal="renewal_date", seconds=14 * DAY, at_minute=9 * 60))
ENDED = "SELECT * FROM runs WHERE ended_at IS NOT NULL"


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as desk:
        yield desk


async def stand(desk: Desk, until: datetime, **traits: Any) -> None:
    """Ada's run stands at its wait until then, in its second round."""
    await desk.publish(
        when("plan: pro").model_copy(update={"steps": (RENEWAL,)}),
        policy=Policy(default_zone="Europe/Berlin"),
    )
    await desk.send("ada", "identify", plan="pro", **traits)
    [(run, customer)] = await desk.rows("SELECT id::text, customer_id::text FROM runs")
    async with desk.database.transaction() as connection:
        await waits.open_wait(connection, run, customer, "renewal", 1, START, until)
    desk.clock.now += timedelta(hours=1)


async def test_a_date_that_moves_moves_the_wait_and_rings_the_run(desk: Desk) -> None:
    await stand(desk, datetime(2026, 4, 17, 7, tzinfo=UTC), renewal_date="2026-05-01")
    posted = "SELECT kind, step, occurrence, outcome FROM run_inbox"
    await desk.send("ada", "login")
    assert await desk.rows(posted) == []
    await desk.send("ada", "identify", renewal_date="2026-06-01")
    moved = [("moved", "renewal", 1, "moved")]
    assert (await desk.rows(posted), await desk.rows("SELECT count(*) FROM doorbells")) == (moved, [(1,)])
    assert await desk.rows("SELECT until FROM waits") == [(datetime(2026, 5, 18, 7, tzinfo=UTC),)]
    await desk.send("ada", "login")
    assert await desk.rows(posted) == moved
    # The same day elsewhere is another moment.
    await desk.send("ada", "identify", timezone="America/New_York")
    assert await desk.rows(posted) == moved * 2
    assert await desk.rows("SELECT until FROM waits") == [(datetime(2026, 5, 18, 13, tzinfo=UTC),)]


async def test_a_date_that_is_no_longer_one_is_told_and_waited_for_no_more(desk: Desk) -> None:
    await stand(desk, datetime(2026, 4, 17, 7, tzinfo=UTC), renewal_date="2026-05-01")
    await desk.send("ada", "identify", renewal_date="unknown yet")
    assert await desk.rows("SELECT kind, step FROM run_inbox") == [("moved", "renewal")]
    assert await desk.rows("SELECT 1 FROM waits") == []


async def test_a_wait_that_is_over_stays_over(desk: Desk) -> None:
    await stand(desk, datetime(2026, 4, 17, 7, tzinfo=UTC), renewal_date="2026-05-01")
    desk.clock.now = datetime(2026, 4, 17, 7, 0, 1, tzinfo=UTC)
    await desk.send("ada", "identify", renewal_date="2026-06-01")
    assert await desk.rows("SELECT 1 FROM run_inbox") == []


async def test_a_run_goes_on_at_once_when_the_date_moves_near(house: House) -> None:
    far, near = (str((datetime.now(UTC) + timedelta(days=days)).date()) for days in (200, 3))
    await house.engine.publish(playbook(RENEWAL, email("remind")))
    await house.engine.identify("ada", first_name="Ada", email="ada@example.com", renewal_date=far)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM waits")
    await house.engine.identify("ada", renewal_date=near)
    [run] = await house.engine.until(ENDED)
    assert run["outcome"] == "completed"
    assert [mail.message["Subject"] for mail in house.smtp.accepted] == ["About remind"]


async def test_a_run_whose_date_is_gone_stops(house: House) -> None:
    far = str((datetime.now(UTC) + timedelta(days=200)).date())
    await house.engine.publish(playbook(RENEWAL, email("remind")))
    await house.engine.identify("ada", first_name="Ada", email="ada@example.com", renewal_date=far)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM waits")
    await house.engine.identify("ada", renewal_date="unknown yet")
    [run] = await house.engine.until(ENDED)
    assert (run["outcome"], "no_date" in run["reason"]) == ("stopped", True)
    assert house.smtp.accepted == []
