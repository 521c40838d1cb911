"""What the demo's suppliers do next: by themselves, and in answer to what a playbook sends them.

Everything follows from the seed and the names involved, so that a demo played twice is the same demo.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from loops.demo.life import live
from loops.demo.personas import STORY_ABSENCE, STORY_DECLINE, STORY_FIRST_STEPS
from loops.demo.population import Population
from loops.demo.record import DemoEvent, Recorder

GRID_MINUTES = 30

# The share of suppliers that act on a message or, once reached, a call.
ANSWERS = {"email": 0.24, "sms": 0.28, "in_app": 0.15, "call": 0.55}
CALL_OUTCOMES = (("reached", 55), ("no_answer", 35), ("declined", 10))
_STORY_CALLS = {STORY_DECLINE: "reached", STORY_ABSENCE: "no_answer"}


def coming_events(
    population: Population, *, start: datetime, days: int = 30, grid_minutes: int = GRID_MINUTES
) -> list[DemoEvent]:
    """The `days` after `start` if nobody intervened: decliners go on declining, payments fall due.

    In order of time, every instant on a grid of `grid_minutes`, so that a virtual clock can walk along it.
    """
    end = start + timedelta(days=days)
    events: list[DemoEvent] = []
    for customer, life in population.lives.items():
        rng = Random(f"{population.seed}/{customer}/coming")  # noqa: S311 - a demo, not a secret
        recorder = Recorder(customer, population.seed, "coming", start.isoformat())
        live(life, rng, recorder, start, end, grid_minutes)
        events.extend(recorder.events)
    return sorted(events, key=lambda event: (event.at, event.customer))


def call_outcome(seed: int, customer: str, playbook: str) -> str:
    """How a CSM's call to `customer` (an external id) ends: reached, no_answer or declined."""
    if customer in _STORY_CALLS:
        return _STORY_CALLS[customer]
    rng = _random(seed, customer, playbook, "call outcome")
    return rng.choices([name for name, _ in CALL_OUTCOMES], [share for _, share in CALL_OUTCOMES])[0]


def respond(
    seed: int, customer: str, *, channel: str, playbook: str, step: str, at: datetime
) -> list[DemoEvent]:
    """What `customer` (an external id) does in the days after `step` of `playbook` reached them at `at`.

    Empty for the many who don't react. Instants lie on the half-hour grid, after `at`.
    """
    recorder = Recorder(customer, seed, "response", playbook, step, channel)
    rng = _random(seed, customer, playbook, step, channel)
    if customer == STORY_FIRST_STEPS:
        _answer_first_steps(recorder, channel, at)
    elif customer == STORY_DECLINE:
        _answer_decline(recorder, channel, at)
    elif customer == STORY_ABSENCE:
        _answer_absence(recorder, step, at)
    elif channel == "call":
        if call_outcome(seed, customer, playbook) == "reached" and rng.random() < ANSWERS["call"]:
            _answer(recorder, rng, playbook, at)
    elif rng.random() < ANSWERS.get(channel, 0):
        _answer(recorder, rng, playbook, at)
    return recorder.events


def _answer_first_steps(recorder: Recorder, channel: str, at: datetime) -> None:
    """Maya follows the tips of the first mail and imports her list the same evening."""
    if channel == "email":
        recorder.note("login", _later(at, 9))
        recorder.note("client_imported", _later(at, 9.5), count=38, source="csv")
        recorder.note("feature_used", _later(at, 9.5), feature="client_management")
        recorder.note("session_ended", _later(at, 10), minutes=27.0)


def _answer_decline(recorder: Recorder, channel: str, at: datetime) -> None:
    """Elena looks in after the call, and converts once her own templates lie before her."""
    if channel == "call":
        recorder.note("login", _later(at, 3))
        recorder.note("feature_used", _later(at, 3), feature="client_management")
        recorder.note("session_ended", _later(at, 3.5), minutes=14.0)
    if channel == "email":
        template = "Client invitation: short and warm"
        recorder.note("login", _later(at, 20))
        recorder.note("template_used", _later(at, 20.5), template=template)
        recorder.note("feature_used", _later(at, 20.5), feature="templates")
        renewal = (at + timedelta(days=365)).date().isoformat()
        recorder.note("plan_changed", _later(at, 44), to="annual", renewal_date=renewal)
        recorder.note("payment_succeeded", _later(at, 44), amount=490)


def _answer_absence(recorder: Recorder, step: str, at: datetime) -> None:
    """Jonas doesn't pick up, and is back a day after the set-up session was offered."""
    if "session" in step:
        recorder.note("login", _later(at, 26))
        recorder.note("feature_used", _later(at, 26), feature="client_management")
        recorder.note("session_ended", _later(at, 27), minutes=19.0)


def _answer(recorder: Recorder, rng: Random, playbook: str, at: datetime) -> None:
    """An ordinary answer: a visit within two days, the thing the playbook is about, and a few more visits."""
    hours = rng.uniform(1, 46)
    if playbook == "failed-payment":
        recorder.note("payment_succeeded", _later(at, hours), amount=49, source="card_updated")
        return
    recorder.note("login", _later(at, hours))
    recorder.note("feature_used", _later(at, hours), feature="client_management")
    recorder.note("session_ended", _later(at, hours + 0.5), minutes=round(rng.uniform(6, 30), 1))
    if playbook == "first-steps":
        recorder.note("client_imported", _later(at, hours + 0.5), count=rng.randrange(8, 45))
    elif playbook == "renewal-ahead" and rng.random() < 0.5:
        renewal = (at + timedelta(days=365)).date().isoformat()
        recorder.note("plan_changed", _later(at, hours + 1), to="annual", renewal_date=renewal)
    elif playbook == "unhappy-after-ticket" and rng.random() < 0.6:
        recorder.note("ticket_rated", _later(at, hours + 1), rating=rng.choice((4, 5, 5)))
    features = ("form_builder", "templates", "client_management", "journey_automation")
    for day in range(1, rng.randrange(2, 9)):
        again = hours + 24 * day + rng.uniform(-3, 3)
        recorder.note("login", _later(at, again))
        for feature in rng.sample(features, rng.randrange(1, 4)):
            recorder.note("feature_used", _later(at, again), feature=feature)
        recorder.note("client_active", _later(at, again), client=f"c{rng.randrange(20):03d}")
        recorder.note("session_ended", _later(at, again + 0.5), minutes=round(rng.uniform(5, 35), 1))


def _later(at: datetime, hours: float) -> datetime:
    """The first point of the half-hour grid at least so many hours after `at`."""
    grid = GRID_MINUTES * 60
    seconds = at.timestamp() + max(hours, 0.1) * 3600
    return datetime.fromtimestamp(-(-seconds // grid) * grid, UTC)


def _random(seed: int, *names: str) -> Random:
    return Random("/".join((str(seed), *names)))  # noqa: S311 - a demo, not a secret
