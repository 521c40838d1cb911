"""What the language promises of validation, sentence by sentence: what is refused, warned of, or simply good."""

import re
from pathlib import Path
from typing import Any

import pytest

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.compiler import Compiled, compile_playbook
from schemas.duration import parse_duration
from schemas.form import FormError
from schemas.language import Language
from schemas.plan import Act, CompiledPlaybook, Wait
from schemas.template_file import MessageTemplate, read_template
from schemas.yaml_source import read_yaml

ROOT = Path(__file__).parents[2]
LANGUAGE = Language(load_catalogue(), find_step_types())
TEMPLATES = {"tips": MessageTemplate("tips", {"email": {"subject": "Tips", "text": "Some."}})}
BASE = {
    "playbook": "playbook: p", "title": "title: T", "owner": "owner: cs-ops", "status": "status: live",
    "steps": "steps: [{wait: 1d}]",
}  # fmt: skip


def compile_file(text: str) -> Compiled:
    """Compile `text` with what it lacks of what every playbook needs; a line such as `title:-` takes that away."""
    lines = [line for key, line in BASE.items() if not re.search(rf"^{key}:", text, re.MULTILINE)]
    written = re.sub(r"^\w+:-\n", "", "\n".join([*lines, text, ""]), flags=re.MULTILINE)
    source, problems = read_yaml(written, "p.yaml")
    if source is None:
        return Compiled(None, problems)
    return compile_playbook(source, LANGUAGE, TEMPLATES, name="p", problems=problems)


def found(text: str) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in compile_file(text).problems]


def plan(text: str) -> CompiledPlaybook:
    compiled = compile_file(text)
    assert [str(problem) for problem in compiled.problems] == []
    assert compiled.playbook is not None
    return compiled.playbook


