"""In an editor with the YAML language server every word of the files completes, explains itself and is checked."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from tests.editor.language_server import LanguageServer

ROOT = Path(__file__).parents[2]
SERVER = Path(__file__).parent / "node_modules/yaml-language-server/bin/yaml-language-server"

# What the first line of each kind of file is, and where such a file lies.
PLAYBOOK = "playbooks", "# yaml-language-server: $schema=../schemas/playbook.schema.json\n"
POLICY = "playbooks", "# yaml-language-server: $schema=../schemas/policy.schema.json\n"
TEMPLATE = "playbooks/templates", "# yaml-language-server: $schema=../../schemas/template.schema.json\n"
MILESTONES = "playbooks", "# yaml-language-server: $schema=../schemas/milestones.schema.json\n"
TESTS = "playbooks/tests", "# yaml-language-server: $schema=../../schemas/playbook-test.schema.json\n"
HEALTH = "playbooks/health", "# yaml-language-server: $schema=../../schemas/health.schema.json\n"

HEAD = "playbook: p\ntitle: T\nowner: cs-ops\nstatus: draft\n"
STEPS = f"{HEAD}steps:\n"
WHEN = f"{HEAD}enter:\n  when:\n    "


class Editor:
    """Opens texts in which `|` is the cursor; every document is a new one, beside the files of its kind."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._opened = 0

    def complete(self, text: str, kind: tuple[str, str] = PLAYBOOK) -> dict[str, dict[str, Any]]:
        """The completions at the cursor, by label."""
        return self._server.complete(*self._open(text, kind))

    def hover(self, text: str, kind: tuple[str, str] = PLAYBOOK) -> str:
        """The hover text at the cursor."""
        return self._server.hover(*self._open(text, kind))

    def diagnose(self, text: str, kind: tuple[str, str] = PLAYBOOK) -> list[tuple[int, int, str]]:
        """Line and column (from 1, as editors show them) and message of what is wrong."""
        uri, _, _ = self._open(f"|{text}", kind)
        return [
            (found["range"]["start"]["line"] + 1, found["range"]["start"]["character"] + 1, found["message"])
            for found in self._server.diagnose(uri)
        ]

    def _open(self, text: str, kind: tuple[str, str]) -> tuple[str, int, int]:
        directory, first_line = kind
        self._opened += 1
        before, _, after = (first_line + text).partition("|")
        uri = self._server.open(ROOT / directory / f"open-{self._opened}.yaml", before + after)
        return uri, before.count("\n"), len(before) - (before.rfind("\n") + 1)


def start(schemas: Mapping[str, object] | None = None) -> LanguageServer:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run a language server")
    if not SERVER.exists():
        pytest.skip("no language server: run `npm ci` in tests/editor")
    return LanguageServer([node, str(SERVER), "--stdio"], ROOT, schemas)


@pytest.fixture(scope="module")
def editor() -> Iterator[Editor]:
    with start() as server:
        yield Editor(server)


def explanation(item: dict[str, Any]) -> str:
    documentation = item.get("documentation", "")
    return documentation["value"] if isinstance(documentation, dict) else documentation


def test_every_word_at_the_top_completes_and_says_what_it_is(editor: Editor) -> None:
    found = editor.complete("|")
    words = json.loads((ROOT / "schemas/playbook.schema.json").read_text())["properties"]
    assert len(words) >= 11
    for word, described in words.items():
        assert explanation(found[word]) == described["description"]


def test_what_is_there_already_is_not_offered_again(editor: Editor) -> None:
    found = editor.complete(f"{HEAD}|")
    assert {"enter", "goal", "exit", "steps", "send"} <= found.keys()
    assert not {"playbook", "title", "owner", "status"} & found.keys()


@pytest.mark.parametrize("where", ["enter:\n  when:\n    |", "goal:\n  when:\n    |", "exit:\n  - when:\n      |",
                                   "enter:\n  when:\n    any:\n      - |", "steps:\n  - if:\n      |",
                                   "steps:\n  - wait_for:\n      when:\n        |"])  # fmt: skip
def test_every_signal_completes_with_its_meaning_wherever_a_condition_stands(
    editor: Editor, where: str
) -> None:
    found = editor.complete(HEAD + where)
    signals = [signal for signal in load_catalogue().signals.values() if signal.playbooks]
    assert len(signals) > 50
    for signal in signals:
        assert signal.about.rstrip(".") in explanation(found[signal.name]), signal.name
        # A word without its colon would have to be finished by hand.
        assert found[signal.name]["insertText"].startswith(f"{signal.name}:")
    assert {"any", "all", "none", "event"} <= found.keys()


