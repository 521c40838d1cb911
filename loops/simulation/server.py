"""The test server of Temporal, which skips to the next timer whenever nothing is at work."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.testing import WorkflowEnvironment

from loops.embedded_temporal import SEARCH_ATTRIBUTES
from schemas.errors import UnavailableError


@asynccontextmanager
async def run_test_server() -> AsyncIterator[WorkflowEnvironment]:
    """A test server with our search attributes, on a port of its own."""
    # The SDK warns of what this server can't do and nobody here asks of it.
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=find_test_server(),
        data_converter=pydantic_data_converter,
        runtime=Runtime(telemetry=TelemetryConfig(logging=quiet)),
    ) as temporal:
        await temporal.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=temporal.client.namespace,
                search_attributes=dict.fromkeys(
                    SEARCH_ATTRIBUTES, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
                ),
            )
        )
        yield temporal


def find_test_server() -> str:
    """The path of the program; raises UnavailableError."""
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("temporal-test-server", path=scripts) or shutil.which("temporal-test-server")
    if found is None:
        raise UnavailableError(
            "the program `temporal-test-server` isn't installed, so there is no virtual clock to play on.",
            remedy="Run `make install`.",
        )
    return found
