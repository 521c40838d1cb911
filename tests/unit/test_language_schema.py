"""The JSON Schema that editors use: complete, valid, at one with the compiler, open to new step types."""

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import Field, field_validator

import activities.registry
from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.compiler import compile_playbook
from schemas.duration import Duration
from schemas.errors import SettingError
from schemas.frozen import Frozen
from schemas.language import Language
from schemas.loader import load_playbooks
from schemas.plan import Act
from schemas.playbook_schema import build_playbook_schema
from schemas.policy_schema import build_policy_schema
from schemas.step_schema import CORE_STEPS
from schemas.step_type import StepType
from schemas.template_schema import build_template_schema
from schemas.yaml_source import load_yaml, read_yaml

ROOT = Path(__file__).parents[2]
HEAD = "playbook: p\ntitle: T\nowner: o\nstatus: draft\n"


def playbook_schema() -> dict[str, Any]:
    return build_playbook_schema(load_catalogue(), find_step_types())


def nested(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from nested(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from nested(value)


@pytest.mark.parametrize("schema", [playbook_schema(), build_policy_schema(), build_template_schema()])
def test_a_schema_is_valid_and_closed_and_explains_every_key(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    for part in nested(schema):
        if part.get("type") == "object" and "properties" in part:
            assert part.get("additionalProperties") is not None
            for name, described in part["properties"].items():
                target = described
                if "$ref" in described and "description" not in described:
                    target = schema["$defs"][described["$ref"].removeprefix("#/$defs/")]
                assert "description" in target or name in (
                    "email",
                    "sms",
                    "push",
                    "in_app",
                    "whatsapp",
                    "csm_minute",
                ), name


def test_every_signal_and_every_step_type_can_be_completed() -> None:
    schema = playbook_schema()
    signals = {name for name, signal in load_catalogue().signals.items() if signal.playbooks}
    assert signals <= schema["$defs"]["condition"]["properties"].keys()
    words = schema["$defs"]["step"]["properties"]
    assert {*CORE_STEPS, *find_step_types()} <= words.keys()


def test_every_playbook_that_ships_fits_the_schema() -> None:
    validator = Draft202012Validator(playbook_schema())
    files = [
        path
        for path in (ROOT / "playbooks").glob("*.yaml")
        if path.name not in ("policy.yaml", "milestones.yaml")
    ]
    assert files
    for path in files:
        assert list(validator.iter_errors(load_yaml(path.read_text(encoding="utf-8"), str(path)).data)) == []


class RemindArguments(Frozen):
    """Whom to remind, and when."""

    who: str = Field(description="A team.")
    after: Duration = Field(3600, description="How long from now.")
    times: int = Field(1, ge=1, le=3, description="How often.")

    @field_validator("who")
    @classmethod
    def _known_team(cls, who: str) -> str:
        if not who.startswith("cs-"):
            raise ValueError("a team's name begins with cs-")
        return who


REMIND = StepType(
    word="remind", about="Reminds a team.", arguments=RemindArguments, activity="Remind.send",
    outcomes=("done", "failed"), shorthand="who",
)  # fmt: skip


def compile_reminder(step: str) -> Any:
    language = Language(load_catalogue(), {**find_step_types(), "remind": REMIND})
    return compile_playbook(load_yaml(f"{HEAD}steps:\n  - remind: {step}\n", "p.yaml"), language, {})


def test_a_registered_step_type_is_a_word_of_the_language() -> None:
    compiled = compile_reminder("{who: cs-lead, after: 2d}")
    assert compiled.problems == []
    step = compiled.playbook.steps[0]
    assert isinstance(step, Act)
    assert (step.word, step.activity, step.args) == (
        "remind", "Remind.send", {"who": "cs-lead", "after": 172800, "times": 1},
    )  # fmt: skip
    assert {name: reaction.do for name, reaction in step.outcomes.items()} == {
        "done": "next",
        "failed": "next",
    }
    assert compile_reminder("cs-lead").playbook.steps[0].args["who"] == "cs-lead"


@pytest.mark.parametrize(
    ("step", "code", "column", "words"),
    [
        ("{whom: cs-lead}", "PB102", 14, "`who`"), ("{who: cs-lead, after: 0d}", "PB104", 35, "no time"),
        ("{who: cs-lead, times: 4}", "PB107", 35, "at most 3"), ("sales", "PB104", 13, "begins with cs-"),
        ("{who: cs-lead, after: 3}", "PB101", 35, "3d"), ("", "PB104", 12, "Nothing stands"),
    ],
)  # fmt: skip
def test_its_arguments_are_checked_like_the_languages_own(
    step: str, code: str, column: int, words: str
) -> None:
    (problem,) = compile_reminder(step).problems
    assert (problem.code, problem.line, problem.column) == (code, 6, column)
    assert words in f"{problem.message} {problem.hint}"


def test_a_file_in_activities_adds_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from tests.unit.test_language_schema import REMIND\nSTEP = REMIND\n"
    (tmp_path / "remind.py").write_text(source)
    (tmp_path / "silent.py").write_text(
        "raise RuntimeError('only modules that declare a STEP are imported')\n"
    )
    monkeypatch.setattr(
        activities.registry.activities, "__path__", [*activities.registry.activities.__path__, str(tmp_path)]
    )
    find_step_types.cache_clear()
    try:
        assert find_step_types()["remind"].about == "Reminds a team."
        (tmp_path / "twice.py").write_text(source)
        find_step_types.cache_clear()
        with pytest.raises(SettingError, match="both declare"):
            find_step_types()
    finally:
        find_step_types.cache_clear()


JUNK: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**9, "", "x", "0d", "3d", "> 4", "40..60", "{{ x }}", [], {}, [1],
    [None], [{}],
    {"a": 1}, {"any": []}, {"name": "login"}, {"goto": "end"}, {"hold": "3d"}, {"wait": "3d"},
    [{"wait": "3d"}],
    "goto: end", {"if": {"plan": "pro"}}, [[[]]], {"contains": "x"}, {"is": "missing"}, "monday", {"days": 3},
    {"at_most": 2, "steps": [{"wait": "1d"}]}, [{"steps": [{"wait": "1d"}]}, {"steps": []}], {"playbook": "x"},
    [{"when": {"plan": "pro"}, "steps": [{"wait": "1d"}]}], {"tag": "vip"}, ["sms", "email"],
]  # fmt: skip
KEYS = ("if", "then", "else", "wait", "email", "call", "id", "outcomes", "variants", "when", "event", "any",
        "foo",
        "within", "for", "reward", "at", "by", "send", "topic", "template", "text", "choose", "repeat", "together",
        "until", "at_most", "steps", "start", "set", "message", "channels", "webhook", "body", "key")  # fmt: skip


def paths_of(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from paths_of(value, (*path, key))


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_written_comes_to_a_plan_or_to_a_problem_with_a_place(seed: int) -> None:
    chance = random.Random(seed)
    loaded = load_playbooks(ROOT / "playbooks", load_catalogue(), find_step_types())
    language = Language(load_catalogue(), find_step_types())
    originals = [load_yaml(text, name).data for name, text in sorted(loaded.sources.items())]
    for _ in range(60):
        data = copy.deepcopy(chance.choice(originals))
        for _ in range(chance.choice((1, 1, 2, 5))):
            path = chance.choice(list(paths_of(data)))
            around = at(data, path[:-1])
            deed = chance.random()
            if deed < 0.6:
                around[path[-1]] = copy.deepcopy(chance.choice(JUNK))
            elif deed < 0.75:
                del around[path[-1]]
            elif isinstance(around, dict):
                around[chance.choice(KEYS)] = copy.deepcopy(chance.choice(JUNK))
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        source, problems = read_yaml(text, "p.yaml")
        assert source is not None
        compiled = compile_playbook(source, language, loaded.templates, problems=problems)
        errors = [problem for problem in compiled.problems if problem.severity == "error"]
        assert (compiled.playbook is None) == bool(errors), text
        lines = text.split("\n")
        for problem in compiled.problems:
            assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