def test_the_values_of_a_signal_complete(editor: Editor) -> None:
    plan = load_catalogue().signals["plan"]
    assert plan.values
    assert set(plan.values) <= editor.complete(f"{WHEN}plan: |").keys()
    assert {"crosses_below", "for", "rearm_above", "drops_by", "is"} <= editor.complete(
        f"{WHEN}health_score:\n      |"
    ).keys()


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (f"{WHEN}health_score: ", {"< 40", "40..60"}), ("status: ", {"draft", "shadow", "live", "paused", "retired"}),
        (f"{STEPS}  - wait: ", {"3d", "12h"}), (f"{HEAD}enter:\n  again: ", {"never", "always", "after 30d"}),
        (f"{STEPS}  - email: a\n    outcomes:\n      ", {"sent", "no_consent", "suppressed", "declined"}),
        (f"{STEPS}  - email: a\n    outcomes:\n      sent: ", {"next", "stop"}),
        (f"{STEPS}  - wait:\n      until: ", {"monday", "friday"}),
    ],
)  # fmt: skip
def test_values_complete_with_examples_that_can_be_taken_as_they_are(
    editor: Editor, before: str, words: set[str]
) -> None:
    found = editor.complete(f"{before}|")
    assert words <= found.keys()
    for item in found.values():
        written = item["insertText"].strip().rstrip(":")
        assert "$" in written or isinstance(yaml.safe_load(f"a: {written}")["a"], (str, int, type(None)))


def test_every_step_completes_with_what_it_does(editor: Editor) -> None:
    found = editor.complete(f"{STEPS}  - |")
    for word, step_type in find_step_types().items():
        assert step_type.about.rstrip(".") in explanation(found[word]), word
        assert found[word]["insertText"].startswith(f"{word}:")
    flow = ("wait", "wait_for", "if", "choose", "experiment", "repeat", "together", "stop", "id", "outcomes")
    for word in flow:
        assert explanation(found[word]), word


def test_every_argument_of_every_step_completes_and_explains_itself(editor: Editor) -> None:
    for word, step_type in find_step_types().items():
        found = editor.complete(f"{STEPS}  - {word}:\n      |")
        names = {field.alias or name for name, field in step_type.arguments.model_fields.items()}
        assert names <= found.keys(), word
        assert all(explanation(found[name]) for name in names), word


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("en|ter:\n  when: {plan: pro}\n", "Who enters, and under which limits."),
        ("enter:\n  wh|en: {plan: pro}\n", "Who enters: every line must hold."),
        ("enter:\n  when: {pl|an: pro}\n", "The plan that the customer is on."),
        ("enter:\n  when: {health_sc|ore: {crosses_below: 40}}\n", "Health by the active model"),
        ("enter:\n  when: {health_score: {crosses_bel|ow: 40}}\n", "It was not below this, then was"),
        ("enter:\n  when: {ev|ent: {name: login}}\n", "Events counted in the customer's history."),
        ("go|al: {when: {plan: pro}, within: 3d}\n", "What counts as success."),
        ("sta|tus: live\n", "nobody enters"),
        ("steps:\n  - ca|ll: {title: x}\n", "Puts a call on a person's list"),
        ("steps:\n  - call: {title: x, ass|ign: csm}\n", "a role or a person"),
        ("steps:\n  - em|ail: tips\n", "Sends one e-mail"),
        ("steps:\n  - em|ail: {template: tips}\n", "Sends one e-mail"),
        ("steps:\n  - wa|it: 3d\n", "Stands still"),
        ("steps:\n  - wait: {da|ys: 3}\n", "Calendar days in the customer's zone."),
        ("steps:\n  - if: {plan: pro}\n    th|en:\n      - wait: 3d\n", "If it holds"),
        ("steps:\n  - experiment: x\n    variants:\n      a: {wei|ght: 5, steps: []}\n", "Its share"),
        ("steps:\n  - wait: 3d\n    i|d: here\n", "The step's name"),
        ("se|nd: {days: weekdays}\n", "When messages may leave."),
    ],
)  # fmt: skip
def test_a_word_explains_itself_under_the_pointer(editor: Editor, text: str, said: str) -> None:
    assert said in editor.hover(HEAD.replace("status: draft\n", "") + text)


