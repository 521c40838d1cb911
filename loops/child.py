"""One process that another keeps: how it is started, known to be ready, and ended."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from loops.data_directory import write_atomically
from schemas.errors import UnavailableError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _nothing() -> None:
    """No remains to clear."""


def _always() -> bool:
    """Ready as soon as it runs."""
    return True


@dataclass(frozen=True)
class Child:
    """What to run and how to treat it.

    `ready` says whether it does its work now (called in a thread; at most about 2 s), `clear` removes before
    every start what a crash left behind, `user` is the system user to run as. `stop_signal` asks it to end;
    `death_signal` reaches it when its parent dies, however that came about (Linux).
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    ready: Callable[[], bool] = _always
    environ: Mapping[str, str] | None = None
    directory: Path | None = None
    user: str | None = None
    clear: Callable[[], None] = _nothing
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    patience_seconds: float = 60.0
    pid_file: Path | None = None


def spawn(child: Child) -> subprocess.Popen[bytes]:
    """Start `child` in its own session, its output going to the end of its log."""
    end_orphan(child.pid_file)
    child.clear()
    child.log.parent.mkdir(parents=True, exist_ok=True)
    with child.log.open("ab") as log:
        process = subprocess.Popen(
            child.argv,
            env=None if child.environ is None else dict(child.environ),
            cwd=child.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
            **as_user(child.user),
            # Changing the user forgets the death signal, so it is set after that, in the child itself.
            preexec_fn=die_with(os.getpid(), child.death_signal),
        )
    if child.pid_file is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(process.pid).create_time()
            write_atomically(child.pid_file, json.dumps({"pid": process.pid, "started": started}))
    return process


def as_user(user: str | None) -> dict[str, Any]:
    """Arguments for subprocess to run as `user` with that user's group alone; none for None."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()}


def die_with(parent: int, death_signal: int) -> Callable[[], None] | None:
    """What a new process calls before its program starts, to get `death_signal` when `parent` dies."""
    if _libc is None:
        return None
    prctl = _libc.prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it died before we asked to be told
            os._exit(1)

    return prepare


def end_orphan(pid_file: Path | None) -> None:
    """Kill the process that `pid_file` names, if it is still the same process, not merely the same number."""
    if pid_file is None or not pid_file.exists():
        return
    with contextlib.suppress(psutil.Error, ValueError, KeyError, ProcessLookupError, TypeError):
        noted = json.loads(pid_file.read_text())
        process = psutil.Process(int(noted["pid"]))
        if abs(process.create_time() - float(noted["started"])) < 0.05:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=3)
    pid_file.unlink(missing_ok=True)


def kill(child: Child, process: subprocess.Popen[bytes]) -> None:
    """End `process` and whatever it started in its session, at once."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    child.clear()


def ask_to_stop(child: Child, process: subprocess.Popen[bytes]) -> None:
    """Send `process` the signal on which it ends by itself."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(child.stop_signal)


def stop(child: Child, process: subprocess.Popen[bytes], within_seconds: float = 5.0) -> None:
    """Ask `process` to stop and wait; kill it when the time is over."""
    ask_to_stop(child, process)
    try:
        process.wait(within_seconds)
    except subprocess.TimeoutExpired:
        kill(child, process)
    if child.pid_file is not None:
        child.pid_file.unlink(missing_ok=True)


def start(child: Child) -> subprocess.Popen[bytes]:
    """Start `child` and wait until it is ready. Raises UnavailableError if it ends or isn't in time."""
    process = spawn(child)
    give_up_at = time.monotonic() + child.patience_seconds
    while not child.ready():
        if process.poll() is not None:
            raise UnavailableError(f"{child.name} {how_it_ended(process)}.", remedy=look_at(child))
        if time.monotonic() > give_up_at:
            kill(child, process)
            raise not_ready(child)
        time.sleep(0.05)
    return process


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """Words for the exit status of a process that has ended."""
    code = process.returncode
    if code is None:
        return "still runs"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"


def not_ready(child: Child) -> UnavailableError:
    """The error of a child that runs but doesn't get ready."""
    return UnavailableError(
        f"{child.name} wasn't ready after {child.patience_seconds:.0f} s.", remedy=look_at(child)
    )


def look_at(child: Child) -> str:
    """Where to look for the reason: the log's place and its last line."""
    try:
        lines = [line for line in child.log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return f"Look at {child.log}" + (f", which ends: {lines[-1].strip()[:300]}" if lines else ".")
