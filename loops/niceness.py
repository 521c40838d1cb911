"""How far a process stands back behind the others of its machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")


def stand_back(niceness: int) -> None:
    """Let this process and what it starts wait for others where processors are scarce: 0 (not at all) to 19; where that
    isn't allowed, it goes on as it is.

    Where Linux groups processes by session (sched_autogroup), a niceness counts among those of one session only; so who
    leads a session of its own, as children of `holdfast dev` do, has the group stand back, too.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.nice(niceness)
        if niceness and os.getsid(0) == os.getpid() and _AUTOGROUP.exists():
            _AUTOGROUP.write_text(str(niceness))