def test_the_name_above_an_explanation_is_the_word_itself(editor: Editor) -> None:
    assert editor.hover(f"{WHEN}pl|an: pro\n").startswith("#### plan\n")
    assert editor.hover(f"{STEPS}  - em|ail: tips\n").startswith("#### email\n")


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("steps: [{wait: 3d}]\nwhen: {plan: pro}\n", 7, 1, "when is not allowed"),
        ("enter:\n  when: {healt_score: 3}\nsteps: [{wait: 3d}]\n", 7, 10, "healt_score is not allowed"),
        ("steps:\n  - emial: tips\n", 7, 5, "emial is not allowed"),
        ("steps:\n  - call: {titel: x}\n", 7, 12, "titel is not allowed"),
        ("steps: [{wait: 3d}]\non_change: finsh\n", 7, 12, '"finish", "migrate", "stop"'),
        ("steps:\n  - wait: {until: fridy}\n", 7, 19, '"friday"'),
        ("steps:\n  - wait: 3 days\n", 7, 11, "a duration such as 3d"),
        ("enter:\n  when: {plan: pro}\n  holdout: a few\nsteps: [{wait: 3d}]\n", 8, 12, "a percentage such as 10%"),
        ("enter:\n  when: {health_score: {crosses_below: x}}\nsteps: [{wait: 3d}]\n", 7, 40, "number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_place(
    editor: Editor, text: str, line: int, column: int, said: str
) -> None:
    found = editor.diagnose(HEAD + text)
    assert [message for *place, message in found if place == [line, column] and said in message], found


def test_a_policy_completes_explains_itself_and_is_checked(editor: Editor) -> None:
    words = json.loads((ROOT / "schemas/policy.schema.json").read_text())["properties"]
    found = editor.complete("|", POLICY)
    assert all(explanation(found[word]) == words[word]["description"] for word in words)
    assert {"total", "email", "sms"} <= editor.complete("caps:\n  |", POLICY).keys()
    assert {"assumed", "required"} <= editor.complete("consent:\n  email: |", POLICY).keys()
    assert "no message leaves then" in editor.hover('quiet_ho|urs: "21:00-08:00"\n', POLICY)
    assert (2, 1) in {found[:2] for found in editor.diagnose("quite_hours: x\n", POLICY)}
    assert editor.diagnose('default_zone: Europe/Berlin\nquiet_hours: "21:00-08:00"\n', POLICY) == []


def test_a_template_completes_explains_itself_and_is_checked(editor: Editor) -> None:
    assert {"template", "email", "sms", "push", "in_app", "whatsapp"} <= editor.complete("|", TEMPLATE).keys()
    assert {"subject", "text", "html"} <= editor.complete("template: t\nemail:\n  |", TEMPLATE).keys()
    assert "The subject line." in editor.hover("template: t\nemail: {subj|ect: x}\n", TEMPLATE)
    assert (3, 9) in {found[:2] for found in editor.diagnose("template: t\nemail: {sbject: x}\n", TEMPLATE)}
    assert editor.diagnose("template: t\nsms: {text: Hello}\n", TEMPLATE) == []


def test_a_playbook_test_completes_and_is_checked(editor: Editor) -> None:
    assert {"playbook", "given", "tests"} <= editor.complete("|", TESTS).keys()
    assert "plan" in editor.complete("playbook: p\ngiven:\n  signals:\n    |", TESTS)
    assert (3, 1) in {found[:2] for found in editor.diagnose("playbook: p\ntets: []\n", TESTS)}


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").rglob("*.yaml")), ids=lambda path: path.stem)
def test_no_file_that_ships_is_complained_of(editor: Editor, path: Path) -> None:
    text = path.read_text()
    kind = {"templates": TEMPLATE, "tests": TESTS, "health": HEALTH}.get(path.parent.name, PLAYBOOK)
    kind = {"policy.yaml": POLICY, "milestones.yaml": MILESTONES}.get(path.name, kind)
    if text.startswith("# yaml-language-server:"):
        assert text.startswith(kind[1]), "the first line leads to the schema of its kind"
        text = text.removeprefix(kind[1])
    assert editor.diagnose(text, kind) == []


def test_the_settings_that_the_documents_show_do_without_the_first_line() -> None:
    page = (ROOT / "docs" / "editing-in-an-editor.md").read_text()
    shown = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert shown
    with start(json.loads(shown[1])["yaml.schemas"]) as server:
        for directory, name, wrong in (
            ("playbooks", "unwritten", "playbok: p\n"), ("playbooks", "policy", "default_zon: UTC\n"),
            ("playbooks/templates", "unwritten", "templat: t\n"), ("playbooks/tests", "unwritten", "tets: []\n"),
        ):  # fmt: skip
            word = wrong.partition(":")[0]
            told = [
                found["message"]
                for found in server.diagnose(server.open(ROOT / directory / f"{name}.yaml", wrong))
            ]
            assert f"Property {word} is not allowed." in told, (directory, name, told)
            # Of one kind only: two schemas would both complain.
            assert len([message for message in told if "is not allowed" in message]) == 1
