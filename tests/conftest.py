"""What all tests share: real servers, started once per session, and the rule that CI allows no skip."""

from __future__ import annotations

import atexit
import gc
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType

import psycopg
import pytest

from cli.leaving import leave
from loops.child import start, stop
from loops.embedded_postgres import EmbeddedPostgres
from loops.embedded_temporal import EmbeddedTemporal
from tests.deadlines import DeadlinePlugin
from tests.own_ports import own_port
from tests.quick_place import quick_place
from tests.scheduling import SchedulingPlugin

NO_SKIP = bool(os.environ.get("HOLDFAST_NO_SKIP"))
# Tests may lose their data on a power cut; the durable way costs them a third of their time.
FOR_TESTS = {
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB",
    "max_wal_size": "256MB",
}  # fmt: skip
TEMPLATE = "migrated"
# As many tests as processors go on at once: threads inside of each only wait for one another, and spin meanwhile.
THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
DAY_SECONDS = 86_400
# Nearly all tests take less than this.
MIDNIGHT_SECONDS = 45.0
DEADLINES = pytest.StashKey[DeadlinePlugin]()


def pytest_configure(config: pytest.Config) -> None:
    """Nothing goes on for ever, and files are run in an order that keeps all processes busy."""
    # Before any test's module is imported, and NumPy with it.
    os.environ.update({name: value for name, value in THREADS.items() if name not in os.environ})
    config.stash[DEADLINES] = DeadlinePlugin()
    config.pluginmanager.register(config.stash[DEADLINES])
    config.pluginmanager.register(SchedulingPlugin())
    # What is imported and collected stays: there is nothing to be found in it, and it takes long to look through.
    gc.disable()


def pytest_collection_finish() -> None:
    """From now on only what tests make is looked through."""
    gc.enable()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL for the session."""
    # Not under pytest's own directory: the next session of the same user closes that to PostgreSQL's user.
    directory = Path(tempfile.mkdtemp(prefix="holdfast-tests-", dir=quick_place()))
    pytestconfig.stash[DEADLINES].deadlines.remains.append(directory)
    server = EmbeddedPostgres(directory / "postgres", own_port(), directory / "postgres.log", FOR_TESTS)
    server.prepare()
    child = server.child()
    process = start(child)
    yield server
    stop(child, process)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """The name of a database with the newest tables and nothing in them, to be copied."""
    from store.migrating import migrate

    postgres_server.query(f"CREATE DATABASE {TEMPLATE}", database="postgres")
    migrate(postgres_server.url(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def postgres_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of an empty database for this test alone."""
    yield from _database(postgres_server, "template1")


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """The URL of a database for this test alone, with the newest tables and nothing in them."""
    yield from _database(postgres_server, migrated_template)


@pytest.fixture(scope="module")
def module_database_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """As `database_url`, for all tests of one module."""
    yield from _database(postgres_server, migrated_template)


def _database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    _order(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield server.url(name)
    _order(server, f"DROP DATABASE {name} WITH (FORCE)")


def _order(server: EmbeddedPostgres, sql: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.encode())


@pytest.fixture(scope="session")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address (host:port) of one Temporal server for the session, with our search attributes."""
    directory = tmp_path_factory.mktemp("temporal")
    server = EmbeddedTemporal(None, own_port(), None, directory / "temporal.log")
    child = server.child()
    process = start(child)
    yield server.address
    stop(child, process)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """No test goes on past midnight UTC: many ask for what is today, and then look at what was noted as today's."""
    left_seconds = DAY_SECONDS - time.time() % DAY_SECONDS
    if left_seconds < MIDNIGHT_SECONDS:
        time.sleep(left_seconds + 0.1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped is a test that failed."""
    report = yield
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which HOLDFAST_NO_SKIP forbids: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that skips itself."""
    report = yield
    if NO_SKIP and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which HOLDFAST_NO_SKIP forbids: {report.longrepr}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Have the process end without taking the interpreter down: after Temporal's SDK that may abort.

    Registered last, called first, when pytest has closed everything and printed its last line. What goes
    wrong after this point (pytest looks for leaks while it closes) must still end in a failure.
    """
    status = int(session.exitstatus)
    report = sys.excepthook

    def fail(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        nonlocal status
        status = status or 1
        report(kind, error, trace)

    sys.excepthook = fail
    atexit.register(lambda: leave(status))


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """As `tmp_path`, where files are quick, and gone afterwards."""
    with tempfile.TemporaryDirectory(
        prefix="holdfast-tests-",
        dir=quick_place(),
        # A server that was just killed may have a child that writes its last.
        ignore_cleanup_errors=True,
    ) as path:
        yield Path(path)


@pytest.fixture
def checkout() -> Path:
    """The directory of this project."""
    return Path(__file__).resolve().parent.parent
