"""A playbook `p` compiled from what is written below its first lines, for the tests of the language."""

from __future__ import annotations

from typing import Any

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.compiler import Compiled, compile_playbook
from schemas.errors import Problem
from schemas.language import Language
from schemas.plan import CompiledPlaybook
from schemas.template_file import MessageTemplate
from schemas.yaml_source import load_yaml

LANGUAGE = Language(load_catalogue(), find_step_types())
TEMPLATES = {
    "tips": MessageTemplate(
        "tips", {"email": {"subject": "Tips", "text": "Some."}, "sms": {"text": "Some."}}
    ),
    "nudge": MessageTemplate("nudge", {"in_app": {"title": "Hi", "text": "Come back."}}),
}
HEAD = "playbook: p\ntitle: T\nowner: cs-ops\nstatus: live\n"


def compile_text(text: str) -> Compiled:
    """What comes of it: a playbook, problems, or both."""
    return compile_playbook(load_yaml(HEAD + text, "p.yaml"), LANGUAGE, TEMPLATES, name="p")


def plan(text: str) -> CompiledPlaybook:
    """The playbook; there is nothing to say against it."""
    compiled = compile_text(text)
    assert [str(problem) for problem in compiled.problems] == []
    assert compiled.playbook is not None
    return compiled.playbook


def steps(text: str) -> Any:
    """The steps of a playbook that has these, written as a list."""
    lines = "\n".join(f"  {line}" for line in text.strip("\n").split("\n"))
    return plan(f"steps:\n{lines}\n").steps


def problems(text: str) -> list[Problem]:
    """What there is to say against it."""
    return compile_text(text).problems
