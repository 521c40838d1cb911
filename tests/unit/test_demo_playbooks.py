"""The playbooks that ship: valid, humane, with entrants in the demo base, and messages that read well."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from activities.messages import parts_of
from activities.registry import find_step_types
from channels.rendering import render_email, render_in_app, render_line, render_part, render_sms
from loops.demo.behaviour import respond
from loops.demo.personas import STORY_ABSENCE, STORY_DECLINE, STORY_FIRST_STEPS
from rules.assignment import arms, held_out
from rules.generated import compile_condition
from schemas.facts import Event, Facts
from schemas.loader import Loaded, load_playbooks
from schemas.nesting import walk
from schemas.plan import Act, CompiledPlaybook
from schemas.policy import INTERVENTION_TYPES
from scoring.replay import replay_customer
from tests.unit import demo_base
from tests.unit.demo_base import CATALOGUE, UNTIL

NAMES = (
    "come-back",
    "failed-payment",
    "first-steps",
    "renewal-ahead",
    "rescue-declining-supplier",
    "unhappy-after-ticket",
)
# Nobody enters these by themselves: they are what types of interventions mean.
BY_HAND = ("email-sequence", "feature-tour", "in-app-message", "personalized-support", "phone-call")
WISHES: dict[str, Any] = {
    "priority": "high", "message": "It can be in by tonight <script>", "timeline": "this week",
    "special_offers": ["a session"],
}  # fmt: skip
LINKS = {
    "unsubscribe": "https://example.test/u/1",
    "preferences": "https://example.test/p/1",
    "booking": "https://example.test/b/1",
}


@cache
def shipped() -> Loaded:
    directory = Path(__file__).parents[2] / "playbooks"
    return load_playbooks(directory, CATALOGUE, find_step_types())


@cache
def base() -> dict[str, Facts]:
    profiles = {customer.external_id: customer.traits for customer in demo_base.base().customers}
    return {
        name: Facts(
            name,
            UNTIL,
            known.signals,
            events=demo_base.events()[name],
            history={"health_score": known.history("health_score")},
            profile=profiles[name],
        )
        for name, known in demo_base.replayed().items()
    }


@cache
def entrants(name: str) -> tuple[Facts, ...]:
    enter = shipped().playbooks[name].enter
    assert enter is not None
    matches = compile_condition(enter.when)
    return tuple(facts for facts in base().values() if matches(facts) is True)


def acts(playbook: CompiledPlaybook) -> Iterator[Act]:
    return (step for step in walk(playbook.steps) if isinstance(step, Act))


def message(playbook: CompiledPlaybook, act: Act, context: Mapping[str, Any]) -> str:
    """All that a customer or a CSM reads of one step."""
    if act.word in ("call", "task"):
        title = render_line(act.args["title"], context)
        return f"{title}\n{render_part(act.args['about'], context, html=False)}"
    parts = parts_of(playbook, act, act.word)
    if act.word == "email":
        email = render_email(parts, context)
        assert email.html
        return f"{email.subject}\n{email.text}\n{email.html}"
    return render_sms(parts, context) if act.word == "sms" else "\n".join(render_in_app(parts, context))


def context_of(facts: Facts, links: Mapping[str, str]) -> dict[str, Any]:
    return {
        "customer": dict(facts.profile),
        "signals": dict(facts.signals),
        "run": {},
        "steps": {},
        "links": dict(links),
    }


def test_all_files_are_free_of_problems_and_live() -> None:
    assert shipped().problems == []
    assert set(shipped().playbooks) == {*NAMES, *BY_HAND}
    assert {playbook.status for playbook in shipped().playbooks.values()} == {"live"}


def test_every_template_is_used_and_every_channel_of_this_version_too() -> None:
    used = {name for playbook in shipped().playbooks.values() for name in playbook.templates}
    assert used == set(shipped().templates)
    words = {act.word for playbook in shipped().playbooks.values() for act in acts(playbook)}
    assert words == {"email", "sms", "in_app", "call", "task", "reward"}


def test_every_type_of_intervention_means_a_playbook_that_ships_and_asks_for_no_trigger() -> None:
    policy = shipped().policy
    assert policy is not None
    meant = {kind: shipped().playbooks[policy.playbook_for(kind)] for kind in INTERVENTION_TYPES}
    assert {playbook.name for playbook in meant.values()} == set(BY_HAND)
    assert all(playbook.enter is None and playbook.goal for playbook in meant.values())


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("wishes", [{}, WISHES], ids=["as it is", "in other words"])
@pytest.mark.parametrize("links", [{}, LINKS], ids=["without links", "with links"])
def test_what_is_asked_for_by_hand_reads_well_with_and_without_words_of_ones_own(
    name: str, wishes: dict[str, Any], links: dict[str, str]
) -> None:
    playbook = shipped().playbooks[name]
    facts = Facts(
        "x", UNTIL, {"health_score": 45}, profile={"first_name": "Jonas", "business_name": "J & Co"}
    )
    context = context_of(facts, links) | {"run": {"reason": "he rang us", **wishes}}
    texts = [message(playbook, act, context) for act in acts(playbook)]
    for text in texts:
        assert not re.search(r"None|\{\{|\}\}|\{%|undefined|nan", text), text
        assert "<script>" not in text.partition("<p>")[2], text
    if wishes:
        assert any("tonight" in text for text in texts) or name == "personalized-support"


@pytest.mark.parametrize("name", NAMES)
def test_each_playbook_has_five_to_forty_entrants_in_the_demo_base(name: str) -> None:
    assert 5 <= len(entrants(name)) <= 40


@pytest.mark.parametrize("name", NAMES)
def test_nobody_enters_who_has_cancelled_or_already_reached_the_goal(name: str) -> None:
    goal = shipped().playbooks[name].goal
    assert goal is not None
    reached = compile_condition(goal.when) if goal.when else None
    for facts in entrants(name):
        assert facts.signals["subscription_status"] != "cancelled"
        assert reached is None or reached(facts) is not True


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("links", [{}, LINKS], ids=["without links", "with links"])
def test_every_message_reads_well_for_every_entrant(name: str, links: dict[str, str]) -> None:
    playbook = shipped().playbooks[name]
    for facts in entrants(name):
        signals = {"best_templates": ("Save the date",), "last_support_rating": 2, **facts.signals}
        known = Facts(facts.customer, facts.now, signals, profile=facts.profile)
        for act in acts(playbook):
            if act.word == "reward":
                continue
            text = message(playbook, act, context_of(known, links))
            assert not re.search(r"None|\{\{|\}\}|\{%|undefined|nan", text), (act.id, text)
            assert not re.search(r" [.,]|\.\.|\d\.0\b", text), (act.id, text)
            if act.word == "sms":
                assert len(text) <= 320, (act.id, len(text))
            if act.word == "email" and links:
                assert "https://example.test/u/1" in text or "https://example.test/p/1" in text, act.id


@pytest.mark.parametrize("name", NAMES)
def test_nobody_hears_more_than_the_caps_allow_even_if_all_went_out_at_once(name: str) -> None:
    playbook = shipped().playbooks[name]
    assert len([act for act in acts(playbook) if act.word == "sms"]) <= 1
    assert len([act for act in acts(playbook) if act.word == "call"]) <= 1
    policy = shipped().policy
    assert policy is not None
    assert policy.quiet_hours == (21 * 60, 8 * 60)
    assert policy.caps["total"].times <= 3
    assert policy.entries is not None


def test_the_stories_enter_their_playbooks_and_are_treated() -> None:
    policy = shipped().policy
    assert policy is not None
    for story, name in (
        (STORY_FIRST_STEPS, "first-steps"),
        (STORY_DECLINE, "rescue-declining-supplier"),
        (STORY_ABSENCE, "come-back"),
    ):
        inside = [other for other in NAMES if story in {facts.customer for facts in entrants(other)}]
        assert inside == [name]
        enter = shipped().playbooks[name].enter
        assert enter is not None
        assert not held_out(f"playbook/{name}", enter.holdout_percent, story)
        assert not held_out("global", policy.holdout_percent, story)


def test_story_1_gets_a_mail_that_names_her_facts_within_a_day_and_then_reaches_the_goal() -> None:
    playbook = shipped().playbooks["first-steps"]
    first = next(acts(playbook))
    facts = base()[STORY_FIRST_STEPS]
    text = message(playbook, first, context_of(facts, {}))
    assert first.word == "email"
    for said in ("Maya", "5 clients", "1 form ", "2024 client list", "15-minute set-up call"):
        assert said in text, said
    answer = respond(1, STORY_FIRST_STEPS, channel="email", playbook="first-steps", step=first.id, at=UNTIL)
    past = [*facts.events, *(Event(event.name, event.at, event.properties) for event in answer)]
    later = answer[-1].at
    after = replay_customer(past, until=later, days=1, catalogue=CATALOGUE)
    goal = playbook.goal
    assert goal is not None
    assert goal.when is not None
    assert compile_condition(goal.when)(Facts(STORY_FIRST_STEPS, later, after.signals)) is True


def test_story_2_is_called_first_and_then_sent_her_own_best_templates() -> None:
    playbook = shipped().playbooks["rescue-declining-supplier"]
    facts = base()[STORY_DECLINE]
    assert next(acts(playbook)).word == "call"
    assert arms(playbook.steps, STORY_DECLINE) == {"templates-or-checklist": "templates"}
    mail = next(act for act in acts(playbook) if act.id == "own-templates")
    assert "Client invitation: short and warm" in message(playbook, mail, context_of(facts, {}))
    rewards = [act.args for act in acts(playbook) if act.word == "reward"]
    assert rewards == [{"feature": "premium", "for_seconds": 7 * 86400}] * 2
    goal = playbook.goal
    assert goal is not None
    assert goal.event is not None
    assert goal.event.name == "plan_changed"


def test_story_3_is_written_to_called_and_offered_a_session_until_a_login_ends_it() -> None:
    playbook = shipped().playbooks["come-back"]
    assert [act.word for act in acts(playbook)][:3] == ["email", "call", "email"]
    facts = base()[STORY_ABSENCE]
    texts = [message(playbook, act, context_of(facts, {})) for act in acts(playbook)]
    assert "12 days" in texts[0]
    assert "complimentary" in texts[2]
    assert playbook.goal is not None
    assert playbook.goal.event is not None
    assert playbook.goal.event.name == "login"
