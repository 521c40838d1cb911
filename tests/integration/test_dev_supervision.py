"""`holdfast dev` keeps its processes: they come back with their data, stop in order, and none is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from loops.data_directory import DataDirectory
from loops.embedded_postgres import EmbeddedPostgres
from loops.embedded_temporal import SEARCH_ATTRIBUTES, EmbeddedTemporal, plain_environ
from loops.ports import choose_port
from schemas.errors import UnavailableError
from store.sessions import hash_token
from tests.quick_place import quick_place

HOUSE = Path(__file__).with_name("house.py")
# Each process of a house takes seconds to start, and many of them where other tests are at work.
PATIENCE_SECONDS = 120


def until(holds: Callable[[], Any], what: str) -> Any:
    """Wait for `holds` to give something true, and return it."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up_at:
        if found := holds():
            return found
        time.sleep(0.1)
    pytest.fail(f"waited in vain for {what}")


class House:
    """One `holdfast dev` under test."""

    def __init__(self, checkout: Path, data: Path, *, web: str = "web", port: int = 0) -> None:
        self.data = DataDirectory(data)
        self.log = data.with_name(f"{data.name}.stderr")
        environ = {
            n: v for n, v in plain_environ(os.environ).items() if not n.startswith(("HOLDFAST_", "TWILIO_"))
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HOUSE), "run", str(data), str(port or choose_port(0)), web],
                env={**environ, "PYTHONPATH": str(checkout)},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def is_up(self) -> dict[str, Any]:
        """Its addresses, as soon as everything is up."""
        addresses = until(lambda: self.process.poll() is not None or self._own_addresses(), "dev.json")
        assert isinstance(addresses, dict), self.log.read_text()
        return addresses

    def _own_addresses(self) -> dict[str, Any] | None:
        # After kill -9 the file of the one before is still there for a moment.
        addresses = self.data.read_addresses()
        return addresses if addresses and addresses["pid"] == self.process.pid else None

    def pid(self, name: str) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            return int(json.loads((self.data.running / f"{name}.pid").read_text())["pid"])
        return None

    def kill(self, name: str) -> None:
        """kill -9 of one child, and wait until another one lives."""
        before = self.pid(name)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        until(lambda: self.pid(name) not in (None, before), f"another {name}")
        until(lambda: f"{name} is back" in self.log.read_text(), f"{name} to be ready again")

    def family(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    @property
    def postgres(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(self.data.postgres, self.data.read_ports()["postgres"], self.log)

    @property
    def temporal(self) -> EmbeddedTemporal:
        return EmbeddedTemporal(self.data.temporal, self.data.read_ports()["temporal"], None, self.log)


@pytest.fixture(scope="module")
def busy_port() -> Iterator[int]:
    """A port that somebody else holds."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.fixture(scope="module")
def house(busy_port: int) -> Iterator[House]:
    """A house that several tests share, started for a port that was busy."""
    checkout = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory(prefix="holdfast-tests-", dir=quick_place()) as directory:
        shared = House(checkout, Path(directory) / "data", port=busy_port)
        try:
            shared.is_up()
            yield shared
        finally:
            assert shared.end() == 0


Start = Callable[..., House]


@pytest.fixture
def start(checkout: Path, quick_path: Path) -> Iterator[Start]:
    """Starts houses on one data directory; none outlives the test."""
    houses: list[House] = []

    def begin(**how: Any) -> House:
        houses.append(House(checkout, quick_path / "data", **how))
        return houses[-1]

    yield begin
    for house in houses:
        house.end()


def all_gone(family: list[psutil.Process]) -> bool:
    return not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def at_work_in(directory: Path) -> list[psutil.Process]:
    """Processes that were told of this directory, or stand in it."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if any(
            str(directory) in word for word in [*(process.info["cmdline"] or ()), process.info["cwd"] or ""]
        )
    ]


