"""The record of a wait: until when, and what was assumed to say so."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from activities.waiting import Waiting
from schemas.plan import CalendarDays, Wait
from tests.integration.step_desk import StepDesk, open_desk


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[StepDesk]:
    async with open_desk(database_url) as desk:
        yield desk


@pytest.mark.parametrize(
    ("traits", "told"),
    [
        ({"timezone": "Europe/Berlin", "country": "DE"}, "until 2026-03-03 09:00 UTC"),
        (
            {"timezone": "Mars/Phobos", "country": "XX"},
            "until 2026-03-03 09:00 UTC; default zone UTC: Mars/Phobos is unknown; "
            "weekends only: no holidays known for XX",
        ),
    ],
)
async def test_what_a_wait_had_to_assume_stands_in_its_record(
    desk: StepDesk, traits: dict[str, str], told: str
) -> None:
    run = await desk.enter(Wait(id="stand", spec=CalendarDays(days=1, business=True)))
    await desk.identify(**traits)
    result = await Waiting(desk.opening).resolve(desk.call(run, "stand"))
    assert (result.outcome, result.detail) == ("waiting", "")
    assert await desk.record(run) == [("stand", "waiting", told)]
