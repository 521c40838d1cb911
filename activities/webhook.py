"""The step `webhook`: a signed request to another system, whose answer later steps can use."""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import Field

from schemas.frozen import Frozen
from schemas.message_part import Part
from schemas.step_type import Done, StepType, Work


class WebhookArguments(Frozen):
    """Where to, and what is said."""

    url: Part = Field(
        description="https://host/path; its host must be among HOLDFAST_WEBHOOK_HOSTS. Jinja2.",
        examples=["https://api.example.com/rescues"],
    )
    body: dict[str, Any] | None = Field(
        None,
        description="What is sent as JSON; its texts are Jinja2. Customer, playbook and step where left out.",
        examples=[{"supplier": "{{ customer.id }}"}],
        json_schema_extra={"x-texts": True, "x-expects": "a mapping"},
    )
    headers: dict[str, Part] | None = Field(None, description="Further headers by name; Jinja2.")
    method: Literal["POST", "PUT", "PATCH"] = Field("POST", description="POST where left out.")


async def carry_out(work: Work) -> Done:
    """Send it, once; the answer is the output."""
    # Whoever only reads playbooks needn't wait for an HTTP client.
    from channels.webhook import WebhookSettings, call_webhook

    body = work.args.get("body")
    reply = await call_webhook(
        work.args["method"],
        work.args["url"],
        _introduce(work) if body is None else body,
        key=work.key,
        settings=WebhookSettings.from_environ(os.environ),
        headers=work.args.get("headers"),
    )
    return Done("done", {"status": reply.status, "body": reply.body}, f"answered {reply.status}")


def _introduce(work: Work) -> dict[str, Any]:
    """What a receiver is told where the step doesn't say."""
    return {
        "type": "playbook.step",
        "timestamp": work.now.isoformat(),
        "data": {
            "supplierId": work.customer.get("id"),
            "playbook": work.run.get("playbook"),
            "runId": work.run.get("id"),
            "step": work.run.get("step"),
        },
    }


STEP = StepType(
    word="webhook",
    about="Sends a signed request to another system; `{{ steps.ID.body }}` is its answer in later steps.",
    arguments=WebhookArguments,
    carry_out=carry_out,
    # The receiver knows a repetition by its `webhook-id`.
    repeatable=True,
    shorthand="url",
    sends=True,
)
