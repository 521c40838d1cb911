"""How long a run's activities may take, and how often they are tried."""

from __future__ import annotations

from datetime import timedelta

from temporalio.common import RetryPolicy

# An activity that the world keeps from succeeding is tried until it does: the database may be away for an hour.
PATIENT = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
)
# Longer than a provider's deadline and the record after it, so that two attempts never overlap.
SEND_TIMEOUT = timedelta(seconds=25)
BOOK_TIMEOUT = timedelta(seconds=15)
