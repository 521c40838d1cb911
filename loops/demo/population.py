"""The demo base: suppliers with 120 days behind them, the same for the same seed, size and moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from loops.demo.life import CLIENTS, CRITICAL, LATER, Kind, Life, live
from loops.demo.people import describe_person
from loops.demo.personas import PERSONAS
from loops.demo.record import DemoCustomer, DemoEvent, Recorder

# Kind, and how many of a hundred.
KINDS: tuple[tuple[Kind, int], ...] = (
    ("steady", 36),
    ("power", 14),
    ("light", 10),
    ("growing", 7),
    ("newcomer", 10),
    ("decliner", 23),
)
FEATURES = (
    "client_management",
    "form_builder",
    "templates",
    "journey_automation",
    "email_campaigns",
    "analytics",
    "integrations",
    "team_collaboration",
)
_RATES: dict[Kind, tuple[float, float, int, int]] = {
    # Days of use per day, from and to; features, from and to.
    "steady": (0.28, 0.55, 3, 6),
    "power": (0.72, 0.9, 6, 8),
    "light": (0.12, 0.26, 2, 4),
    "growing": (0.5, 0.8, 4, 7),
    "newcomer": (0.35, 0.9, 2, 5),
    "decliner": (0.35, 0.75, 3, 7),
}


@dataclass(frozen=True)
class Population:
    """The demo base at `until`. `lives` is where each supplier stands, for what comes next."""

    seed: int
    until: datetime
    customers: list[DemoCustomer]
    events: list[DemoEvent]
    lives: dict[str, Life] = field(default_factory=dict, repr=False)


def generate(seed: int, customers: int = 500, days: int = 120, *, until: datetime) -> Population:
    """A base of `customers` suppliers (the three of the stories among them) with `days` of history to
    `until`.

    Events are in order of time; each supplier's first is an `identify` with all traits. `until` is aware.
    """
    start = until - timedelta(days=days)
    people: list[DemoCustomer] = []
    events: list[DemoEvent] = []
    lives: dict[str, Life] = {}
    for persona in PERSONAS[:customers]:
        recorder = Recorder(persona.external_id, seed, "history")
        traits, life = persona.tell(recorder, until)
        people.append(DemoCustomer(persona.external_id, traits, {"sms": True}))
        lives[persona.external_id] = life
        events.extend(recorder.events)
    for number in range(1, customers - len(people) + 1):
        name = f"demo-{number:04d}"
        rng = Random(f"{seed}/{name}")  # noqa: S311 - a demo, not a secret
        traits, life = _draw_supplier(rng, name, number, start.date(), until)
        recorder = Recorder(name, seed, "history")
        begin = max(start, datetime.fromisoformat(traits["signed_up_at"]))
        recorder.note("identify", begin, **traits)
        _bring_past(rng, life, recorder, begin, start.date())
        lives[name] = live(life, rng, recorder, begin, until)
        people.append(DemoCustomer(name, traits, _draw_consent(rng, traits)))
        events.extend(recorder.events)
    events.sort(key=lambda event: (event.at, event.customer, event.name != "identify"))
    return Population(seed, until, people, events, lives)


def _draw_supplier(
    rng: Random, name: str, number: int, first: date, until: datetime
) -> tuple[dict[str, Any], Life]:
    traits = describe_person(rng, number)
    kind = rng.choices([kind for kind, _ in KINDS], weights=[share for _, share in KINDS])[0]
    today = until.date()
    # Every kind but newcomers signed up at least 45 days ago, most of them before the history begins.
    age = rng.randrange(2, 30) if kind == "newcomer" else int(45 + rng.betavariate(1.3, 2.2) * 1100)
    signed_up = today - timedelta(days=age)
    low, high, fewest, most = _RATES[kind]
    count = rng.randint(fewest, most)
    features = tuple(sorted(rng.sample(FEATURES, count), key=FEATURES.index))
    yearly = kind != "newcomer" and rng.random() < 0.4
    renewal = _next_renewal(rng, signed_up, today, yearly=yearly)
    onset = half_life = None
    if kind == "decliner":
        # Some fell off a cliff lately, others have been fading for months.
        onset = today - timedelta(days=rng.randrange(18, min(110, max(25, age - 20))))
        half_life = rng.uniform(3, 14)
    trial = kind == "newcomer" and age < 14
    traits |= {
        "signed_up_at": (until - timedelta(days=age, minutes=rng.randrange(600))).isoformat(),
        "billing_period": "annual" if yearly else "monthly",
        "renewal_date": renewal.isoformat(),
        "critical_milestones_total": len(CRITICAL),
        "subscription_status": "trial" if trial else "active",
    }
    if trial:
        traits["trial_ends_at"] = (until + timedelta(days=14 - age)).isoformat()
    life = Life(
        customer=name,
        kind=kind,
        zone=traits["timezone"],
        signed_up=signed_up,
        price=traits["monthly_price"],
        rate=rng.uniform(low, high),
        features=features,
        onset=onset,
        half_life_days=half_life or rng.uniform(4, 15),
        grumpy=rng.choice((0.08, 0.15, 0.65)),
        payment_trouble=0.2 if kind == "decliner" else 0.1,
        bills_yearly=yearly,
        bill_day=rng.randrange(1, 29),
        renewal=renewal,
        trial_until=today + timedelta(days=14 - age) if trial else None,
    )
    return traits, life


def _draw_consent(rng: Random, traits: dict[str, Any]) -> dict[str, bool]:
    """Most said yes to text messages when they gave their number; a few have unsubscribed from mail."""
    consent = {"sms": True} if "phone" in traits and rng.random() < 0.7 else {}
    if rng.random() < 0.04:
        consent["email"] = False
    return consent


def _next_renewal(rng: Random, signed_up: date, today: date, *, yearly: bool) -> date:
    """The first yearly anniversary that is not past; monthly plans renew within the month."""
    if not yearly:
        return today + timedelta(days=rng.randrange(1, 31))
    years = (today - signed_up).days // 365 + 1
    return signed_up + timedelta(days=365 * years)


def _bring_past(rng: Random, life: Life, recorder: Recorder, begin: datetime, first: date) -> None:
    """What an account older than the history had reached by its first day."""
    if life.signed_up >= first:
        return
    life.clients = rng.randrange(6, 28)
    life.imported = True
    recorder.note("client_imported", begin, count=life.clients)
    forms = rng.randrange(1, 7)
    reached = [*CRITICAL[: rng.choices((2, 3, 4), weights=(6, 14, 80))[0]]]
    if len(reached) == len(CRITICAL):
        reached += LATER[: rng.randrange(0, 4)]
    reached += [milestone for clients, milestone in CLIENTS if life.clients >= clients]
    for _ in range(forms if "first_form" in reached else 0):
        recorder.note("form_created", begin)
    for milestone in reached:
        recorder.note("milestone_completed", begin, milestone=milestone, critical=milestone in CRITICAL)
    life.milestones = reached
    # Habits were formed before the history begins, so that the first weeks don't look like a decline.
    life.activity = [rng.random() < life.rate for _ in range(42)]
