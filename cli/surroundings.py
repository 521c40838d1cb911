"""The `holdfast dev` that runs beside a command, so that commands in a second terminal talk to it."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

# Whoever sets one of these has named the system to talk to.
NAMING = ("HOLDFAST_DATABASE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_PROFILE")


def adopt_running_dev(environ: MutableMapping[str, str]) -> Path | None:
    """Add the variables of the `holdfast dev` running on HOLDFAST_DATA (default `.holdfast`) to `environ`.

    Returns its data directory; None, changing nothing, where none runs or `environ` names a system itself.
    """
    path = Path(environ.get("HOLDFAST_DATA") or ".holdfast")
    if any(environ.get(name) for name in NAMING) or not (path / "dev.json").exists():
        return None
    from loops.data_directory import DataDirectory

    data = DataDirectory(path)
    addresses = data.read_addresses()
    if addresses is None or not data.is_owned():
        return None
    for name, value in addresses.get("environment", {}).items():
        environ.setdefault(name, value)
    return data.path
