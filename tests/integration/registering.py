"""Step types from another directory, registered for as long as a test needs them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import activities
from activities.registry import find_step_types


@contextlib.contextmanager
def registered(directory: Path) -> Iterator[None]:
    """As if the files of `directory` lay in `activities/`."""
    added = {f"activities.{file.stem}" for file in directory.glob("*.py")}
    activities.__path__.append(str(directory))
    find_step_types.cache_clear()
    try:
        yield
    finally:
        activities.__path__.remove(str(directory))
        find_step_types.cache_clear()
        for name in added:
            sys.modules.pop(name, None)
            if hasattr(activities, name.partition(".")[2]):
                delattr(activities, name.partition(".")[2])
