"""How files are given to processes, and what becomes of the work of one that crashes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.scheduling import LONG_FILES, FileScheduling

FILES = {"a.py": 4, "b.py": 3, "c.py": 1, "d.py": 1}
TESTS = [f"{file}::test_{n}" for file, count in FILES.items() for n in range(count)]


class Node:
    """A process as its scheduler sees it."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.given: list[str] = []
        self.shutting_down = False

    def send_runtest_some(self, numbers: list[int]) -> None:
        assert not self.shutting_down
        self.given += [TESTS[number] for number in numbers]

    def shutdown(self) -> None:
        self.shutting_down = True


@pytest.fixture
def scheduling(pytestconfig: pytest.Config) -> FileScheduling:
    config: Any = SimpleNamespace(
        option=SimpleNamespace(loadscopereorder=True),
        getvalue=lambda name: ["popen", "popen"] if name == "tx" else pytestconfig.getvalue(name),
    )
    return FileScheduling(config)


def begin(scheduling: FileScheduling, *nodes: Any) -> None:
    for node in nodes:
        scheduling.add_node(node)
        scheduling.add_node_collection(node, TESTS)
    scheduling.schedule()


def complete(scheduling: FileScheduling, node: Any, *tests: str) -> None:
    for test in tests:
        scheduling.mark_test_complete(node, TESTS.index(test))


def test_files_are_given_out_whole_and_in_their_order(scheduling: FileScheduling) -> None:
    first, second = Node("gw0"), Node("gw1")
    begin(scheduling, first, second)
    assert [first.given, second.given] == [TESTS[:4], TESTS[4:7]]
    complete(scheduling, second, TESTS[4])
    assert second.given == TESTS[4:8]


def test_what_crashed_is_not_run_again_and_the_rest_is_even_if_all_others_have_left(
    scheduling: FileScheduling,
) -> None:
    first, second, third = Node("gw0"), Node("gw1"), Node("gw2")
    begin(scheduling, first, second)
    complete(scheduling, second, *TESTS[4:7])
    complete(scheduling, second, *second.given[3:])
    assert second.shutting_down
    complete(scheduling, first, *TESTS[:2])
    assert scheduling.remove_node(first) == TESTS[2]
    begin(scheduling, third)
    # It begins its last test only when it is told that there won't be another.
    assert third.given == [TESTS[3]]
    assert third.shutting_down


def test_the_long_files_are_there(checkout: Path) -> None:
    assert [file for file in LONG_FILES if not (checkout / "tests" / file).is_file()] == []
