"""From one parsed file to one compiled playbook, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.compilation import DURATION, Compilation
from schemas.entry_compiler import compile_enter, compile_exits, compile_goal, compile_send
from schemas.errors import Problem
from schemas.language import Language
from schemas.plan import CompiledPlaybook
from schemas.plan_size import check_size
from schemas.problem import Report
from schemas.reference import Named
from schemas.shape import report_shape
from schemas.step_compiler import StepCompiler
from schemas.template_file import MessageTemplate
from schemas.timing import StepTiming
from schemas.yaml_source import Source

STATUSES = ("draft", "shadow", "live", "paused", "retired")


@dataclass(frozen=True)
class Compiled:
    """What became of a file: `playbook` is None where it or a template in `waits_for` has errors.

    `named`: the playbooks and teams that its steps name, for `schemas.reference` to look for once all files are known.
    """

    playbook: CompiledPlaybook | None
    problems: list[Problem]
    waits_for: frozenset[str] = frozenset()
    named: tuple[Named, ...] = ()


def compile_playbook(
    source: Source,
    language: Language,
    templates: Mapping[str, MessageTemplate],
    *,
    name: str | None = None,
    problems: Iterable[Problem] = (),
) -> Compiled:
    """Compile one playbook.

    name: what it must be called, its file's name; None: anything. problems: what reading the YAML found.
    All problems are found in one pass; one that follows from another isn't told.
    """
    report = Report(source, problems)
    deferred = report_shape(report, language.playbook_validator)
    compilation = Compilation(report, language, templates)
    named: list[Named] = []
    playbook = _compile(source.data, compilation, name, named) if isinstance(source.data, dict) else None
    for fault in deferred:
        # The condition parser has its own words for these; this is the net beneath it.
        if not report.has_fault_within(fault.path):
            report.error(fault.path, fault.code, fault.message, fault.hint, key=fault.at_key)
    problems = sorted(report.problems, key=lambda problem: (problem.line, problem.column, problem.code))
    good = not report.failed and not compilation.waits_for
    return Compiled(playbook if good else None, problems, frozenset(compilation.waits_for), tuple(named))


def _compile(
    data: dict[str, Any], compilation: Compilation, name: str | None, named: list[Named]
) -> CompiledPlaybook | None:
    report = compilation.report
    written = compilation.text(data, "playbook")
    if name is not None and written and written != name:
        what = f"The playbook calls itself `{written}`, and its file `{name}`."
        report.error(
            ("playbook",), "PB220", what, f"Write `playbook: {name}`, or rename the file to {written}.yaml."
        )
    enter = compile_enter(data, compilation)
    goal = compile_goal(data, compilation)
    exits = compile_exits(data, compilation)
    send = compile_send(data, (), compilation)
    steps = StepCompiler(compilation, send, explicit_ids=data.get("on_change") == "migrate")
    compiled = steps.compile(data.get("steps"))
    named.extend(steps.acts.named)
    check_size(compiled, report, steps.places.paths)
    overdue = compilation.form(DURATION, data, "max_overdue", ())
    if report.failed:
        return None
    _warn(compilation, data)
    StepTiming(report, goal, steps.places.paths).check(compiled)
    entry = data.get("enter") or {}
    return CompiledPlaybook.model_validate(
        {
            "name": written, "title": data["title"], "owner": data["owner"], "status": data["status"],
            "about": compilation.text(data, "about").strip(),
            "group": entry.get("group"), "priority": compilation.whole(entry, "priority", 50),
            "enter": enter, "goal": goal, "exits": exits, "steps": compiled, "send": send,
            "on_change": data.get("on_change", "finish"),
            "max_overdue_seconds": overdue or 86400,
            "templates": compilation.used,
        }
    )  # fmt: skip


def _warn(compilation: Compilation, data: dict[str, Any]) -> None:
    entry = data.get("enter") or {}
    if "holdout" in entry and "goal" not in data:
        what = "There is a holdout and no goal, so that there is nothing to compare it by."
        compilation.report.warn(("enter", "holdout"), "PB233", what, "Write a `goal:`.", key=True)
