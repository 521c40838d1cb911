"""What the records of one request or one step have in common: names of what they are about, never whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token

FIELDS = ("request_id", "run_id", "playbook", "step")

_current: ContextVar[Mapping[str, str]] = ContextVar("log_context", default={})  # noqa: B039 - never changed
_read_trace: list[Callable[[], str]] = []


def enter(**named: str) -> Token[Mapping[str, str]]:
    """Name what this task's records are about from now on; `leave` with what this gives."""
    return _current.set({**_current.get(), **named})


def leave(token: Token[Mapping[str, str]]) -> None:
    """As it was before."""
    _current.reset(token)


def read_context() -> dict[str, str]:
    """The fields of this moment, with the id of the trace where there is one."""
    fields = dict(_current.get())
    trace_id = _read_trace[0]() if _read_trace else ""
    return fields | {"trace_id": trace_id} if trace_id else fields


def tell_traces(read: Callable[[], str]) -> None:
    """Have records name the trace that `read` gives (an empty string for none)."""
    _read_trace[:] = [read]
