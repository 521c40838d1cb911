"""Choosing TCP ports on this machine, around those that others hold."""

from __future__ import annotations

import socket
import sys
from collections.abc import Collection

from schemas.errors import UnavailableError

HOST = "127.0.0.1"
STEPS = 200
# What this process reserved, by port: each holds a name that only one process of the machine can.
_reserved: dict[int, socket.socket] = {}


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: a connection that just closed doesn't make a port busy, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_port(*wanted: int | None, taken: Collection[int] = ()) -> int:
    """The first free of the `wanted` ports, in order, else the next one above the last of them.

    None is skipped, `taken` ports are left alone, and 0 means any port that the system gives. Raises
    UnavailableError when 200 ports in a row are busy.
    """
    asked = [port for port in wanted if port is not None]
    if not asked or asked[-1] == 0:
        above = [_any_port() for _ in range(len(taken) + 1)]
    else:
        above = [port for port in range(asked[-1] + 1, asked[-1] + STEPS) if port < 65536]
    for port in [*(port for port in asked if port), *above]:
        if port not in taken and is_free(port):
            return port
    raise UnavailableError(
        f"no free port between {asked[-1]} and {asked[-1] + STEPS}.",
        remedy="Stop what listens there (`ss -ltnp` shows it) or choose another with --port.",
    )


def reserve_port(*wanted: int | None, taken: Collection[int] = ()) -> int:
    """As `choose_port`; whatever else asks so gets another port, until this process ends.

    Between the choice and the moment at which a server listens lie seconds, in which a port seems to be free. Where
    names can't be held (all but Linux), it is `choose_port`.
    """
    while not _reserve(port := choose_port(*wanted, taken=taken)):
        taken = {*taken, port}
    return port


def _reserve(port: int) -> bool:
    if port in _reserved or sys.platform != "linux":
        return True
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # No file: it is gone with the process, however that ends, and isn't inherited by those it starts.
        holder.bind(f"\0holdfast-port-{port}")
    except OSError:
        holder.close()
        return False
    _reserved[port] = holder
    return True


def _any_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
