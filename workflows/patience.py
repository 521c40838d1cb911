"""How long a run's activities may take, how often they are tried, and where they are carried out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError

# An activity that the world keeps from succeeding is tried until it does: the database may be away for an hour.
PATIENT = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
)
# Longer than a provider's deadline and the record after it, so that two attempts never overlap.
SEND_TIMEOUT = timedelta(seconds=25)
BOOK_TIMEOUT = timedelta(seconds=15)

# A local activity costs one event instead of six, but holds the run's workflow task: for short work that succeeds.
AT_ONCE = RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=2)
AT_ONCE_TIMEOUT = timedelta(seconds=4)

_Result = TypeVar("_Result")


async def book(activity: str, call: Any, result_type: type[_Result], summary: str) -> _Result:
    """Carry out one of our own activities, which talk to nobody but the database: at once, in this worker; where that
    fails (the database is away), as an ordinary activity that is tried until it succeeds.
    """
    try:
        result: _Result = await workflow.execute_local_activity(
            activity,
            call,
            result_type=result_type,
            start_to_close_timeout=AT_ONCE_TIMEOUT,
            retry_policy=AT_ONCE,
            summary=summary,
        )
    except FailureError:
        # A local activity's own failure comes bare, not inside an ActivityError.
        result = await workflow.execute_activity(
            activity,
            call,
            result_type=result_type,
            start_to_close_timeout=BOOK_TIMEOUT,
            retry_policy=PATIENT,
            summary=summary,
        )
    return result
