"""The runtime of Temporal's SDK in a process of workers: how its own records are written, and where its metrics are."""

from __future__ import annotations

import logging

from temporalio.runtime import LoggingConfig, LoggingFormat, PrometheusConfig, Runtime, TelemetryConfig

from loops.metrics import TEMPORAL_PORT, read_place
from schemas.log_lines import JsonLines, choose_lines
from schemas.settings import Settings

log = logging.getLogger(__name__)


def make_runtime(settings: Settings) -> Runtime | None:
    """One that writes JSON lines where we do, and tells Prometheus of the SDK where a port is named; None is its own.

    Raises SettingError.
    """
    as_json = isinstance(choose_lines(settings.environ), JsonLines)
    place = read_place(settings.environ, TEMPORAL_PORT)
    if place is None and not as_json:
        return None
    lines = LoggingConfig(filter=LoggingConfig.default.filter, format=LoggingFormat.JSON if as_json else None)
    if place is not None:
        host, port = place
        bound = PrometheusConfig(bind_address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        try:
            return Runtime(telemetry=TelemetryConfig(logging=lines, metrics=bound))
        except (RuntimeError, ValueError) as error:
            log.error("metrics: %s:%d can't be listened on: %s", host, port, error)  # noqa: TRY400 - it says it all
    return Runtime(telemetry=TelemetryConfig(logging=lines))
