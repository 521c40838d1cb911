"""`holdfast graph`: every step, branch and end of a playbook is in the picture, and nothing can break it."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from activities.registry import find_step_types
from cli.graph import command
from rules.wording import sentence
from schemas.catalogue import load_catalogue
from schemas.compiler import compile_playbook
from schemas.graph import draw_graph
from schemas.language import Language
from schemas.loader import load_playbooks
from schemas.template_file import MessageTemplate
from schemas.yaml_source import load_yaml

ROOT = Path(__file__).parents[2]
LANGUAGE = Language(load_catalogue(), find_step_types())
TEMPLATES = {"tips": MessageTemplate("tips", {"email": {"subject": "Tips", "text": "Some."}})}
NODE = re.compile(
    r'  ([a-z]+[0-9]*)(?:\(\["|\[\["|\["|\{\{"|\{"|\[/"|\[\\")(.*)(?:"\]\)|"\]\]|"\]|"\}\}|"\}|"\\\]|"/\])'
)
EDGE = re.compile(r'  ([a-z0-9]+) -->(?:\|"([^"]*)"\|)? ([a-z0-9]+)')
Edges = set[tuple[str, str, str]]


def draw(text: str, head: str = "") -> str:
    text = f"playbook: p\ntitle: Title\nowner: o\nstatus: draft\n{head}steps:\n{text}"
    compiled = compile_playbook(load_yaml(text, "p.yaml"), LANGUAGE, TEMPLATES)
    assert compiled.playbook is not None, compiled.problems
    return draw_graph(compiled.playbook, sentence)


def read(graph: str) -> tuple[dict[str, str], Edges]:
    """Nodes (id to label) and arrows (label, label of arrow, label); every line must be one or the other."""
    nodes: dict[str, str] = {}
    arrows: list[tuple[str, str, str]] = []
    first, *lines = graph.rstrip("\n").split("\n")
    assert first == "flowchart TD"
    for line in lines:
        node, edge = NODE.fullmatch(line), EDGE.fullmatch(line)
        if node:
            assert node[1] not in nodes
            nodes[node[1]] = node[2]
        elif edge:
            arrows.append((edge[1], edge[2] or "", edge[3]))
        else:
            assert line in ('  subgraph always ["at any time"]', "  end"), line
    return nodes, {(nodes[origin], label, nodes[target]) for origin, label, target in arrows}


def edges(text: str, head: str = "") -> Edges:
    return read(draw(text, head))[1]


def test_steps_follow_each_other_from_the_trigger_to_the_end() -> None:
    found = edges(
        "  - email: tips\n  - wait: {days: 2, at: '9:05'}\n", "enter: {when: {plan: pro, team_size: '> 3'}}\n"
    )
    assert found == {
        ("Title<br/>plan: pro<br/>team_size: #62; 3", "", "email<br/>tips"),
        ("email<br/>tips", "", "wait 2 days at 09:05"), ("wait 2 days at 09:05", "", "completed"),
    }  # fmt: skip


def test_a_playbook_without_a_trigger_says_how_it_is_started() -> None:
    (edge,) = {edge for edge in edges("  - wait: 1d\n") if edge[2] == "wait 1d"}
    assert edge[0] == "Title<br/>started by hand, by the API or by start"


def test_branches_are_labelled_and_come_together_again() -> None:
    found = edges("  - if: {plan: pro}\n    then: [{wait: 1d}]\n  - wait: 2d\n")
    assert {("if<br/>plan: pro", "then", "wait 1d"), ("if<br/>plan: pro", "else", "wait 2d"),
            ("wait 1d", "", "wait 2d")} <= found  # fmt: skip


def test_an_if_beside_a_message_is_a_branch_of_its_own() -> None:
    found = edges("  - email: tips\n    if: {plan: pro}\n  - wait: 2d\n")
    assert {("if<br/>plan: pro", "then", "email<br/>tips"), ("if<br/>plan: pro", "else", "wait 2d")} <= found


def test_a_choice_names_each_way() -> None:
    found = edges(
        "  - choose:\n      - {when: {plan: pro}, steps: [{wait: 1d}]}\n      - {when: {plan: free}, steps: []}\n"
        "    else: [{stop: lost}]\n  - wait: 2d\n"
    )
    assert {("choose", "plan: pro", "wait 1d"), ("choose", "plan: free", "wait 2d"),
            ("choose", "else", "stop: lost"), ("wait 1d", "", "wait 2d")} <= found  # fmt: skip
    assert not any(origin == "stop: lost" for origin, _, _ in found)


def test_rounds_lead_back_to_their_head() -> None:
    found = edges("  - repeat: {at_most: 3, until: {plan: pro}, steps: [{wait: 1d}]}\n  - wait: 2d\n")
    head = "repeat, at most 3 rounds<br/>until plan: pro"
    assert {(head, "round", "wait 1d"), ("wait 1d", "", head), (head, "done", "wait 2d")} <= found


def test_branches_at_the_same_time_meet_when_all_are_done() -> None:
    found = edges("  - together: [{steps: [{wait: 1d}]}, {steps: [{wait: 2d}]}]\n  - wait: 3d\n")
    assert {("together", "1", "wait 1d"), ("together", "2", "wait 2d"), ("wait 1d", "", "when all are done"),
            ("wait 2d", "", "when all are done"), ("when all are done", "", "wait 3d")} <= found  # fmt: skip


def test_an_experiment_shows_its_shares() -> None:
    found = edges(
        "  - experiment: tone\n    variants:\n      warm: {weight: 1, steps: [{wait: 1d}]}\n"
        "      control: {weight: 3, steps: []}\n"
    )
    assert {("experiment tone", "warm: 25 #37;", "wait 1d"),
            ("experiment tone", "control: 75 #37;", "completed")} <= found  # fmt: skip


def test_outcomes_that_jump_stop_or_fall_back_are_arrows_and_others_share_one() -> None:
    found = edges(
        "  - call: {title: Hello}\n    outcomes:\n      no_answer: {goto: last}\n"
        "      overdue: {fallback: [{email: tips}]}\n  - wait: 1d\n  - {id: last, if: {plan: pro}, wait: 2d}\n"
    )
    call = "call<br/>Hello"
    assert {edge for edge in found if edge[0] == call} == {
        (call, "", "wait 1d"), (call, "no_answer", "if<br/>plan: pro"), (call, "overdue", "email<br/>tips"),
        (call, "declined", "stopped"),
    }  # fmt: skip
    assert ("email<br/>tips", "", "wait 1d") in found


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        ("3d", "wait 3d"), ("{business_days: 1}", "wait 1 business day"),
        ("{until: friday, at: '10:00'}", "wait until friday at 10:00"),
        ("{before: renewal_date, by: 14d}", "wait 14d before renewal_date"),
        ("{before: renewal_date}", "wait until renewal_date"),
    ],
)  # fmt: skip
def test_each_wait_is_in_words(wait: str, words: str) -> None:
    assert words in read(draw(f"  - wait: {wait}\n"))[0].values()


def test_goal_and_exits_stand_beside_the_steps() -> None:
    nodes, found = read(draw(
        "  - wait: 1d\n",
        "goal: {name: back, when: {health_score: '>= 60'}, event: {name: login}, within: 7d}\n"
        "exit: [{when: {subscription_status: cancelled}, outcome: lost}, {event: {name: x, where: {to: y}}}]\n",
    ))  # fmt: skip
    assert nodes["goal"] == "goal back: success<br/>health_score: #62;= 60<br/>event login"
    assert nodes["exit1"] == "exit: lost<br/>subscription_status: cancelled"
    assert nodes["exit2"] == "exit: stopped<br/>event x where to: y"
    assert ("wait 1d", "", "expired, 7d after entry") in found


HOSTILE = '"]) --> x %% c `d` <b> #35; & | {{ e }} \\ end subgraph'


def test_whatever_a_playbook_says_stays_a_label() -> None:
    quoted = "'" + HOSTILE + "'"
    text = (
        f"  - call: {{title: {{text: {quoted}, default: x}}}}\n    outcomes: {{{quoted}: stop}}\n"
        f"  - experiment: x\n    variants:\n      {quoted}:\n        weight: 1\n"
        f"        steps: [{{if: {{vendor_type: {quoted}}}, wait: 1d}}]\n"
    ).replace("{{ e }}", "e")
    nodes, _ = read(draw(text))
    for label in nodes.values():
        assert not set('"`%\\') & set(label)
        assert not re.search(r"<(?!br/>)", label)
        assert not re.search(r"&|#(?![0-9]+;)", label)


def test_labels_are_bounded_and_in_one_line() -> None:
    label = next(
        label
        for label in read(draw(f'  - call: {{title: "a\\nb {"long " * 100}"}}\n'))[0].values()
        if "call" in label
    )
    assert label.startswith("call<br/>a b long")
    assert len(label) < 120
    assert label.endswith("…")


@pytest.mark.parametrize("name", ["rescue-declining-supplier", "come-back", "first-steps", "renewal-ahead"])
def test_every_step_of_a_real_playbook_is_drawn_and_reached(name: str) -> None:
    loaded = load_playbooks(ROOT / "playbooks", load_catalogue(), find_step_types())
    nodes, found = read(draw_graph(loaded.playbooks[name], sentence))
    reached = {target for _, _, target in found}
    for node, label in nodes.items():
        assert label in reached or node in ("enter", "goal") or node.startswith("exit"), label


def test_the_command_takes_names_and_paths_and_says_what_is_wrong(tmp_path: Path) -> None:
    run = CliRunner().invoke
    by_name = run(command, ["come-back", "--playbooks", str(ROOT / "playbooks")])
    by_path = run(command, [str(ROOT / "playbooks" / "come-back.yaml")])
    assert by_name.exit_code == by_path.exit_code == 0
    assert by_name.stdout == by_path.stdout
    assert by_name.stdout.startswith("flowchart TD\n")
    near = run(command, ["come-bakc", "--playbooks", str(ROOT / "playbooks")])
    assert (near.exit_code, near.stdout) == (2, "")
    assert "Did you mean come-back?" in near.stderr
    (tmp_path / "bad.yaml").write_text("playbook: bad\n")
    bad = run(command, [str(tmp_path / "bad.yaml")])
    assert (bad.exit_code, bad.stdout) == (1, "")
    assert "PB103" in bad.stderr
