"""Which run an activity works for, said in the log's records beside what they say."""

from __future__ import annotations

from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from schemas import log_context

_PLAYBOOK = "playbook/"


class RunContext(Interceptor):
    """Names run, step and playbook to the log for as long as an activity takes."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Around what `next` does."""
        return _Named(next)


class _Named(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - as Temporal calls it
        token = log_context.enter(
            **name_run(input.args[0] if input.args else None, activity.info().workflow_id)
        )
        result = await super().execute_activity(input)
        # Of one that failed the SDK tells after this, in the same task, which ends then: that record is named, too.
        log_context.leave(token)
        return result


def name_run(call: object, workflow_id: str | None) -> dict[str, str]:
    """What the call of an activity, and the id of its workflow, say of the run."""
    named = {
        field: value
        for field, name in (("run_id", "run_id"), ("step", "step"))
        if isinstance(value := getattr(call, name, None), str)
    }
    if workflow_id and workflow_id.startswith(_PLAYBOOK):
        named["playbook"] = workflow_id.split("/")[1]
    return named
