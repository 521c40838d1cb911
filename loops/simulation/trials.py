"""Carries out the tests that lie beside playbooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from activities.registry import find_step_types
from loops.simulation.checking import Difference, compare, differences
from loops.simulation.customer import Customer
from loops.simulation.happening import parse_happening
from loops.simulation.run import Line
from loops.simulation.simulator import Case, Simulator
from loops.simulation.stage import Stage, set_stage
from rules.needs import trigger_needs
from rules.reference import explain
from schemas.catalogue import Catalogue, load_catalogue
from schemas.errors import PlaybookError, Problem, SettingError
from schemas.facts_json import FactsError, parse_facts
from schemas.plan import CompiledPlaybook
from schemas.playbook_test_file import PlaybookTest, PlaybookTests, read_playbook_tests
from schemas.playbook_test_schema import build_playbook_test_schema
from schemas.problem import TooManyProblems, nearest
from schemas.shape_check import make_validator
from schemas.step_type import StepTypes
from schemas.yaml_file import read_file

TESTS = "tests"


@dataclass(frozen=True)
class Trial:
    """What one test came to. `differences` compares the timelines; `broken` says in words what else isn't true."""

    file: str
    playbook: str
    test: PlaybookTest
    timeline: Sequence[Line] = ()
    differences: Sequence[Difference] = ()
    broken: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.broken and all(one.mark == "same" for one in self.differences)


@dataclass
class Collected:
    """The tests of all files, and what is wrong with those that can't be read."""

    files: list[tuple[PlaybookTests, Stage]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def find_test_files(paths: Iterable[Path], directory: Path) -> list[Path]:
    """The files that `paths` mean: files, directories, or names of playbooks in `directory`; all where there are none.

    Raises SettingError for what isn't there.
    """
    found: dict[Path, None] = {}
    for path in paths or [directory / TESTS]:
        if path.is_dir():
            here = path / TESTS if (path / TESTS).is_dir() else path
            found.update(dict.fromkeys(sorted(here.rglob("*.yaml"))))
        elif path.is_file():
            found[path] = None
        else:
            named = directory / TESTS / f"{path}.yaml"
            if not named.is_file():
                near = nearest(path.stem, [one.stem for one in (directory / TESTS).glob("*.yaml")])
                remedy = (
                    f"Did you mean {near[0]}?"
                    if near
                    else "Name a file or a directory of tests, or a playbook."
                )
                raise SettingError(f"There are no tests {path}.", remedy=remedy)
            found[named] = None
    return list(found)


def collect(files: Iterable[Path], directory: Path) -> Collected:
    """Read the tests.

    A file in a directory `tests` is about the playbooks in the directory above, any other about those in `directory`.
    """
    collector = _Collector(directory)
    for file in files:
        collector.read(file)
    return collector.collected


async def run_trials(collected: Collected, *, only: str = "") -> list[Trial]:
    """Carry out all tests whose name contains `only`, in the order of the files; one test server for all."""
    chosen = [
        (tests, stage, test)
        for tests, stage in collected.files
        for test in tests.tests
        if only in f"{tests.playbook}: {test.name}"
    ]
    timelines: dict[int, list[Line]] = {}
    played = [index for index, (_, _, test) in enumerate(chosen) if test.expect or test.never]
    if played:
        _, stage, _ = chosen[played[0]]
        async with Simulator(policy=stage.policy, step_types=stage.step_types) as simulator:
            cases = [_case(stage, test) for _, stage, test in (chosen[index] for index in played)]
            timelines = dict(zip(played, await simulator.play_many(cases), strict=True))
    return [
        _judge(tests, stage, test, timelines.get(index)) for index, (tests, stage, test) in enumerate(chosen)
    ]


def _case(stage: Stage, test: PlaybookTest) -> Case:
    return Case(
        playbook=stage.playbook,
        facts=parse_facts(test.facts, load_catalogue(), now=test.start),
        happenings=[parse_happening(event) for event in test.events],
        start=test.start,
        variants=test.variants,
        policy=stage.policy,
        playbooks=stage.others,
    )


def _judge(tests: PlaybookTests, stage: Stage, test: PlaybookTest, timeline: list[Line] | None) -> Trial:
    broken = []
    if test.enters is not None:
        said = _enters(stage.playbook, test)
        if said != test.enters:
            broken.append(f"enters is {_word(said)}, expected {_word(test.enters)}")
    trial = Trial(tests.file, tests.playbook, test)
    if timeline is not None:
        for unwanted in test.never:
            broken += [
                f"line {unwanted.line}: this must never happen, and did at {line['at']:%Y-%m-%d %H:%M} UTC"
                for line in timeline
                if not differences(unwanted, line)
            ]
        trial = replace(
            trial, timeline=timeline, differences=compare(test.expect, timeline) if test.expect else ()
        )
    return replace(trial, broken=tuple(broken))


def _enters(playbook: CompiledPlaybook, test: PlaybookTest) -> bool | str:
    if playbook.enter is None:
        return False
    catalogue = load_catalogue()
    happenings = [parse_happening(event) for event in test.events]
    facts = parse_facts(test.facts, catalogue, now=test.start)
    customer = Customer(facts, happenings, catalogue, trigger_needs(playbook).history)
    result = explain(playbook.enter.when, customer.facts(test.start)).result
    return "unknown" if result is None else result


def _word(answer: bool | str) -> str:
    return str(answer).lower()


class _Collector:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.collected = Collected()
        self.catalogue: Catalogue = load_catalogue()
        self.step_types: StepTypes = find_step_types()
        schema = build_playbook_test_schema(self.catalogue, self.step_types)
        self.validator = make_validator(schema)
        self.stages: dict[Path, Stage | None] = {}

    def read(self, file: Path) -> None:
        home = file.resolve().parent.parent if file.resolve().parent.name == TESTS else self.directory
        source, problems = read_file(file)
        if source is None:
            self.collected.problems += problems
            return
        used: list[Stage] = []

        def find(name: str) -> CompiledPlaybook | None:
            stage = self.stage(home / f"{name}.yaml")
            used.extend([stage] if stage else [])
            return stage.playbook if stage else None

        try:
            tests, problems = read_playbook_tests(
                source,
                problems,
                validator=self.validator,
                catalogue=self.catalogue,
                step_types=self.step_types,
                find=find,
            )
        except TooManyProblems as stop:
            tests, problems = None, stop.problems
        if tests is not None:
            problems = [*problems, *self.check_facts(tests)]
        self.collected.problems += problems
        if tests is not None and not any(problem.severity == "error" for problem in problems):
            self.collected.files.append((tests, used[0]))

    def check_facts(self, tests: PlaybookTests) -> list[Problem]:
        """What only shows when the facts and events are put together."""
        found = []
        for test in tests.tests:
            try:
                parse_facts(test.facts, self.catalogue, now=datetime.now(UTC))
                for event in test.events:
                    parse_happening(event)
            except FactsError as error:
                found.append(Problem(tests.file, test.line, 1, "PT006", "", error.message, error.remedy))
        return found

    def stage(self, path: Path) -> Stage | None:
        if path not in self.stages:
            try:
                self.stages[path] = set_stage(path, self.catalogue)
            except (PlaybookError, SettingError):
                self.stages[path] = None
        return self.stages[path]
