"""Arguments of registered step types: their texts, what they name, what the plan says of them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict, Field, model_validator

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.compiler import Compiled, compile_playbook
from schemas.duration import Duration
from schemas.frozen import Frozen
from schemas.language import Language
from schemas.loader import load_paths, load_playbooks
from schemas.message_part import MESSAGE_OUTCOMES, Part
from schemas.plan import Act, Reaction
from schemas.reference import Named
from schemas.step_type import CARRY_OUT, Done, StepType, Work
from schemas.template_file import MessageTemplate
from schemas.yaml_source import load_yaml

HEAD = "playbook: p\ntitle: T\nowner: o\nstatus: draft\n"


class Line(Frozen):
    """One line of a note."""

    label: str = Field(description="What it is.")
    html: Part = Field(description="What it says.")


class NoteArguments(Frozen):
    """A note with texts wherever texts can be."""

    model_config = ConfigDict(populate_by_name=True)

    note: Part | None = Field(None, alias="text", description="The note.")
    fields: dict[str, Part] | None = Field(None, description="Fields by name.")
    remarks: tuple[Part, ...] = Field((), description="Remarks.")
    lines: list[Line] | None = Field(None, description="Lines.")
    nested: dict[str, list[Part]] | None = Field(None, description="Lists by name.")
    plain: str | None = Field(None, description="Not a text for Jinja2.")
    signal: str | None = Field(None, description="A signal.", json_schema_extra={"x-signal": True})
    playbooks: list[str] | None = Field(None, description="Others.", json_schema_extra={"x-playbook": True})
    after_seconds: Duration | None = Field(None, alias="after", description="When.")

    @model_validator(mode="after")
    def _one_of_two(self) -> "NoteArguments":
        if self.plain and self.after_seconds:
            raise ValueError("`plain` and `after` exclude each other")
        return self


async def carry_out(work: Work) -> Done:
    """Do nothing."""
    return Done(detail=work.key)


NOTE = StepType(
    word="note", about="Notes it.", arguments=NoteArguments, carry_out=carry_out, shorthand="note"
)


class BeginArguments(Frozen):
    """Which playbook."""

    playbook: str = Field(description="Its name.", json_schema_extra={"x-playbook": True})


BEGIN = StepType(
    word="begin", about="Begins it.", arguments=BeginArguments, activity="Begin.it", shorthand="playbook"
)
ANY = StepType(
    word="any_way", about="Any channel.", arguments=NoteArguments, activity="Any.send", sends=True,
    outcomes=MESSAGE_OUTCOMES,
)  # fmt: skip
TYPES = {**find_step_types(), "note": NOTE, "begin": BEGIN, "any_way": ANY}


def compile_step(step: str, templates: dict[str, MessageTemplate] | None = None) -> Compiled:
    source = load_yaml(f"{HEAD}steps:\n  - {step}\n", "p.yaml")
    return compile_playbook(source, Language(load_catalogue(), TYPES), templates or {}, name="p")


def act(step: str, templates: dict[str, MessageTemplate] | None = None) -> Act:
    compiled = compile_step(step, templates)
    assert [str(problem) for problem in compiled.problems] == []
    assert compiled.playbook is not None
    found = compiled.playbook.steps[0]
    assert isinstance(found, Act)
    return found


def problems(step: str, templates: dict[str, MessageTemplate] | None = None) -> list[tuple[str, int, str]]:
    return [(p.code, p.column, p.path) for p in compile_step(step, templates).problems]


def test_what_carries_itself_out_goes_to_the_queue_for_sending() -> None:
    note = act("note: Hello")
    assert (note.activity, note.sends, note.args) == (CARRY_OUT, True, {"note": "Hello", "remarks": []})
    assert {name: reaction.do for name, reaction in note.outcomes.items()} == {
        "done": "next", "failed": "next", "unknown": "next",
    }  # fmt: skip
    begin = act("begin: p")
    assert (begin.activity, begin.sends) == ("Begin.it", False)


@pytest.mark.parametrize(
    ("step", "column", "path"),
    [
        ('note: "{{ customer.nmae }}"', 24, "steps[0].note"),
        ('note: {text: "{{ customer.nmae }}"}', 31, "steps[0].note.text"),
        ('note: {text: {text: "{{ customer.nmae }}", default: ""}}', 38, "steps[0].note.text.text"),
        ('note: {fields: {a: "{{ customer.nmae }}"}}', 37, "steps[0].note.fields.a"),
        ('note: {remarks: [x, "{{ customer.nmae }}"]}', 38, "steps[0].note.remarks[1]"),
        ('note: {lines: [{label: a, html: "{{ customer.nmae }}"}]}', 50, "steps[0].note.lines[0].html"),
        ('note: {nested: {a: [x, "{{ customer.nmae }}"]}}', 41, "steps[0].note.nested.a[1]"),
        ('webhook: {url: "https://x.example", body: {a: [{b: "{{ customer.nmae }}"}]}}', 69,
         "steps[0].webhook.body.a[0].b"),
        ('whatsapp: {content_sid: HX00000000000000000000000000000000, variables: {n: "{{ customer.nmae }}"}}',
         93, "steps[0].whatsapp.variables.n"),
    ],
)  # fmt: skip
def test_every_text_of_every_argument_is_checked_at_its_place(step: str, column: int, path: str) -> None:
    assert problems(step) == [("PB306", column, path)]


def test_what_is_no_text_is_left_alone() -> None:
    assert act('note: {plain: "{{ nothing"}').args["plain"] == "{{ nothing"


def test_an_argument_can_name_a_signal() -> None:
    assert act("note: {signal: health_score}").args["signal"] == "health_score"
    (problem,) = compile_step("note: {signal: helth_score}").problems
    assert (problem.code, problem.column, problem.path) == ("PB201", 20, "steps[0].note.signal")
    assert problem.hint == "Did you mean `health_score`?"


def test_what_arguments_name_of_playbooks_is_handed_on_with_its_place() -> None:
    assert compile_step("begin: other").named == (Named("other", "steps[0].begin", 6, 12),)
    assert compile_step("note: {playbooks: [a, b]}").named == (
        Named("a", "steps[0].note.playbooks[0]", 6, 24),
        Named("b", "steps[0].note.playbooks[1]", 6, 27),
    )


def test_arguments_that_exclude_each_other_are_told_at_the_word() -> None:
    (problem,) = compile_step("note: {plain: x, after: 2d}").problems
    assert (problem.code, problem.path) == ("PB104", "steps[0].note")
    assert problem.message == "`plain` and `after` exclude each other."


def test_a_step_that_picks_its_channel_is_a_message_like_others() -> None:
    found = act("any_way: {text: x}\n    send: {days: weekdays}")
    assert found.send is not None
    assert found.outcomes["capped"] == Reaction(do="hold", hold_seconds=172800)
    assert problems("note: x\n    send: {days: weekdays}") == [("PB109", 5, "steps[0].send")]


NUDGE = MessageTemplate(
    "nudge", {"sms": {"text": "Hi"}, "in_app": {"title": "Hi", "text": "{{ steps.call.outcome }}"}}
)


def test_a_message_takes_along_the_parts_of_every_channel_it_may_go_by() -> None:
    compiled = compile_step("{id: call, message: {template: nudge, channels: [sms]}}", {"nudge": NUDGE})
    assert compiled.playbook is not None
    assert compiled.playbook.templates == {"nudge": {"sms": {"text": "Hi"}}}
    compiled = compile_step("{id: call, message: nudge}", {"nudge": NUDGE})
    assert compiled.playbook is not None
    assert compiled.playbook.templates["nudge"].keys() == {"sms", "in_app"}


def test_a_message_needs_one_channel_that_its_template_has_and_is_warned_of_others() -> None:
    templates = {"nudge": NUDGE}
    assert problems("message: {template: nudge, channels: [email, push]}", templates) == [
        ("PB302", 25, "steps[0].message.template")
    ]
    (problem,) = compile_step("message: {template: nudge, channels: [push, sms]}", templates).problems
    assert (problem.code, problem.severity, problem.path) == (
        "PB302", "warning", "steps[0].message.channels[0]",
    )  # fmt: skip
    assert problems("message: {template: nudg}", templates) == [("PB301", 25, "steps[0].message.template")]
    # Which steps there are is only known here, and only the channels that may be taken matter.
    assert problems("message: {template: nudge, channels: [in_app]}", templates) == [
        ("PB306", 25, "steps[0].message.template")
    ]
    assert problems("message: {template: nudge, channels: [sms]}", templates) == []


GOOD = "title: T\nowner: o\nstatus: draft\n"


def load(directory: Path) -> Any:
    return load_playbooks(directory, load_catalogue(), TYPES)


def test_a_playbook_that_is_named_must_lie_beside_the_one_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("quiet_hours: 21:00-08:00\n")
    (tmp_path / "first.yaml").write_text(f"playbook: first\n{GOOD}steps:\n  - begin: secnd\n")
    (tmp_path / "second.yaml").write_text(f"playbook: second\n{GOOD}steps:\n  - begin: first\n")
    loaded = load(tmp_path)
    (problem,) = loaded.problems
    assert (Path(problem.file).name, problem.code, problem.line, problem.column, problem.severity) == (
        "first.yaml", "PB238", 6, 12, "error",
    )  # fmt: skip
    assert problem.hint == "Did you mean `second`?"
    assert (list(loaded.playbooks), loaded.invalid) == (["second"], {"first"})
    (tmp_path / "first.yaml").write_text(f"playbook: first\n{GOOD}steps:\n  - begin: policy\n")
    assert [problem.code for problem in load(tmp_path).problems] == ["PB238"]


def test_a_file_with_errors_is_a_playbook_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text(f"playbook: first\n{GOOD}steps:\n  - begin: second\n")
    (tmp_path / "second.yaml").write_text("playbook: [")
    loaded = load(tmp_path)
    assert [Path(problem.file).name for problem in loaded.problems] == ["second.yaml"]
    assert list(loaded.playbooks) == ["first"]
    alone = load_paths([tmp_path / "first.yaml"], load_catalogue(), TYPES)
    assert (alone.problems, list(alone.playbooks)) == ([], ["first"])


def test_a_playbook_that_starts_itself_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text(f"playbook: first\n{GOOD}steps:\n  - begin: first\n")
    loaded = load(tmp_path)
    assert [(problem.code, problem.severity) for problem in loaded.problems] == [("PB239", "warning")]
    assert list(loaded.playbooks) == ["first"]


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("renewal_id", None), ("renewal_date", None), ("vendor_type", None), ("team_size", None),
        ("renewalid", "Did you mean `renewal_id`"), ("order", "schemas/signals.yaml"), ("phone", "an id"),
        ("tags", "a text, a number"), ("influencer", "a text, a number"),
    ],
)  # fmt: skip
def test_a_key_of_runs_is_a_signal_that_can_tell_them_apart(key: str, hint: str | None) -> None:
    source = load_yaml(f"{HEAD}enter: {{when: {{plan: pro}}, key: {key}}}\nsteps: [{{wait: 1d}}]\n", "p.yaml")
    compiled = compile_playbook(source, Language(load_catalogue(), TYPES), {}, name="p")
    if hint is None:
        assert compiled.problems == []
        assert compiled.playbook is not None
        assert compiled.playbook.enter is not None
        assert compiled.playbook.enter.key == key
        return
    (problem,) = compiled.problems
    assert (problem.code, problem.path) == ("PB237", "enter.key")
    assert hint in problem.hint
