"""A worker that stands back does so among all processes of its machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_TOLD = (
    "import os, pathlib; from loops.niceness import stand_back; before = os.nice(0); stand_back({}); "
    "group = pathlib.Path('/proc/self/autogroup'); "
    "print(os.nice(0) - before, *(group.read_text().split()[-1:] if group.exists() else []))"
)


@pytest.mark.parametrize("leads_a_session", [True, False])
@pytest.mark.parametrize("niceness", [0, 5])
def test_it_stands_back_with_its_session_where_it_leads_one(
    checkout: Path, niceness: int, leads_a_session: bool
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", _TOLD.format(niceness)],
        cwd=checkout, start_new_session=leads_a_session, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert told[0] == str(niceness)
    # A process that has never been in a session of its own is in no group: the kernel then tells nothing.
    if leads_a_session and len(told) > 1:
        assert told[1] == str(niceness)
