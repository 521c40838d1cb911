"""What is suggested while somebody writes: found by indentation, as the text can't be read just then."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.schema import build_schemas
from web.caret import find_caret
from web.completing import signal_names, suggest

SCHEMA = build_schemas()["playbook.schema.json"]
POLICY = build_schemas()["policy.schema.json"]
NAMES = {"email": ["a-template"], "signals": signal_names(SCHEMA), "start": ["another-playbook"]}


def place(text: str) -> tuple[str, int, int]:
    """The text without the mark `|`, and its line and column."""
    before, _, after = text.partition("¦")
    return before + after, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def words(text: str, schema: dict[str, object] | None = None) -> list[str] | None:
    found = suggest(*place(text), schema or SCHEMA, NAMES)
    return None if found is None else [item.word for item in found.items]


@pytest.mark.parametrize(
    ("text", "path", "where", "word"),
    [
        ("¦", [], "key", ""),
        ("ent¦", [], "key", "ent"),
        ("enter:\n  when:\n    pl¦", ["enter", "when"], "key", "pl"),
        ("enter:\n  when:\n    plan: pr¦", ["enter", "when", "plan"], "value", "pr"),
        ("enter:\n  when:\n    plan: [pro, fr¦", ["enter", "when", "plan", 0], "value", "fr"),
        ("enter:\n  when:\n    any:\n      - pl¦", ["enter", "when", "any", 0], "key", "pl"),
        ("enter:\n  when: {plan: pro, any: [{he¦", ["enter", "when", "any", 0], "key", "he"),
        ("steps:\n- email: x\n- wa¦", ["steps", 0], "key", "wa"),
        ("steps:\n  - id: a\n    email:\n      sub¦", ["steps", 0, "email"], "key", "sub"),
        ("steps:\n  - if: {plan: pro}\n    then:\n      - wait: 1d\n    el¦", ["steps", 0], "key", "el"),
        ("a: {b: [1,\n    2], c: {d¦", ["a", "c"], "key", "d"),
        ("a: {b: 1}\nc¦", [], "key", "c"),
        ("goal:\n  # why\n\n  na¦", ["goal"], "key", "na"),
        ("about: >\n  text\nst¦", [], "key", "st"),
        ("steps:\n  - wait: 1d\n¦", [], "key", ""),
        ("goal:\n  name: x\n¦\n  within: 3d", [], "key", ""),
        ("goal:\n  name: x\n  ¦\n  within: 3d", ["goal"], "key", ""),
    ],
)
def test_the_place_is_found(text: str, path: list[object], where: str, word: str) -> None:
    caret = find_caret(*place(text))
    assert caret is not None
    assert (list(caret.path), caret.where, caret.word) == (path, where, word)
    assert caret.column == place(text)[2] - len(word)


@pytest.mark.parametrize(
    "text",
    [
        "# en¦", "about: >\n  en¦", "about: |\n\n  en¦\nx: 1", 'title: "en¦', "title: a b¦", "plan:¦", "x: 1 # y¦",
        "x: {a: 'y¦",
    ],
)  # fmt: skip
def test_where_no_word_of_the_language_can_stand_nothing_is_found(text: str) -> None:
    assert find_caret(*place(text)) is None


def test_keys_that_are_there_are_not_suggested_again() -> None:
    found = words("goal:\n  name: x\n  ¦\n  within: 3d\n")
    assert found is not None
    assert {"when", "event"} <= set(found)
    assert not {"name", "within"} & set(found)
    # Those of another step are.
    assert "email" in (words("steps:\n  - email: x\n  - ¦\n") or ())
    assert "id" not in (words("steps:\n  - id: x\n    ¦\n") or ())
    assert "name" not in (words("goal: {name: x, ¦") or ())


def test_what_begins_so_comes_before_what_holds_it() -> None:
    found = words("enter:\n  when:\n    health¦")
    assert found is not None
    assert found[0] == "health_score"
    assert found.index("avg_health_30d") > found.index("health_trend")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("status: ¦", "shadow"),
        ("enter:\n  when:\n    plan: ¦", "business"),
        ("enter:\n  when:\n    plan: [pro, ¦", "business"),
        ("enter:\n  when:\n    health_score: {cr¦", "crosses_below"),
        ("enter:\n  signals: [health¦", "health_changed"),
        ("steps:\n  - email: ¦", "a-template"),
        ("steps:\n  - start: ¦", "another-playbook"),
        ("steps:\n  - experiment: x\n    variants:\n      a:\n        ¦", "weight"),
        ("steps:\n  - id: x\n    call: {¦", "escalate"),
    ],
)
def test_words_fit_their_place(text: str, word: str) -> None:
    assert word in (words(text) or ())


def test_other_files_have_their_own_words() -> None:
    assert "quiet_hours" in (words("¦", POLICY) or ())


def test_wherever_the_caret_stands_in_a_real_file_there_is_an_answer() -> None:
    text = (Path(__file__).parents[2] / "playbooks" / "rescue-declining-supplier.yaml").read_text(
        encoding="utf-8"
    )
    for line, written in enumerate(text.split("\n"), start=1):
        for column in range(1, len(written) + 2):
            found = suggest(text, line, column, SCHEMA, NAMES)
            assert found is None or 1 <= found.column <= column
