"""Pages speak in words: places without a name, rules, templates, what events brought, and browsers."""

from __future__ import annotations

import pytest

from web.plain_words import name_browser, name_step, tell_properties, tell_rule, tell_template
from web.rendering import dollars

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


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("health_score: <= 40; account_age_days: 7..30", "health score ≤ 40; account age days 7–30"),
        (
            "subscription_status: [active, past_due]; none of (open_tickets: >= 1)",
            "subscription status active or past due; none of (open tickets ≥ 1)",
        ),
        ("event ticket_rated where rating: <= 2", "event ticket_rated where rating ≤ 2"),
        ("subscription_status: != active", "subscription status ≠ active"),
    ],
)
def test_a_rule_is_told_with_the_signs_that_people_write(written: str, told: str) -> None:
    assert tell_rule(written) == told


@pytest.mark.parametrize(
    "written",
    ["she rang", "call her: it is urgent", "see [the note]", "3..2..1", "asked for by ada@example.com"],
)
def test_what_a_person_gave_as_a_reason_stays_as_it_is(written: str) -> None:
    assert tell_rule(written) == written


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
        "name: Ten clients, on time: no, achieved at: Sep 10, 2026, 01:12, share: 0.5, tags: a, b, of: (days: 3)"
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
