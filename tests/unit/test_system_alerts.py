"""When the system is unwell: thresholds, how grave, and a margin before it is well again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rules.system_alerts import ProviderFigures, Severity, SystemFigures, find_trouble, is_ours

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
WELL = SystemFigures(
    at=NOW,
    queues={"evaluate": (2.0, 5), "dispatch": (0.0, 0), "sends_unknown": (9e6, 3)},
    providers=[ProviderFigures("email", "smtp", True, NOW), ProviderFigures("email", "ses", False, NOW)],
    success=(0.7, 100),
    delay=(0.4, 500),
    accuracy=0.93,
    status="healthy",
    reported_at=NOW - timedelta(hours=8),
    scored_at=NOW - timedelta(hours=12),
)


def judge(figures: SystemFigures, **held: Severity) -> dict[str, str]:
    found = list(find_trouble(figures, held))
    assert all(is_ours(one.kind) for one in found)
    return {one.kind: one.severity for one in found}


def test_nothing_is_wrong_where_all_is_well_or_nothing_is_known() -> None:
    assert judge(WELL) == {}
    assert judge(SystemFigures(at=NOW)) == {}


@pytest.mark.parametrize(
    ("share", "held", "told"),
    [
        (0.60, None, None),
        (0.59, None, "warning"),
        (0.40, None, "warning"),
        (0.39, None, "critical"),
        # Under its margin it stays what it is; above it, it is over.
        (0.61, "warning", "warning"),
        (0.64, "warning", None),
        (0.41, "critical", "critical"),
        (0.43, "critical", "warning"),
        (0.64, "critical", None),
    ],
)
def test_success_of_interventions(share: float, held: Severity | None, told: str | None) -> None:
    open_now = {"intervention_success": held} if held else {}
    assert judge(replace(WELL, success=(share, 100)), **open_now).get("intervention_success") == told


def test_a_share_of_few_says_nothing() -> None:
    assert judge(replace(WELL, success=(0.0, 19))) == {}
    assert judge(replace(WELL, delay=(60.0, 19))) == {}


@pytest.mark.parametrize(
    ("accuracy", "status", "told"),
    [
        (0.9, "healthy", None),
        (0.84, "warning", "warning"),
        (0.74, "critical", "critical"),
        (0.9, "warning", "warning"),
    ],
)
def test_accuracy_of_churn_predictions(accuracy: float, status: str, told: str | None) -> None:
    figures = replace(WELL, accuracy=accuracy, status=status, why=("It is so.",))
    assert judge(figures).get("churn_accuracy") == told
    # An old report isn't judged, and what monitoring itself says isn't said twice.
    assert judge(replace(figures, reported_at=NOW - timedelta(days=3))) == {}
    assert "churn_accuracy" not in judge(figures, model_critical="critical")


@pytest.mark.parametrize(
    ("seconds", "held", "told"),
    [
        (300, None, None),
        (301, None, "warning"),
        (250, "warning", "warning"),
        (239, "warning", None),
        (1801, None, "critical"),
    ],
)
def test_queues_that_wait(seconds: float, held: Severity | None, told: str | None) -> None:
    figures = replace(WELL, queues={"evaluate": (seconds, 7)})
    assert judge(figures, **({"queue:evaluate": held} if held else {})).get("queue:evaluate") == told


def test_a_channel_is_down_when_none_of_its_providers_can_be_used() -> None:
    def providers(*usable: bool, minutes: float = 5) -> SystemFigures:
        since = NOW - timedelta(minutes=minutes)
        return replace(
            WELL, providers=[ProviderFigures("sms", f"p{n}", one, since) for n, one in enumerate(usable)]
        )

    assert judge(providers(False, True)) == {}
    assert judge(providers(False, False)) == {"channel_down:sms": "critical"}
    assert judge(providers(False, minutes=0.5)) == {}


def test_nobody_was_scored_for_too_long() -> None:
    def scored(hours: float) -> dict[str, str]:
        return judge(replace(WELL, scored_at=NOW - timedelta(hours=hours)))

    assert (scored(29), scored(31), scored(55)) == (
        {}, {"population_stale": "warning"}, {"population_stale": "critical"}
    )  # fmt: skip


def test_a_channel_that_is_slow_is_told_with_its_figures() -> None:
    [one] = find_trouble(replace(WELL, delay=(6.25, 40)), {})
    assert (one.kind, one.severity, one.detail) == (
        "delivery_delay",
        "warning",
        {"p95_seconds": 6.25, "messages": 40},
    )
    assert "6.2 s" in one.message
