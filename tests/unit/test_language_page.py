"""docs/language.md and docs/steps.md: every example validates, every word is there, nothing is out of date."""

import re
from pathlib import Path
from typing import Any

import pytest

from activities.registry import find_step_types
from cli.step_page import render_steps
from schemas.catalogue import load_catalogue
from schemas.compiler import compile_playbook
from schemas.condition_form import FORM_KEYS
from schemas.errors import Problem
from schemas.form import DAY_GROUPS
from schemas.language import Language
from schemas.loader import load_playbooks
from schemas.policy_file import read_policy
from schemas.template_file import MessageTemplate, read_template
from schemas.yaml_source import read_yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
LANGUAGE = Language(load_catalogue(), find_step_types())
SCHEMA: dict[str, Any] = dict(LANGUAGE.playbook_validator.schema)  # type: ignore[arg-type]
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
HEAD = {"playbook": "playbook: p", "title": "title: T", "owner": "owner: o", "status": "status: draft",
        "steps": "steps: [{wait: 1d}]"}  # fmt: skip


def shown_templates() -> dict[str, MessageTemplate]:
    """The templates that ship, and those that the page shows."""
    templates = dict(load_playbooks(ROOT / "playbooks", LANGUAGE.catalogue, LANGUAGE.step_types).templates)
    for block in BLOCKS:
        if block.startswith("template:"):
            source, problems = read_yaml(block, "t.yaml")
            assert source is not None
            template, _ = read_template(source, LANGUAGE, source.data["template"], problems)
            assert template is not None
            templates[template.name] = template
    return templates


def check(block: str) -> list[Problem]:
    """The problems of one example: a playbook or a part of one, a list of steps, a template, or a policy."""
    source, problems = read_yaml(block, "page.yaml")
    assert source is not None, problems
    if isinstance(source.data, list):
        block = "steps:\n" + "".join(f"  {line}\n" for line in block.splitlines())
    elif "template" in source.data:
        return read_template(source, LANGUAGE, source.data["template"], problems)[1]
    elif "default_zone" in source.data:
        return read_policy(source, LANGUAGE, problems)[1]
    lacking = [line for key, line in HEAD.items() if not re.search(rf"^{key}:", block, re.MULTILINE)]
    source, problems = read_yaml("\n".join([*lacking, block]), "page.yaml")
    assert source is not None
    return compile_playbook(source, LANGUAGE, shown_templates(), problems=problems).problems


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_validates(block: str) -> None:
    assert [str(problem) for problem in check(block)] == []


def section(title: str) -> str:
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def rows(title: str) -> list[str]:
    """The first cells of the tables of a section."""
    return [line.split(" | ")[0] for line in section(title).splitlines() if line.startswith("| `")]


CONDITIONS = [code for row in rows("Conditions") for code in re.findall(r"`([^`]+)`", row)]


def test_the_table_of_conditions_shows_every_form() -> None:
    text = " ".join(CONDITIONS)
    for word in (
        *FORM_KEYS,
        "any",
        "all",
        "none",
        "event",
        "at_least",
        "where",
        "<=",
        ">=",
        "!=",
        "..",
        "missing",
    ):
        assert word in text, word


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_in_the_table_validates(condition: str) -> None:
    assert [str(problem) for problem in check(f"enter:\n  when:\n    {condition}\n")] == []


def words_of(title: str) -> set[str]:
    return {word for row in rows(title) for word in re.findall(r"`([a-z_]+)", row)}


def test_every_word_of_a_playbook_is_explained() -> None:
    definitions = SCHEMA["$defs"]
    assert words_of("The file") == set(SCHEMA["properties"])
    assert words_of("Who enters") == set(definitions["enter"]["properties"]) - {"when"}
    assert words_of("Sending") == set(definitions["send"]["properties"])
    for status in SCHEMA["properties"]["status"]["enum"]:
        assert f"`{status}`" in section("The file")
    for policy in SCHEMA["properties"]["on_change"]["enum"]:
        assert f"`{policy}`" in section("Versions and edits")
    for group in DAY_GROUPS:
        assert f"`{group}`" in section("Sending")


def test_every_step_is_shown_in_an_example() -> None:
    steps = SCHEMA["$defs"]["step"]["properties"]
    shown = {word for block in BLOCKS for word in re.findall(r"([a-z_]+):", block)}
    # Push has its parts shown under templates; the outcomes of all words are on the page of steps.
    assert set(steps) - shown == set()
    assert set(LANGUAGE.policy_validator.schema["properties"]) <= shown  # type: ignore[index]
    assert set(LANGUAGE.template_validator.schema["properties"]) - {"about"} <= shown  # type: ignore[index]


def test_every_reaction_is_in_the_table() -> None:
    assert words_of("Outcomes") == {"next", "stop", "goto", "hold", "fallback"}


def test_the_page_of_steps_is_up_to_date() -> None:
    written = (ROOT / "docs" / "steps.md").read_text(encoding="utf-8")
    assert written == render_steps(find_step_types()), "run python -m cli.step_page > docs/steps.md"


def test_the_page_of_steps_names_every_argument_and_outcome() -> None:
    page = render_steps(find_step_types())
    for word, step_type in find_step_types().items():
        (own,) = re.findall(rf"^### `{word}`\n(.*?)(?=^##)", page, re.DOTALL | re.MULTILINE)
        for name, field in step_type.arguments.model_fields.items():
            assert f"| `{field.alias or name}` |" in own
        for outcome in step_type.outcomes:
            assert f"`{outcome}`" in own
    for word in ("wait", "wait_for", "if", "choose", "repeat", "together", "experiment", "stop"):
        assert re.search(rf"^\| `{word}` \| [A-Z].+ \|$", page, re.MULTILINE)
