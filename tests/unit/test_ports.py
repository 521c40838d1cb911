"""Ports that two systems choose at the same time are different ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loops.ports import choose_port, reserve_port

CHOOSE = "import sys; from loops.ports import reserve_port; print(reserve_port(int(sys.argv[1])))"


def choose_elsewhere(port: int, checkout: Path) -> int:
    """What another process gets that asks for this port."""
    asked = [sys.executable, "-c", CHOOSE, str(port)]
    return int(subprocess.run(asked, cwd=checkout, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that go with their process")
def test_a_reserved_port_is_nobody_elses_though_nobody_listens_there(checkout: Path) -> None:
    free = choose_port(0)
    # Nobody keeps what it asked for once it has ended.
    assert choose_elsewhere(free, checkout) == free
    assert reserve_port(free) == free
    assert reserve_port(free) == free
    assert choose_elsewhere(free, checkout) != free


def test_what_is_taken_is_left_alone() -> None:
    free = choose_port(0)
    assert reserve_port(free, taken=[free]) != free
