"""What a playbook says is what its plan says: ids, defaults, guards, jumps, messages, versions."""

import pytest

from schemas.compiler import compile_playbook
from schemas.plan import (
    Act,
    Again,
    BeforeDate,
    Branch,
    CalendarDays,
    CompiledPlaybook,
    Elapsed,
    Exit,
    Reaction,
    SendWindow,
    Split,
    Stop,
    UntilWeekday,
    Wait,
    WaitFor,
)
from schemas.template_file import MessageTemplate
from schemas.yaml_source import load_yaml
from tests.unit.compiling import HEAD, LANGUAGE, TEMPLATES, plan, problems, steps

DAY = 86400

ENTER = """
enter:
  signals: [churn_scored, health_changed]
  when:
    churn_probability: ">= 0.7"
    plan: [pro, business]
    health_score: {crosses_below: 40, for: 2d, rearm_above: 50}
    any:
      - days_since_last_login: "> 7"
      - event: {name: payment_failed, at_least: 2, within: 30d}
    none:
      - open_tickets: ">= 1"
  again: after 30d
  at_most: 200 per day
  holdout: 10%
  group: retention
  priority: 80
goal:
  name: back-on-track
  when: {health_score: ">= 60"}
  within: 21d
exit:
  - when: {subscription_status: cancelled}
  - event: {name: plan_changed, where: {to: annual}}
    outcome: success
steps:
  - call:
      title: "{{ customer.first_name }}: usage is down {{ signals.usage_drop_percent }} %"
      assign: csm
      due: 24h
      escalate: {after: 24h, to: cs-lead}
    outcomes:
      no_answer: next
      declined: stop
  - experiment: follow-up
    variants:
      templates: {weight: 50, steps: [{email: {template: tips}}]}
      checklist: {weight: 50, steps: [{email: tips}]}
  - wait_for:
      event: {name: login}
      for: 3d
    then: []
    else:
      - in_app: nudge
"""


def test_the_example_of_the_language_compiles_to_what_it_says() -> None:
    playbook = plan(ENTER)
    assert (playbook.name, playbook.status, playbook.group, playbook.priority) == (
        "p",
        "live",
        "retention",
        80,
    )
    enter, goal = playbook.enter, playbook.goal
    assert enter is not None
    assert goal is not None
    assert enter.signals == ("churn_scored", "health_changed")
    assert [item.kind for item in enter.when.items] == ["compare", "one_of", "crossing", "any", "none"]
    assert (enter.again, enter.at_most_per_day, enter.holdout_percent) == (
        Again(kind="after", seconds=30 * DAY), 200, 10.0,
    )  # fmt: skip
    assert (goal.name, goal.within_seconds, goal.event) == ("back-on-track", 21 * DAY, None)
    assert [ending.outcome for ending in playbook.exits] == ["stopped", "success"]
    assert isinstance(playbook.exits[1], Exit)
    assert playbook.exits[1].event is not None
    assert playbook.exits[1].event.name == "plan_changed"
    call, experiment, wait_for = playbook.steps
    assert isinstance(call, Act)
    assert (call.id, call.word, call.human, call.sends) == ("steps[0]", "call", True, False)
    assert call.args == {
        "title": "{{ customer.first_name }}: usage is down {{ signals.usage_drop_percent }} %",
        "assign": "csm", "due_seconds": DAY, "escalate": {"after_seconds": DAY, "to": "cs-lead"},
        "give_up_seconds": 7 * DAY,
    }  # fmt: skip
    assert {name: reaction.do for name, reaction in call.outcomes.items()} == {
        "reached": "next", "no_answer": "next", "declined": "stop", "rescheduled": "next", "done": "next",
        "overdue": "next",
    }  # fmt: skip
    assert isinstance(experiment, Split)
    assert {name: arm.weight for name, arm in experiment.variants.items()} == {
        "templates": 50,
        "checklist": 50,
    }
    (mail,) = experiment.variants["checklist"].steps
    assert isinstance(mail, Act)
    assert mail.id == "steps[1].variants.checklist.steps[0]"
    assert mail.args["template"] == "tips"
    assert isinstance(wait_for, WaitFor)
    assert (wait_for.for_seconds, wait_for.then, len(wait_for.otherwise)) == (3 * DAY, (), 1)
    assert playbook.templates == {
        "tips": {"email": {"subject": "Tips", "text": "Some."}},
        "nudge": {"in_app": {"title": "Hi", "text": "Come back."}},
    }


