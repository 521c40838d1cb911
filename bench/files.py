"""Playbook files to measure with: as varied as those that people write, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

TEMPLATES = 60

_GOALS = ("back-on-track", "first-journey", "renewed", "paid", "came-back")
_OWNERS = ("cs-ops", "onboarding", "retention", "billing")
_EVENTS = ("login", "form_created", "journey_created", "plan_changed", "payment_failed", "ticket_opened")
_PLANS = ("free", "starter", "pro", "business")
_NAMES = ("rescue", "welcome", "nudge", "renewal", "winback", "upgrade", "payment", "teach")


def write_files(directory: Path, count: int, seed: int = 7) -> list[Path]:
    """Fill `directory` with `count` playbooks, a policy and `templates/`; returns the playbooks' paths."""
    chance = random.Random(seed)
    (directory / "templates").mkdir(parents=True, exist_ok=True)
    for number in range(TEMPLATES):
        name = f"mail-{number:03}"
        (directory / "templates" / f"{name}.yaml").write_text(_template(name, chance), encoding="utf-8")
    (directory / "policy.yaml").write_text(
        "# yaml-language-server: $schema=../schemas/policy.schema.json\ndefault_zone: Europe/Berlin\n"
        'quiet_hours: "21:00-08:00"\ncaps: {total: 3 per 7d, email: 2 per 7d, sms: 1 per 3d}\nentries: 2 per 7d\n'
        "consent: {email: assumed, topics: [tips, offers, product]}\n",
        encoding="utf-8",
    )
    paths = []
    for name, text in make_playbooks(count, seed):
        path = directory / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def make_playbooks(count: int, seed: int = 7) -> Iterator[tuple[str, str]]:
    """Names and texts of `count` playbooks that are all valid beside the templates of `write_files`."""
    for number in range(count):
        chance = random.Random(seed * 1_000_003 + number)
        name = f"{chance.choice(_NAMES)}-{number:05}"
        yield name, _playbook(name, chance)


def make_trigger(chance: random.Random) -> list[str]:
    """The lines of one `when:`, without indentation."""
    lines = chance.sample(
        [
            f'health_score: "< {chance.randrange(30, 70)}"',
            f'churn_probability: ">= {chance.randrange(40, 95) / 100}"',
            f"plan: [{', '.join(chance.sample(_PLANS, 2))}]",
            f'account_age_days: "> {chance.randrange(14, 200)}"',
            f'usage_drop_percent: ">= {chance.randrange(10, 60)}"',
            f'days_since_last_login: "{chance.randrange(3, 10)}..{chance.randrange(11, 60)}"',
            "subscription_status: [active, past_due]",
            f"last_login: {{older_than: {chance.randrange(3, 30)}d}}",
            f"renewal_date: {{due_within: {chance.randrange(7, 60)}d}}",
            "best_templates: {is: present}",
            f'active_days_30d: "<= {chance.randrange(2, 15)}"',
        ],
        k=chance.randrange(2, 6),
    )
    if chance.random() < 0.4:
        event = f"{{name: {chance.choice(_EVENTS)}, at_least: {chance.randrange(1, 4)}, within: 30d}}"
        lines += [
            "any:",
            f'  - open_tickets: ">= {chance.randrange(1, 4)}"',
            f"  - event: {event}",
        ]
    if chance.random() < 0.3:
        lines += ["none:", f'  - avg_health_30d: "> {chance.randrange(60, 95)}"']
    return lines


def _playbook(name: str, chance: random.Random) -> str:
    lines = [
        "# yaml-language-server: $schema=../schemas/playbook.schema.json",
        f"playbook: {name}",
        f"title: {name.replace('-', ' ').capitalize()}",
        f"owner: {chance.choice(_OWNERS)}",
        f"status: {chance.choice(('draft', 'live', 'live', 'live', 'paused'))}",
        "about: >",
        "  Written for a measurement. A customer who shows these signs is looked after in a few steps,",
        "  first by mail, then by a person.",
        "enter:",
        "  when:",
        *(f"    {line}" for line in make_trigger(chance)),
        f"  again: after {chance.randrange(7, 90)}d",
        f"  at_most: {chance.randrange(20, 400)} per day",
        f"  holdout: {chance.randrange(5, 20)}%",
        f"  group: {chance.choice(('retention', 'onboarding', 'billing'))}",
        f"  priority: {chance.randrange(100)}",
        "goal:",
        f"  name: {chance.choice(_GOALS)}",
        f'  when: {{health_score: ">= {chance.randrange(60, 90)}"}}',
        "  within: 60d",
        "exit:",
        "  - when: {subscription_status: cancelled}",
        "    outcome: lost",
        "steps:",
    ]
    for number in range(chance.randrange(3, 9)):
        lines += [f"  {line}" for line in _step(number, chance)]
    return "\n".join(lines) + "\n"


def _step(number: int, chance: random.Random) -> list[str]:
    template = f"mail-{chance.randrange(TEMPLATES):03}"
    days = chance.randrange(1, 5)
    match chance.randrange(7):
        case 0:
            return [f"- id: mail-{number}", f"  email: {template}", "  topic: tips"]
        case 1:
            return [f"- wait: {days}d"]
        case 2:
            return [f'- wait: {{days: {days}, at: "09:{chance.randrange(10, 60)}"}}']
        case 3:
            return [
                "- wait_for:",
                f"    event: {{name: {chance.choice(_EVENTS)}}}",
                f"    for: {days}d",
                "  then: []",
                "  else:",
                f"    - sms: {template}",
            ]
        case 4:
            return [
                f'- if: {{health_score: "< {chance.randrange(30, 60)}"}}',
                "  then:",
                f"    - email: {template}",
                "  else:",
                f"    - in_app: {template}",
            ]
        case 5:
            return [
                "- call:",
                f"    title: \"{{{{ customer.first_name | default('Supplier') }}}}: look at number {number}\"",
                "    assign: csm",
                f"    due: {12 * days}h",
                "  outcomes:",
                "    no_answer: next",
                "    declined: stop",
            ]
        case _:
            weight = chance.randrange(20, 80)
            return [
                f"- experiment: test-{chance.randrange(10**9)}",
                "  variants:",
                f"    short: {{weight: {weight}, steps: [{{sms: {template}}}]}}",
                f"    long: {{weight: {100 - weight}, steps: [{{email: {template}}}]}}",
            ]


def _template(name: str, chance: random.Random) -> str:
    paragraphs = [
        f"    Tip {number}: what takes ten minutes now saves an hour in week {chance.randrange(1, 52)}.\n"
        for number in range(chance.randrange(2, 6))
    ]
    hello = 'Hello {{ customer.first_name | default("there") }}'
    return (
        f"template: {name}\n"
        f'email:\n  subject:\n    text: "{{{{ customer.first_name }}}}, {name}"\n    default: "About {name}"\n'
        f"  text: |\n    {hello},\n\n{''.join(paragraphs)}\n"
        "    {% if links.unsubscribe is defined %}No more mails: {{ links.unsubscribe }}{% endif %}\n"
        f"sms:\n  text: '{hello}, a word about {name}.'\n"
        f"in_app:\n  title: 'A word about {name}'\n  text: '{hello}.'\n"
    )
