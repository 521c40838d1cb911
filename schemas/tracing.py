"""Traces by OpenTelemetry: off unless the environment names where they go, and then nothing of it is even imported.

Spans hold names of routes, playbooks, channels and providers, codes, and our own random ids. What an exception says may
quote a customer, so only its type is kept, as in logs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from schemas.errors import SettingError
from schemas.log_context import tell_traces

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Span, Tracer

Kind = Literal["internal", "server", "client", "producer", "consumer"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORTER = "OTEL_TRACES_EXPORTER"
LAST_EXPORT_MS = 2000
# Nobody asked for these: bells and activities of runs that began without a trace begin none.
_NO_BEGINNINGS = ("SignalWorkflow:", "QueryWorkflow:", "RunActivity:")
_ID_PARTS = 3

_provider: TracerProvider | None = None
_tracer: Tracer | None = None


class Spot:
    """A span as its maker sees it; one that isn't recorded takes everything and keeps nothing."""

    __slots__ = ("_span",)

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    def set(self, **attributes: str | int | float | bool) -> None:
        """More to say of it; a double underscore in a name is a dot."""
        if self._span is not None:
            self._span.set_attributes(_name_attributes(attributes))

    def rename(self, name: str) -> None:
        """What it is called, now that this is known."""
        if self._span is not None:
            self._span.update_name(name)

    def fail(self, reason: str) -> None:
        """It went wrong; `reason` is a code or a type's name, never words that quote somebody."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_attribute("error.type", reason)
            self._span.set_status(Status(StatusCode.ERROR, reason))

    @property
    def traceparent(self) -> str | None:
        """How others name it as their parent; None where it isn't recorded."""
        return None if self._span is None else _write(self._span)

    def end(self) -> None:
        """It is over; only for what `begin` gave."""
        if self._span is not None:
            self._span.end()


_NOWHERE = Spot()
_NOTHING = contextlib.nullcontext(_NOWHERE)


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment says where traces go. Raises SettingError for an exporter that there isn't."""
    exporter = environ.get(EXPORTER, "").strip()
    if exporter not in ("", "otlp", "console", "none"):
        raise SettingError(f"{EXPORTER} is {exporter!r}.", remedy="Set it to otlp, console or none.")
    if exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return bool(exporter) or any(environ.get(name) for name in ENDPOINTS)


def set_up(environ: Mapping[str, str], service: str) -> bool:
    """Begin to record this process's traces where they are wanted; whether they are. `service` is its name in them."""
    global _provider, _tracer
    if not is_wanted(environ) or _tracer is not None:
        return _tracer is not None
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": environ.get("OTEL_SERVICE_NAME", service)})
    _provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _provider.sampler = _make_sampler(_provider.sampler)
    _provider.add_span_processor(BatchSpanProcessor(_make_exporter(environ)))
    _tracer = _provider.get_tracer("holdfast")
    tell_traces(_read_trace_id)
    return True


def finish() -> None:
    """Send what is left, for at most two seconds; nothing is recorded from then on."""
    global _provider, _tracer
    provider, _provider, _tracer = _provider, None, None
    if provider is not None:
        tell_traces(str)
        if provider.force_flush(LAST_EXPORT_MS):
            provider.shutdown()


def tracer() -> Tracer | None:
    """What makes spans; None while traces are off."""
    return _tracer


def is_on() -> bool:
    """Whether traces are recorded."""
    return _tracer is not None


def span(
    name: str, *, kind: Kind = "internal", parent: str | None = None, **attributes: str | int | float | bool
) -> contextlib.AbstractContextManager[Spot]:
    """A span around a block, current inside of it. parent: a traceparent; else what is current.

    A double underscore in an attribute's name is a dot.
    """
    if _tracer is None:
        return _NOTHING
    return _record(_tracer, name, kind, parent, attributes)


def begin(name: str, *, parent: str | None, **attributes: str | int | float | bool) -> Spot:
    """A span that isn't current and ends when it is told to; without a parent none is recorded."""
    if _tracer is None or parent is None:
        return _NOWHERE
    return Spot(_tracer.start_span(name, context=_read(parent), attributes=_name_attributes(attributes)))


def traceparent() -> str | None:
    """The current span as others name it (W3C Trace Context); None where there is none."""
    if _tracer is None:
        return None
    from opentelemetry import trace

    return _write(trace.get_current_span())


@contextlib.contextmanager
def _record(
    maker: Tracer, name: str, kind: Kind, parent: str | None, attributes: Mapping[str, Any]
) -> Iterator[Spot]:
    from opentelemetry.trace import SpanKind

    with maker.start_as_current_span(
        name, context=_read(parent) if parent else None, kind=SpanKind[kind.upper()],
        attributes=_name_attributes(attributes), record_exception=False, set_status_on_exception=False,
    ) as made:  # fmt: skip
        spot = Spot(made)
        try:
            yield spot
        except Exception as error:
            spot.fail(type(error).__qualname__)
            raise


def _name_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in attributes.items()}


def _read(written: str) -> Context:
    """What is no traceparent is no parent."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": written}, Context())


def _write(made: Span) -> str | None:
    context = made.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _read_trace_id() -> str:
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def _make_sampler(chosen: Sampler) -> Sampler:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import sampling

    class Beginnings(sampling.Sampler):
        """As chosen, but for what must not begin a trace."""

        def should_sample(
            self, parent_context: Context | None, trace_id: int, name: str, *args: Any, **named: Any
        ) -> sampling.SamplingResult:
            parent = trace.get_current_span(parent_context).get_span_context()
            if not parent.is_valid and name.startswith(_NO_BEGINNINGS):
                return sampling.SamplingResult(sampling.Decision.DROP)
            return chosen.should_sample(parent_context, trace_id, name, *args, **named)

        def get_description(self) -> str:
            return f"Beginnings({chosen.get_description()})"

    return Beginnings()


def _make_exporter(environ: Mapping[str, str]) -> SpanExporter:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter

    if environ.get(EXPORTER) == "console":
        target: SpanExporter = ConsoleSpanExporter()
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        whole, base = (environ.get(name) for name in ENDPOINTS)
        target = OTLPSpanExporter(endpoint=whole or (f"{base.rstrip('/')}/v1/traces" if base else None))

    class Plain(SpanExporter):
        """Hands on spans without anybody's words in them."""

        def export(self, spans: Sequence[ReadableSpan]) -> Any:
            return target.export([without_words(one) for one in spans])

        def shutdown(self) -> None:
            target.shutdown()

        def force_flush(self, timeout_millis: int = LAST_EXPORT_MS) -> bool:
            return target.force_flush(timeout_millis)

    return Plain()


def without_words(made: ReadableSpan) -> ReadableSpan:
    """The same span: of exceptions their types, of workflow ids what isn't an entry's key."""
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Status

    attributes = dict(made.attributes or {})
    if isinstance(named := attributes.get("temporalWorkflowID"), str):
        attributes["temporalWorkflowID"] = "/".join(named.split("/")[:_ID_PARTS])
    events = [
        Event(one.name, {k: v for k, v in (one.attributes or {}).items() if k == "exception.type"}, one.timestamp)
        for one in made.events
    ]  # fmt: skip
    reason = (made.status.description or "").split(":")[0].strip()
    status = (
        made.status if made.status.is_ok or made.status.is_unset else Status(made.status.status_code, reason)
    )
    return ReadableSpan(
        made.name, made.context, made.parent, made.resource, attributes, events, made.links, made.kind,
        status=status, start_time=made.start_time, end_time=made.end_time,
        instrumentation_scope=made.instrumentation_scope,
    )  # fmt: skip
