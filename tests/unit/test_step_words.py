"""What playbooks can say with `reward`, `task`, `webhook`, `set` and `start`, and what is refused at its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.errors import SettingError
from schemas.loader import Loaded, load_playbooks
from schemas.plan import Act
from tests.integration.registering import registered

HEAD = "playbook: tried\ntitle: Tried\nowner: cs\nstatus: draft\nsteps:\n  - "
DAY = 86400


def load(directory: Path, step: str) -> Loaded:
    (directory / "tried.yaml").write_text(f"{HEAD}{step}\n", encoding="utf-8")
    return load_playbooks(directory, load_catalogue(), find_step_types())


@pytest.mark.parametrize(
    ("step", "args"),
    [
        ("reward: premium", {"feature": "premium"}),
        ("reward: {feature: premium, for: 7d}", {"feature": "premium", "for_seconds": 7 * DAY}),
        ("webhook: https://a.example/x", {"url": "https://a.example/x", "method": "POST"}),
        (
            "webhook: {url: 'https://a.example/{{ customer.id }}', method: PUT, body: {a: ['{{ run.title }}', 1]}}",
            {"url": "https://a.example/{{ customer.id }}", "method": "PUT", "body": {"a": ["{{ run.title }}", 1]}},
        ),
        ("set: {tag: vip}", {"tag": "vip"}),
        ("set: {untag: vip}", {"untag": "vip"}),
        ("set: {attributes: {tier: gold, seats: 3, big: true}}",
         {"attributes": {"tier": "gold", "seats": 3, "big": True}}),
    ],
)  # fmt: skip
def test_it_is_read_as_it_is_meant(tmp_path: Path, step: str, args: dict[str, Any]) -> None:
    loaded = load(tmp_path, step)
    assert loaded.problems == []
    [act] = loaded.playbooks["tried"].steps
    assert isinstance(act, Act)
    assert act.args == args
    assert act.sends is (act.word == "webhook")


def test_a_task_has_what_a_call_has_and_its_own_outcomes(tmp_path: Path) -> None:
    text = "task: {title: Look, due: 2h, escalate: {after: 1d, to: lead}, give_up: 3d}\n    outcomes: {mended: stop}"
    loaded = load(tmp_path, text)
    assert loaded.problems == []
    [act] = loaded.playbooks["tried"].steps
    assert isinstance(act, Act)
    assert (act.human, act.activity) == (True, "Tasks.assign")
    assert act.outcomes["mended"].do == "stop"
    assert act.outcomes["declined"].do == "stop"
    assert act.args["give_up_seconds"] == 3 * DAY


def test_start_names_a_playbook_that_is_there(tmp_path: Path) -> None:
    [problem] = load(tmp_path, "start: othr").problems
    assert (problem.code, problem.path) == ("PB238", "steps[0].start")
    (tmp_path / "other.yaml").write_text(HEAD.replace("tried", "other") + "wait: 1d\n", encoding="utf-8")
    assert load(tmp_path, "start: other").problems == []


@pytest.mark.parametrize(
    ("step", "path"),
    [
        ("reward: {feature: premium, for: 7}", "steps[0].reward.for"),
        ("reward: {feature: Premium Plan}", "steps[0].reward.feature"),
        ("reward: {for: 7d}", "steps[0].reward.feature"),
        ("webhook: {url: 'https://a.example/{{ customer.nmae }}'}", "steps[0].webhook.url"),
        (
            "webhook: {url: 'https://a.example', body: {a: ['{{ steps.gone.x }}']}}",
            "steps[0].webhook.body.a[0]",
        ),
        ("webhook: {url: 'https://a.example', headers: {X: '{{ open'}}", "steps[0].webhook.headers.X"),
        ("webhook: {url: 'https://a.example', method: GET}", "steps[0].webhook.method"),
        ("set: {}", "steps[0].set"),
        ("set: {tags: vip}", "steps[0].set.tags"),
        ("set: {attributes: {tier: '{{ signals.plam }}'}}", "steps[0].set.attributes.tier"),
        ("task: {due: 1d}", "steps[0].task.title"),
    ],
)
def test_a_mistake_is_told_at_its_place(tmp_path: Path, step: str, path: str) -> None:
    assert [problem.path for problem in load(tmp_path, step).problems] == [path]


def test_a_step_type_that_says_nothing_of_how_it_is_done_is_refused(tmp_path: Path) -> None:
    (tmp_path / "idle.py").write_text(
        "from schemas.frozen import Frozen\nfrom schemas.step_type import StepType\n"
        "class Nothing(Frozen):\n    pass\nSTEP = StepType(word='idle', about='Idles.', arguments=Nothing)\n",
        encoding="utf-8",
    )
    with registered(tmp_path), pytest.raises(SettingError, match="doesn't say how `idle` is carried out"):
        find_step_types()
