"""Where tests keep the files of servers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# A database for each test is some thousand small files: in memory it is there ten times sooner than on a busy disk.
_MEMORY = Path("/dev/shm")
_ENOUGH = 2 << 30


def quick_place() -> Path | None:
    """The directory in memory, if there is room; None: where temporary files are otherwise."""
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ENOUGH:
        return None
    return _MEMORY
