"""The picture of a playbook: every step once, where it stands in the file, and what leads where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.loader import load_playbooks
from schemas.nesting import walk
from schemas.plan import CompiledPlaybook, Split
from schemas.step_lines import find_lines
from store.reading_playbooks import StepFigures
from web.flow import make_flow
from web.flow_boxes import LARGE_FROM, Line, Node, walk_nodes

ROOT = Path(__file__).parents[2]
TEXT = """\
playbook: sample
title: A sample
owner: cs-ops
status: draft
enter:
  when: {plan: pro}
  again: 3 per 30d
  at_most: 20 per day
  holdout: 10%
  group: care
goal: {name: back, event: {name: login}, within: 9d}
exit:
  - when: {subscription_status: cancelled}
    outcome: lost
  - event: {name: churned}
steps:
  - id: ring
    call: {title: Hello}
    outcomes:
      no_answer: {goto: nudge}
      declined: stop
      overdue:
        fallback:
          - id: instead
            sms: {text: Hello}
  - id: careful
    if: {health_score: "< 40"}
    email: {subject: Hello, text: Hello}
  - choose:
      - when: {plan: pro}
        steps: [{id: for-pro, wait: 1d}]
      - when: {plan: free}
        steps: []
    else: [{stop: lost}]
  - repeat:
      at_most: 3
      until: {health_score: "> 60"}
      steps: [{wait: {business_days: 2}}]
  - together:
      - steps: [{wait: 1d}]
      - steps: [{id: aside, reward: {feature: premium, for: 7d}}]
  - experiment: words
    variants:
      short: {weight: 1, steps: [{id: nudge-short, sms: {text: Hi}}]}
      long: {weight: 3, steps: []}
  - wait_for: {event: {name: login}, for: 2d}
  - id: nudge
    in_app: {title: Hi, text: Hi}
"""


def compiled(tmp_path: Path, text: str = TEXT) -> CompiledPlaybook:
    (tmp_path / "sample.yaml").write_text(text, encoding="utf-8")
    loaded = load_playbooks(tmp_path, load_catalogue(), find_step_types())
    assert [str(problem) for problem in loaded.problems if problem.severity == "error"] == []
    return loaded.playbooks["sample"]


def node(nodes: list[Node], step: str) -> Node:
    [found] = [one for one in nodes if one.step == step]
    return found


def told(lines: Sequence[Line]) -> list[str]:
    return [line.told for line in lines]


def test_every_step_is_in_the_picture_once_and_at_its_line(tmp_path: Path) -> None:
    playbooks = load_playbooks(ROOT / "playbooks", load_catalogue(), find_step_types())
    pairs = [(playbook, playbooks.sources[name]) for name, playbook in playbooks.playbooks.items()]
    for playbook, text in [*pairs, (compiled(tmp_path), TEXT)]:
        nodes = walk_nodes(make_flow(playbook, find_lines(text)).nodes)
        drawn = Counter(one.step for one in nodes if not one.step.endswith(".if"))
        assert drawn == Counter(step.id for step in walk(playbook.steps))
        lines = text.splitlines()
        for one in nodes:
            assert one.line is not None, one.step
            if "[" not in one.step:
                assert one.step.removesuffix(".if") in lines[one.line - 1], one.step


def test_ways_say_what_leads_into_them(tmp_path: Path) -> None:
    nodes = list(walk_nodes(make_flow(compiled(tmp_path)).nodes))
    ring = node(nodes, "ring")
    assert (ring.kind, ring.word, told(ring.lines)) == ("work", "call", ["Hello"])
    assert set(ring.after) == {"no answer: goes on at nudge", "declined: the run stops"}
    assert [(way.label.told, [one.step for one in way.nodes]) for way in ring.ways] == [
        ("if overdue", ["instead"])
    ]
    guard = node(nodes, "careful.if")
    assert (guard.word, guard.lines) == ("if", [Line("Health score below 40", "health_score: < 40")])
    assert [way.label.told for way in guard.ways] == ["then"]
    assert [way.label.told for way in node(nodes, "steps[2]").ways] == ["Plan is pro", "Plan is free", "else"]
    assert told(node(nodes, "steps[3]").lines) == ["at most 3 rounds", "until health score above 60"]
    assert [way.label.told for way in node(nodes, "steps[4]").ways] == ["branch 1", "branch 2"]
    assert [way.label.told for way in node(nodes, "steps[5]").ways] == ["short: 25 %", "long: 75 %"]
    # Nothing stands on either way: there is nothing to choose.
    assert node(nodes, "steps[6]").ways == []
    assert told(node(nodes, "aside").lines) == ["premium for 7 days"]


def test_who_enters_how_often_and_what_ends_it(tmp_path: Path) -> None:
    flow = make_flow(compiled(tmp_path), find_lines(TEXT))
    assert flow.enter == [Line("Plan is pro", "plan: pro")]
    assert flow.limits == [
        "at most 3 times in 30 days",
        "at most 20 a day",
        "10\u00a0% held out",
        "group care, priority 50",
    ]
    assert [(end.outcome, end.title, told(end.lines), end.line) for end in flow.ends] == [
        ("success", "goal back", ["“login” happens"], 11),
        ("lost", "exit", ["Subscription status is cancelled"], 13),
        ("stopped", "exit", ["“churned” happens"], 15),
    ]
    assert flow.last == "expired, 9 days after entry"
    by_hand = TEXT[: TEXT.index("enter:")] + "steps:\n  - wait: 1d\n"
    flow = make_flow(compiled(tmp_path, by_hand))
    assert told(flow.enter) == ["started by hand, by the API or by `start`"]
    assert (flow.last, flow.ends, flow.limits) == ("completed", [], [])


def test_figures_stand_at_their_step(tmp_path: Path) -> None:
    figures = {"nudge-short": StepFigures(step="nudge-short", open=3)}
    nodes = list(walk_nodes(make_flow(compiled(tmp_path), None, figures).nodes))
    assert node(nodes, "nudge-short").figures == figures["nudge-short"]
    assert node(nodes, "nudge").figures is None
    assert node(nodes, "nudge").line is None


@pytest.mark.parametrize("text", ["", "x: [", "- a\n- b\n", "steps: 5\n", "steps:\n  - 5\n  - [1]\n"])
def test_of_what_cannot_be_read_no_lines_are_found(text: str) -> None:
    assert set(find_lines(text)) <= {"steps"}


def test_variants_come_as_the_file_has_them_though_what_is_stored_has_lost_their_order(
    tmp_path: Path,
) -> None:
    playbook = compiled(
        tmp_path,
        TEXT.replace("long: {weight: 3, steps: []}", "long: {weight: 3, steps: [{id: late, wait: 1d}]}"),
    )
    [split] = [step for step in playbook.steps if isinstance(step, Split)]
    turned = split.model_copy(update={"variants": dict(sorted(split.variants.items()))})
    assert list(turned.variants) == ["long", "short"]
    stored = playbook.model_copy(
        update={"steps": tuple(turned if step is split else step for step in playbook.steps)}
    )
    [drawn] = [one for one in make_flow(stored, find_lines(TEXT)).nodes if one.kind == "experiment"]
    assert [way.label.told.partition(":")[0] for way in drawn.ways] == ["short", "long"]


def test_a_large_picture_can_be_seen_smaller(tmp_path: Path) -> None:
    few = TEXT[: TEXT.index("    outcomes:")]
    assert not make_flow(compiled(tmp_path, few)).is_large
    many = few + "".join(f"  - {{id: rest-{number}, wait: 1d}}\n" for number in range(LARGE_FROM))
    assert make_flow(compiled(tmp_path, many)).is_large