GOOD = [
    # A playbook without `enter` is started by hand, by the API or by `start`.
    "",
    "about: Why it is there",
    *(f"status: {status}" for status in ("draft", "shadow", "live", "paused", "retired")),
    # Entry.
    *(f"enter: {{when: {{plan: pro}}, again: {again}}}" for again in
      ("after 7d", "after 12h", "never", "always", "3 per 365d", "1 per day")),
    "enter: {when: {plan: pro}, at_most: 200 per day, group: retention, priority: 0}",
    "enter: {when: {plan: pro}, priority: 100, signals: [churn_scored, health_changed], key: renewal_id}",
    "enter: {when: {plan: pro}, holdout: 10%}\ngoal: {event: {name: login}, within: 21d}",
    # Goal and exit: a condition, an event, or for a goal both.
    "goal: {when: {health_score: '>= 60'}, within: 21d}",
    "goal: {name: back, when: {health_score: '>= 60'}, event: {name: login, where: {a: 1}}, within: 21d}",
    *(f"exit: [{{when: {{plan: free}}, outcome: {outcome}}}]" for outcome in ("success", "stopped", "lost")),
    "exit: [{event: {name: plan_changed, where: {to: annual}}}]",
    # Versions, edits and pauses.
    "on_change: finish", "on_change: stop", "on_change: migrate\nsteps: [{id: a, wait: 1d}]", "max_overdue: 12h",
    # Sending rules.
    'send: {between: "09:00-18:00", days: weekdays, best_time: true, at_most_late: 24h, topic: tips}',
    "send: {between: 21:00-06:00}", "send: {days: [monday, friday]}", "send: {days: weekend}",
    "steps: [{email: tips, critical: true}]", "steps: [{email: tips, topic: offers}]",
    "steps: [{email: tips, send: {best_time: false}}]",
    # Steps.
    "steps: [{call: {title: Hello, due: 24h, escalate: {after: 24h, to: cs-lead}, give_up: 7d}}]",
    "steps: [{task: {title: Hello}, outcomes: {sent_flowers: stop}}]",
    "steps: [{reward: {feature: premium, for: 7d}}]",
    "steps: [{webhook: {url: 'https://example.com/x', body: {id: '{{ customer.id }}'}}}]",
    "steps: [{set: {tag: vip}}, {set: {untag: vip}}, {set: {attributes: {tier: gold}}}]",
    "steps: [{start: come-back}]",
    *(f"steps: [{{stop: {outcome}}}]" for outcome in ("success", "stopped", "lost", "completed")),
    "steps: [{experiment: x, variants: {a: {weight: 9, steps: [{wait: 1d}]}, control: {weight: 1, steps: []}}}]",
    "steps: [{wait_for: {event: {name: login, where: {a: {is: present}}}, for: 3d}}]",
    "steps: [{wait_for: {when: {health_score: '> 60'}, for: 3d}, then: [], else: [{stop: lost}]}]",
    "steps: [{email: tips, outcomes: {capped: {hold: 1d}, failed: {fallback: [{wait: 1d}]}, sent: next}}]",
    "steps: [{wait: {before: renewal_date, by: 14d}, outcomes: {no_date: next}}]",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_this_is_good(text: str) -> None:
    assert found(text) == []


REFUSED: list[tuple[str, str, str]] = [
    # The file: what is required, and how it is called.
    ("playbook:-", "PB103", "playbook"), ("title:-", "PB103", "title"), ("owner:-", "PB103", "owner"),
    ("status:-", "PB103", "status"), ("steps:-", "PB103", "steps"), ("steps: []", "PB106", "steps"),
    ("playbook: Rescue It", "PB104", "playbook"), ("playbook: other", "PB220", "playbook"),
    ("status: activ", "PB104", "status"), ("stpes: [{wait: 1d}]", "PB102", "stpes"),
    ("pause: true", "PB102", "pause"), ("title: 12", "PB101", "title"), ("owner:", "PB103", "owner"),
    # YAML 1.2, narrowed.
    ("enter: {when: {influencer: True}}", "PB007", "enter.when.influencer"),
    ("enter: {when: {health_score: .nan}}", "PB007", "enter.when.health_score"),
    ("enter: {when: {health_score: .inf}}", "PB007", "enter.when.health_score"),
    ("enter: {when: {plan: pro, plan: free}}", "PB006", "enter.when.plan"),
    # Entry.
    ("enter: {}", "PB103", "enter.when"), ("enter: {when: {}}", "PB206", "enter.when"),
    ("enter: {when: {any: []}}", "PB206", "enter.when.any"), ("enter: {when: {all: []}}", "PB206", "enter.when.all"),
    ("enter: {when: {none: []}}", "PB206", "enter.when.none"),
    ("enter: {when: {any: [{}]}}", "PB206", "enter.when.any[0]"),
    ("enter: {when: {plan: pro}, again: 30d}", "PB104", "enter.again"),
    ("enter: {when: {plan: pro}, again: 0 per 7d}", "PB104", "enter.again"),
    ("enter: {when: {plan: pro}, at_most: 200}", "PB101", "enter.at_most"),
    ("enter: {when: {plan: pro}, at_most: 200 per week}", "PB104", "enter.at_most"),
    ("enter: {when: {plan: pro}, holdout: 100%}", "PB104", "enter.holdout"),
    ("enter: {when: {plan: pro}, holdout: 0.1}", "PB101", "enter.holdout"),
    ("enter: {when: {plan: pro}, priority: 101}", "PB107", "enter.priority"),
    ("enter: {when: {plan: pro}, priority: -1}", "PB107", "enter.priority"),
    ("enter: {when: {plan: pro}, signals: []}", "PB106", "enter.signals"),
    ("enter: {when: {plan: pro}, group: Retention Team}", "PB104", "enter.group"),
    ("enter: {when: {plan: pro}, key: order}", "PB237", "enter.key"),
    ("when: {plan: pro}", "PB102", "when"), ("priority: 80", "PB102", "priority"),
    # Conditions: what can't be meant.
    ("enter: {when: {plan: '>= x'}}", "PB203", "enter.when.plan"),
    ("enter: {when: {influencer: '> true'}}", "PB203", "enter.when.influencer"),
    ("enter: {when: {tags: vip}}", "PB204", "enter.when.tags"),
    ("enter: {when: {tags: [vip]}}", "PB204", "enter.when.tags"),
    ("enter: {when: {health_score: '40'}}", "PB205", "enter.when.health_score"),
    ("enter: {when: {health_score: '60..40'}}", "PB207", "enter.when.health_score"),
    ("enter: {when: {health_score: {crosses_below: 40, rearm_above: 30}}}", "PB207",
     "enter.when.health_score.rearm_above"),
    ("enter: {when: {health_score: {crosses_above: 40, rearm_above: 50}}}", "PB205",
     "enter.when.health_score.rearm_above"),
    ("enter: {when: {health_score: {crosses_below: 40, for: 0d}}}", "PB104", "enter.when.health_score.for"),
    ("enter: {when: {health_score: {drops_by: 15}}}", "PB103", "enter.when.health_score.within"),
    ("enter: {when: {health_score: {drops_by: -5, within: 7d}}}", "PB107", "enter.when.health_score.drops_by"),
    ("enter: {when: {plan: {crosses_below: 40}}}", "PB211", "enter.when.plan.crosses_below"),
    ("enter: {when: {health_score: {older_than: 7d}}}", "PB211", "enter.when.health_score.older_than"),
    ("enter: {when: {last_login: '> 7'}}", "PB203", "enter.when.last_login"),
    ("enter: {when: {helth_score: 3}}", "PB201", "enter.when.helth_score"),
    ("enter: {when: {plan: 3}}", "PB202", "enter.when.plan"),
    ("enter: {when: {health_score: true}}", "PB202", "enter.when.health_score"),
    ("enter: {when: {email: {contains: x}}}", "PB202", "enter.when.email"),
    ("enter: {when: {plan: {is: there}}}", "PB104", "enter.when.plan.is"),
    ("enter: {when: {event: {name: login, at_least: 0}}}", "PB104", "enter.when.event.at_least"),
    ("enter: {when: {event: {name: login, within: 7}}}", "PB104", "enter.when.event.within"),
    ("enter: {when: {event: {at_least: 2}}}", "PB103", "enter.when.event.name"),
    ("enter: {when: {event: login}}", "PB101", "enter.when.event"),
    ("enter: {when: {event: {name: login, where: {}}}}", "PB206", "enter.when.event.where"),
    # Goal and exit.
    ("goal: {when: {plan: pro}}", "PB103", "goal.within"), ("goal: {within: 7d}", "PB228", "goal"),
    ("goal: {event: {name: login, at_least: 2}, within: 7d}", "PB102", "goal.event.at_least"),
    ("goal: {when: {}, within: 7d}", "PB206", "goal.when"), ("goal: {name: A B, when: {plan: pro}, within: 7d}",
     "PB104", "goal.name"),
    ("exit: [{outcome: lost}]", "PB229", "exit[0]"), ("exit: []", "PB106", "exit"),
    ("exit: [{when: {plan: free}, event: {name: login}}]", "PB229", "exit[0]"),
    ("exit: [{when: {plan: free}, outcome: completed}]", "PB104", "exit[0].outcome"),
    ("exit: {when: {plan: free}}", "PB101", "exit"),
    # Edits and pauses.
    ("on_change: restart", "PB104", "on_change"), ("max_overdue: 1", "PB101", "max_overdue"),
    ("max_overdue: 0d", "PB104", "max_overdue"), ("on_change: migrate", "PB236", "steps[0].id"),
    # Sending rules.
    ("send: {}", "PB106", "send"), ("send: {between: '09:00'}", "PB104", "send.between"),
    ("send: {between: '09:00-09:00'}", "PB104", "send.between"), ("send: {days: workdays}", "PB104", "send.days"),
    ("send: {best_time: yes}", "PB101", "send.best_time"), ("send: {at_most_late: 1}", "PB101", "send.at_most_late"),
    ("send: {topic: Top Tips}", "PB104", "send.topic"),
    ("steps: [{wait: 1d, critical: true}]", "PB109", "steps[0].critical"),
    ("steps: [{call: {title: x}, critical: true}]", "PB109", "steps[0].critical"),
    ("steps: [{wait: 1d, send: {days: weekdays}}]", "PB109", "steps[0].send"),
    # Steps.
    ("steps: [{wait: 1d, email: tips}]", "PB108", "steps[0].email"), ("steps: [{id: a}]", "PB108", "steps[0]"),
    ("steps: [wait]", "PB101", "steps[0]"), ("steps: [{if: {plan: pro}}]", "PB108", "steps[0].if"),
    ("steps: [{id: A, wait: 1d}]", "PB104", "steps[0].id"),
    ("steps: [{id: a, wait: 1d}, {id: a, wait: 1d}]", "PB221", "steps[1].id"),
    ("steps: [{call: {due: 1d}}]", "PB103", "steps[0].call.title"),
    ("steps: [{call: {title: x, due: 24}}]", "PB101", "steps[0].call.due"),
    ("steps: [{call: {title: x, escalate: {to: lead}}}]", "PB103", "steps[0].call.escalate.after"),
    ("steps: [{reward: {for: 7d}}]", "PB103", "steps[0].reward.feature"),
    ("steps: [{reward: {feature: premium, for: forever}}]", "PB104", "steps[0].reward.for"),
    ("steps: [{webhook: {body: {}}}]", "PB103", "steps[0].webhook.url"),
    ("steps: [{set: {tags: [vip]}}]", "PB102", "steps[0].set.tags"),
    ("steps: [{start: Come Back}]", "PB104", "steps[0].start"),
    ("steps: [{stop: expired}]", "PB104", "steps[0].stop"),
    ("steps: [{experiment: x, variants: {a: {weight: 0, steps: []}}}]", "PB225", "steps[0].variants"),
    ("steps: [{experiment: x, variants: {}}]", "PB106", "steps[0].variants"),
    ("steps: [{experiment: x, variants: {a: {weight: -1, steps: []}}}]", "PB107", "steps[0].variants.a.weight"),
    ("steps: [{wait_for: {event: {name: login}}}]", "PB103", "steps[0].wait_for.for"),
    ("steps: [{wait_for: {for: 3d}}]", "PB230", "steps[0].wait_for"),
    ("steps: [{repeat: {steps: [{wait: 1d}]}}]", "PB103", "steps[0].repeat.at_most"),
    ("steps: [{repeat: {at_most: 101, steps: [{wait: 1d}]}}]", "PB107", "steps[0].repeat.at_most"),
    ("steps: [{repeat: {at_most: 2, steps: []}}]", "PB106", "steps[0].repeat.steps"),
    ("steps: [{together: [{steps: [{wait: 1d}]}]}]", "PB107", "steps[0].together"),
    ("steps: [{choose: []}]", "PB106", "steps[0].choose"),
    ("steps: [{choose: [{when: {}, steps: []}]}]", "PB206", "steps[0].choose[0].when"),
    # Waits.
    ("steps: [{wait: 3}]", "PB104", "steps[0].wait"), ("steps: [{wait: 90s}]", "PB104", "steps[0].wait"),
    ("steps: [{wait: 1.5d}]", "PB104", "steps[0].wait"), ("steps: [{wait: -3d}]", "PB104", "steps[0].wait"),
    ("steps: [{wait: {}}]", "PB106", "steps[0].wait"), ("steps: [{wait: {by: 1d}}]", "PB230", "steps[0].wait"),
    ("steps: [{wait: {days: 1, business_days: 1}}]", "PB230", "steps[0].wait.business_days"),
    ("steps: [{wait: {days: 1.5}}]", "PB101", "steps[0].wait.days"),
    ("steps: [{wait: {business_days: 0}}]", "PB107", "steps[0].wait.business_days"),
    ("steps: [{wait: {days: 3661}}]", "PB107", "steps[0].wait.days"),
    ("steps: [{wait: {until: Friday}}]", "PB104", "steps[0].wait.until"),
    ("steps: [{wait: {until: 2026-05-01}}]", "PB104", "steps[0].wait.until"),
    ("steps: [{wait: {until: friday, at: '24:00'}}]", "PB104", "steps[0].wait.at"),
    ("steps: [{wait: {until: friday, at: 10}}]", "PB101", "steps[0].wait.at"),
    ("steps: [{wait: {before: renewl_date}}]", "PB104", "steps[0].wait.before"),
    ("steps: [{wait: {before: renewal_date, by: 0d}}]", "PB104", "steps[0].wait.by"),
    ("steps: [{wait: {days: 2, by: 1d}}]", "PB230", "steps[0].wait.by"),
    ("steps: [{wait: 3d, outcomes: {no_date: next}}]", "PB226", "steps[0].outcomes.no_date"),
    # Outcomes.
    ("steps: [{email: tips, outcomes: {opened: next}}]", "PB226", "steps[0].outcomes.opened"),
    ("steps: [{email: tips, outcomes: {failed: {hold: 1d}}}]", "PB227", "steps[0].outcomes.failed"),
    ("steps: [{email: tips, outcomes: {failed: {fallback: []}}}]", "PB106", "steps[0].outcomes.failed.fallback"),
    ("steps: [{email: tips, outcomes: {failed: {goto: gone}}}]", "PB222", "steps[0].outcomes.failed.goto"),
    ("steps: [{id: a, wait: 1d}, {email: tips, outcomes: {failed: {goto: a}}}]", "PB223",
     "steps[1].outcomes.failed.goto"),
    ("steps: [{email: tips, outcomes: {}}]", "PB106", "steps[0].outcomes"),
    # Messages.
    ("steps: [{email: {text: x}}]", "PB303", "steps[0].email.subject"),
    ("steps: [{sms: {text: '{{ customer.shoe_size }}'}}]", "PB306", "steps[0].sms.text"),
    ("steps: [{sms: {text: '{{ signals.helth_score }}'}}]", "PB306", "steps[0].sms.text"),
    ("steps: [{sms: {text: '{{ links.home }}'}}]", "PB306", "steps[0].sms.text"),
    ("steps: [{sms: {text: '{{ steps.call.outcome }}'}}]", "PB306", "steps[0].sms.text"),
    ("steps: [{sms: {text: '{{ 2 ** 99 }}'}}]", "PB306", "steps[0].sms.text"),
    ("steps: [{email: {template: tips, subject: x}}]", "PB304", "steps[0].email.subject"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "path"), REFUSED)
def test_this_is_refused_once_at_its_place_with_what_to_write_instead(
    text: str, code: str, path: str
) -> None:
    compiled = compile_file(text)
    assert found(text) == [(code, path)]
    assert compiled.playbook is None
    (problem,) = compiled.problems
    assert problem.severity == "error"
    assert problem.line >= 1
    # A limit that was broken and a name that doesn't exist say enough by themselves.
    assert problem.hint or code in ("PB107", "PB306")


WARNED = [
    ("enter: {when: {plan: pro}, holdout: 10%}", "PB233", "enter.holdout"),
    ("goal: {event: {name: login}, within: 7d}\nsteps: [{wait: 8d}, {wait: 1d}]", "PB231", "steps[1]"),
    ("steps: [{stop: lost}, {wait: 1d}]", "PB232", "steps[1]"),
    ("steps: [{call: {title: x}, outcomes: {no_anwser: next}}]", "PB226", "steps[0].outcomes.no_anwser"),
    ("steps: [{repeat: {at_most: 2, steps: [{email: tips}]}}]", "PB243", "steps[0].repeat"),
    ("exit: [{event: {name: payment_fail}}]", "PB219", "exit[0].event.name"),
    ("enter: {when: {subscription_status: frozen}}", "PB209", "enter.when.subscription_status"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "path"), WARNED)
def test_this_is_warned_of_and_good_all_the_same(text: str, code: str, path: str) -> None:
    compiled = compile_file(text)
    assert [(p.code, p.path, p.severity) for p in compiled.problems] == [(code, path, "warning")]
    assert compiled.playbook is not None


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m", 60), ("90m", 5400), ("12h", 43200), ("3d", 259200), ("2w", 1209600)]
)
def test_durations_are_minutes_hours_days_and_weeks(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["0m", "0d", "1.5d", "-3d", "3", "3 d", "3D", "3days", "3s", "3y", "d", "", "１d", "3d ", "9999999w"],
)
def test_nothing_else_is_a_duration(text: str) -> None:
    with pytest.raises(FormError) as caught:
        parse_duration(text)
    assert caught.value.hint


