"""A supplier's days: how often they come, what they do, and when they give up.

Cancelling isn't drawn by kind of customer: its daily hazard depends on how far the days of use of the last
two weeks fall short of those of the four weeks before, whatever made them fall.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Literal
from zoneinfo import ZoneInfo

from loops.demo.record import Recorder

Kind = Literal["steady", "power", "light", "growing", "newcomer", "decliner", "still"]

HAZARD = 0.00015
HAZARD_SLOPE = 5.0
TEMPLATES = (
    "Welcome to our studio",
    "Timeline questionnaire",
    "Client invitation: the classic",
    "Client invitation: short and warm",
    "Final details check-in",
    "Save the date",
    "Thank you and review",
    "Venue walk-through",
)
CRITICAL = ("account_setup", "first_client", "first_form", "first_journey")
LATER = ("first_automation", "first_review")
# Reached with so many clients.
CLIENTS = ((10, "ten_clients"), (50, "fifty_clients"))


@dataclass
class Life:
    """One supplier's course and where they stand in it. Rates are chances per day."""

    customer: str
    kind: Kind
    zone: str
    signed_up: date
    price: float
    rate: float
    features: tuple[str, ...]
    onset: date | None = None
    half_life_days: float = 10.0
    grumpy: float = 0.1
    payment_trouble: float = 0.03
    bills_yearly: bool = False
    bill_day: int = 1
    renewal: date | None = None
    clients: int = 0
    imported: bool = False
    trial_until: date | None = None
    cancelled: bool = False
    milestones: list[str] = field(default_factory=list)
    pending: list[tuple[date, str, dict[str, object]]] = field(default_factory=list)
    activity: list[bool] = field(default_factory=list)

    def chance(self, day: date) -> float:
        """How likely the supplier is to come on `day`."""
        if self.kind == "still":
            return 0.0
        rate = self.rate
        if self.onset and day > self.onset:
            rate *= 0.5 ** ((day - self.onset).days / self.half_life_days)
        if self.kind == "newcomer":
            rate *= 0.35 + 0.65 * math.exp(-(day - self.signed_up).days / self.half_life_days)
        if self.kind == "growing":
            rate *= min(1.0, 0.3 + (day - self.signed_up).days / 200)
        # Suppliers work at weekends, and do their desk work on the days after.
        return min(0.98, rate * (0.6 if day.weekday() >= 5 else 1.12))

    def hazard(self) -> float:
        """The chance to cancel today, from the observed days of use alone."""
        if len(self.activity) < 42:
            return HAZARD
        before = sum(self.activity[-42:-14]) / 2
        if before < 1:
            return HAZARD * math.exp(HAZARD_SLOPE * 0.6)
        drop = 1 - sum(self.activity[-14:]) / before
        return HAZARD * math.exp(HAZARD_SLOPE * max(0.0, drop))


def live(
    life: Life, rng: Random, recorder: Recorder, start: datetime, end: datetime, grid_minutes: int = 0
) -> Life:
    """Record what happens from `start` to `end`, and return the life as it stands then.

    `grid_minutes` above 0 moves every instant up to the next point of that grid.
    """
    diary = _Diary(copy.deepcopy(life), rng, recorder, start, end, grid_minutes)
    day, last = start.date(), end.date()
    while day <= last:
        if day >= diary.life.signed_up:
            diary.live_day(day)
        day += timedelta(days=1)
    return diary.life