def test_what_is_left_out_has_its_default() -> None:
    playbook = plan("enter: {when: {plan: pro}}\nsteps: [{wait: 1d}]\n")
    assert playbook.enter is not None
    assert playbook.enter.again == Again(kind="after", seconds=7 * DAY)
    assert (playbook.priority, playbook.on_change, playbook.max_overdue_seconds) == (50, "finish", DAY)
    assert plan("steps: [{wait: 1d}]\n").enter is None


@pytest.mark.parametrize(
    ("written", "again"),
    [
        ("never", Again(kind="never", seconds=0)), ("always", Again(kind="always", seconds=0)),
        ("after 2w", Again(kind="after", seconds=14 * DAY)),
        ("3 per 365d", Again(kind="times", times=3, seconds=365 * DAY)),
    ],
)  # fmt: skip
def test_again_has_four_forms(written: str, again: Again) -> None:
    enter = plan(f"enter: {{when: {{plan: pro}}, again: {written}}}\nsteps: [{{wait: 1d}}]\n").enter
    assert enter is not None
    assert enter.again == again


@pytest.mark.parametrize(
    ("written", "spec"),
    [
        ("3d", Elapsed(seconds=3 * DAY)), ("90m", Elapsed(seconds=5400)),
        ("{days: 3}", CalendarDays(days=3)), ('{days: 3, at: "09:30"}', CalendarDays(days=3, at_minute=570)),
        ("{days: 3, at: 9:05}", CalendarDays(days=3, at_minute=545)),
        ('{until: friday, at: "10:00"}', UntilWeekday(weekday=5, at_minute=600)),
        ("{until: monday}", UntilWeekday(weekday=1)),
        ("{business_days: 2}", CalendarDays(days=2, business=True)),
        ("{before: renewal_date, by: 14d}", BeforeDate(signal="renewal_date", seconds=14 * DAY)),
        ('{before: trial_ends_at, at: "00:00"}', BeforeDate(signal="trial_ends_at", seconds=0, at_minute=0)),
    ],
)  # fmt: skip
def test_a_wait_has_many_forms(written: str, spec: object) -> None:
    (wait,) = steps(f"- wait: {written}")
    assert isinstance(wait, Wait)
    assert wait.spec == spec
    assert wait.outcomes == ({"no_date": Reaction(do="stop")} if isinstance(spec, BeforeDate) else {})


def test_messages_are_held_two_days_and_nothing_else_stops_the_run() -> None:
    (mail,) = steps("- email: tips")
    held = Reaction(do="hold", hold_seconds=2 * DAY)
    assert mail.outcomes["held_quiet_hours"] == mail.outcomes["capped"] == held
    assert {name for name, reaction in mail.outcomes.items() if reaction.do == "next"} == {
        "sent", "unreachable", "no_consent", "suppressed", "failed", "unknown",
    }  # fmt: skip
    assert (mail.activity, mail.sends) == ("Delivery.send", True)


def test_reactions_have_all_their_forms() -> None:
    text = """
- email: tips
  outcomes:
    failed: {goto: last}
    unknown: "goto: last"
    unreachable: goto last
    capped: {hold: 12h}
    held_quiet_hours: "hold: 1d"
    no_consent: stop
    suppressed: {fallback: [{sms: tips}]}
- id: last
  wait: 1d
"""
    mail, _ = steps(text)
    outcomes = mail.outcomes
    assert (
        outcomes["failed"]
        == outcomes["unknown"]
        == outcomes["unreachable"]
        == Reaction(do="goto", goto="last")
    )
    assert outcomes["capped"].hold_seconds == DAY // 2
    assert outcomes["held_quiet_hours"].hold_seconds == DAY
    assert outcomes["no_consent"].do == "stop"
    (sms,) = outcomes["suppressed"].steps
    assert sms.id == "steps[0].outcomes.suppressed.fallback[0]"


