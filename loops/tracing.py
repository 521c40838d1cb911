"""The traces of Temporal's client and workers: runs, their steps and activities under what began them."""

from __future__ import annotations

from temporalio.client import Interceptor

from schemas import tracing


def make_interceptors() -> list[Interceptor]:
    """What a client is connected with, so that its workers have it, too; nothing while traces are off."""
    tracer = tracing.tracer()
    if tracer is None:
        return []
    # Half a second to import, which only those pay who trace.
    from temporalio.contrib.opentelemetry import TracingInterceptor

    return [TracingInterceptor(tracer)]
