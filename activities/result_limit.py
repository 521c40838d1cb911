"""No activity gives more than Temporal takes: what is refused only after it was done would be done again and again."""

from __future__ import annotations

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

# Temporal refuses 2 MiB; sealing, and the marker of a local activity, take a little of that.
MOST_BYTES = 1_900_000


class ResultLimit(Interceptor):
    """Fails an activity whose result is too large, once and for all, so that its step says `failed`."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Look at what `next` gives."""
        return _Limited(next)


class _Limited(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - as Temporal calls it
        result = await super().execute_activity(input)
        size_bytes = sum(payload.ByteSize() for payload in activity.payload_converter().to_payloads([result]))
        if size_bytes > MOST_BYTES:
            told = f"{activity.info().activity_type} gave {size_bytes} bytes, and {MOST_BYTES} are the most"
            raise ApplicationError(told, type="ResultTooLarge", non_retryable=True)
        return result
