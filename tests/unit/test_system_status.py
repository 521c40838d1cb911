"""What figures of the system mean, at and around their thresholds."""

from __future__ import annotations

import pytest

from rules.system_status import (
    QUEUE_SECONDS,
    judge_integrations,
    judge_latency,
    judge_queue,
    judge_success,
    worst,
)
from store.system_health import QUEUES


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


def test_the_gravest_part_says_how_the_whole_is() -> None:
    assert worst("healthy", "unknown") == "unknown"
    assert worst("healthy", "warning", "unknown") == "warning"
    assert worst("warning", "critical") == "critical"
    assert worst() == "unknown"