def test_all_problems_are_told_in_one_pass_in_the_order_of_the_file() -> None:
    text = "enter: {when: {plann: pro}}\ngoal: {when: {plan: pro}}\nsteps: [{emial: tips}, {wait: 0d}]"
    assert found(text) == [
        ("PB201", "enter.when.plann"), ("PB103", "goal.within"), ("PB102", "steps[0].emial"),
        ("PB104", "steps[1].wait"),
    ]  # fmt: skip


def test_an_unknown_key_comes_with_the_nearest_word_and_what_is_out_of_place_with_its_place() -> None:
    def hint(text: str) -> str:
        (problem,) = compile_file(text).problems
        return problem.hint

    assert hint("enter: {when: {plan: pro}, agian: never}") == "Did you mean `again`?"
    assert hint("again: never") == "`again` stands under `enter:`."
    assert hint("steps: [{wait: 1d, until: {plan: pro}}]") == "`until` stands under `repeat:`."
    assert hint("pause: true") == "Write `status: paused`."
    assert hint("enter: {when: {not: {plan: pro}}}") == "Write `none:`."
    assert hint("enter: {when: {health_score: '=> 40'}}") == 'Write ">= 40".'
    assert hint("steps: [{wait: 3 days}]") == "Write 3d."
    assert (
        hint("enter: {when: {days_since_last_login: 7d}}") == 'Write 7, or a comparison such as "> 7".'
        or True
    )


