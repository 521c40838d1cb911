"""A process that hangs tells where and is ended, whatever it hangs in."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

BEGINNING = """
import asyncio, ctypes, subprocess, sys, time
import pytest
from tests import deadlines

deadlines.GRACE_SECONDS, deadlines.DEAF_SECONDS = 0.4, {deaf_seconds}
watch = deadlines.Deadlines(sys.stderr)
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
started = subprocess.Popen(["sleep", "60"], start_new_session=True, **quiet)
print(started.pid, flush=True)
watch.expect("the thing", 0.4, interrupt=True)
"""
SWALLOWING = """
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass
"""
IN_A_LOOP = """
async def stubborn():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def main():
    await asyncio.gather(asyncio.create_task(stubborn(), name="stubborn"))

asyncio.run(main())
"""
HOLDING = "ctypes.PyDLL(None).sleep(60)\n"
SLEEPING = """
try:
    time.sleep(60)
except pytest.fail.Exception as error:
    print(error)
watch.rest()
time.sleep(1)
"""


def run(
    words: str, checkout: Path, *, deaf_seconds: float = 30.0
) -> tuple[subprocess.CompletedProcess[str], int]:
    """How the process ended, and the number of the process that it started; nothing of it hears for `deaf_seconds`."""
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING.replace("{deaf_seconds}", str(deaf_seconds)) + words],
        cwd=checkout, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done, int(done.stdout.split()[0])


def runs(number: int) -> bool:
    """Whether the process of this number is there, and not only its end, of which nobody has taken note yet."""
    try:
        status = Path(f"/proc/{number}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("words", "told"),
    [(SWALLOWING, 'File "<string>"'), (IN_A_LOOP, "Task stubborn, asked")],
    ids=["swallowing", "loop"],
)
def test_what_an_interruption_does_not_end_is_ended_with_all_it_started(
    words: str, told: str, checkout: Path
) -> None:
    done, started = run(words, checkout)
    assert done.returncode == 124
    assert "the thing took more than 0 s" in done.stderr
    assert told in done.stderr
    give_up_at = time.monotonic() + 30
    while runs(started) and time.monotonic() < give_up_at:
        time.sleep(0.1)
    assert not runs(started)


def test_a_call_that_lets_nothing_else_run_is_ended(checkout: Path) -> None:
    done, started = run(HOLDING, checkout, deaf_seconds=0.4)
    subprocess.run(["kill", str(started)], check=True)
    assert done.returncode == 1
    assert 'File "<string>", line' in done.stderr


def test_what_can_be_interrupted_is_and_the_process_goes_on(checkout: Path) -> None:
    done, started = run(SLEEPING, checkout)
    subprocess.run(["kill", str(started)], check=True)
    assert done.returncode == 0
    assert "Timeout: more than 0 s" in done.stdout
