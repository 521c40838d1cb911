"""Live triggers made ready: what an event concerns, the first line that fails, and when time may change that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from loops.triggers import Triggers, prepare_triggers
from schemas.catalogue import load_catalogue
from schemas.condition import Age, AllOf, AnyOf, Between, Compare, Condition, EventCount, NoneOf
from schemas.errors import SettingError
from schemas.facts import Facts
from schemas.plan import CompiledPlaybook, Enter
from schemas.policy import Policy
from schemas.settings import RULES_ENGINES, RulesEngine, Settings
from store.playbooks import Published

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
CATALOGUE = load_catalogue()
DAY = 86_400

PRO = Compare(signal="plan", op="eq", value="pro", path="enter.when.plan")
LOW = Compare(signal="health_score", op="lt", value=40, path="enter.when.health_score")
SEEN = Age(signal="last_login", op="within", seconds=DAY, path="enter.when.last_login")
FAILED = EventCount(name="payment_failed", within_seconds=DAY, path="enter.when.event")


def prepare(engine: RulesEngine | None = None, **lines: tuple[Condition, ...]) -> Triggers:
    playbooks = {
        name: CompiledPlaybook(
            name=name,
            title=name,
            owner="cs",
            status="draft" if name == "draft" else "live",
            enter=Enter(when=AllOf(items=items), signals=signals(items)),
            steps=(),
        )
        for name, items in lines.items()
    }
    return prepare_triggers(Published(playbooks, Policy(), "1"), CATALOGUE, engine)


def signals(items: tuple[Condition, ...]) -> tuple[str, ...]:
    return tuple(getattr(item, "signal", None) or getattr(item, "name", "") for item in items)


def told(triggers: Triggers, facts: Facts, changed: set[str] | None = None) -> dict[str, object]:
    return {trigger.playbook.name: failing for trigger, failing in triggers.look(facts, changed)}


@pytest.mark.parametrize("engine", [name for name in RULES_ENGINES if name != "durable_rules"])
def test_every_engine_finds_the_first_failing_line_and_when_it_may_hold(engine: RulesEngine) -> None:
    triggers = prepare(engine, both=(PRO, LOW), seen=(SEEN, PRO), paid=(FAILED, LOW), draft=(PRO,))
    ahead = NOW + timedelta(hours=1)
    facts = Facts("c1", NOW, {"plan": "pro", "health_score": 50, "last_login": ahead})
    assert told(triggers, facts) == {
        "both": ("enter.when.health_score", None),
        "seen": ("enter.when.last_login", ahead),
        # A look at a value comes before counting.
        "paid": ("enter.when.health_score", None),
    }
    assert [t.first_failing(facts) for t in triggers.triggers] == list(told(triggers, facts).values())
    low = Facts("c2", NOW, {"plan": "pro", "health_score": 30, "last_login": NOW})
    assert [t.first_failing(low) for t in triggers.triggers] == [None, None, ("enter.when.event", None)]


def test_only_triggers_that_look_at_what_changed_are_asked() -> None:
    triggers = prepare(both=(PRO, LOW), seen=(SEEN,), paid=(FAILED,), always=())
    facts = Facts("c1", NOW, {"plan": "pro"})
    assert told(triggers, facts, {"plan", "country"}).keys() == {"both", "always"}
    assert told(triggers, facts, {"payment_failed", "last_login"}).keys() == {"seen", "paid", "always"}
    assert told(triggers, facts, set()) == {"always": None}
    assert told(triggers, facts).keys() == {"both", "seen", "paid", "always"}


def test_a_range_of_days_is_looked_at_again_when_it_begins() -> None:
    line = Between(signal="days_since_last_login", low=10, high=30, path="enter.when.days_since_last_login")
    since = NOW - timedelta(days=4)
    facts = Facts("c1", NOW, {"days_since_last_login": 4}, ages={"days_since_last_login": (since, DAY)})
    for lines in ((line,), (AnyOf(items=(line,)),), (NoneOf(items=(NoneOf(items=(line,)),)),)):
        [(_, failing)] = prepare(come_back=lines).look(facts)
        assert failing is not None
        assert failing[1] == since + timedelta(days=10)


def test_thousands_of_triggers_are_told_apart() -> None:
    lines = {
        f"p{n}": (Compare(signal="health_score", op="ge", value=n, path=f"at {n}"),) for n in range(2000)
    }
    triggers = prepare(**lines)
    failing = told(triggers, Facts("c1", NOW, {"health_score": 1200}), {"health_score"})
    assert [name for name, line in failing.items() if line is None] == [f"p{n}" for n in range(1201)]
    assert failing["p1201"] == ("at 1201", None)


def test_the_environment_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.read({}).rules_engine == "generated"
    assert Settings.read({"HOLDFAST_RULES_ENGINE": "columns"}).rules_engine == "columns"
    with pytest.raises(SettingError, match="HOLDFAST_RULES_ENGINE is 'drools'"):
        Settings.read({"HOLDFAST_RULES_ENGINE": "drools"})
    monkeypatch.setenv("HOLDFAST_RULES_ENGINE", "drools")
    with pytest.raises(SettingError):
        prepare(both=(PRO, LOW))