def test_a_guard_stays_on_what_acts_and_becomes_a_branch_around_the_rest() -> None:
    text = """
- email: tips
  if: {plan: pro}
- wait: 3d
  id: pause
  if: {plan: pro}
- wait_for: {event: {name: login}, for: 3d}
  if: {plan: pro}
  then: [{stop: success}]
"""
    mail, pause, wait_for = steps(text)
    assert mail.guard.items[0].value == "pro"
    assert mail.guard.path == "steps[0].if"
    assert isinstance(pause, Branch)
    assert (pause.id, pause.then[0].id, pause.otherwise) == ("pause.if", "pause", ())
    assert pause.when.path == "steps[1].if"
    assert isinstance(wait_for, Branch)
    assert isinstance(wait_for.then[0], WaitFor)
    assert wait_for.then[0].then == (Stop(id="steps[2].then[0]", outcome="success"),)


def test_an_if_of_its_own_chooses() -> None:
    (branch,) = steps("- if: {plan: pro}\n  then: [{wait: 1d}]\n  else: [{stop: lost}]")
    assert isinstance(branch, Branch)
    assert (branch.then[0].id, branch.otherwise[0].id) == ("steps[0].then[0]", "steps[0].else[0]")


def test_goto_leads_to_the_branch_around_a_guarded_step_and_out_of_blocks() -> None:
    text = """
- if: {plan: pro}
  then:
    - email: tips
      outcomes: {failed: {goto: pause}}
- wait: 1d
- id: pause
  wait: 3d
  if: {plan: pro}
"""
    branch, _, pause = steps(text)
    assert branch.then[0].outcomes["failed"].goto == pause.id == "pause.if"


@pytest.mark.parametrize(
    ("target", "code"), [("here", "PB223"), ("before", "PB223"), ("inside", "PB223"), ("nowhere", "PB222")]
)
def test_goto_leads_nowhere_else(target: str, code: str) -> None:
    text = f"""steps:
  - id: before
    wait: 1d
  - id: here
    email: tips
    outcomes: {{failed: {{goto: {target}}}}}
  - if: {{plan: pro}}
    then: [{{id: inside, wait: 1d}}]
"""
    (problem,) = problems(text)
    assert (problem.code, problem.line, problem.path) == (code, 10, "steps[1].outcomes.failed.goto")


def test_parts_and_topics_of_a_message() -> None:
    text = """
- email:
    subject: "Hello {{ customer.first_name }}"
    html: {text: "<p>{{ signals.plan }}</p>", default: "<p>Hello</p>"}
    from_name: Anna
  topic: tips
  critical: true
- sms: {template: tips, topic: offers, critical: true}
"""
    mail, sms = steps(text)
    assert mail.args == {
        "subject": "Hello {{ customer.first_name }}", "from_name": "Anna", "topic": "tips", "critical": True,
        "html": {"text": "<p>{{ signals.plan }}</p>", "default": "<p>Hello</p>"},
    }  # fmt: skip
    assert sms.args == {"template": "tips", "topic": "offers", "critical": True}


def test_the_playbooks_sending_rules_reach_its_messages_and_yield_to_theirs() -> None:
    text = """
send: {between: "09:00-18:00", days: weekdays, topic: tips}
steps:
  - email: tips
  - email: tips
    send: {days: [saturday, sunday], at_most_late: 24h, topic: offers}
  - call: {title: Hello}
"""
    first, second, call = plan(text).steps
    assert isinstance(first, Act)
    assert isinstance(second, Act)
    assert isinstance(call, Act)
    assert first.send == SendWindow(between=(540, 1080), weekdays=(1, 2, 3, 4, 5), topic="tips")
    assert second.send == SendWindow(
        between=(540, 1080), weekdays=(6, 7), at_most_late_seconds=DAY, topic="offers"
    )
    assert (first.args["topic"], second.args["topic"], call.send) == ("tips", "offers", None)