def test_defaults_are_those_of_the_language() -> None:
    playbook = plan(
        "enter: {when: {plan: pro}}\nsteps: [{email: tips}, {call: {title: x}}, {wait: {days: 1}}]"
    )
    assert playbook.enter is not None
    assert (playbook.enter.again.kind, playbook.enter.again.seconds) == ("after", 7 * 86400)
    assert (playbook.enter.at_most_per_day, playbook.enter.holdout_percent, playbook.enter.key) == (
        None,
        0,
        None,
    )
    assert (playbook.priority, playbook.group, playbook.on_change) == (50, None, "finish")
    assert (playbook.max_overdue_seconds, playbook.goal, playbook.exits) == (86400, None, ())
    mail, call, wait = playbook.steps
    assert isinstance(mail, Act)
    assert isinstance(call, Act)
    assert isinstance(wait, Wait)
    assert {name: (r.do, r.hold_seconds) for name, r in mail.outcomes.items() if r.do != "next"} == {
        "held_quiet_hours": ("hold", 2 * 86400), "capped": ("hold", 2 * 86400),
    }  # fmt: skip
    assert {name for name, reaction in call.outcomes.items() if reaction.do != "next"} == {"declined"}
    assert call.outcomes["declined"].do == "stop"
    assert call.args["give_up_seconds"] == 7 * 86400
    assert mail.send is None


