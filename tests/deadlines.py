"""Nothing of a test run goes on for ever: what overruns tells all its stacks, fails, and the run goes on.

A test that overruns is interrupted. Where that doesn't end it (a C call that doesn't return, an event loop that
waits for a task that won't be cancelled), its process is ended with all it started; pytest-xdist then counts the
test as failed and goes on with a new process.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import psutil  # type: ignore[import-untyped]
import pytest
from pytest_timeout import is_debugging

# What a task may take to end that is asked to.
END_SECONDS = 20.0
# What a test's fixtures may take to end, and a session's.
TEARDOWN_SECONDS = 60.0
SESSION_END_SECONDS = 90.0
COLLECTING_SECONDS = 600.0
# Between any two reports of all processes together: more than the longest test has.
SILENCE_SECONDS = 600.0
# From the interruption to the end of the process; and then until even a process in one endless C call ends.
GRACE_SECONDS = 30.0
DEAF_SECONDS = 30.0
# An interruption in the middle of an event loop's callback would be logged and forgotten: the next may do better.
RETRY_SECONDS, RETRIES = 0.05, 100
STATUS = 124
_CALLBACK = asyncio.events.Handle._run.__code__


@dataclass
class _Due:
    what: str
    seconds: float
    interrupt: bool
    at: float
    retries: int = 0


class Deadlines:
    """Watches what this process is at; one thing at a time."""

    def __init__(self, told_to: TextIO) -> None:
        self._told_to = told_to
        self._news = threading.Condition()
        self._due: _Due | None = None
        # Directories that are to go when the process has to be ended.
        self.remains: list[Path] = []
        with contextlib.suppress(ValueError):  # not in the main thread: nothing can be interrupted
            signal.signal(signal.SIGALRM, self._interrupt)
        threading.Thread(target=self._watch, name="deadlines", daemon=True).start()

    def expect(self, what: str, seconds: float, *, interrupt: bool = False) -> None:
        """From now on `what` has so many seconds; at the end of them it is interrupted, or else all is ended."""
        with self._news:
            self._due = _Due(what, seconds, interrupt, time.monotonic() + seconds)
            self._news.notify()
        # A thread of ours gets no turn while a C call holds the interpreter; this one needs none.
        faulthandler.dump_traceback_later(
            seconds + GRACE_SECONDS + DEAF_SECONDS, exit=True, file=self._told_to
        )

    def rest(self) -> None:
        """Nothing is expected for now."""
        with self._news:
            self._due = None
            self._news.notify()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while True:
            with self._news:
                while (due := self._due) is None or time.monotonic() < due.at:
                    self._news.wait(None if due is None else max(due.at - time.monotonic(), 0))
            if is_debugging():
                self.rest()
                continue
            self.tell(f"{due.what} took more than {due.seconds:.0f} s")
            if not (due.interrupt and self._interrupted(due)):
                self.end_all(due)

    def _interrupted(self, due: _Due) -> bool:
        """Interrupt and see whether it helps."""
        give_up_at = time.monotonic() + GRACE_SECONDS
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
        while time.monotonic() < give_up_at:
            time.sleep(RETRY_SECONDS)
            if self._due is not due:
                return True
            if 0 < due.retries < RETRIES:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
        return False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        due = self._due
        if due is None or time.monotonic() < due.at:
            return  # it ended just now
        if due.retries < RETRIES - 1 and _is_in_callback(frame):
            due.retries += 1
            return
        due.retries = RETRIES
        pytest.fail(
            f"Timeout: more than {due.seconds:.0f} s. The stacks are above, where it was interrupted."
        )

    def tell(self, what: str) -> None:
        """Say it with the stacks of all threads and of the tasks of the main thread's event loop."""
        lines = [f"\n{'+' * 20} pid {os.getpid()}: {what} {'+' * 20}\n"]
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident == threading.get_ident():
                continue
            lines += [f"Thread {names.get(ident, '?')}:\n", *traceback.format_stack(frame)]
            if ident == threading.main_thread().ident and (loop := _loop_of(frame)) is not None:
                lines += describe_tasks(loop)
        with contextlib.suppress(OSError, ValueError):
            self._told_to.write("".join(lines) + "+" * 60 + "\n")
            self._told_to.flush()

    def end_all(self, due: _Due) -> None:
        """End this process and all it started, at once."""
        self.tell(f"{due.what} hangs: this process is ended")
        with contextlib.suppress(psutil.Error):
            started = psutil.Process().children(recursive=True)
            for process in started:
                # Other processes of pytest tell their stacks at this; PostgreSQL takes the other to leave in order.
                number = signal.SIGABRT if "execnet" in " ".join(_command(process)) else signal.SIGINT
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)
            for process in psutil.wait_procs(started, timeout=3)[1]:
                with contextlib.suppress(psutil.Error):
                    process.kill()
        for directory in self.remains:
            shutil.rmtree(directory, ignore_errors=True)
        os._exit(STATUS)


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _is_in_callback(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is _CALLBACK:
            return True
        frame = frame.f_back
    return False


def _loop_of(frame: FrameType | None) -> asyncio.AbstractEventLoop | None:
    """The event loop whose running this stack is."""
    while frame is not None:
        loop = frame.f_locals.get("self")
        if isinstance(loop, asyncio.AbstractEventLoop):
            return loop
        frame = frame.f_back
    return None


def describe_tasks(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Lines telling where each task of the loop waits."""
    lines = []
    with contextlib.suppress(RuntimeError):  # they change while they are counted
        for task in asyncio.all_tasks(loop):
            asked = f", asked {task.cancelling()} times to end" if task.cancelling() else ""
            lines += [f"Task {task.get_name()}{asked}:\n", *_describe_waiting(task.get_coro())]
    return lines


def _describe_waiting(waiting: Any) -> list[str]:
    """The frames of a coroutine and of what it awaits, outermost first."""
    lines: list[str] = []
    while waiting is not None and len(lines) < 50:
        for prefix in ("cr", "ag", "gi"):
            found = getattr(waiting, f"{prefix}_frame", None)
            if found is not None:
                lines.append(
                    f'  File "{found.f_code.co_filename}", line {found.f_lineno}, in {found.f_code.co_name}\n'
                )
                waiting = getattr(waiting, f"{prefix}_await", None) or getattr(waiting, "gi_yieldfrom", None)
                break
        else:
            lines.append(f"  on {waiting!r}"[:200] + "\n")
            return lines
    return lines


async def end(task: asyncio.Task[None], *, ask: Callable[[], object] | None = None) -> None:
    """Cancel a task, or `ask` it to end, and wait until it has; fails with all tasks' stacks if it goes on."""
    (ask or task.cancel)()
    await asyncio.wait([task], timeout=END_SECONDS)
    if not task.done():
        told = "".join(describe_tasks(asyncio.get_running_loop()))
        pytest.fail(f"{task.get_coro()} was asked to end and goes on after {END_SECONDS:.0f} s.\n{told}")
    with contextlib.suppress(asyncio.CancelledError):
        await task


class DeadlinePlugin:
    """Deadlines for pytest: the limits are pytest-timeout's (its setting, marker and option), the means are ours."""

    def __init__(self) -> None:
        # pytest will put something else in the place of the errors' stream.
        self.deadlines = Deadlines(os.fdopen(os.dup(2), "w", buffering=1))
        self._heard_at = 0.0
        self._lost: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        self.deadlines.expect("collecting the tests", COLLECTING_SECONDS)
        try:
            return (yield)
        finally:
            self.deadlines.rest()

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> bool:
        self.deadlines.expect(item.nodeid, settings.timeout, interrupt=True)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_cancel_timer(self, item: pytest.Item) -> bool:
        # pytest-timeout asks for this also when a test has failed, whose end may well hang.
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        if item.config.getoption("timeout") != 0:
            self.deadlines.expect(f"the end of {item.nodeid}", TEARDOWN_SECONDS, interrupt=True)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        if not self._is_controller:
            self.deadlines.rest()

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        self._config = config

    @property
    def _is_controller(self) -> bool:
        return bool(self._config.pluginmanager.hasplugin("dsession"))

    def pytest_runtest_logreport(self) -> None:
        if self._is_controller and time.monotonic() > self._heard_at + 10:
            self._heard_at = time.monotonic()
            self.deadlines.expect("the next report of any process", SILENCE_SECONDS)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:
            self._lost.append(f"{node.gateway.id}: {error}")

    def pytest_enter_pdb(self) -> None:
        self.deadlines.rest()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.deadlines.expect("the end of the session", SESSION_END_SECONDS)
        # One that dies at its end takes no test with it, and would go unnoticed.
        if self._lost and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for lost in self._lost:
            terminalreporter.write_line(f"LOST a process of pytest-xdist, {lost}", red=True)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        # A process of pytest-xdist waits until the others have ended, too; then its controller sees to its end.
        if hasattr(self._config, "workerinput"):
            self.deadlines.rest()
