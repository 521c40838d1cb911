"""What makes a version of a playbook and what doesn't, by what is written."""

from __future__ import annotations

import pytest

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.compiler import compile_playbook
from schemas.language import Language
from schemas.plan import CompiledPlaybook
from schemas.template_file import MessageTemplate
from schemas.yaml_source import load_yaml

LANGUAGE = Language(load_catalogue(), find_step_types())
PLAYBOOK = """\
playbook: p
title: P
owner: cs-ops
status: live
about: Why
enter:
  signals: [churn_scored]
  when: {churn_probability: ">= 0.7"}
  key: renewal_id
  again: after 30d
  at_most: 200 per day
  holdout: 10%
  group: retention
  priority: 80
goal:
  when: {health_score: ">= 60"}
  within: 21d
exit:
  - when: {subscription_status: cancelled}
send: {between: "09:00-18:00"}
on_change: finish
max_overdue: 1d
steps:
  - id: mail
    email: tips
    outcomes: {capped: {hold: 1d}}
  - wait: 3d
  - experiment: tone
    variants:
      warm: {weight: 50, steps: [{sms: tips}]}
      cool: {weight: 50, steps: []}
"""


def compile_text(text: str, subject: str = "Tips") -> CompiledPlaybook:
    parts = {"email": {"subject": subject, "text": "Some."}, "sms": {"text": "Some."}}
    templates = {"tips": MessageTemplate("tips", parts), "other": MessageTemplate("other", parts)}
    source = load_yaml(text.replace("renewal_id", "renewal_date"), "p.yaml")
    compiled = compile_playbook(source, LANGUAGE, templates)
    assert compiled.playbook is not None, [str(problem) for problem in compiled.problems]
    return compiled.playbook


FIRST = compile_text(PLAYBOOK).version


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (">= 0.7", ">= 0.8"), (">= 60", ">= 61"), ("21d", "22d"), ("cancelled", "active"),
        ("09:00-18:00", "09:00-17:00"), ("id: mail", "id: post"), ("hold: 1d", "hold: 2d"), ("wait: 3d", "wait: 4d"),
        ("email: tips", "email: other"), ("weight: 50, steps: []", "weight: 40, steps: []"), ("warm:", "mild:"),
        ("    email: tips", "    if: {plan: pro}\n    email: tips"), ("cancelled}", "cancelled}\n    outcome: lost"),
        ("    email: tips", "    email: tips\n    critical: true"),
        ("    email: tips", "    email: tips\n    topic: tips"),
    ],
)  # fmt: skip
def test_enter_goal_exit_steps_send_and_templates_make_a_version(before: str, after: str) -> None:
    assert before in PLAYBOOK
    assert compile_text(PLAYBOOK.replace(before, after, 1)).version != FIRST


def test_the_words_of_a_template_make_a_version() -> None:
    assert compile_text(PLAYBOOK, subject="Other tips").version != FIRST


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("status: live", "status: paused"), ("status: live", "status: shadow"), ("status: live", "status: draft"),
        ("after 30d", "never"), ("200 per day", "3 per day"), ("holdout: 10%", "holdout: 20%"),
        ("priority: 80", "priority: 8"), ("group: retention", "group: other"), ("title: P", "title: Q"),
        ("owner: cs-ops", "owner: cs"), ("about: Why", "about: Therefore"), ("on_change: finish", "on_change: stop"),
        ("max_overdue: 1d", "max_overdue: 2d"), ("steps:", "# a remark\n\nsteps:"),
    ],
)  # fmt: skip
def test_status_and_limits_are_live_and_make_no_version(before: str, after: str) -> None:
    changed = compile_text(PLAYBOOK.replace(before, after, 1))
    assert before in PLAYBOOK
    assert changed.version == FIRST
    assert changed != compile_text(PLAYBOOK) or "#" in after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("21d", "3w"), ("3d", "72h"), ('{subscription_status: cancelled}', '{"subscription_status": "cancelled"}'),
        ("email: tips", "email: {template: tips}"),
        ("      warm: {weight: 50, steps: [{sms: tips}]}\n      cool: {weight: 50, steps: []}\n",
         "      cool: {weight: 50, steps: []}\n      warm: {weight: 50, steps: [{sms: tips}]}\n"),
    ],
)  # fmt: skip
def test_the_same_meaning_is_the_same_version_however_it_is_written(before: str, after: str) -> None:
    assert before in PLAYBOOK
    assert compile_text(PLAYBOOK.replace(before, after, 1)).version == FIRST
