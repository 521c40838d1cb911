"""What figures of the system mean, at and around their thresholds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rules.system_status import (
    QUEUE_SECONDS,
    Status,
    Verdict,
    judge_integrations,
    judge_latency,
    judge_queue,
    judge_success,
    judge_whole,
)
from schemas.population_run import BATCH_QUEUE
from schemas.run import RUN_QUEUE, SEND_QUEUE
from store.system_health import QUEUES
from web.system_state import judge_workers
from web.temporal_state import TemporalState


@pytest.mark.parametrize(
    ("succeeded", "measured", "status"),
    [(60, 100, "healthy"), (59, 100, "warning"), (40, 100, "warning"), (39, 100, "critical"), (9, 9, "unknown"),
     (10, 10, "healthy"), (0, 0, "unknown")],
)  # fmt: skip
def test_intervention_success_has_the_thresholds_that_are_required(
    succeeded: int, measured: int, status: str
) -> None:
    assert judge_success(succeeded, measured).status == status


@pytest.mark.parametrize(
    ("p95", "messages", "status"),
    [(0.5, 20, "healthy"), (0.501, 20, "warning"), (2.0, 20, "warning"), (2.1, 20, "critical"), (9, 19, "unknown"),
     (None, 0, "unknown")],
)  # fmt: skip
def test_delays_count_from_enough_messages_on(p95: float | None, messages: int, status: str) -> None:
    assert judge_latency(p95, messages).status == status


def test_every_queue_that_is_read_is_judged_and_an_empty_one_is_healthy() -> None:
    assert set(QUEUE_SECONDS) == set(QUEUES)
    for name, (warning, critical) in QUEUE_SECONDS.items():
        ages = (0, warning - 0.1, warning, critical - 0.1, critical)
        told = [judge_queue(name, 3, age).status for age in ages]
        assert told == ["healthy", "healthy", "warning", "warning", "critical"]
        assert judge_queue(name, 0, critical).status == "healthy"


def test_a_parked_provider_is_critical_and_a_resting_one_a_warning() -> None:
    assert judge_integrations(0, 0, 3, 0).status == "healthy"
    assert judge_integrations(0, 1, 3, 0).status == "warning"
    assert judge_integrations(0, 0, 3, 2).status == "warning"
    assert judge_integrations(1, 1, 3, 0).status == "critical"
    assert judge_integrations(0, 0, 0, 0).status == "unknown"


def test_workers_that_fell_silent_are_told_before_temporal_forgets_them() -> None:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def judge(pollers: int, seconds_ago: float, batch_ago: float = 5) -> Verdict:
        heard = {RUN_QUEUE: seconds_ago, SEND_QUEUE: 30.0, BATCH_QUEUE: batch_ago}
        moments = {name: now - timedelta(seconds=gap) for name, gap in heard.items()}
        counts = {RUN_QUEUE: pollers, SEND_QUEUE: 1, BATCH_QUEUE: 1}
        return judge_workers(TemporalState(True, "Answers", counts, (), moments), now)

    assert judge(1, 60).status == "healthy"
    silent = judge(1, 120)
    assert (silent.status, "work on holdfast for 2 min" in silent.why) == ("warning", True)
    # Who does one thing for long asks for nothing meanwhile.
    assert judge(1, 60, batch_ago=280).status == "healthy"
    assert judge(0, 400).status == "critical"
    assert judge_workers(TemporalState(False, "away", {}, ()), now).status == "unknown"


def whole(**statuses: Status) -> Verdict:
    return judge_whole({name: Verdict(status, f"{name} says why.") for name, status in statuses.items()})


def test_the_gravest_part_says_how_the_whole_is_and_is_named() -> None:
    assert whole(database="healthy", queues="healthy") == Verdict("healthy", "Every part is well.")
    slow = whole(database="healthy", latency="warning", queues="warning", model="unknown")
    assert slow.status == "warning"
    assert slow.why.startswith("Latency and queues: warning;")
    assert whole(latency="warning", database="critical").why.startswith("Database: critical;")
    assert judge_whole({}).status == "unknown"


def test_a_fresh_system_that_works_is_healthy_though_some_of_it_cannot_be_judged_yet() -> None:
    fresh = whole(database="healthy", model="unknown", latency="unknown", workers="healthy")
    assert fresh == Verdict("healthy", "Whatever can be judged is well. Not judged yet: model and latency.")


def test_a_system_that_begins_says_so_and_what_is_still_to_come() -> None:
    begun = whole(database="healthy", scoring="starting", latency="unknown")
    assert begun == Verdict("starting", "scoring says why. Not judged yet: latency.")
    # What is wrong meanwhile isn't excused by the beginning.
    assert whole(scoring="starting", workers="critical").status == "critical"
