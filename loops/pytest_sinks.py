"""A pytest plugin with sinks for every channel: `pytest_plugins = ["loops.pytest_sinks"]`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loops.sinks import Sinks, open_sinks


@pytest.fixture
async def sinks(tmp_path: Path) -> AsyncIterator[Sinks]:
    """Sinks for every channel on free ports; `sinks.environ()` is what Holdfast is told to send there."""
    async with open_sinks(tmp_path / "sinks") as running:
        yield running
