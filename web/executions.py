"""The workflows of runs, as the web process reaches them: commands to one, and whether Temporal answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, cast

from temporalio.client import (
    Client,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from schemas.errors import ConflictError, UnavailableError
from schemas.run import Command
from schemas.settings import Settings
from store.reading_rows import RunRow
from workflows.payloads import choose_manner

Verb = Literal["pause", "resume", "stop", "snooze"]


class Executions:
    """One connection to Temporal, made when it is first needed and kept; Temporal may come and go."""

    CONNECT_SECONDS = 3
    # A worker that is up answers an update in milliseconds; without one it would wait for ever.
    ANSWER_SECONDS = 8

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def command(self, run: RunRow, verb: Verb, command: Command) -> str:
        """Ask the run's workflow to `verb`; returns what it answers.

        Raises ConflictError when the run's state forbids it, UnavailableError when Temporal or its worker is
        away.
        """
        if run.state == "ended":
            raise ConflictError(f"The run has ended ({run.outcome}).", remedy="Nothing is left to do for it.")
        if run.state == "observed":
            raise ConflictError(
                "The customer is held out: the run is only observed.", remedy="It ends by itself."
            )
        if run.state == "starting":
            raise ConflictError("The run hasn't started yet.", remedy="Try again in a moment.")
        client = await self.connect()
        handle = client.get_workflow_handle(run.workflow_id, first_execution_run_id=run.execution_id)
        try:
            async with asyncio.timeout(self.ANSWER_SECONDS):
                update = await handle.start_update(
                    verb, command, wait_for_stage=WorkflowUpdateStage.COMPLETED
                )
                return str(await update.result())
        except WorkflowUpdateFailedError as error:
            told = error.cause.message if isinstance(error.cause, ApplicationError) else str(error.cause)
            raise ConflictError(f"{told[:1].upper()}{told[1:]}.") from error
        except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError) as error:
            raise UnavailableError(
                "No worker answered in time.", remedy="The run's page says what keeps it."
            ) from error
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise ConflictError(
                    "The run has no workflow at the moment.", remedy="Try again in a minute."
                ) from error
            raise UnavailableError(f"Temporal didn't take it: {error.message}.") from error

    async def trace(self, run: RunRow, within_seconds: float = ANSWER_SECONDS) -> Mapping[str, Any]:
        """What the run's workflow itself says it has done so far; of an ended one as long as Temporal keeps it.

        Raises ConflictError where there is no such workflow (any more), UnavailableError when Temporal or its worker is
        away.
        """
        if run.execution_id is None:
            raise ConflictError("The run has no workflow.", remedy="What is on record of it is on this page.")
        client = await self.connect()
        handle = client.get_workflow_handle(run.workflow_id, first_execution_run_id=run.execution_id)
        try:
            told = await handle.query("trace", rpc_timeout=timedelta(seconds=within_seconds))
        except WorkflowQueryFailedError as error:
            raise ConflictError(f"The workflow can't say: {error.message}.") from error
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise ConflictError(
                    "Temporal doesn't keep this run's workflow any more.",
                    remedy="What is on record of it is on this page.",
                ) from error
            raise UnavailableError(
                "No worker answered in time.", remedy="The run's page says what keeps it."
            ) from error
        return cast(Mapping[str, Any], told)

    async def check(self) -> str:
        """The address of the Temporal that answers. Raises UnavailableError."""
        client = await self.connect()
        try:
            async with asyncio.timeout(self.CONNECT_SECONDS):
                await client.service_client.check_health()
        except (RPCError, TimeoutError) as error:
            raise UnavailableError(f"Temporal doesn't answer: {type(error).__name__}.") from error
        return client.service_client.config.target_host

    async def connect(self) -> Client:
        """The connection, made now if there is none yet. Raises UnavailableError."""
        async with self._connecting:
            if self._client is not None:
                return self._client
            try:
                async with asyncio.timeout(self.CONNECT_SECONDS):
                    given = ClientConfig.load_client_connect_config(
                        override_env_vars=dict(self._settings.environ)
                    )
                    given.setdefault("target_host", self._settings.temporal_address)
                    self._client = await Client.connect(**given, **choose_manner(self._settings))
            except (RuntimeError, RPCError, TimeoutError, ValueError) as error:
                raise UnavailableError(
                    f"Temporal at {self._settings.temporal_address} can't be reached.",
                    remedy="Check TEMPORAL_ADDRESS; `holdfast doctor` looks closer.",
                ) from error
            return self._client