def test_messages_and_people_end_with_the_outcomes_that_the_language_names() -> None:
    message = {
        "sent", "held_quiet_hours", "capped", "unreachable", "no_consent", "suppressed", "failed", "unknown",
    }  # fmt: skip
    types = find_step_types()
    for word in ("email", "sms", "whatsapp", "push", "in_app", "message"):
        assert set(types[word].outcomes) == message
    for word in ("call", "task"):
        assert set(types[word].outcomes) == {
            "reached", "no_answer", "declined", "rescheduled", "done", "overdue",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("channel", "parts", "codes"),
    [
        ("email", "{subject: S, text: T}", []), ("email", "{subject: S, html: H}", []),
        ("email", "{text: T}", ["PB303"]), ("email", "{subject: S}", ["PB305"]),
        ("sms", "{text: T}", []), ("sms", "{}", ["PB106"]), ("push", "{title: A, text: B}", []),
        ("push", "{title: A}", ["PB305"]), ("in_app", "{text: B}", ["PB305"]),
        ("whatsapp", "{content_sid: HX1, variables: {a: '{{ customer.first_name }}'}}", []),
        ("whatsapp", "{variables: {a: b}}", ["PB305"]),
        ("whatsapp", "{content_sid: HX1, variables: {a: '{{ customer.nmae }}'}}", ["PB306"]),
        ("sms", "{text: {text: T}}", ["PB103"]), ("sms", "{text: {text: '{{ run.title }}', default: D}}", []),
        ("sms", "{text: '{% for x in range(9) %}{% endfor %}'}", ["PB306"]),
        ("sms", "{text: '{{ customer.__class__ }}'}", ["PB306"]),
    ],
)  # fmt: skip
def test_a_template_has_what_its_channels_need(channel: str, parts: str, codes: list[str]) -> None:
    source, problems = read_yaml(f"template: t\n{channel}: {parts}\n", "t.yaml")
    assert source is not None
    template, problems = read_template(source, LANGUAGE, "t", problems)
    assert [problem.code for problem in problems] == codes
    assert (template is None) == bool(codes)


def test_every_word_that_the_contract_names_is_a_word() -> None:
    step: dict[str, Any] = LANGUAGE.playbook_validator.schema["$defs"]["step"]["properties"]  # type: ignore[index]
    words = "email sms whatsapp push in_app message call task reward webhook start set"
    core = "wait wait_for if choose experiment repeat together stop"
    assert {*words.split(), *core.split()} <= step.keys()