def test_templates_may_use_the_steps_of_their_playbook() -> None:
    text = "steps:\n  - id: offer-call\n    call: {{title: Hello}}\n"
    text += "  - sms: {{text: \"{{{{ steps['{0}'].outcome }}}}\"}}\n"
    assert problems(text.format("offer-call")) == []
    (problem,) = problems(text.format("offercall"))
    assert (problem.code, problem.line, problem.column) == ("PB306", 8, 28)


def test_moving_lines_and_live_limits_make_no_version_and_content_does() -> None:
    first = plan(ENTER).version
    assert plan("# a comment\n\n" + ENTER).version == first
    assert plan(ENTER.replace("priority: 80", "priority: 10").replace("10%", "20%")).version == first
    assert plan(ENTER.replace("again: after 30d", "again: never")).version == first
    assert plan(ENTER.replace('">= 0.7"', '">= 0.8"')).version != first
    assert plan(ENTER.replace("due: 24h", "due: 48h")).version != first
    changed = {**TEMPLATES, "tips": MessageTemplate("tips", {"email": {"subject": "New", "text": "Some."}})}
    source = load_yaml(HEAD + ENTER, "p.yaml")
    other = compile_playbook(source, LANGUAGE, changed).playbook
    assert other is not None
    assert other.version != first


def test_a_plan_survives_its_way_through_json() -> None:
    playbook = plan(ENTER)
    assert CompiledPlaybook.model_validate_json(playbook.model_dump_json()) == playbook


def test_arguments_can_be_read_back_from_a_plan() -> None:
    call = plan(ENTER).steps[0]
    assert isinstance(call, Act)
    arguments = LANGUAGE.step_types["call"].arguments.model_validate(call.args)
    assert arguments.model_dump(mode="json", exclude_none=True) == call.args


def test_late_and_unreachable_steps_are_warned_of_only_when_certain() -> None:
    base = "goal: {event: {name: login}, within: 7d}\nsteps:\n"
    late = problems(base + "  - wait: 8d\n  - email: tips\n  - email: tips\n")
    assert [(p.code, p.severity, p.path) for p in late] == [("PB231", "warning", "steps[1]")]
    assert problems(base + "  - wait: 7d\n  - email: tips\n") == []
    assert problems(base + "  - wait_for: {event: {name: login}, for: 9d}\n  - email: tips\n") == []
    assert problems(base + "  - {if: {plan: pro}, then: [{wait: 9d}]}\n  - email: tips\n") == []
    unreachable = problems("steps:\n  - stop: lost\n  - email: tips\n  - email: tips\n")
    assert [(p.code, p.path) for p in unreachable] == [("PB232", "steps[1]")]
    both_ways = (
        "steps:\n  - if: {plan: pro}\n    then: [{stop: lost}]\n    else: [{stop: success}]\n  - wait: 1d\n"
    )
    assert [p.code for p in problems(both_ways)] == ["PB232"]
    jumped = (
        "steps:\n  - email: tips\n    outcomes: {failed: {goto: rescue}}\n  - stop: success\n"
        "  - {id: rescue, sms: tips}\n"
    )
    assert problems(jumped) == []


def test_migrating_playbooks_name_every_step() -> None:
    text = "on_change: migrate\nsteps:\n  - {id: a, wait: 1d}\n  - if: {plan: pro}\n    then: [{wait: 1d}]\n"
    assert [(p.code, p.path) for p in problems(text)] == [
        ("PB236", "steps[1].id"),
        ("PB236", "steps[1].then[0].id"),
    ]