def test_dev_json_says_where_everything_is_and_only_its_owner_may_read_it(house: House) -> None:
    addresses = house.is_up()
    assert {"web", "api_key", "temporal", "temporal_ui", "smtp", "database_url"} <= addresses.keys()
    for address in (addresses["temporal"], addresses["smtp"], addresses["web"].removeprefix("http://")):
        host, _, port = address.rpartition(":")
        assert host == "127.0.0.1"
        socket.create_connection((host, int(port)), timeout=5).close()
    assert house.data.addresses.stat().st_mode & 0o777 == 0o600
    assert (house.data.path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_migrations_ran(house: House) -> None:
    house.is_up()
    assert house.postgres.query("select count(*) from alembic_version") == "1"


def test_the_first_start_makes_an_account_and_every_start_a_fresh_link(house: House) -> None:
    addresses = house.is_up()
    web, _, token = addresses["sign_in"].rpartition("/welcome/")
    assert web == addresses["web"]
    kept = house.postgres.query(
        "select token_hash || ' ' || sets_password || ' ' || email || ' ' || role "
        "from sign_in_links join people on people.id = person_id where used_at is null"
    )
    assert kept == f"{hash_token(token)} false you@localhost admin"


def test_temporal_knows_our_search_attributes_and_keeps_closed_runs_for_a_month(house: House) -> None:
    house.is_up()
    listed = json.loads(house.temporal.call("search-attribute", "list", "-o", "json"))["customAttributes"]
    assert {name: listed.get(name) for name in SEARCH_ATTRIBUTES} == dict.fromkeys(
        SEARCH_ATTRIBUTES, "INDEXED_VALUE_TYPE_KEYWORD"
    )
    described = json.loads(house.temporal.call("namespace", "describe", "-n", "default", "-o", "json"))
    assert described["config"]["workflowExecutionRetentionTtl"] == f"{30 * 86400}s"


@pytest.mark.parametrize("name", ["worker", "web", "sinks"])
def test_a_killed_process_comes_back(house: House, name: str) -> None:
    house.is_up()
    house.kill(name)


def test_a_killed_postgres_comes_back_with_every_commit(house: House) -> None:
    house.is_up()
    house.postgres.query("create table kept (n int)")
    house.postgres.query("insert into kept values (1)")
    # A backend at work outlives its server, and would keep the next one from starting.
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(house.postgres.query, "select count(*) from generate_series(1, 2000000000)")
        until(
            lambda: (
                house.postgres.query("select count(*) from pg_stat_activity where query ~ 'series'") != "0"
            ),
            "it",
        )
        house.kill("postgres")
        with pytest.raises(UnavailableError):
            working.result()
    assert house.postgres.query("select count(*) from kept") == "1"


def test_a_killed_temporal_comes_back_with_its_runs(house: House) -> None:
    house.is_up()
    binary = str(Path(sys.executable).with_name("temporal"))
    start = [
        binary,
        "workflow",
        "start",
        "--type",
        "Nothing",
        "--task-queue",
        "nobody",
        "--workflow-id",
        "kept",
    ]
    subprocess.run([*start, "--address", house.temporal.address], check=True, capture_output=True)
    house.kill("temporal")
    described = subprocess.run(
        [binary, "workflow", "describe", "--workflow-id", "kept", "--address", house.temporal.address],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "Nothing" in described.stdout


def test_a_second_start_is_refused_with_the_reason(house: House, checkout: Path) -> None:
    addresses = house.is_up()
    second = subprocess.run(
        [sys.executable, "-m", "cli.main", "dev", "--data", str(house.data.path)],
        capture_output=True, text=True, cwd=checkout, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert str(house.process.pid) in second.stderr
    assert addresses["web"] in second.stderr


def test_stopping_leaves_no_process_and_the_next_start_goes_on(start: Start) -> None:
    first = start()
    key = first.is_up()["api_key"]
    first.postgres.query("create table kept (n int)")
    assert_stops_in_order(first, signal.SIGINT)

    second = start()
    assert second.is_up()["api_key"] == key
    assert second.postgres.query("select count(*) from kept") == "0"
    assert_stops_in_order(second, signal.SIGTERM)


def assert_stops_in_order(house: House, number: signal.Signals) -> None:
    """Asked to by this signal, it ends with all its processes, each of its own accord."""
    family = house.family()
    assert len(family) >= 6
    assert house.end(number) == 0
    assert all_gone(family)
    assert "killed" not in house.log.read_text()


def test_a_child_that_will_not_stop_is_killed(start: Start) -> None:
    house = start(web="stubborn")
    house.is_up()
    family = house.family()
    assert house.end() == 0
    assert all_gone(family)
    assert "web didn't stop in time and is killed" in house.log.read_text()


def test_stopping_in_the_midst_of_starting_leaves_no_process(start: Start) -> None:
    house = start()
    until(lambda: house.pid("temporal"), "the first child")
    family = house.family()
    assert house.end() == 0
    until(lambda: all_gone(family), "the end of all")
    # What was begun meanwhile, such as making the database's files, ends with them.
    until(lambda: not at_work_in(house.data.path), "the end of whatever was begun last")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_even_a_killed_supervisor_leaves_no_process_and_the_next_start_recovers(start: Start) -> None:
    first = start()
    first.is_up()
    first.postgres.query("create table kept (n int)")
    family = first.family()
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: all_gone(family), "the end of all")

    second = start()
    second.is_up()
    assert second.postgres.query("select count(*) from kept") == "0"
    assert second.end() == 0


def test_a_busy_port_is_stepped_around(house: House, busy_port: int) -> None:
    assert house.is_up()["web"] != f"http://127.0.0.1:{busy_port}"
    assert f"port {busy_port} is busy" in house.log.read_text()


def test_a_child_that_dies_again_and_again_is_given_up_naming_its_log(start: Start) -> None:
    house = start(web="broken")
    assert house.process.wait(PATIENCE_SECONDS) == 1
    told = house.log.read_text()
    assert "web died 6 times in a row" in told
    assert str(house.data.logs / "web.log") in told
    assert "tripped over a stone" in told
