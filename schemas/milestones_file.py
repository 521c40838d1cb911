"""From `playbooks/milestones.yaml` to `schemas.milestones.Milestones`, and the milestones that ship."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.catalogue import load_catalogue
from schemas.condition import AllOf
from schemas.condition_parser import ConditionParser
from schemas.errors import PlaybookError, Problem
from schemas.language import Language
from schemas.milestones import Milestone, Milestones
from schemas.problem import Report
from schemas.shape import report_shape
from schemas.yaml_source import Source, load_bytes

SHIPPED = Path(__file__).parent / "milestones.yaml"
_TYPE = re.compile("[a-z][a-z0-9_]{0,63}")
# What the engine itself tells of milestones: one that hung on these would wait for itself.
_OF_MILESTONES = frozenset({"milestone_achieved", "milestone_repeated"})


def read_milestones(
    source: Source, language: Language, problems: list[Problem]
) -> tuple[Milestones | None, list[Problem]]:
    """The milestones, or None where there are errors; `problems` is what reading the YAML found."""
    report = Report(source, problems)
    report_shape(report, language.milestones_validator)
    given = source.data.get("milestones") if isinstance(source.data, dict) else None
    if not isinstance(given, dict):
        return None, report.problems
    parser = ConditionParser(report, language.catalogue)
    made = [_read_one(report, parser, str(name), body) for name, body in given.items()]
    _check_targets(report, [one for one in made if one is not None])
    if report.failed:
        return None, report.problems
    return Milestones(milestones=tuple(one for one in made if one is not None)), report.problems


def _read_one(report: Report, parser: ConditionParser, name: str, body: Any) -> Milestone | None:
    path = ("milestones", name)
    if not _TYPE.fullmatch(name):
        slug = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:64]
        hint = f"Write lower-case words with underscores{f': {slug}' if slug else ''}."
        report.error(path, "PB601", f"A milestone can't be called `{name}`.", hint, key=True)
    if not isinstance(body, dict):
        return None
    when: AllOf | None = None
    if "when" in body:
        before = set(parser.events)
        when = parser.parse(body["when"], (*path, "when"))
        if own := sorted((parser.events - before) & _OF_MILESTONES):
            what = f"`{name}` hangs on `{own[0]}`, which milestones themselves bring about."
            hint = "Ask for what the customer does: an event of the product, or a signal."
            report.error((*path, "when"), "PB602", what, hint)
    if report.has_fault_within(path):
        return None
    try:
        return Milestone(type=name, **{**body, "when": when})
    except ValidationError as error:
        # What the schema lets through and the model doesn't: an endless number, for one.
        report.error((*path, *error.errors()[0]["loc"]), "PB101", f"{error.errors()[0]['msg']}.")
        return None


def _check_targets(report: Report, made: list[Milestone]) -> None:
    latest: Milestone | None = None
    for one in made:
        if not one.critical:
            continue
        if latest is not None and one.target_days < latest.target_days:
            what = (
                f"`{one.type}` is meant for day {one.target_days}, before `{latest.type}` "
                f"(day {latest.target_days}), which comes first on the critical path."
            )
            path = ("milestones", one.type, "target_days")
            report.warn(path, "PB603", what, "Move it up, or give it more days.")
        latest = one


@cache
def shipped_milestones() -> Milestones:
    """Those that ship, read once. Raises PlaybookError where they have errors."""
    source = load_bytes(SHIPPED.read_bytes(), str(SHIPPED))
    found, problems = read_milestones(source, Language(load_catalogue(), {}), [])
    if found is None:
        raise PlaybookError(problems)
    return found.model_copy(update={"watched": False})
