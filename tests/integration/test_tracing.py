"""One trace from an event at the HTTP edge to the mail server, received by a collector that speaks OTLP over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas import tracing
from schemas.errors import SettingError
from schemas.log_lines import JsonLines
from schemas.metrics import REGISTRIES
from tests.integration.plans import email, playbook
from tests.integration.running_engine import House, eventually
from tests.integration.web_edge import run_web
from tests.standins.http import Request, respond
from tests.standins.server import HttpStandIn

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"


class CollectorStandIn(HttpStandIn):
    """A collector: it keeps every span that it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []
        self.spans: list[Mapping[str, Any]] = []

    async def answer(self, request: Request) -> AsyncIterator[bytes]:
        assert (request.method, request.path) == ("POST", "/v1/traces")
        assert request.headers["content-type"] == "application/x-protobuf"
        self.bodies.append(request.body)
        sent = ExportTraceServiceRequest.FromString(request.body)
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [
                    {
                        "name": span.name, "trace": span.trace_id.hex(), "id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(), "status": span.status,
                        "attributes": {one.key: _value(one.value) for one in span.attributes},
                    }
                    for span in scope.spans
                ]  # fmt: skip
        yield respond(200, b"", "application/x-protobuf")

    def names(self) -> list[str]:
        return [span["name"] for span in self.spans]

    def find(self, name: str) -> Mapping[str, Any]:
        return next(span for span in self.spans if span["name"] == name)


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@pytest.fixture
async def collector() -> AsyncIterator[CollectorStandIn]:
    async with CollectorStandIn() as standin:
        assert tracing.set_up({"OTEL_EXPORTER_OTLP_ENDPOINT": standin.url}, "holdfast-test")
        yield standin
        await asyncio.to_thread(tracing.finish)


def count_work() -> dict[str, float]:
    """What this process has counted of a playbook's run and its message."""
    read = REGISTRIES["worker"].get_sample_value
    name = playbook().name
    provider = {"channel": "email", "provider": "smtp"}
    counts = {
        "deliveries": read("holdfast_deliveries_total", {**provider, "state": "accepted"}),
        "requests": read(
            "holdfast_provider_request_duration_seconds_count", {**provider, "result": "accepted"}
        ),
        "accepted": read("holdfast_claim_to_accept_duration_seconds_count", {"channel": "email"}),
        "started": read("holdfast_runs_started_total", {"playbook": name}),
        "ended": read("holdfast_runs_ended_total", {"playbook": name, "outcome": "completed"}),
    }
    return {name: count or 0.0 for name, count in counts.items()}


async def flush() -> None:
    assert tracing._provider is not None
    assert await asyncio.to_thread(tracing._provider.force_flush, 5000)


async def test_one_trace_leads_from_the_event_to_the_mail(
    collector: CollectorStandIn, house: House, database_url: str
) -> None:
    before = count_work()
    await house.engine.publish(playbook(email("greet")))
    async with run_web(database_url) as web:
        traits = {"firstName": "Ada", "email": "ada@example.com", "timezone": "UTC"}
        await web.client.post("/v1/identify", json={"userId": "ada", "traits": traits})
        answer = await web.client.post(
            "/v1/track", json={"userId": "ada", "event": "help_wanted"}, headers={"traceparent": TRACEPARENT}
        )
        assert answer.status_code == 200
        await house.engine.until("SELECT 1 FROM runs WHERE ended_at IS NOT NULL")
    [mail] = house.smtp.accepted
    assert mail.message["Subject"] == "About greet"
    counted = {name: count - before[name] for name, count in count_work().items()}
    assert counted == {"deliveries": 1, "requests": 1, "accepted": 1, "started": 1, "ended": 1}

    async def look() -> list[str]:
        await flush()
        return collector.names()

    await eventually(look, lambda names: "RunActivity:Run.finish" in names)
    ours = [span for span in collector.spans if span["trace"] == TRACE]
    names = [span["name"] for span in ours]
    expected = {
        "POST /v1/track", "evaluate", "dispatch", "StartWorkflow:PlaybookRun", "RunWorkflow:PlaybookRun",
        "StartActivity:Delivery.send", "RunActivity:Delivery.send", "send email",
    }  # fmt: skip
    assert expected <= set(names), names
    # Every span hangs on another one of the trace, the first on the caller's.
    ids = {span["id"] for span in ours}
    assert [span["name"] for span in ours if span["parent"] not in ids] == ["POST /v1/track"]
    [first] = [span for span in ours if span["name"] == "POST /v1/track"]
    assert first["parent"] == CALLER
    assert first["attributes"]["http.route"] == "/v1/track"
    assert first["attributes"]["http.response.status_code"] == 200
    sent = collector.find("send email")["attributes"]
    assert (sent["holdfast.channel"], sent["holdfast.provider"], sent["holdfast.result"]) == (
        "email", "smtp", "accepted",
    )  # fmt: skip
    # Nobody is in it, and what began without a trace began none.
    whole = b"".join(collector.bodies)
    assert not [word for word in (b"Ada", b"ada@example.com", b"About greet") if word in whole]
    roots = {span["name"] for span in collector.spans if not span["parent"]}
    assert not [name for name in roots if name.startswith(("SignalWorkflow", "RunActivity"))]


async def test_what_an_exception_says_stays_here(collector: CollectorStandIn) -> None:
    with pytest.raises(ValueError, match="Ada"), tracing.span("trip", parent=TRACEPARENT):
        raise ValueError("Ada Lovelace")
    maker = tracing.tracer()
    assert maker is not None
    named = {"temporalWorkflowID": "playbook/care/1/of-ada"}
    with (
        pytest.raises(KeyError),
        maker.start_as_current_span("RunWorkflow:x", attributes=named),
    ):
        raise KeyError("Ada Lovelace")
    await flush()
    assert b"Lovelace" not in b"".join(collector.bodies)
    trip, run = collector.find("trip"), collector.find("RunWorkflow:x")
    assert (trip["attributes"]["error.type"], trip["status"].message) == ("ValueError", "ValueError")
    assert (run["attributes"]["temporalWorkflowID"], run["status"].message) == ("playbook/care/1", "KeyError")


async def test_records_name_the_trace(collector: CollectorStandIn) -> None:
    record = logging.LogRecord("x", logging.INFO, "f.py", 1, "hello", (), None)
    with tracing.span("work", parent=TRACEPARENT):
        assert f'"trace_id": "{TRACE}"' in JsonLines({}).format(record)
    assert "trace_id" not in JsonLines({}).format(record)


@pytest.fixture
def off() -> Iterator[None]:
    assert not tracing.is_on()
    yield
    assert not tracing.is_on()


@pytest.mark.usefixtures("off")
def test_nothing_is_recorded_unless_somebody_wants_it() -> None:
    assert not tracing.set_up({}, "x")
    assert not tracing.set_up(
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, "x"
    )
    assert tracing.traceparent() is None
    # One and the same nothing, whatever it is called for.
    with tracing.span("a", holdfast__channel="email") as one, tracing.span("b", parent=TRACEPARENT) as other:
        assert one is other is tracing.begin("c", parent=TRACEPARENT)
        one.set(a=1)
        one.fail("x")
        assert one.traceparent is None
    with pytest.raises(SettingError, match="OTEL_TRACES_EXPORTER"):
        tracing.is_wanted({"OTEL_TRACES_EXPORTER": "jaeger"})
