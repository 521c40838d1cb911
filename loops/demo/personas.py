"""The three suppliers whose stories the demo tells; their facts are chosen, everything else follows from
them.

1. Maya signed up two weeks ago, imported 5 clients and built 1 form; then she got stuck.
2. Elena has been leaving for a month: the model expects churn, and she has templates that work.
3. Jonas finished onboarding and hasn't been back for 12 days; his score is 35.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from loops.demo.life import CRITICAL, Life
from loops.demo.record import Recorder

STORY_FIRST_STEPS = "demo-story-1"
STORY_DECLINE = "demo-story-2"
STORY_ABSENCE = "demo-story-3"


@dataclass(frozen=True)
class Persona:
    """A supplier of a story: `tell` records the history to a moment, and returns traits and life."""

    external_id: str
    tell: Callable[[Recorder, datetime], tuple[dict[str, Any], Life]]


class _Story:
    """One persona's history, told in whole days before now."""

    def __init__(self, recorder: Recorder, until: datetime, traits: dict[str, Any], age_days: float) -> None:
        self.recorder = recorder
        self.until = until
        self.signed_up = self.ago(age_days)
        begin = max(self.signed_up, self.ago(120))
        self.traits = {
            "vendor_type": "photographer",
            "team_size": 1,
            "tags": [],
            "billing_period": "monthly",
            "subscription_status": "active",
            "critical_milestones_total": len(CRITICAL),
            "signed_up_at": self.signed_up.isoformat(),
            "renewal_date": (until + timedelta(days=20)).date().isoformat(),
            **traits,
        }
        recorder.note("identify", begin, **self.traits)

    def ago(self, days: float) -> datetime:
        return self.until - timedelta(days=days)

    def note(self, days: float, name: str, **properties: Any) -> None:
        self.recorder.note(name, self.ago(days), **properties)

    def visit(self, days: float, *features: str, minutes: float = 18.0) -> None:
        """A session that ended so many days ago."""
        self.note(days + 0.01, "login")
        for feature in features:
            self.note(days, "feature_used", feature=feature)
        self.note(days, "session_ended", minutes=minutes)

    def life(self, clients: int) -> Life:
        """Nothing happens by itself from here on: what the persona does is an answer to what reaches them."""
        return Life(
            customer=self.recorder.customer,
            kind="still",
            zone=self.traits["timezone"],
            signed_up=self.signed_up.date(),
            price=self.traits["monthly_price"],
            rate=0.0,
            features=(),
            clients=clients,
            imported=True,
        )


def _tell_first_steps(recorder: Recorder, until: datetime) -> tuple[dict[str, Any], Life]:
    story = _Story(
        recorder,
        until,
        {
            "first_name": "Maya",
            "business_name": "Maya Lindqvist Photography",
            "email": "maya@maya-lindqvist.example.test",
            "phone": "+447700900141",
            "timezone": "Europe/London",
            "locale": "en-GB",
            "country": "GB",
            "plan": "pro",
            "monthly_price": 49,
            "csm": "ana.sousa@example.com",
        },
        age_days=14.2,
    )
    story.visit(14.0, "client_management", minutes=31.0)
    story.note(14.0, "milestone_completed", milestone="account_setup", critical=True)
    story.visit(12.1, "client_management", minutes=22.0)
    story.note(12.1, "client_imported", count=5)
    story.note(12.1, "milestone_completed", milestone="first_client", critical=True)
    story.visit(8.2, "client_management", "form_builder", minutes=26.0)
    story.note(8.2, "form_created")
    story.note(8.2, "milestone_completed", milestone="first_form", critical=True)
    story.note(5.5, "client_active", client="c002")
    story.visit(3.1, "client_management", minutes=6.0)
    return story.traits, story.life(clients=5)


