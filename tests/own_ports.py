"""Ports for servers that tests start in other processes."""

from __future__ import annotations

from random import Random

from loops.ports import reserve_port

# Below those that the system hands out to clients: one of these could get it between its choice and its use.
_PORTS = (20_000, 32_000)


def own_port() -> int:
    """A port on which nobody listens, and which no other process of the tests is given."""
    return reserve_port(Random().randrange(*_PORTS))