class _Diary:
    def __init__(
        self, life: Life, rng: Random, recorder: Recorder, start: datetime, end: datetime, grid_minutes: int
    ) -> None:
        self.life = life
        self.rng = rng
        self.recorder = recorder
        self.start, self.end = start, end
        self.grid = grid_minutes * 60
        self.zone = ZoneInfo(life.zone)

    def live_day(self, day: date) -> None:
        life, rng = self.life, self.rng
        if life.cancelled or life.kind == "still":
            return
        due = [item for item in life.pending if item[0] <= day]
        life.pending = [item for item in life.pending if item[0] > day]
        for _, name, properties in due:
            self.note(name, day, rng.uniform(9, 17), **properties)
        self.pay(day)
        active = rng.random() < life.chance(day)
        life.activity.append(active)
        if active:
            self.work(day)
        if (day - life.signed_up).days > 14 and rng.random() < life.hazard():
            reason = rng.choice(("too_little_use", "price", "switched", "season_over"))
            self.note("subscription_cancelled", day, rng.uniform(18, 21), reason=reason)
            life.cancelled = True

    def work(self, day: date) -> None:
        """A day with the product: a session or two, features, and now and then something to show for it."""
        life, rng = self.life, self.rng
        hour = rng.uniform(8, 18)
        self.note("login", day, hour)
        for feature in rng.sample(life.features, min(len(life.features), rng.choice((1, 1, 1, 2, 2, 3)))):
            self.note("feature_used", day, hour + 0.1, feature=feature)
        self.note("session_ended", day, hour + 0.6, minutes=round(rng.lognormvariate(2.6, 0.5), 1))
        self.reach("account_setup", day, hour)
        if not life.imported and rng.random() < 0.5:
            count = rng.choice((2, 3, 4, 5, 6, 8, 12, 24))
            self.note("client_imported", day, hour + 0.3, count=count)
            life.clients, life.imported = life.clients + count, True
            self.reach("first_client", day, hour)
        elif life.imported and rng.random() < 0.06:
            self.note("client_added", day, hour + 0.3)
            life.clients += 1
        for clients, milestone in CLIENTS:
            if life.clients >= clients:
                self.reach(milestone, day, hour)
        if rng.random() < 0.07:
            self.note("form_created", day, hour + 0.35)
            self.reach("first_form", day, hour)
        if "journey_automation" in life.features and rng.random() < 0.05:
            self.note("journey_created", day, hour + 0.4)
            self.reach("first_journey", day, hour)
        if "templates" in life.features and rng.random() < 0.12:
            self.note("template_used", day, hour + 0.4, template=rng.choice(TEMPLATES))
        for client in rng.sample(range(life.clients), min(life.clients, rng.choice((0, 0, 1, 2)))):
            self.note("client_active", day, hour + 0.5, client=f"c{client:03d}")
        if rng.random() < 0.02:
            self.complain(day, hour)
        if rng.random() < 0.03:
            best = rng.sample(TEMPLATES, 2)
            self.note("templates_ranked", day, hour + 0.5, best=best)
            completion, journeys = round(rng.uniform(0.35, 0.95), 2), round(rng.uniform(0.3, 0.9), 2)
            self.note(
                "performance_reported",
                day,
                hour + 0.5,
                form_completion_rate=completion,
                journey_performance=journeys,
            )
        if rng.random() < 0.012:
            later = [name for name in LATER if name not in life.milestones]
            if later and set(CRITICAL) <= set(life.milestones):
                self.reach(later[0], day, hour)
        if rng.random() < 0.006 * len(life.features) / 4:
            self.note("referral_made", day, hour + 0.5)
            self.reach("first_referral", day, hour)

    def complain(self, day: date, hour: float) -> None:
        life, rng = self.life, self.rng
        self.note("ticket_opened", day, hour + 0.2)
        closed = day + timedelta(days=rng.choice((0, 1, 1, 2, 4)))
        life.pending.append((closed + timedelta(days=1), "ticket_closed", {}))
        if rng.random() < 0.75:
            poor = rng.random() < life.grumpy
            rating = rng.choice((1, 2, 2)) if poor else rng.choice((3, 4, 4, 5, 5, 5))
            life.pending.append((closed + timedelta(days=2), "ticket_rated", {"rating": rating}))

    def pay(self, day: date) -> None:
        life, rng = self.life, self.rng
        if life.trial_until:
            if day < life.trial_until:
                return
            life.trial_until = None
            self.note("subscription_started", day, 10)
        if life.bills_yearly:
            if day != life.renewal:
                return
        elif day.day != life.bill_day:
            return
        amount = life.price * (10 if life.bills_yearly else 1)
        if rng.random() >= life.payment_trouble:
            self.note("payment_succeeded", day, 6, amount=amount)
            return
        self.note("payment_failed", day, 6, amount=amount, reason="card_declined")
        retry = day + timedelta(days=3)
        if rng.random() < 0.3:
            life.pending.append((retry, "payment_succeeded", {"amount": amount}))
            return
        life.pending.append((retry, "payment_failed", {"amount": amount, "reason": "card_declined"}))
        if rng.random() < 0.6:
            paid = day + timedelta(days=rng.randrange(8, 21))
            life.pending.append((paid, "payment_succeeded", {"amount": amount}))

    def reach(self, milestone: str, day: date, hour: float) -> None:
        if milestone not in self.life.milestones:
            self.life.milestones.append(milestone)
            critical = milestone in CRITICAL
            self.note("milestone_completed", day, hour + 0.55, milestone=milestone, critical=critical)

    def note(self, name: str, day: date, hour: float, **properties: object) -> None:
        """Record at a local hour of the day, if that lies between start and end."""
        seconds = min(int(hour * 3600), 86_399)
        at = (datetime.combine(day, time(), self.zone) + timedelta(seconds=seconds)).astimezone(UTC)
        if self.grid:
            at = datetime.fromtimestamp(-(-at.timestamp() // self.grid) * self.grid, UTC)
        if self.start <= at <= self.end:
            self.recorder.note(name, at, **properties)