def _tell_decline(recorder: Recorder, until: datetime) -> tuple[dict[str, Any], Life]:
    story = _Story(
        recorder,
        until,
        {
            "first_name": "Elena",
            "business_name": "Foxglove & Light",
            "email": "elena@foxglove-and-light.example.test",
            "phone": "+493023125417",
            "timezone": "Europe/Berlin",
            "locale": "en-DE",
            "country": "DE",
            "plan": "pro",
            "monthly_price": 49,
            "csm": "chiara.rossi@example.com",
        },
        age_days=410.3,
    )
    story.note(119.9, "client_imported", count=24)
    for _ in range(4):
        story.note(119.8, "form_created")
    story.note(119.8, "journey_created")
    for milestone in CRITICAL:
        story.note(119.8, "milestone_completed", milestone=milestone, critical=True)
    story.note(74.2, "milestone_completed", milestone="ten_clients", critical=False)
    used = (
        ("client_management", "templates"),
        ("form_builder", "journey_automation"),
        ("analytics", "email_campaigns"),
    )
    for day in range(118, 31, -2):
        story.visit(day + 0.3, *used[day // 2 % 3], minutes=24.0)
        for client in (day % 24, (day + 7) % 24, (day + 13) % 24):
            story.note(day + 0.25, "client_active", client=f"c{client:03d}")
        if day % 6 == 0:
            template = "Client invitation: short and warm" if day % 4 else "Timeline questionnaire"
            story.note(day + 0.28, "template_used", template=template)
    for month, bill in enumerate((112.1, 82.1, 51.1, 21.1)):
        story.note(bill, "payment_succeeded", amount=49, month=month + 1)
    best = ["Client invitation: short and warm", "Timeline questionnaire"]
    story.note(40.2, "templates_ranked", best=best)
    story.note(40.2, "performance_reported", form_completion_rate=0.81, journey_performance=0.64)
    story.visit(26.3, "client_management", "templates", minutes=11.0)
    story.visit(24.3, "client_management", minutes=7.0)
    story.note(23.8, "client_active", client="c004")
    story.visit(15.3, "client_management", minutes=3.0)
    return story.traits, story.life(clients=24)


def _tell_absence(recorder: Recorder, until: datetime) -> tuple[dict[str, Any], Life]:
    story = _Story(
        recorder,
        until,
        {
            "first_name": "Jonas",
            "business_name": "Studio Kestrel",
            "email": "jonas@studio-kestrel.example.test",
            "phone": "+12125550172",
            "timezone": "America/New_York",
            "locale": "en-US",
            "country": "US",
            "plan": "starter",
            "monthly_price": 19,
            "csm": "ben.okafor@example.com",
        },
        age_days=47.3,
    )
    story.visit(47.2, "client_management", minutes=35.0)
    story.note(47.1, "milestone_completed", milestone="account_setup", critical=True)
    story.visit(46.2, "client_management", minutes=28.0)
    story.note(46.2, "client_imported", count=12)
    story.note(46.1, "milestone_completed", milestone="first_client", critical=True)
    story.note(46.1, "milestone_completed", milestone="ten_clients", critical=False)
    story.visit(44.2, "form_builder", "templates", minutes=30.0)
    story.note(44.2, "form_created")
    story.note(44.1, "milestone_completed", milestone="first_form", critical=True)
    story.note(41.2, "payment_succeeded", amount=19)
    for day in (39.2, 36.2, 33.2):
        story.visit(day, "client_management", "templates", minutes=16.0)
        story.note(day, "client_active", client=f"c{int(day) % 12:03d}")
    story.visit(26.2, "journey_automation", "client_management", minutes=21.0)
    story.note(26.2, "journey_created")
    story.note(26.1, "milestone_completed", milestone="first_journey", critical=True)
    story.note(20.4, "client_active", client="c005")
    story.visit(12.2, "client_management", minutes=9.0)
    story.note(11.2, "payment_succeeded", amount=19)
    return story.traits, story.life(clients=12)


PERSONAS = (
    Persona(STORY_FIRST_STEPS, _tell_first_steps),
    Persona(STORY_DECLINE, _tell_decline),
    Persona(STORY_ABSENCE, _tell_absence),
)
