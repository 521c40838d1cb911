"""Which process of pytest-xdist runs what: whole files, the longest first, and what crashed not again."""

from __future__ import annotations

from collections import Counter

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

# Files that take longer than the number of their tests would tell, longest first. Begun last, they would keep
# one process busy while the others have nothing left to do.
LONG_FILES = (
    "integration/test_bench_smoke.py",
    "integration/test_kills.py",
    "integration/test_dev_supervision.py",
    "browser/test_every_page.py",
    "integration/test_schemathesis.py",
    "integration/test_lost_answers.py",
    "integration/test_training.py",
    "browser/test_overview.py",
    "integration/test_fault_kills.py",
    "integration/test_canary.py",
    "integration/test_playbook_pages.py",
    "integration/test_web_process.py",
    "integration/test_editing.py",
    "browser/test_stories.py",
    "integration/test_editing_api.py",
    "browser/test_playbooks.py",
    "integration/test_course.py",
    "integration/test_population.py",
    "integration/test_delivery.py",
    "browser/test_working_day.py",
    "integration/test_backtest.py",
    "integration/test_operations_pages.py",
    "integration/test_watching.py",
    "unit/test_hostile_files.py",
    "integration/test_people.py",
    "integration/test_player.py",
    "integration/test_comparison.py",
    "integration/test_run.py",
    "unit/test_rules_agreement.py",
    "integration/test_repairing.py",
    "integration/test_population_run.py",
)
# One that drives a browser takes as long as so many of the others.
BROWSER, AS_MANY = "browser/", 25


class FileScheduling(LoadFileScheduling):
    """As `--dist loadfile`, in the order in which files were collected; a test that crashed is over."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def remove_node(self, node: WorkerController) -> str | None:
        """What of the node's work was under way; what it hadn't begun is given to others."""
        units = self.assigned_work[node]
        crashed = None
        for unit in units.values():
            if crashed is None and (crashed := next((test for test in unit if not unit[test]), None)):
                unit[crashed] = True
        # A unit with nothing left in it would leave the node that gets it without work, for ever.
        for scope in [scope for scope, unit in units.items() if all(unit.values())]:
            del units[scope]
        super().remove_node(node)
        return crashed

    def _reschedule(self, node: WorkerController) -> None:
        # A node begins its last test only when it knows that there won't be another. Later ones aren't told by the
        # original, if their first unit is a single test.
        waiting = -1
        while waiting != len(self.workqueue) and not node.shutting_down:
            waiting = len(self.workqueue)
            super()._reschedule(node)


class SchedulingPlugin:
    """The order of files, and who gives them out."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """In processes of pytest-xdist: long files first, then those of the most tests or the heaviest."""
        if not hasattr(config, "workerinput"):
            return
        weight = Counter[str]()
        for item in items:
            weight[_file(item)] += AS_MANY if _file(item).startswith(BROWSER) else 1
        place = {file: number for number, file in enumerate(LONG_FILES)}
        items.sort(key=lambda item: (place.get(_file(item), len(place)), -weight[_file(item)], _file(item)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> FileScheduling | None:
        return FileScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def _file(item: pytest.Item) -> str:
    return item.nodeid.split("::", 1)[0].removeprefix("tests/")
