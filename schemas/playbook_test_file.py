"""Reads a file of `playbooks/tests/`: what is given, what happens, and what is expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from jsonschema import Draft202012Validator

from schemas.catalogue import Catalogue
from schemas.errors import Problem
from schemas.form import UNITS
from schemas.nesting import walk
from schemas.plan import CompiledPlaybook, Split
from schemas.playbook_test_schema import ANYTHING, NAMES, OFFSET_PATTERN, TEXTS, kinds_of
from schemas.problem import Report, did_you_mean
from schemas.shape import report_shape
from schemas.signal_value import WrongType, instant_of, normalise
from schemas.step_type import StepTypes
from schemas.yaml_source import Path, Source

# A Monday morning, so that business days and working hours read naturally.
DEFAULT_START = datetime(2026, 3, 2, 9, tzinfo=UTC)
_MERGED = ("signals", "profile", "consent", "suppressed", "history")

FindPlaybook = Callable[[str], CompiledPlaybook | None]


@dataclass(frozen=True)
class Expectation:
    """One line that is expected: about `kind` with `outcome`; `kind` None: anything may come here.

    fields: what else must be equal; texts: what must be contained. `line` is the file's.
    """

    line: int
    kind: str | None = None
    outcome: str = ""
    at: datetime | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlaybookTest:
    """One test. `facts` and `events` are as they stand in JSON, with every time an instant."""

    name: str
    line: int
    start: datetime
    facts: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...] = ()
    variants: Mapping[str, str] = field(default_factory=dict)
    enters: bool | str | None = None
    expect: tuple[Expectation, ...] = ()
    never: tuple[Expectation, ...] = ()


@dataclass(frozen=True)
class PlaybookTests:
    """The tests of one file."""

    file: str
    playbook: str
    tests: tuple[PlaybookTest, ...]


def read_playbook_tests(
    source: Source,
    problems: list[Problem],
    *,
    validator: Draft202012Validator,
    catalogue: Catalogue,
    step_types: StepTypes,
    find: FindPlaybook,
) -> tuple[PlaybookTests | None, list[Problem]]:
    """The tests, or None where there are errors; `problems` is what reading the YAML found.

    find: the playbook of a name; None where it isn't there, or can't be used.
    """
    report = Report(source, problems)
    report_shape(report, validator)
    if report.failed or not isinstance(source.data, dict):
        return None, report.problems
    tests = _Reader(report, catalogue, step_types, find).read(source.data)
    return (None if report.failed else tests), report.problems


def parse_offset(text: str) -> timedelta | None:
    """The span of `2d`, `1d12h` or `-3d`; None where it is none."""
    if not re.fullmatch(OFFSET_PATTERN, text):
        return None
    parts = re.findall("([0-9]+)([mhdw])", text)
    try:
        span = timedelta(seconds=sum(int(number) * UNITS[unit] for number, unit in parts))
    except (OverflowError, ValueError):
        return None
    return -span if text.startswith("-") else span


class _Reader:
    def __init__(
        self, report: Report, catalogue: Catalogue, step_types: StepTypes, find: FindPlaybook
    ) -> None:
        self.report = report
        self.catalogue = catalogue
        self.kinds = kinds_of(step_types)
        self.find = find
        self.steps: frozenset[str] = frozenset()
        self.arms: dict[str, list[str]] = {}

    def read(self, data: dict[str, Any]) -> PlaybookTests:
        name = data["playbook"]
        playbook = self.find(name)
        if playbook is None:
            what = f"There is no playbook `{name}` that can be used."
            self.report.error(("playbook",), "PT001", what, "`holdfast validate` says what is wrong with it.")
        else:
            self.steps = frozenset(step.id for step in walk(playbook.steps))
            splits = [step for step in walk(playbook.steps) if isinstance(step, Split)]
            self.arms = {split.experiment: list(split.variants) for split in splits}
        start = self.start(data, (), DEFAULT_START)
        given = self.given(data, (), start)
        tests = [self.test(test, ("tests", index), start, given) for index, test in enumerate(data["tests"])]
        seen: set[str] = set()
        for index, test in enumerate(tests):
            if test.name in seen:
                what = f"There is another test `{test.name}`."
                self.report.error(("tests", index, "name"), "PT002", what, "Say how they differ.")
            seen.add(test.name)
        return PlaybookTests(self.report.source.file, name, tuple(tests))

    def test(
        self, data: dict[str, Any], path: Path, start: datetime, given: Mapping[str, Any]
    ) -> PlaybookTest:
        start = self.start(data, path, start)
        facts = _merge(given, self.given(data, path, start))
        if not {"enters", "expect", "never"} & data.keys():
            what = "This test expects nothing."
            self.report.error(path, "PT002", what, "Write `expect:`, `never:` or `enters:`.", key=True)
        events = tuple(
            self.happening(one, (*path, "events", index), start)
            for index, one in enumerate(data.get("events") or ())
        )
        for experiment, arm in (data.get("variants") or {}).items():
            self.arm(experiment, arm, (*path, "variants", experiment))
        return PlaybookTest(
            name=data["name"],
            line=self.report.source.key_place(path)[0],
            start=start,
            facts={"customer": "customer", **facts, "now": start.isoformat()},
            events=events,
            variants=data.get("variants") or {},
            enters=data.get("enters"),
            expect=self.expectations(data, "expect", path, start),
            never=self.expectations(data, "never", path, start),
        )

    def start(self, data: dict[str, Any], path: Path, otherwise: datetime) -> datetime:
        if "start" not in data:
            return otherwise
        instant = instant_of(data["start"])
        if instant is None:
            what = f"`{data['start']}` is no time."
            self.report.error((*path, "start"), "PB104", what, "Write it as 2026-03-02T09:00Z.")
        return instant or otherwise

    def moment(self, text: Any, path: Path, start: datetime) -> datetime:
        offset = parse_offset(text) if isinstance(text, str) else None
        try:
            instant = start + offset if offset is not None else instant_of(text)
        except OverflowError:
            instant = None
        if instant is None:
            what = f"`{text}` is neither a duration nor a time."
            self.report.error(path, "PB104", what, "Write 2d (from the start), or 2026-03-02T09:00Z.")
        return instant or start

    def given(self, data: dict[str, Any], path: Path, start: datetime) -> dict[str, Any]:
        given = dict(data.get("given") or {})
        where: Path = (*path, "given")
        self.signals(given.get("signals") or {}, (*where, "signals"))
        if "events" in given:
            given["events"] = [
                {**event, "at": self.moment(event["at"], (*where, "events", index, "at"), start).isoformat()}
                for index, event in enumerate(given["events"])
            ]
        for name, points in (given.get("history") or {}).items():
            self.signals({name: None}, (*where, "history"))
            given.setdefault("history", {})
            given["history"] = {**given["history"], name: [
                [self.moment(at, (*where, "history", name, index, 0), start).isoformat(), value]
                for index, (at, value) in enumerate(points)
            ]}  # fmt: skip
        return given

    def happening(self, data: dict[str, Any], path: Path, start: datetime) -> dict[str, Any]:
        self.signals(data.get("signals") or {}, (*path, "signals"))
        do = data.get("do")
        if do is None and not any(data.get(key) for key in ("name", "signals", "consent", "suppressed")):
            what = "Nothing happens here."
            self.report.error(
                path, "PT003", what, "Write `name`, `signals`, `consent`, `suppressed` or `do`."
            )
        for key in ("step", "outcome", "reason"):
            if do is None and key in data:
                self.report.error(
                    (*path, key), "PT003", f"`{key}` goes with `do`.", "Write `do: complete`.", key=True
                )
        if do == "complete" and "outcome" not in data:
            self.report.error(path, "PT003", "It isn't said how it went.", "Write `outcome: reached`.")
        if do == "stop" and data.get("outcome") not in (None, "success", "stopped", "lost"):
            hint = "Write success, stopped or lost."
            self.report.error((*path, "outcome"), "PT003", "A run isn't stopped like that.", hint)
        if "step" in data:
            self.step(data["step"], (*path, "step"))
        at = self.moment(data["at"], (*path, "at"), start)
        if do is not None and at < start:
            self.report.error((*path, "at"), "PT003", "Nobody can do this before the start.", "Put it later.")
        return {**data, "at": at.isoformat()}

    def expectations(
        self, data: dict[str, Any], key: str, path: Path, start: datetime
    ) -> tuple[Expectation, ...]:
        return tuple(
            self.expectation(one, (*path, key, index), start) for index, one in enumerate(data.get(key) or ())
        )

    def expectation(self, data: Any, path: Path, start: datetime) -> Expectation:
        line = self.report.source.key_place(path)[0]
        if data == ANYTHING:
            return Expectation(line)
        about = [key for key in data if key in self.kinds or key == "ended"]
        if len(about) != 1:
            told = f"This line is about {' and '.join(about)}."
            what = told if about else "It isn't said what this line is about."
            self.report.error(path, "PT004", what, "Write one of them, as in `- email: sent`.")
            return Expectation(line)
        if "after" in data and "at" in data:
            self.report.error((*path, "at"), "PT004", "`after` and `at` say the same.", "Keep one.", key=True)
        at = None
        for key in ("after", "at"):
            if key in data:
                at = self.moment(data[key], (*path, key), start)
        if "step" in data:
            self.step(data["step"], (*path, "step"))
        return Expectation(
            line, about[0], data[about[0]], at,
            {key: data[key] for key in NAMES if key in data}, {key: data[key] for key in TEXTS if key in data},
        )  # fmt: skip

    def signals(self, given: Mapping[str, Any], path: Path) -> None:
        for name, value in given.items():
            signal = self.catalogue.signals.get(name)
            where: Path = (*path, name)
            if signal is None:
                hint = did_you_mean(name, self.catalogue.signals, otherwise="docs/signals.md lists them.")
                self.report.error(where, "PB201", f"There is no signal `{name}`.", hint, key=True)
            elif isinstance(normalise(value, signal.type), WrongType):
                what = f"`{name}` is a {signal.type}, and this is none."
                self.report.error(where, "PB202", what, "docs/signals.md says what it holds.")

    def step(self, name: str, path: Path) -> None:
        if self.steps and name not in self.steps:
            hint = did_you_mean(name, sorted(self.steps))
            self.report.error(path, "PT005", f"The playbook has no step `{name}`.", hint)

    def arm(self, experiment: str, arm: str, path: Path) -> None:
        if experiment not in self.arms:
            hint = did_you_mean(experiment, self.arms)
            self.report.error(
                path, "PT005", f"The playbook has no experiment `{experiment}`.", hint, key=True
            )
        elif arm not in self.arms[experiment]:
            self.report.error(
                path, "PT005", f"There is no arm `{arm}`.", did_you_mean(arm, self.arms[experiment])
            )


def _merge(given: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**given, **more}
    for key in _MERGED:
        if key in given and key in more:
            merged[key] = {**given[key], **more[key]}
    if "events" in given and "events" in more:
        merged["events"] = [*given["events"], *more["events"]]
    return merged
