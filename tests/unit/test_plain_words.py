"""Pages speak in words: places without a name, templates, what events brought, and browsers."""

from __future__ import annotations

import pytest

from web.formats import dollars
from web.plain_words import name_browser, name_step, tell_properties, tell_template

CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
)
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 "
    "Mobile/15E148 Safari/604.1"
)
EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36 Edg/156.0"


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("success-call", "success-call"), ("steps[1]", "step 2"), ("steps[4].wait_for", "step 5"), (None, ""),
        ("steps[1].variants.templates.steps[0]", "step 2 › templates › 1"),
        ("steps[2].then[0].email", "step 3 › then 1"),
    ],
)  # fmt: skip
def test_a_step_without_a_name_is_told_by_its_place(step: str | None, told: str) -> None:
    assert name_step(step) == told


def test_a_template_shows_what_will_stand_there() -> None:
    written = "{{ customer.first_name | default('you') }}: {{ (signals.churn_probability * 100) | round }} % {{ x }}"
    assert tell_template(written) == "⟨first name⟩: ⟨churn probability⟩ % ⟨x⟩"
    assert tell_template("Plain {text}") == "Plain {text}"


def test_what_an_event_brought_is_told_without_what_is_empty() -> None:
    brought = {
        "name": "Ten clients", "on_time": False, "achieved_at": "2026-09-10T01:12:00+00:00", "note": None,
        "share": 0.5, "tags": ["a", "b"], "of": {"days": 3},
    }  # fmt: skip
    assert tell_properties(brought) == (
        "name: Ten clients, on time: no, achieved at: Sep 10, 2026, 01:12 UTC, share: 0.5, tags: a, b, of: (days: 3)"
    )


def test_a_milestone_is_told_by_its_name_and_day() -> None:
    brought = {"name": "Ten clients", "days": 336, "target_days": 30, "weight": 10, "counts": False}
    assert tell_properties(brought, "milestone_achieved") == "Ten clients, on day 336, target 30"


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        (CHROME, "Chrome on Linux"), (SAFARI, "Safari on iPhone"), (EDGE, "Edge on Windows"), ("curl/8.9", "curl/8.9"),
        (None, "unknown"),
    ],
)  # fmt: skip
def test_a_browser_is_named_as_its_owner_knows_it(agent: str | None, told: str) -> None:
    assert name_browser(agent) == told


@pytest.mark.parametrize(
    ("value", "told"), [(749.7, "$750"), (12345.6, "$12,346"), (3.42, "$3.42"), (0.0, "$0"), (None, "–")]
)
def test_an_estimate_is_told_to_the_dollar(value: float | None, told: str) -> None:
    assert dollars(value) == told
